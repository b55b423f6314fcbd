"""Bytes to de-identify: read by position, their header once."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from isocenter.dicom.elements import Limits
from isocenter.dicom.part10 import Header, HeaderReader
from isocenter.errors import LimitExceeded, Malformed

STEP = 1 << 20
_HEAD = 1 << 18  # bytes read at a time while the header lasts
_PACKED = 1 << 16  # deflated bytes taken at a time
_TURNS = 8  # so often a deflated Data Set is read from its beginning


class Readable(Protocol):
    """Something of a known size that is read by position."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


class InFile:
    """A file, whole in memory where it is small."""

    def __init__(self, path: Path | str, *, whole_below: int = 4 << 20) -> None:
        self._file = open(path, "rb")  # noqa: SIM115  closed by `close`
        self.size = self._file.seek(0, 2)
        self._file.seek(0)
        self._data = self._file.read() if self.size <= whole_below else None

    def read(self, offset: int, length: int) -> bytes:
        if self._data is not None:
            return self._data[offset : offset + length]
        self._file.seek(offset)
        return self._file.read(length)

    @property
    def data(self) -> bytes | None:
        """All of a small file."""
        return self._data

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> InFile:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


def header_of(source: Readable, limits: Limits) -> Header:
    """The header; bulk data is passed over unread.

    Raises Malformed, LimitExceeded or Unsupported at the first place that cannot be read.
    """
    reader = HeaderReader(limits)
    at = 0
    while at < source.size:
        over = min(reader.passing_over, source.size - at)
        if over > _HEAD:
            reader.pass_over(over)
            at += over
            continue
        chunk = source.read(at, _HEAD)
        if not chunk:
            raise Malformed("the file became shorter while it was read", code="truncated")
        reader.feed(chunk)
        at += len(chunk)
    return reader.finish()


def data_set_reader(source: Readable, header: Header, limits: Limits) -> Callable[[int, int], bytes]:
    """How bytes of the Data Set are read, by the offsets of its elements: inflated where it is deflated."""
    if not header.encoding.deflated:
        return source.read
    return Inflated(source, header.body_offset, limits.inflated_bytes).read


class Inflated:
    """A deflated Data Set, read by position: forwards, and from its beginning again where something lies behind.

    Whoever goes back time and again has the whole of it in memory.
    """

    def __init__(self, source: Readable, start: int, most: int) -> None:
        self._source = source
        self._start = start
        self._most = most
        self._whole: bytes | None = None
        self._turns = 0
        self._rewind()

    def _rewind(self) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._next = self._start  # byte of the source that is inflated next
        self._at, self._held = 0, b""  # where in the Data Set the bytes lie that are held

    def read(self, offset: int, length: int) -> bytes:
        """Raises LimitExceeded and Malformed."""
        if self._whole is None and offset < self._at:
            self._turns += 1
            self._rewind()
            if self._turns > _TURNS:
                self._whole = self._forward(0, self._most + 1)
        if self._whole is not None:
            return self._whole[offset : offset + length]
        return self._forward(offset, length)

    def _forward(self, offset: int, length: int) -> bytes:
        taken: list[bytes] = []
        end = offset + length
        while True:
            if self._at < end and offset < self._at + len(self._held):
                taken.append(self._held[max(0, offset - self._at) : end - self._at])
            if self._at + len(self._held) >= end or not self._more():
                return b"".join(taken)

    def _more(self) -> bool:
        """Inflate the next bytes; False at the end."""
        held = b""
        while not held and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail
            if not packed:
                packed = self._source.read(self._next, _PACKED)
                self._next += len(packed)
                if not packed:
                    break
            try:
                held = self._inflate.decompress(packed, STEP)
            except zlib.error:
                raise Malformed("the deflated Data Set is damaged", code="bad-deflate") from None
        self._at += len(self._held)
        self._held = held
        if self._at + len(held) > self._most:
            raise LimitExceeded("the deflated Data Set is too large when inflated", code="inflated-too-large")
        return bool(held)


def steps(source: Readable, offset: int, length: int) -> Iterator[bytes | memoryview]:
    """A range of the source in steps, so that memory stays bounded; without a copy where it is in memory."""
    data = source.data if isinstance(source, InMemory | InFile) else None
    if data is not None:
        yield memoryview(data)[offset : offset + length]
        return
    for start in range(offset, offset + length, STEP):
        yield source.read(start, min(STEP, offset + length - start))


def sha256_of(source: Readable) -> str:
    """The checksum of a source, read for it alone."""
    digest = hashlib.sha256()
    for piece in steps(source, 0, source.size):
        digest.update(piece)
    return digest.hexdigest()


class SourceDigest:
    """The checksum of a source whose ranges are copied in rising order: what is copied is read once for both.

    `thread` sums up one step while its bytes are written.
    """

    def __init__(self, source: Readable, thread: ThreadPoolExecutor) -> None:
        self._source = source
        self._thread = thread
        self._digest = hashlib.sha256()
        self._at = 0  # up to where it is summed up
        self._busy: Future[None] | None = None

    def copied(self, offset: int, length: int) -> Iterator[bytes | memoryview]:
        """A range of the source in steps. One that lies behind what was copied before is read a second time."""
        if offset >= self._at:
            self._pass(offset)
        start = offset
        for piece in steps(self._source, offset, length):
            if start == self._at:
                self._add(piece)
            start += len(piece)
            yield piece

    def finished(self) -> str:
        """The checksum, all of the source read."""
        self._pass(self._source.size)
        self._settle()
        return self._digest.hexdigest()

    def _pass(self, end: int) -> None:
        for piece in steps(self._source, self._at, end - self._at):
            self._add(piece)

    def _add(self, piece: bytes | memoryview) -> None:
        self._settle()
        self._busy = self._thread.submit(self._digest.update, piece)
        self._at += len(piece)

    def _settle(self) -> None:
        if self._busy is not None:
            self._busy.result()
