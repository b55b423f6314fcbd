"""Bytes to de-identify: read by position, their header once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from isocenter.dicom.elements import Limits
from isocenter.dicom.part10 import Header, HeaderReader
from isocenter.errors import LimitExceeded, Malformed

STEP = 1 << 20
_HEAD = 1 << 18  # bytes read at a time while the header lasts


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
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    data = bytearray()
    for start in range(header.body_offset, source.size, STEP):
        data += inflate.decompress(source.read(start, STEP), limits.inflated_bytes + 1 - len(data))
        if len(data) > limits.inflated_bytes:
            raise LimitExceeded("the deflated Data Set is too large when inflated", code="inflated-too-large")
    whole = bytes(data)
    return lambda offset, length: whole[offset : offset + length]


def steps(source: Readable, offset: int, length: int) -> Iterator[bytes]:
    """A range of the source in steps, so that memory stays bounded."""
    for start in range(offset, offset + length, STEP):
        yield source.read(start, min(STEP, offset + length - start))
