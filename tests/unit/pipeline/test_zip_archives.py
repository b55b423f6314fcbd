"""Hostile ZIP archives end within seconds, in little memory, and never write outside the archive."""

from __future__ import annotations

import io
import resource
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from isocenter.cli.sources import Source, read_chunks, sources
from isocenter.errors import LimitExceeded, Malformed, Rejected, Unsupported
from isocenter.pipeline.zip_archives import ZipReader, members
from isocenter.testing.hostile_kinds import archives
from isocenter.testing.instances import ct_slice

NAMES = [name for name, _ in archives()]


def outcomes(path: Path, most: int = 256 << 20) -> list[str]:
    """What becomes of each member: its size, or the code of why it is refused."""
    found, reader = [], ZipReader()
    for source in sources([str(path)]):
        if not isinstance(source, Source):
            found.append(source[1].code)
            continue
        try:
            found.append(str(sum(len(chunk) for chunk in read_chunks(source, most, reader))))
        except Rejected as error:
            found.append(error.code)
    reader.close()
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("archives")
    for name, data in archives():
        (found / name).write_bytes(data)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_hostile_archive_ends_within_seconds_in_little_memory(folder: Path, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    assert outcomes(folder / name)
    assert time.perf_counter() - started < 15
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bomb.zip", ["inflated-too-large"]),
        ("overlapping.zip", ["bad-zip"]),
        ("encrypted.zip", ["zip-encrypted", "zip-encrypted"]),
        ("lzma.zip", ["zip-method"]),
        ("bzip2.zip", ["zip-method"]),
        ("cut.zip", ["bad-zip"]),
        ("no-directory.zip", ["bad-zip"]),
    ],
)
def test_what_is_wrong_with_an_archive_is_told(folder: Path, name: str, expected: list[str]) -> None:
    assert outcomes(folder / name) == expected


def test_a_wrong_sum_is_found_in_its_member_alone(folder: Path) -> None:
    first, second = outcomes(folder / "wrong-sum.zip")
    assert first == "bad-zip"
    assert second.isdigit()


def test_an_archive_is_opened_once_for_all_its_members(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = zipfile.ZipFile

    def counted(*arguments: object) -> zipfile.ZipFile:
        opened.append(arguments)
        return real(*arguments)  # type: ignore[call-overload]  # passed on as it came

    monkeypatch.setattr(zipfile, "ZipFile", counted)
    assert len(outcomes(folder / "many-empty.zip")) == 100_000
    assert len(opened) == 2  # to list it, to read it


def test_more_members_than_are_taken_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "directory.zip"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", b"")
    data = bytearray(packed.getvalue())
    with path.open("wb") as file:  # sparse: what the end record says of the directory is true of the file's size
        file.truncate(100 << 20)
        file.seek(100 << 20)
        end = data[-22:]
        end[12:16] = (60 << 20).to_bytes(4, "little")
        file.write(end)
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded):
            members(str(path))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_members_come_back_to_the_byte(tmp_path: Path) -> None:
    files = [ct_slice(number, size=64) for number in range(5)]
    path = tmp_path / "files.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for number, data in enumerate(files):
            archive.writestr(f"folder/{number}", data)
    reader = ZipReader()
    assert [b"".join(reader.chunks(str(path), place, 1 << 30)) for place in members(str(path))] == files
    reader.close()


def test_a_member_that_is_not_there_is_malformed(folder: Path) -> None:
    reader = ZipReader()
    with pytest.raises(Malformed):
        list(reader.chunks(str(folder / "escape.zip"), 99, 1000))
    with pytest.raises(Unsupported):
        list(reader.chunks(str(folder / "bzip2.zip"), 0, 1 << 20))
    reader.close()
