"""Pipelines over the wire and by the command line, on a real server whose worker is a process of its own."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from isocenter.testing.instances import ct_slice, png_picture
from isocenter.testing.server import Server, running

CANARY = "CANARYNAME"
SLICES = 6


def posted(server: Server, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    answer = server.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    return answer.status, answer.json()


def got(server: Server, path: str) -> Any:
    answer = server.request("GET", path)
    assert answer.status == 200, answer.body
    return answer.json()


def over(server: Server, id: str, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while (job := got(server, f"/jobs/{id}"))["state"] not in ("done", "failed", "cancelled"):
        assert time.monotonic() < end, job
        time.sleep(0.1)
    return job


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("jobs") / "home"
    with running(home, ISOCENTER_MAX_WAITING_IMAGES="50", ISOCENTER_WORKER_IDLE_SECONDS="2") as started:
        slices = [
            ct_slice(1, number, size=64, slices=SLICES, PatientName=f"{CANARY}^A", InstitutionName=f"{CANARY} CLINIC")
            for number in range(1, SLICES + 1)
        ]
        assert started.stow(*slices).status == 200
        picture = started.request(
            "POST", "/images?subject_id=s&image_id=i", png_picture(1), {"Content-Type": "image/png"}
        )
        assert picture.status == 201
        yield started


def test_what_comes_in_is_validated_and_deidentified_and_every_step_told(server: Server) -> None:
    names = [plan["name"] for plan in got(server, "/pipelines")["pipelines"]]
    assert "validate-deidentify" in names
    assert got(server, "/pipelines/validate-deidentify")["steps"][1]["use"] == "deidentify"
    key = {"Idempotency-Key": "the first"}
    status, job = posted(server, "/pipelines/validate-deidentify/runs", {"all": True}, **key)
    assert (status, job["images"]) == (202, SLICES + 1)
    assert posted(server, "/pipelines/validate-deidentify/runs", {"all": True}, **key)[1]["id"] == job["id"]

    followed = _followed(server, job["id"])
    assert followed[-1][0] == "end"
    assert [name for name, _ in followed[:-1]] == ["progress"] * (len(followed) - 1)
    ended = over(server, job["id"])
    assert followed[-1][1]["finished"] == ended["finished"] == SLICES + 1
    assert (ended["state"], ended["rejected"], ended["unavailable"]) == ("done", 1, 0)

    faults = got(server, f"/jobs/{job['id']}/faults")
    assert [(fault["step"], fault["code"], fault["retriable"]) for fault in faults["faults"]] == [
        ("deidentify", "not-dicom", False)
    ]
    found = got(server, "/stores/deidentified/dicomweb/instances?includefield=all")
    assert len(found) == SLICES
    assert CANARY not in json.dumps(found)
    kept = got(server, "/images?store=deidentified")["images"]
    told = got(server, f"/jobs/{job['id']}/results?" + "&".join(f"image={image['id']}" for image in kept))["results"]
    assert {one["kind"] for one in told} == {"evidence"}
    assert {one["said"]["output"]["sha256"] for one in told} == {image["sha256"] for image in kept}
    assert job["id"] in [each["id"] for each in got(server, "/jobs?limit=100")["jobs"]]


def _followed(server: Server, id: str) -> list[tuple[str, Any]]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/jobs/{id}/events")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    blocks = answer.read().decode().strip().split("\n\n")
    connection.close()
    lines = [block.split("\n") for block in blocks if not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in lines]


def test_the_images_of_a_job_are_told_with_what_was_made_of_each(server: Server) -> None:
    _, job = posted(server, "/pipelines/validate-deidentify/runs", {"all": True})
    assert over(server, job["id"])["state"] == "done"
    page = got(server, f"/jobs/{job['id']}/images")
    assert (len(page["images"]), page["next"]) == (SLICES + 1, None)
    made = [each for each in page["images"] if each["made"]]
    assert len(made) == SLICES, "the picture was kept out, and nothing made of it"
    for each in made:
        (one,) = each["made"]
        assert (each["image"]["store"], one["store"]) == ("raw", "deidentified")
        assert each["image"]["study_uid"] != one["study_uid"]
        (told,) = got(server, f"/jobs/{job['id']}/results?image={one['id']}")["results"]
        assert told["said"]["study_instance_uid"] == one["study_uid"]
    first = got(server, f"/jobs/{job['id']}/images?limit=3")
    rest = got(server, f"/jobs/{job['id']}/images?limit=100&after={first['next']}")
    assert (first["next"], rest["next"]) == (3, None)
    assert first["images"] + rest["images"] == page["images"]


def test_a_second_run_finds_everything_done_and_changes_nothing(server: Server) -> None:
    found = []
    for _ in range(2):
        _, job = posted(server, "/pipelines/validate-deidentify/runs", {"all": True})
        assert over(server, job["id"])["rejected"] == 1
        found.append(got(server, "/images?store=deidentified")["images"])
    assert found[0] == found[1]
    assert len(found[0]) == SLICES


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"images": ["nothing"]}, 404, "no-such-image"),
        ({"subject_id": "nobody"}, 404, "no-images"),
        ({"study_uid": "1.2.3"}, 404, "no-images"),
        ({}, 400, "bad-parameter"),
        ({"all": True, "images": ["x"]}, 400, "bad-parameter"),
        ({"all": True, "priority": 0}, 400, "bad-parameter"),
        ({"all": False}, 400, "bad-parameter"),
        ([], 400, "bad-parameter"),
    ],
)
def test_what_cannot_be_run_is_said(server: Server, body: Any, status: int, code: str) -> None:
    found, problem = posted(server, "/pipelines/validate-deidentify/runs", body)
    assert (found, problem["code"]) == (status, code)


def test_unknown_pipelines_and_jobs_are_not_found(server: Server) -> None:
    assert posted(server, "/pipelines/nothing/runs", {"all": True})[0] == 404
    for path in ("/pipelines/nothing", "/jobs/nothing", "/jobs/nothing/events", "/jobs/nothing/faults"):
        assert server.request("GET", path).status == 404
    for verb in ("cancel", "pause", "resume", "retry"):
        assert posted(server, f"/jobs/nothing/{verb}")[0] == 404


def test_the_command_line_lists_shows_runs_and_retries(server: Server, tmp_path: Path) -> None:
    listed = server.run("pipeline", "list").stdout.decode()
    assert "validate-deidentify" in listed
    own = server.home / "pipelines"
    own.mkdir(exist_ok=True)
    (own / "strictly.yaml").write_text("name: strictly\nsteps: [{name: v, use: validate, with: {profile: strict}}]\n")
    assert server.run("pipeline", "check", "strictly").returncode == 0
    (tmp_path / "bad.yaml").write_text("name: bad\nsteps: [{name: v, use: nothing}]\n")
    wrong = server.run("pipeline", "check", str(tmp_path / "bad.yaml"))
    assert wrong.returncode == 2
    assert b"steps.0.use" in wrong.stderr
    drawn = server.run("pipeline", "graph", "strictly").stdout.decode()
    assert drawn.startswith("<svg")
    machine = json.loads(server.run("pipeline", "asl", "validate-deidentify").stdout)
    assert machine["States"][machine["StartAt"]]["ItemProcessor"]["States"]["Run"]["Retry"][0]["MaxAttempts"] == 2

    done = server.run("pipeline", "run", "strictly", "--watch")
    id = done.stdout.decode().strip()
    shown = json.loads(server.run("jobs", "show", id, "--json").stdout)
    assert done.returncode == (1 if shown["rejected"] else 0)
    assert shown["finished"] == SLICES + 1
    assert id in server.run("jobs", "ls").stdout.decode()
    if shown["rejected"]:
        again = server.run("jobs", "retry", id).stdout.decode().strip()
        assert over(server, again)["images"] == shown["rejected"]
    assert server.run("jobs", "cancel", id).returncode == 2
    assert server.run("jobs", "redrive").stdout == b""


def test_the_worker_ends_when_it_has_been_idle_and_comes_again(server: Server) -> None:
    assert server.process is not None
    over(server, posted(server, "/pipelines/validate-deidentify/runs", {"all": True})[1]["id"])
    end = time.monotonic() + 30
    while _children(server.process.pid) and time.monotonic() < end:
        time.sleep(0.2)
    assert not _children(server.process.pid)
    _, job = posted(server, "/pipelines/validate-deidentify/runs", {"all": True})
    assert over(server, job["id"])["state"] == "done"


def _children(pid: int) -> list[str]:
    found = subprocess.run(["ps", "-o", "args=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if " worker " in line]


def test_neither_queue_nor_ledger_nor_logs_hold_an_attribute_value(server: Server) -> None:
    over(server, posted(server, "/pipelines/validate-deidentify/runs", {"all": True})[1]["id"])
    texts = [server.log.read_bytes(), server.request("GET", "/metrics").body]
    queue = sqlite3.connect(server.home / "queue.sqlite")
    texts.append("\n".join(queue.iterdump()).encode())
    index = sqlite3.connect(server.home / "isocenter.sqlite")
    for table in ("jobs", "chunks", "tasks", "outcomes", "audit", "events"):
        texts.append(repr(index.execute(f"select * from {table}").fetchall()).encode())
    texts += [path.read_bytes() for path in server.home.glob("queue.sqlite-wal")]
    uids = {value for (value,) in index.execute("select sop_instance_uid from images where store = 'raw'") if value}
    assert len(uids) == SLICES
    for text in texts:
        assert CANARY.encode() not in text
        assert not any(uid.encode() in text for uid in uids)
    assert b"validate-deidentify" in texts[3]
