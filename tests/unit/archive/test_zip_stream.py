"""ZIP archives as streams: read by other programs, the same at every making, any range of them."""

from __future__ import annotations

import random
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.archive.zip_stream import Entry, ZipStream
from isocenter.errors import Corrupted, Malformed

MEMBERS = {"a/one.dcm": b"first" * 100, "a/two.dcm": b"", "\u00fcber/three.dcm": bytes(range(256)) * 40}


class Counted:
    """Bytes of a member, and how many of them were read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read = 0

    def chunks(self, start: int) -> Iterator[bytes]:
        for at in range(start, len(self.data), 1000):
            piece = self.data[at : at + 1000]
            self.read += len(piece)
            yield piece


def entries(members: dict[str, bytes], crc: str = "unknown") -> list[Entry]:
    found = []
    for name, data in members.items():
        known: int | Callable[[], int] | None = None
        if crc == "known":
            known = zlib.crc32(data)
        elif crc == "asked":
            known = lambda data=data: zlib.crc32(data)  # noqa: E731
        found.append(Entry(name, len(data), Counted(data).chunks, known))
    return found


def whole(stream: ZipStream) -> bytes:
    data = b"".join(stream.chunks())
    assert len(data) == stream.size
    return data


@pytest.mark.parametrize("crc", ["unknown", "known", "asked"])
def test_zipfile_reads_names_and_bytes(crc: str) -> None:
    with zipfile.ZipFile(BytesIO(whole(ZipStream(entries(MEMBERS, crc))))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == MEMBERS
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("crc", ["unknown", "known"])
def test_other_programs_find_nothing_wrong(tmp_path: Path, crc: str) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(whole(ZipStream(entries(MEMBERS, crc))))
    for command in (["unzip", "-t", str(path)], [sys.executable, "-m", "zipfile", "-t", str(path)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    listed = subprocess.run(["unzip", "-Z", "-v", str(path)], capture_output=True, text=True, check=True).stdout
    assert "extended local header:" in listed
    assert ("yes" if crc == "unknown" else "no") in listed.split("extended local header:")[1].splitlines()[0]


def test_an_empty_archive_is_one() -> None:
    with zipfile.ZipFile(BytesIO(whole(ZipStream([])))) as archive:
        assert archive.namelist() == []


@pytest.mark.parametrize("crc", ["unknown", "known", "asked"])
def test_every_range_is_what_the_whole_has_there(crc: str) -> None:
    members = {"x": b"abc", "y": b"", "z": bytes(50)}
    data = whole(ZipStream(entries(members, crc)))
    for start in range(len(data)):
        for stop in (start + 1, start + 7, start + 60, len(data), None):
            # A new object each time: nothing is remembered from the making before.
            assert b"".join(ZipStream(entries(members, crc)).chunks(start, stop)) == data[start:stop]
    assert list(ZipStream(entries(members, crc)).chunks(len(data))) == []


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.binary(max_size=3000), max_size=6), st.data())
def test_a_download_in_pieces_is_the_download(members: dict[str, bytes], draw: st.DataObject) -> None:
    stream = ZipStream(entries(members))
    data = whole(stream)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=4)))
    bounds = [0, *cuts, len(data)]
    pieces = [b"".join(ZipStream(entries(members)).chunks(a, b)) for a, b in pairwise(bounds)]
    assert b"".join(pieces) == data


def test_a_late_range_reads_only_what_it_sends_where_crcs_are_known() -> None:
    first, last = Counted(bytes(100_000)), Counted(bytes(100_000))
    for crc, expected in ((zlib.crc32(bytes(100_000)), 0), (None, 100_000)):
        first.read = last.read = 0
        stream = ZipStream([Entry("1", 100_000, first.chunks, crc), Entry("2", 100_000, last.chunks, crc)])
        tail = b"".join(stream.chunks(stream.size - 300))
        assert len(tail) == 300
        assert first.read == expected
        assert last.read <= expected + 1000


def test_a_range_in_the_middle_of_a_member_reads_no_more_than_that() -> None:
    member = Counted(bytes(range(256)) * 4000)
    stream = ZipStream([Entry("1", len(member.data), member.chunks)])
    piece = b"".join(stream.chunks(500_000, 510_000))
    assert len(piece) == 10_000
    assert member.read <= 12_000


def test_crcs_that_passed_are_remembered() -> None:
    member = Counted(bytes(50_000))
    stream = ZipStream([Entry("1", 50_000, member.chunks)])
    whole(stream)
    assert member.read == 50_000
    list(stream.chunks(stream.size - 50))
    assert member.read == 50_000


def test_more_members_than_16_bits_count(tmp_path: Path) -> None:
    stream = ZipStream([Entry(f"{n}", 1, lambda start: [b"x"][start:]) for n in range(70_000)])
    path = tmp_path / "many.zip"
    path.write_bytes(whole(stream))
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 70_000
        assert archive.read("69999") == b"x"
    done = subprocess.run(["unzip", "-tqq", str(path)], capture_output=True, check=False)
    assert done.returncode == 0


def zeros(size: int) -> Callable[[int], Iterator[bytes]]:
    block = bytes(1 << 20)

    def chunks(start: int) -> Iterator[bytes]:
        left = size - start
        while left > 0:
            yield block[: min(left, len(block))]
            left -= len(block)

    return chunks


@pytest.mark.parametrize("known", [False, True])
def test_a_member_of_over_four_gigabytes_and_one_after_it(tmp_path: Path, known: bool) -> None:
    size = (4 << 30) + 5
    # The CRC-32 of so many noughts, by its doubling: reading them takes seconds.
    crc = _crc_of_zeros(size)
    last = b"the last"
    large = Entry("large", size, zeros(size), crc if known else (lambda: crc))
    stream = ZipStream([large, Entry("last", len(last), lambda start: [last[start:]], zlib.crc32(last))])
    assert stream.size > size
    begin = stream.size - 600
    tail = b"".join(stream.chunks(begin))
    head = b"".join(stream.chunks(0, 1000))
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.write(head)
        file.seek(begin)
        file.write(tail)
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("large").file_size == size
        assert crc == archive.getinfo("large").CRC
        assert archive.getinfo("last").header_offset > 4 << 30
        assert archive.read("last") == last
        with archive.open("large") as member:
            assert member.read(10) == bytes(10)
    done = subprocess.run(["unzip", "-p", str(path), "last"], capture_output=True, check=False)
    assert done.stdout == last


def _crc_of_zeros(size: int) -> int:
    """By the linearity of CRC: appending n zero bytes is a matrix over GF(2), squared as n doubles."""

    def times(matrix: list[int], vector: int) -> int:
        total = 0
        for row in matrix:
            if vector & 1:
                total ^= row
            vector >>= 1
        return total

    matrix = [0xEDB88320, *(1 << bit for bit in range(31))]  # one zero bit
    for _ in range(3):
        matrix = [times(matrix, row) for row in matrix]  # one zero byte
    state = 0xFFFFFFFF
    while size:
        if size & 1:
            state = times(matrix, state)
        matrix = [times(matrix, row) for row in matrix]
        size >>= 1
    return state ^ 0xFFFFFFFF


def test_the_matrix_of_that_test_is_right() -> None:
    for size in (0, 1, 7, 1000, 65537):
        assert _crc_of_zeros(size) == zlib.crc32(bytes(size))


def test_memory_is_bounded_by_the_chunk() -> None:
    size = 64 << 20
    stream = ZipStream([Entry(f"{n}", size, zeros(size)) for n in range(2)])
    tracemalloc.start()
    assert sum(map(len, stream.chunks())) == stream.size
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a\\b", "C:/x", "a/.", "x\0", "x" * 70000]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(Malformed):
        ZipStream([Entry(name, 0, lambda start: [])])


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(Malformed):
        ZipStream([Entry("a", 0, lambda start: []), Entry("a", 0, lambda start: [])])


@pytest.mark.parametrize(
    "entry",
    [
        Entry("short", 10, lambda start: [b"12345"]),
        Entry("long", 3, lambda start: [b"12345"]),
        Entry("other", 5, lambda start: [b"12345"], 7),
    ],
    ids=lambda entry: entry.name,
)
def test_a_member_that_is_not_what_was_said_breaks_the_archive_off(entry: Entry) -> None:
    with pytest.raises(Corrupted):
        list(ZipStream([entry]).chunks())


def test_the_same_entries_make_the_same_archive() -> None:
    names = [f"{number:03}" for number in range(50)]
    members = {name: random.Random(name).randbytes(300) for name in names}
    assert whole(ZipStream(entries(members))) == whole(ZipStream(entries(members)))
