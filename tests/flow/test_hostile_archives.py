"""Hostile ZIP archives through `isocenter ingest`: soon over, an answer for each member, no file outside."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from isocenter.testing.hostile_kinds import archives
from isocenter.testing.server import Server

SOUND = {"escape.zip": 1, "names.zip": 1}  # the members are one instance, so one is stored and the rest are duplicates


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives") / "home"


@pytest.mark.parametrize("name", [name for name, _ in archives()])
def test_an_archive_is_taken_in_or_refused_within_seconds(name: str, home: Path, tmp_path: Path) -> None:
    path, report = tmp_path / name, tmp_path / "report"
    path.write_bytes(dict(archives())[name])
    server = Server(tmp_path / "home")
    started = time.monotonic()
    done = server.run("ingest", "--report", str(report), str(path))
    assert time.monotonic() - started < 60
    assert b"Traceback" not in done.stderr, done.stderr.decode()[-2000:]
    told = [json.loads(line) for line in report.read_text().splitlines()]
    assert told
    assert done.returncode in (0, 1)
    assert {each["outcome"] for each in told} <= {"stored", "duplicate", "rejected"}
    assert sum(each["outcome"] == "stored" for each in told) == SOUND.get(name, 0) or name in (
        "wrong-sum.zip",
        "cut.zip",
    )
    assert not list(Path("/tmp").glob("isocenter-hit*"))
    assert sorted(found.name for found in tmp_path.iterdir()) == sorted([name, "home", "report"])
    assert server.run("fsck").returncode == 0
