"""Images given out by pipelines and by the command line: links, a folder, another gateway, a listener."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest

from isocenter.adapters.destinations.webhook import signature
from isocenter.testing.instances import ct_slice, uid
from isocenter.testing.server import Server, running

SLICES, SECRET = 5, "a secret of both sides"
CANARY = "CANARYNAME"
STUDY = uid(1, "study")
PLAN = """name: out-{name}
store: raw
steps:
  - {{name: send, use: deliver, with: {{to: {name}}}, retry: {{attempts: 1}}}}
"""


@dataclass
class Listener:
    url: str = ""
    heard: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    made = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.heard.append((self.headers["Isocenter-Signature"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/arrived"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("other") / "home") as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, peer: Server, listener: Listener) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("out")
    destinations = {
        "research": {"kind": "folder", "path": str(folder / "research")},
        "pacs": {"kind": "stow", "url": f"{peer.url}/dicomweb", "token": "unused", "verify": True},
        "trial": {"kind": "webhook", "url": listener.url, "secret": SECRET},
        "nowhere": {"kind": "stow", "url": "http://127.0.0.1:9/dicom-web", "seconds": 2},
    }
    home = folder / "home"
    (home / "pipelines").mkdir(parents=True)
    for name in (*destinations, "unnamed"):
        (home / "pipelines" / f"out-{name}.yaml").write_text(PLAN.format(name=name))
    settings = {"ISOCENTER_DESTINATIONS": json.dumps(destinations), "ISOCENTER_WORKER_IDLE_SECONDS": "2"}
    with running(home, **settings) as started:
        slices = [ct_slice(1, n, size=32, slices=SLICES, PatientName=f"{CANARY}^A") for n in range(1, SLICES + 1)]
        assert started.stow(*slices).status == 200
        yield started


def asked(server: Server, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    answer = server.request(method, path, data, {"Content-Type": "application/json"})
    assert answer.status < 300, answer.body
    return answer.json()


def ran(server: Server, pipeline: str) -> Any:
    """A job over the study, when it is over."""
    job = asked(server, "POST", f"/pipelines/{pipeline}/runs", {"study_uid": STUDY})
    end = time.monotonic() + 60
    while (found := asked(server, "GET", f"/jobs/{job['id']}"))["state"] not in ("done", "failed"):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def originals(server: Server) -> dict[str, bytes]:
    """The kept bytes of the study by internal id."""
    index = sqlite3.connect(server.home / "isocenter.sqlite")
    ids = [id for (id,) in index.execute("select id from images where store = 'raw'")]
    return {id: server.request("GET", f"/dicom-image/{id}").body for id in ids}


def test_the_shipped_pipeline_ends_in_links_to_what_it_deidentified(server: Server) -> None:
    job = ran(server, "ingest-validate-deidentify-deliver")
    assert (job["state"], job["rejected"], job["unavailable"]) == ("done", 0, 0)
    assert [(step["name"], step["done"]) for step in job["steps"]] == [
        ("validate", SLICES), ("deidentify", SLICES), ("deliver", SLICES)
    ]  # fmt: skip
    kept = asked(server, "GET", "/images?store=deidentified")["images"]
    query = "&".join(f"image={image['id']}" for image in kept)
    results = asked(server, "GET", f"/jobs/{job['id']}/results?{query}")["results"]
    (name,) = {one["said"]["delivery"] for one in results if one["kind"] == "delivery"}
    delivery = asked(server, "GET", f"/deliveries/{name}")
    assert (delivery["store"], len(delivery["links"])) == ("deidentified", SLICES)
    for link in delivery["links"]:
        answer = server.request("GET", urlsplit(link["url"]).path)
        instance = pydicom.dcmread(io.BytesIO(answer.body))
        assert link["file_name"] == f"{instance.SOPInstanceUID}.dcm"
        assert CANARY not in str(instance)


def test_a_folder_takes_every_image_whole_and_again_changes_nothing(server: Server) -> None:
    folder = server.home.parent / "research"
    for _ in range(2):
        job = ran(server, "out-research")
        assert (job["state"], job["rejected"], job["unavailable"]) == ("done", 0, 0)
    found = {path.stem: path.read_bytes() for path in folder.rglob("*.dcm")}
    assert found == originals(server)
    assert not any(CANARY in str(path) or STUDY in str(path) for path in folder.rglob("*"))


def test_another_gateway_takes_every_image_byte_for_byte(server: Server, peer: Server) -> None:
    assert ran(server, "out-pacs")["unavailable"] == 0
    assert sorted(originals(peer).values()) == sorted(originals(server).values())
    sent = server.run("deliver", "to", "pacs", "--study", STUDY)
    assert sent.returncode == 0
    assert f"{SLICES} of {SLICES} images are at pacs".encode() in sent.stderr


def test_a_listener_hears_ids_and_can_tell_that_they_are_ours(server: Server, listener: Listener) -> None:
    assert ran(server, "out-trial")["unavailable"] == 0
    (given, body), *_ = listener.heard
    at = int(given.split(",")[0].removeprefix("t="))
    assert given == signature(SECRET.encode(), at, body)
    assert {image["id"] for image in json.loads(body)["images"]} == set(originals(server))
    assert CANARY.encode() not in body
    assert STUDY.encode() not in body


@pytest.mark.parametrize(("name", "code"), [("nowhere", "destination-unreachable"), ("unnamed", "no-such-destination")])
def test_what_did_not_arrive_can_be_tried_again(server: Server, name: str, code: str) -> None:
    job = ran(server, f"out-{name}")
    assert (job["state"], job["unavailable"]) == ("done", SLICES)
    faults = asked(server, "GET", f"/jobs/{job['id']}/faults")["faults"]
    assert {(fault["code"], fault["retriable"]) for fault in faults} == {(code, True)}


def test_links_from_the_command_line_work_until_they_are_revoked(server: Server, tmp_path: Path) -> None:
    made = server.run("deliver", "links", "--study", STUDY, "--base-url", server.url, "--seconds", "60")
    assert made.returncode == 0, made.stderr
    urls = made.stdout.decode().split()
    assert len(urls) == SLICES
    out = tmp_path / "x.dcm"
    subprocess.run(["curl", "-sS", "--fail", "-o", str(out), urls[0]], check=True)
    assert out.read_bytes() in originals(server).values()
    id = made.stderr.decode().split()[1].rstrip(":")
    assert id in server.run("deliver", "ls").stdout.decode()
    assert server.run("deliver", "revoke", id).returncode == 0
    assert server.request("GET", urlsplit(urls[0]).path).status == 404
    assert server.run("deliver", "revoke", id).returncode == 2
    zipped = server.run("deliver", "links", "--study", STUDY, "--zip", "--json", "--base-url", server.url)
    link = json.loads(zipped.stdout)
    assert server.request("GET", urlsplit(link["url"]).path).body[:4] == b"PK\3\4"
    partly = server.run("deliver", "links", next(iter(originals(server))), "nothing")
    assert partly.returncode == 1
    assert b"1 images are not there: nothing" in partly.stderr


@pytest.mark.parametrize(
    "words", [(), ("--study", STUDY, "--subject", "x"), ("--series", STUDY), ("--study", "1.2.3"), ("--job", "none")]
)
def test_what_was_not_named_rightly_is_refused(server: Server, words: tuple[str, ...]) -> None:
    assert server.run("deliver", "links", *words).returncode == 2
    assert server.run("deliver", "to", "research", *words).returncode == 2


def test_nothing_is_sent_to_a_place_that_a_caller_names(server: Server) -> None:
    assert server.run("deliver", "to", "http://127.0.0.1:9/", "--study", STUDY).returncode == 2


def test_no_name_uid_link_or_secret_is_in_logs_or_ledgers(server: Server) -> None:
    ran(server, "ingest-validate-deidentify-deliver")
    index = sqlite3.connect(server.home / "isocenter.sqlite")
    texts = [server.log.read_bytes(), "\n".join(sqlite3.connect(server.home / "queue.sqlite").iterdump()).encode()]
    for table in ("jobs", "chunks", "tasks", "outcomes", "audit", "events", "deliveries", "delivered"):
        texts.append(repr(index.execute(f"select * from {table}").fetchall()).encode())
    uids = [value for (value,) in index.execute("select sop_instance_uid from images where store = 'raw'")]
    for text in texts:
        assert not [each for each in (CANARY, SECRET, STUDY, "/delivered/A", *uids) if each.encode() in text]
    assert SECRET.encode() not in server.run("settings").stdout


def test_a_bucket_signs_links_that_nobody_can_revoke_and_odd_preambles_go_through_us(
    cloud: Mapping[str, str], tmp_path: Path
) -> None:
    """On PostgreSQL and S3; what the store signs leads to it, and to one object."""
    good, odd = ct_slice(30, 1, size=16), b"MZ" + ct_slice(30, 2, size=16)[2:]
    with running(tmp_path / "home", **cloud, ISOCENTER_DELIVERY_LINKS="presigned") as started:
        assert started.stow(good, odd).status == 200
        made = asked(started, "POST", "/deliveries", {"study_uid": uid(30, "study"), "seconds": 600})
        assert made["revocable"] is False
        own = [link for link in made["links"] if link["url"].startswith(started.url)]
        (signed,) = [link for link in made["links"] if link not in own]
        assert len(own) == 1
        assert "Signature=" in signed["url"]
        assert 590 <= int(parse_qs(urlsplit(signed["url"]).query)["X-Amz-Expires"][0]) <= 600
        out = tmp_path / "x.dcm"
        subprocess.run(["curl", "-sS", "--fail", "-o", str(out), signed["url"]], check=True)
        assert out.read_bytes() == good
        assert hashlib.sha256(good).hexdigest() == signed["sha256"]
        assert started.request("GET", urlsplit(own[0]["url"]).path).body == bytes(128) + odd[128:]
        zipped = asked(started, "POST", "/deliveries", {"study_uid": uid(30, "study"), "zip": True})
        assert zipped["revocable"] is True
        path = urlsplit(zipped["links"][0]["url"]).path
        assert started.request("GET", path).status == 200
        assert started.request("DELETE", f"/deliveries/{zipped['id']}").status == 204
        assert started.request("GET", path).status == 404
        assert b"X-Amz" not in started.log.read_bytes()
