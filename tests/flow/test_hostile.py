"""Hostile and odd files through every door: kept and given back byte for byte, or refused with a reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import pytest

from isocenter.testing.hostile import corpus
from isocenter.testing.hostile_data_sets import Expectation, Hostile
from isocenter.testing.instances import sample_files
from isocenter.testing.server import Answer, Server, running

_BUNDLED = Path(pydicom.__file__).parent / "data"
_SLOWEST = 5.0
_GROWTH = 50 << 20


def bundled() -> Iterator[Hostile]:
    """Every file in pydicom's wheel: odd ones, whole ones, and some that are not DICOM at all."""
    for path in sorted([*_BUNDLED.glob("test_files/**/*"), *_BUNDLED.glob("charset_files/*")]):
        if path.is_file():
            yield Hostile(f"pydicom/{path.name}", path.read_bytes(), "either")


def everything() -> Iterator[Hostile]:
    yield from bundled()
    yield from corpus()


@dataclass
class Door:
    """One way in: sends a file, and says whether it was kept, under which address, and else why not."""

    server: Server
    faults: list[str] = field(default_factory=list)
    kept: int = 0
    refused: int = 0

    def send(self, file: Hostile) -> Answer:
        raise NotImplementedError

    def address(self, answer: Answer) -> str | None:
        """Where the file can be had again; None where it was refused with a reason."""
        raise NotImplementedError

    def wanted(self, file: Hostile) -> Expectation:
        return file.expectation

    def same(self, answer: Answer, file: Hostile) -> bool:
        return answer.body == file.data

    def take(self, file: Hostile) -> None:
        """Send one file and note what is wrong with the answer."""
        started = time.perf_counter()
        answer = self.send(file)
        seconds = time.perf_counter() - started
        if answer.status >= 500 or seconds > _SLOWEST:
            self.faults.append(f"{file.name}: {answer.status} after {seconds:.1f} s")
            return
        address = self.address(answer)
        if address is not None:
            self.kept += 1
            back = self.server.request(
                "GET", address, headers={"Accept": "application/dicom; transfer-syntax=*, application/octet-stream"}
            )
            if back.status != 200 or not self.same(back, file):
                self.faults.append(f"{file.name}: {back.status}, not the bytes that went in")
        else:
            self.refused += 1
        if self.wanted(file) not in ("either", "accept" if address is not None else "reject"):
            self.faults.append(f"{file.name}: {answer.status} {answer.body[:200]!r}, not {file.expectation}")
        if self.server.request("GET", "/health", seconds=2).status != 200:
            self.faults.append(f"{file.name}: no answer to /health")

    def problem(self, answer: Answer, file: str = "") -> None:
        if answer.headers["Content-Type"] != "application/problem+json" or not answer.json()["detail"]:
            self.faults.append(f"{file}: {answer.status} without a reason")


class FileDoor(Door):
    """System E."""

    def send(self, file: Hostile) -> Answer:
        return self.server.post_form(file.data)

    def address(self, answer: Answer) -> str | None:
        if answer.status in (200, 201):
            return str(answer.headers["Location"])
        self.problem(answer)
        return None

    def wanted(self, file: Hostile) -> Expectation:
        dicom = not file.name.startswith(("volumes/", "pictures/"))
        return file.expectation if dicom else "reject"


class GatewayDoor(Door):
    """System D; each file under an id of its own, so that DICOM twice in the corpus may be a conflict."""

    def _query(self, file: Hostile) -> str:
        return f"subject_id=hostile&image_id={file.name.replace('/', '-').replace('+', '-')}"

    def send(self, file: Hostile) -> Answer:
        self._last = self._query(file)
        return self.server.request("POST", f"/images?{self._last}", file.data)

    def address(self, answer: Answer) -> str | None:
        if answer.status in (200, 201):
            return f"/images/content?{self._last}"
        self.problem(answer)
        return None

    def wanted(self, file: Hostile) -> Expectation:
        return file.expectation


class StoreDoor(Door):
    """DICOMweb, which gives back every byte but a preamble that is not zero and missing Part 10 headers."""

    def send(self, file: Hostile) -> Answer:
        return self.server.stow(file.data)

    def address(self, answer: Answer) -> str | None:
        if answer.status == 200:
            url = str(answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0])
            return url.removeprefix(self.server.url)
        failed = answer.json()
        reasons = [*failed.get("00081198", {}).get("Value", []), *failed.get("0008119A", {}).get("Value", [])]
        if answer.status != 409 or not reasons[0]["00081197"]["Value"][0]:
            self.faults.append(f"{answer.status} without a failure reason")
        return None

    def same(self, answer: Answer, file: Hostile) -> bool:
        if answer.body[:132] != bytes(128) + b"DICM":
            return False
        if file.data[128:132] == b"DICM":
            return answer.body[128:] == file.data[128:]
        return answer.body.endswith(file.data[-64:])

    def wanted(self, file: Hostile) -> Expectation:
        dicom = not file.name.startswith(("volumes/", "pictures/"))
        return file.expectation if dicom else "reject"


@pytest.mark.parametrize("kind", [FileDoor, GatewayDoor, StoreDoor])
def test_every_file_is_kept_whole_or_refused_with_a_reason(kind: type[Door], tmp_path: Path) -> None:
    with running(tmp_path / "home") as server:
        door = kind(server)
        for name, data in sample_files(7):  # what the first uses load is no growth
            door.send(Hostile(name, data, "either"))
        _warm(door)
        before = server.memory()
        for file in everything():
            door.take(file)
        growth = server.memory() - before
        assert door.faults == []
        assert door.kept > 100
        assert door.refused > 100
        assert growth < _GROWTH, f"{growth >> 20} MB more after {door.kept + door.refused} files"
        print(f"{kind.__name__}: {door.kept} kept, {door.refused} refused, {growth >> 10} KB more")
    assert not list(Path("/tmp").glob("isocenter-hit*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "home.log"]


def _warm(door: Door) -> None:
    """The largest headers there are: what they take once, they take again."""
    for file in corpus():
        if file.name in (
            "deflated/bomb-in-text",
            "structure/element-flood",
            "structure/item-flood",
            "text/charset-03-junk",
        ):
            door.send(file)
