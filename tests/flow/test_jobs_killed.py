"""Workers killed in the middle, again and again: every image is done, and its effect is there once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from isocenter.adapters.memory.workflow import MemoryWorkflow
from isocenter.bootstrap.backends import open_backends
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.settings import Settings
from isocenter.testing.instances import ct_slice
from isocenter.testing.postgres import PostgresServer, postgres_server
from isocenter.testing.server import Server

IMAGES = int(os.environ.get("KILLED_IMAGES", "60"))
KILLS = int(os.environ.get("KILLED_TIMES", "6"))
PLAN = """
name: in-small-chunks
batch: {images: 2}
steps:
  - {name: validate, use: validate, with: {profile: lenient}}
  - {name: deidentify, use: deidentify, with: {profile: basic}}
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest) -> Mapping[str, str]:
    if request.param == "sqlite":
        return {"ISOCENTER_WORKER_LEASE_SECONDS": "2"}
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.url(server.new_database()).replace("postgresql:", "postgresql+psycopg:")
    return {"ISOCENTER_DATABASE_URL": url, "ISOCENTER_WORKER_LEASE_SECONDS": "2"}


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
        _end(self.processes[number])
        self.processes[number] = self._start()

    def close(self) -> None:
        for process in self.processes:
            _end(process)
        self._log.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _told(server: Server, *arguments: str) -> Any:
    done = server.run(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_whatever_is_killed_every_image_is_done_once(tmp_path: Path, settings: Mapping[str, str]) -> None:
    server = Server(tmp_path / "home", settings)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(1, IMAGES + 1):
        (folder / f"{number}.dcm").write_bytes(ct_slice(number, 1, size=32))
    assert server.run("ingest", str(folder)).returncode == 0
    (server.home / "pipelines").mkdir()
    (server.home / "pipelines" / "in-small-chunks.yaml").write_text(PLAN)
    job = server.run("pipeline", "run", "in-small-chunks").stdout.decode().strip()

    chance = random.Random(20261120)
    workers = Workers(server, 2 if "ISOCENTER_DATABASE_URL" in settings else 1)
    given = {name.removeprefix("ISOCENTER_").lower(): value for name, value in settings.items()}
    backends = open_backends(Settings.model_validate({"home": server.home, **given}))
    jobs = Jobs(backends.platform, OnceOpened(MemoryWorkflow))
    try:
        killed, seen = 0, 0
        end = time.monotonic() + 60 + 20 * KILLS
        while not jobs.get(job).is_final:
            finished = jobs.progress(job).finished
            assert time.monotonic() < end, f"{finished} after {killed} kills: {server.log.read_text()[-3000:]}"
            # A worker is killed once one has got somewhere, at any moment of what it does next.
            if killed < KILLS and finished > seen:
                time.sleep(chance.uniform(0, 0.15))
                workers.kill(chance.randrange(len(workers.processes)))
                killed, seen = killed + 1, finished
            time.sleep(0.01)
    finally:
        workers.close()
        backends.close()
    far = _told(server, "jobs", "show", job, "--json")
    assert killed == KILLS, f"the job was over after {killed} kills"
    assert (far["state"], far["finished"], far["rejected"], far["unavailable"]) == ("done", IMAGES, 0, 0), far
    assert [(step["name"], step["done"]) for step in far["steps"]] == [("validate", IMAGES), ("deidentify", IMAGES)]

    with_server = server.start()
    try:
        kept: list[Any] = []
        after = ""
        while True:
            page = with_server.request("GET", f"/images?store=deidentified&limit=1000{after}").json()
            kept += page["images"]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert len(kept) == len({image["image_id"] for image in kept}) == IMAGES
        ids = "&".join(f"image={image['id']}" for image in kept[:60])
        told = with_server.request("GET", f"/jobs/{job}/results?{ids}").json()["results"]
        assert [one["kind"] for one in told] == ["evidence"] * min(60, IMAGES)
        events = with_server.request("GET", "/events?limit=1000").json()["events"]
        stored = [each["image"] for each in events if (each["store"], each["type"]) == ("deidentified", "image.stored")]
        assert sorted(stored) == sorted(image["id"] for image in kept)
    finally:
        with_server.stop()
    assert server.run("fsck", "--repair").returncode == 0
    assert server.run("fsck").returncode == 0
