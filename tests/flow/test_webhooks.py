"""Webhooks from end to end: real listeners that fail, workers that are killed, studies that become complete."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from isocenter.testing.canary import Canary
from isocenter.testing.instances import ct_slice, uid
from isocenter.testing.postgres import PostgresServer, postgres_server
from isocenter.testing.server import Server, running

CANARY = "CANARYNAME"
EVENTS_PAGE = Path(__file__).parents[2] / "docs" / "events.md"
PIPELINE = "name: look\nsteps: [{name: validate, use: validate, with: {profile: lenient}}]\n"


@dataclass
class Listener:
    """Answers as `reply` says; keeps what it took by 2xx apart from all that it heard."""

    url: str = ""
    origin: str = ""
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    reply: Callable[[dict[str, Any]], int] = lambda told: 204
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, signed: str, body: bytes) -> int:
        told = json.loads(body)
        with self.lock:
            self.heard.append((signed, body))
            status = self.reply(told)
            if 200 <= status < 300:
                self.taken.append(told)
        return status

    def ids(self) -> list[str]:
        with self.lock:
            return [told["id"] for told in self.taken]

    def waits_for(self, done: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"{len(self.taken)} taken of {len(self.heard)}: {self.taken[-3:]}"
            time.sleep(0.05)


@contextmanager
def listening() -> Iterator[Listener]:
    made = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(made.hear(self.headers["Isocenter-Signature"], body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # senders are killed

    server = Quiet(("127.0.0.1", 0), Handler)
    made.origin = f"http://127.0.0.1:{server.server_port}"
    made.url = f"{made.origin}/arrived"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as made:
        yield made


def settings_for(*listeners: Listener, **more: str) -> dict[str, str]:
    given = {
        "webhook_urls": json.dumps([each.origin for each in listeners]), "webhook_retry_seconds": "0.2",
        "webhook_longest_retry_seconds": "1", "webhook_attempts": "5", "webhook_seconds": "2",
        "worker_lease_seconds": "1", "worker_idle_seconds": "3", "study_quiet_seconds": "0", **more,
    }  # fmt: skip
    return {f"ISOCENTER_{name.upper()}": value for name, value in given.items()}


def added(server: Server, url: str, *events: str, store: str | None = None) -> tuple[str, str]:
    """A webhook's id and secret."""
    words = [word for event in events for word in ("--event", event)]
    done = server.run("webhooks", "add", url, *words, *(() if store is None else ("--store", store)))
    assert done.returncode == 0, done.stderr
    return done.stderr.decode().split()[1], done.stdout.decode().strip()


def standing(server: Server, id: str) -> Any:
    lines = server.run("webhooks", "ls", "--json").stdout.decode().splitlines()
    return next(told for line in lines if (told := json.loads(line))["id"] == id)


def store(server: Server, study: int, count: int, **more: Any) -> None:
    slices = [ct_slice(study, n, size=16, slices=count, **more) for n in range(1, count + 1)]
    assert server.stow(*slices).status == 200


def feed(server: Server, type: str) -> list[Any]:
    found = server.request("GET", "/events?limit=1000").json()["events"]
    return [event for event in found if event["type"] == type]


def verifier() -> Callable[..., bool]:
    """What the page tells listeners to do."""
    (snippet,) = re.findall(r"```python\n(.*?)```", EVENTS_PAGE.read_text(encoding="utf-8"), re.S)
    assert len(snippet.strip().splitlines()) <= 12
    names: dict[str, Any] = {}
    exec(snippet, names)
    found: Callable[..., bool] = names["is_ours"]
    return found


def test_a_listener_that_fails_three_times_hears_of_everything_signed(tmp_path: Path, listener: Listener) -> None:
    failed = [0]

    def reply(told: dict[str, Any]) -> int:
        failed[0] += 1
        return 503 if failed[0] <= 3 else 200

    listener.reply = reply
    with running(tmp_path / "home", **settings_for(listener)) as server:
        store(server, 1, 2, PatientName=f"{CANARY}^A")
        id, secret = added(server, listener.url, "image.stored", "image.deleted")
        store(server, 2, 5, PatientName=f"{CANARY}^A")
        assert server.request("DELETE", f"/dicomweb/studies/{uid(2, 'study')}").status == 204
        events = server.request("GET", "/events?limit=1000").json()["events"][2:]
        listener.waits_for(lambda: len(listener.taken) == 10)
        assert sorted(told["sequence"] for told in listener.taken) == [event["sequence"] for event in events]
        by_sequence = {event["sequence"]: event for event in events}
        for told in listener.taken:
            event = by_sequence[told["sequence"]]
            assert told["id"] == f"{id}-{event['sequence']}"
            assert (told["event"], told["image"], told["store"], told["time"]) == (
                event["type"], event["image"], event["store"], event["at"]
            )  # fmt: skip
        assert Counter(told["attempt"] for told in listener.taken) == {1: 7, 2: 3}
        is_ours = verifier()
        signed, body = listener.heard[0]
        assert all(is_ours(secret, *heard) for heard in listener.heard)
        assert not is_ours(secret[:-1], signed, body)
        assert not is_ours(secret, signed, body + b" ")
        assert not is_ours(secret, re.sub(r"t=\d+", f"t={int(time.time()) + 1}", signed), body)
        assert not is_ours(secret, signed, body, most_seconds=-1)
        tested = server.run("webhooks", "test", id)
        assert (tested.returncode, tested.stderr.strip()) == (0, b"it answers 200")
        listener.reply = lambda told: 500
        assert (server.run("webhooks", "test", id).returncode, listener.heard[-1][1][:4]) == (1, b'{"id')
        logs_and_tables(server, [listener], secret)
        assert server.run("webhooks", "rm", id).returncode == 0
        assert server.run("webhooks", "rm", id).returncode == 2
        assert json.loads(server.request("GET", "/webhooks").body) == {"webhooks": []}


def logs_and_tables(server: Server, listeners: list[Listener], *secrets: str) -> None:
    """No attribute value, UID or secret, in what was sent, in what is kept of it, or in a log."""
    index = sqlite3.connect(server.home / "isocenter.sqlite")
    found = [server.log.read_bytes(), *(body for each in listeners for _, body in each.heard)]
    for table in ("webhooks", "webhook_letters", "open_studies", "studies_followed", "events", "audit", "jobs"):
        found.append(repr(index.execute(f"select * from {table}").fetchall()).encode())
    uids = [
        value for row in index.execute("select study_uid, series_uid, sop_instance_uid from images") for value in row
    ]
    index.close()
    assert len(uids) > 6
    for text in found:
        assert not [each for each in (CANARY, *uids, *secrets) if each.encode() in text]
    assert not [url for each in listeners if (url := each.url).encode() in server.log.read_bytes()]


def test_what_never_gets_through_is_a_dead_letter_until_it_is_redriven(tmp_path: Path, listener: Listener) -> None:
    """Beside it another webhook hears of everything at once."""
    with listening() as other, running(tmp_path / "home", **settings_for(listener, other)) as server:
        listener.reply = lambda told: 500
        id, secret = added(server, listener.url, "image.stored")
        added(server, other.url, "image.stored")
        store(server, 1, 3, PatientName=f"{CANARY}^A")
        other.waits_for(lambda: len(other.taken) == 3)
        listener.waits_for(lambda: len(listener.heard) == 15)
        listener.waits_for(lambda: bool(standing(server, id)["dead"] == 3))
        assert standing(server, id)["waiting"] == 0
        letters = server.request("GET", f"/webhooks/{id}/dead-letters").json()
        assert [(each["code"], each["attempts"]) for each in letters["dead_letters"]] == [("http-500", 5)] * 3
        page = server.request("GET", f"/webhooks/{id}/dead-letters?limit=2").json()
        assert len(page["dead_letters"]) == 2
        rest = server.request("GET", f"/webhooks/{id}/dead-letters?after={page['next']}").json()
        assert (rest["dead_letters"], rest["next"]) == (letters["dead_letters"][2:], None)
        told = [json.loads(line) for line in server.run("webhooks", "dead", "--json").stdout.splitlines()]
        assert [(each["webhook"], each["code"]) for each in told] == [(id, "http-500")] * 3
        assert b"http-500" in server.run("webhooks", "dead", id).stdout
        listener.reply = lambda told: 200
        assert server.request("POST", f"/webhooks/{id}/redrive").json() == {"redriven": 3}
        listener.waits_for(lambda: len(listener.taken) == 3)
        assert sorted(listener.ids()) == sorted(f"{id}-{event['sequence']}" for event in feed(server, "image.stored"))
        listener.waits_for(lambda: bool(standing(server, id)["dead"] == standing(server, id)["waiting"] == 0))
        assert server.run("webhooks", "redrive", id).stderr.strip() == b"0 events are tried again"
        assert len(other.heard) == 3
        logs_and_tables(server, [listener, other], secret)


def test_nothing_is_told_to_an_address_inside_that_the_settings_do_not_name(tmp_path: Path) -> None:
    canary = Canary()
    inside = (
        f"https://127.0.0.1:{canary.port}/", f"https://localhost:{canary.port}/", f"http://127.0.0.1:{canary.port}/",
        "https://169.254.169.254/latest/meta-data", "https://0x7f000001/", f"https://user@127.0.0.1:{canary.port}/",
    )  # fmt: skip
    settings = settings_for(webhook_urls=json.dumps([f"http://127.0.0.1:{canary.port}"]))
    server = Server(tmp_path / "home", settings)
    id, _ = added(server, f"http://127.0.0.1:{canary.port}/", "image.stored")  # trusted, for now
    with running(tmp_path / "home", **settings_for()) as server:
        for url in inside:
            assert server.run("webhooks", "add", url, "--event", "image.stored").returncode == 2
            body = json.dumps({"url": url, "events": ["image.stored"]}).encode()
            answer = server.request("POST", "/webhooks", body, {"Content-Type": "application/json"})
            assert answer.status in (400, 403), url
        store(server, 1, 2)
        end = time.monotonic() + 60
        while standing(server, id)["dead"] < 2:
            assert time.monotonic() < end
            time.sleep(0.2)
        told = [json.loads(line) for line in server.run("webhooks", "dead", "--json").stdout.splitlines()]
        assert [(each["code"], each["attempts"]) for each in told] == [("not-https", 1)] * 2
        assert server.run("webhooks", "test", id).returncode == 1
    assert canary.connections == 0
    canary.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Mapping[str, str]:
    if request.param == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres")
    return {"database_url": server.url(server.new_database()).replace("postgresql:", "postgresql+psycopg:")}


class Workers:
    """Worker processes of one home; each that was killed is started again."""

    def __init__(self, server: Server, count: int) -> None:
        self._server = server
        self._log = server.log.open("ab")
        self.processes = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._server.command("worker"), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            start_new_session=True,
        )  # fmt: skip

    def kill(self, number: int) -> None:
        os.killpg(self.processes[number].pid, signal.SIGKILL)
        self.processes[number].wait()
        self.processes[number] = self._start()

    def stop(self) -> list[int]:
        for process in self.processes:
            process.terminate()
        codes = [process.wait(60) for process in self.processes]
        self._log.close()
        return codes


def test_whatever_is_killed_every_event_arrives(
    tmp_path: Path, listener: Listener, database: Mapping[str, str]
) -> None:
    """The listener fails every fifth time, and workers are killed while they send."""
    kills, count = 5, 120
    calls = [0]

    def reply(told: dict[str, Any]) -> int:
        calls[0] += 1
        time.sleep(0.005)
        return 500 if calls[0] % 5 == 0 else 200

    listener.reply = reply
    settings = settings_for(listener, worker_slots="0", webhook_attempts="100", **database)
    with running(tmp_path / "home", **settings) as server:
        id, _ = added(server, listener.url, "image.stored")
        chance = random.Random(20261121)
        workers = Workers(Server(tmp_path / "home", settings_for(listener, webhook_attempts="100", **database)),
                          2 if database else 1)  # fmt: skip
        try:
            for batch in range(kills):
                store(server, batch + 1, count // kills)
                reached = len(listener.taken) + 5
                listener.waits_for(lambda reached=reached: len(listener.taken) >= reached)  # type: ignore[misc]  # its default
                time.sleep(chance.uniform(0, 0.05))
                workers.kill(chance.randrange(len(workers.processes)))
            expected = {f"{id}-{event['sequence']}" for event in feed(server, "image.stored")}
            assert len(expected) == count
            listener.waits_for(lambda: set(listener.ids()) == expected)
            listener.waits_for(lambda: bool(standing(server, id)["waiting"] == 0))
        finally:
            codes = workers.stop()
        assert codes == [0] * len(codes)
        assert (standing(server, id)["dead"], standing(server, id)["waiting"]) == (0, 0)
        # Nobody told twice but of what was on its way when a worker was killed.
        assert len(listener.ids()) <= count + kills


def test_two_workers_on_postgresql_send_everything_once_and_in_order(
    tmp_path: Path, listener: Listener, postgres: PostgresServer
) -> None:
    url = postgres.url(postgres.new_database()).replace("postgresql:", "postgresql+psycopg:")
    settings = settings_for(listener, database_url=url, worker_slots="0", study_quiet_seconds="2")
    with running(tmp_path / "home", **settings) as server, listening() as other:
        more = settings_for(listener, other, database_url=url, study_quiet_seconds="2")
        worker = Server(tmp_path / "home", more)
        ids = [added(worker, each.url, "image.stored", "study.complete")[0] for each in (listener, other)]
        workers = Workers(worker, 2)
        try:
            for study in range(1, 5):
                store(server, study, 20)
            for each in (listener, other):
                each.waits_for(lambda each=each: len(each.taken) >= 84)  # type: ignore[misc]  # its default
            time.sleep(3)
        finally:
            assert workers.stop() == [0, 0]
        told = [event["sequence"] for event in server.request("GET", "/events?limit=1000").json()["events"]]
        assert len(feed(server, "study.complete")) == 4
        for id, each in zip(ids, (listener, other), strict=True):
            assert each.ids() == [f"{id}-{sequence}" for sequence in told]
            assert len(each.heard) == 84


def uploaded(server: Server, *files: bytes) -> None:
    """One upload session from its beginning to its end, completed twice."""
    told = [
        {"name": str(number), "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for number, data in enumerate(files)
    ]
    upload = server.request(
        "POST", "/uploads", json.dumps({"files": told}).encode(), {"Content-Type": "application/json"}
    ).json()
    for file, data in zip(upload["files"], files, strict=True):
        assert server.request("PUT", file["parts"][0]["url"].removeprefix(server.url), data).status == 200
    for _ in range(2):
        assert server.request("POST", f"/uploads/{upload['id']}/complete").status == 200


def test_studies_are_complete_at_the_end_of_a_session_and_after_a_quiet_period(
    tmp_path: Path, listener: Listener
) -> None:
    home = tmp_path / "home"
    (home / "pipelines").mkdir(parents=True)
    (home / "pipelines" / "look.yaml").write_text(PIPELINE)
    settings = settings_for(listener, study_quiet_seconds="2", on_study_complete="look")
    with running(home, **settings) as server:
        _, secret = added(server, listener.url, "study.complete")
        begun = time.monotonic()
        uploaded(server, *(ct_slice(study, n, size=16, PatientName=CANARY) for study in (1, 2) for n in (1, 2)))
        complete = feed(server, "study.complete")
        assert len(complete) == 2
        assert time.monotonic() - begun < 2
        store(server, 3, 3, PatientName=CANARY)
        listener.waits_for(lambda: len(listener.taken) == 3)
        time.sleep(4)  # a quiet period later nothing is told again
        complete = feed(server, "study.complete")
        assert len(complete) == 3
        stored = [event["image"] for event in feed(server, "image.stored")]
        assert [event["image"] for event in complete] == [stored[1], stored[3], stored[6]]
        assert [told["image"] for told in listener.taken] == [event["image"] for event in complete]
        expected = {
            f"study-complete-{event['sequence']}": size for event, size in zip(complete, (2, 2, 3), strict=True)
        }
        listener.waits_for(lambda: all(job["state"] == "done" for job in jobs(server)) and len(jobs(server)) == 3)
        assert {job["id"]: job["images"] for job in jobs(server)} == expected
        assert server.stow(ct_slice(3, 4, size=16, slices=4, PatientName=CANARY)).status == 200
        listener.waits_for(lambda: len(listener.taken) == 4)
        logs_and_tables(server, [listener], secret)


def jobs(server: Server) -> list[Any]:
    found: list[Any] = server.request("GET", "/jobs").json()["jobs"]
    return found


def test_a_pipeline_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path / "home", {"ISOCENTER_ON_STUDY_COMPLETE": "nothing"})
    done = server.run("worker")
    assert done.returncode == 2
    assert b"there is no pipeline of this name" in done.stderr


def test_serve_starts_a_worker_when_there_is_something_to_send_and_lets_it_end(
    tmp_path: Path, listener: Listener
) -> None:
    """A worker that is idle ends; what is to be tried again in time keeps it, or brings another."""
    settings = settings_for(listener, worker_idle_seconds="1", webhook_retry_seconds="3", study_quiet_seconds="0")
    settings["ISOCENTER_WEBHOOK_LONGEST_RETRY_SECONDS"] = "3"
    with running(tmp_path / "home", **settings) as server:
        added(server, listener.url, "image.stored")
        listener.reply = lambda told: 500 if told["attempt"] < 3 else 200
        store(server, 1, 1)
        listener.waits_for(lambda: len(listener.taken) == 1)
        assert [json.loads(body)["attempt"] for _, body in listener.heard] == [1, 2, 3]

        def working() -> bool:
            with (server.home / "worker.lock").open() as lock:
                return subprocess.run(["flock", "-n", lock.name, "true"], check=False).returncode != 0

        listener.waits_for(lambda: not working(), 30)
