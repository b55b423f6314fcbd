"""A ZIP archive as a stream of known size, any range of which can be made again: what a download resumes from."""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import pack

from isocenter.errors import Corrupted, Malformed

# APPNOTE 6.3.10. Nothing is compressed: images are already, or would cost more time than they save.
_LOCAL, _DESCRIPTOR, _CENTRAL, _END = b"PK\3\4", b"PK\7\10", b"PK\1\2", b"PK\5\6"
_END_64, _LOCATOR_64 = b"PK\6\6", b"PK\6\7"
_MOST_32, _MOST_16 = 0xFFFFFFFF, 0xFFFF
_UTF_8, _DESCRIBED = 0x0800, 0x0008  # general purpose flags
_PLAIN, _WITH_64 = 20, 45  # version needed to extract
_UNIX, _FILE_MODE = 3 << 8, 0o100644 << 16
_TIME, _DATE = 0, 1 << 5 | 1  # 1980-01-01 00:00, the same at every making
_GATHERED = 64 << 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: its path in the archive, its size in bytes, and what gives its bytes from an offset on.

    `crc` is its CRC-32, or what finds it without its bytes being read here, or None. A number known beforehand goes
    into the member's own header; otherwise it follows the data in a data descriptor (APPNOTE 4.3.9).
    """

    name: str
    size: int
    chunks: Callable[[int], Iterable[bytes]]
    crc: int | Callable[[], int] | None = None


class ZipStream:
    """Stored members, ZIP64 where sizes, offsets or their number ask for it; memory is bounded by one chunk.

    The layout follows from names, sizes and which CRCs are known, so the same entries give the same bytes, and a
    range of them, each time. The central directory at the end needs the CRC-32 of every member: members that a range
    passes whole are counted as they pass, and remembered by this object; for the others `Entry.crc` is asked, and
    where there is none the member is read once more. A download that is resumed near its end without known CRCs thus
    costs a reading of all members, though only their rest is sent.

    Raises Malformed for names that clash or lead out of the archive; Corrupted, while it is sent, where a member
    has another size or CRC than was said.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._names = [_name(entry.name) for entry in entries]
        if len(set(self._names)) != len(self._names):
            raise Malformed("two members of the archive have one name", code="bad-archive-name")
        self._crcs: dict[int, int] = {
            number: entry.crc for number, entry in enumerate(entries) if isinstance(entry.crc, int)
        }
        # Where each member, and then each of its records in the central directory, begins.
        self._members = array("Q", (0,))
        for number, entry in enumerate(entries):
            size = len(self._local(number)) + entry.size + self._descriptor_size(entry)
            self._members.append(self._members[-1] + size)
        self._records = array("Q", (self._members[-1],))
        for number in range(len(entries)):
            self._records.append(self._records[-1] + len(self._record(number, 0)))

    @property
    def size(self) -> int:
        """Bytes of the whole archive."""
        return self._records[-1] + len(self._end())

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive; the end without it)."""
        stop = self.size if stop is None else min(stop, self.size)
        if not 0 <= start < stop:
            return
        number = bisect_right(self._members, start) - 1
        while number < len(self._entries) and self._members[number] < stop:
            yield from self._member(number, start, stop)
            number += 1
        if stop > self._members[-1]:
            yield from self._directory(start, stop)

    # ---- members

    def _member(self, number: int, start: int, stop: int) -> Iterator[bytes]:
        """The part of one member, with its header and descriptor, that lies in the range."""
        entry, at = self._entries[number], self._members[number]
        header = self._local(number)
        begin, end = at + len(header), at + len(header) + entry.size
        if start < begin:
            yield header[max(0, start - at) : stop - at]
        if stop > begin and start < end:
            yield from self._data(number, max(0, start - begin), min(entry.size, stop - begin), stop > end)
        if stop > end and self._descriptor_size(entry):
            descriptor = self._descriptor(number)
            piece = descriptor[max(0, start - end) : stop - end]
            if piece:
                yield piece

    def _data(self, number: int, first: int, last: int, goes_on: bool) -> Iterator[bytes]:
        """Bytes `first` to `last` of a member; read from its beginning where its CRC will be needed next anyway."""
        entry = self._entries[number]
        counted = first == 0 or (goes_on and number not in self._crcs and entry.crc is None)
        position = 0 if counted else first
        crc = 0
        for chunk in entry.chunks(position):
            if counted:
                crc = zlib.crc32(chunk, crc)
            piece = chunk[max(0, first - position) : max(0, last - position)]
            position += len(chunk)
            if piece:
                yield piece
            if position >= last and last < entry.size:
                return
        if position != entry.size:
            raise _altered()
        if counted and self._crcs.setdefault(number, crc) != crc:
            raise _altered()

    def _crc(self, number: int) -> int:
        known = self._crcs.get(number)
        if known is None:
            entry = self._entries[number]
            if callable(entry.crc):
                known = entry.crc()
            else:
                known, size = 0, 0
                for chunk in entry.chunks(0):
                    known = zlib.crc32(chunk, known)
                    size += len(chunk)
                if size != entry.size:
                    raise _altered()
            self._crcs[number] = known
        return known

    # ---- records

    def _local(self, number: int) -> bytes:
        entry, name = self._entries[number], self._names[number]
        large = entry.size >= _MOST_32
        described = not isinstance(entry.crc, int)
        size = 0 if described else entry.size
        extra = pack("<HHQQ", 1, 16, size, size) if large else b""
        short = _MOST_32 if large else size
        return (
            _LOCAL
            + pack("<HHHHH", _WITH_64 if large else _PLAIN, _flags(described), 0, _TIME, _DATE)
            + pack("<LLLHH", 0 if described else self._crcs[number], short, short, len(name), len(extra))
            + name
            + extra
        )

    def _descriptor_size(self, entry: Entry) -> int:
        if isinstance(entry.crc, int):
            return 0
        return 24 if entry.size >= _MOST_32 else 16

    def _descriptor(self, number: int) -> bytes:
        size = self._entries[number].size
        return _DESCRIPTOR + pack("<LQQ" if size >= _MOST_32 else "<LLL", self._crc(number), size, size)

    def _record(self, number: int, crc: int) -> bytes:
        """A member's record in the central directory; its size does not depend on the CRC."""
        entry, name, offset = self._entries[number], self._names[number], self._members[number]
        large = [value for value in (entry.size, entry.size, offset) if value >= _MOST_32]
        extra = pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        size = min(entry.size, _MOST_32)
        version = _WITH_64 if large else _PLAIN
        return (
            _CENTRAL
            + pack("<HHHHHH", _UNIX | version, version, _flags(not isinstance(entry.crc, int)), 0, _TIME, _DATE)
            + pack("<LLLHHH", crc, size, size, len(name), len(extra), 0)
            + pack("<HHLL", 0, 0, _FILE_MODE, min(offset, _MOST_32))
            + name
            + extra
        )

    def _directory(self, start: int, stop: int) -> Iterator[bytes]:
        """The central directory and the end of it, as far as they lie in the range."""
        held, size = [], 0
        number = max(0, bisect_right(self._records, start) - 1)
        while number < len(self._entries) and self._records[number] < stop:
            at = self._records[number]
            piece = self._record(number, self._crc(number))[max(0, start - at) : stop - at]
            held.append(piece)
            size += len(piece)
            if size >= _GATHERED:
                yield b"".join(held)
                held, size = [], 0
            number += 1
        at = self._records[-1]
        if stop > at:
            held.append(self._end()[max(0, start - at) : stop - at])
        yield b"".join(held)

    def _end(self) -> bytes:
        count, at = len(self._entries), self._members[-1]
        size = self._records[-1] - at
        end_64 = b""
        if count >= _MOST_16 or at >= _MOST_32 or size >= _MOST_32:
            end_64 = _END_64 + pack("<QHHLLQQQQ", 44, _UNIX | _WITH_64, _WITH_64, 0, 0, count, count, size, at)
            end_64 += _LOCATOR_64 + pack("<LQL", 0, self._records[-1], 1)
        short = min(count, _MOST_16)
        return end_64 + _END + pack("<HHHHLLH", 0, 0, short, short, min(size, _MOST_32), min(at, _MOST_32), 0)


def _flags(described: bool) -> int:
    return _UTF_8 | (_DESCRIBED if described else 0)


def _name(name: str) -> bytes:
    """A relative path with forward slashes; anything that could lead elsewhere when unpacked is refused."""
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts) or ":" in parts[0]:
        raise Malformed("a member's name is no relative path with forward slashes", code="bad-archive-name")
    encoded = name.encode("utf-8")
    if len(encoded) > _MOST_16:
        raise Malformed("a member's name is too long", code="bad-archive-name")
    return encoded


def _altered() -> Corrupted:
    return Corrupted("a member of the archive is not what it was said to be; the archive was broken off")
