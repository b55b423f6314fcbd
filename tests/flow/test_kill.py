"""kill -9 in the middle of storing: nothing acknowledged is lost, nothing half there, nothing damaged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import pytest

from isocenter.testing.instances import ct_slice, uid
from isocenter.testing.server import Server

KILLS = 10
WRITERS = 6
EACH = 40


def address(number: int) -> str:
    study, series, instance = uid(number, "study"), uid(number, "CT"), uid(number, "CT", 1)
    return f"/dicomweb/studies/{study}/series/{series}/instances/{instance}"


class Writers:
    """Threads that store instances until the server is gone; they note which were acknowledged."""

    def __init__(self, server: Server, instances: Mapping[int, bytes]) -> None:
        self._server = server
        self._waiting = list(instances.items())
        self.acknowledged: set[int] = set()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while self._waiting:
            try:
                number, data = self._waiting.pop()
                if self._server.stow(data).status == 200:
                    self.acknowledged.add(number)
            except (OSError, HTTPException, IndexError):
                return

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=60)


def check(server: Server, instances: Mapping[int, bytes], acknowledged: set[int]) -> list[str]:
    """What is lost, torn, half there or there twice."""
    wrong = []
    for number, data in instances.items():
        listed = server.request("GET", f"/dicomweb/instances?SOPInstanceUID={uid(number, 'CT', 1)}").json()
        back = server.request("GET", address(number), headers={"Accept": "application/dicom; transfer-syntax=*"})
        if len(listed) > 1:
            wrong.append(f"{number} is there {len(listed)} times")
        if (back.status == 200) != bool(listed):
            wrong.append(f"{number} is half there")
        if back.status == 200 and back.body != data:
            wrong.append(f"{number} is torn")
        if number in acknowledged and back.status != 200:
            wrong.append(f"{number} was acknowledged and is lost")
    return wrong


@pytest.mark.parametrize("platform", ["laptop", "cloud"])
def test_ten_kills_lose_nothing(platform: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    settings = request.getfixturevalue("cloud") if platform == "cloud" else {}
    server = Server(tmp_path / "home", settings)
    chance = random.Random(9)
    first = 7_000_000 if platform == "cloud" else 6_000_000
    stored: dict[int, bytes] = {}
    known: set[int] = set()
    slowest = 0.0
    for kill in range(KILLS):
        numbers = range(first + kill * EACH, first + (kill + 1) * EACH)
        instances = {number: ct_slice(number, size=96) for number in numbers}
        server.start()
        writers = Writers(server, instances)
        time.sleep(chance.uniform(0.02, 0.4))
        server.kill()
        writers.join()
        started = time.monotonic()
        server.start()
        slowest = max(slowest, time.monotonic() - started)
        assert check(server, instances, writers.acknowledged) == []
        for number in instances.keys() - writers.acknowledged:  # sent again, each is taken
            assert server.stow(instances[number]).status == 200
        stored.update(instances)
        known |= writers.acknowledged
        server.kill()
    assert 0 < len(known) < len(stored)
    assert slowest < 15
    server.start()
    assert check(server, stored, set(stored)) == []
    server.stop()
    checked = server.run("fsck", "--repair")
    assert checked.returncode == 0, checked.stderr.decode()
    again = server.run("fsck", "--json")
    assert again.returncode == 0, again.stderr.decode()
    if platform == "laptop":
        blobs = [path for path in (tmp_path / "home" / "blobs").rglob("*") if path.is_file()]
        assert len(blobs) == len(stored)
