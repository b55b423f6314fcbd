"""ZIP archives as they are taken in: checked before anything is inflated, and kept open while read."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from struct import Struct

from isocenter.errors import LimitExceeded, Malformed, Unsupported

CHUNK = 1 << 20
MOST_MEMBERS = 200_000
_MOST_DIRECTORY = 48 << 20  # bytes of the directory, which zipfile reads whole
# zipfile inflates these piece by piece; a piece of bzip2 or LZMA may become hundreds of megabytes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END = Struct("<4s4H2LH")
_END64 = Struct("<4sQ2H2L4Q")
_TAIL = 66_000  # an end record, its comment and a ZIP64 locator are shorter


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is a ZIP archive; a DICOM file's preamble may begin with anything."""
    return head[:4] == b"PK\x03\x04" and head[128:132] != b"DICM"


def members(path: str) -> list[int]:
    """The places of all files in an archive's directory; Malformed or LimitExceeded if it cannot be used."""
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError) as error:
        raise Malformed("the ZIP archive is damaged", code="bad-zip") from error
    if len(listed) > MOST_MEMBERS:
        raise _too_many()
    _check_overlaps(listed)
    return [place for place, member in enumerate(listed) if not member.is_dir()]


def _check_directory(path: str) -> None:
    """Hold the stated size of the directory against its limit before zipfile reads it."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _END.size:
            return  # zipfile says that this is no archive
        directory = _END.unpack_from(tail, at)[5]
        if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07" and at >= 20 + _END64.size:
            at -= 20 + _END64.size
            if tail[at : at + 4] == b"PK\x06\x06":
                directory = max(directory if directory != 0xFFFFFFFF else 0, _END64.unpack_from(tail, at)[8])
    if min(directory, size) > _MOST_DIRECTORY:
        raise _too_many()


def _check_overlaps(listed: list[zipfile.ZipInfo]) -> None:
    """Members that share bytes are how a small archive inflates to petabytes; no writer makes them."""
    end = 0
    for offset, size in sorted((member.header_offset, member.compress_size) for member in listed):
        if offset < end:
            raise Malformed("members of the ZIP archive overlap", code="bad-zip")
        end = offset + 30 + size  # 30: the shortest local header


def _too_many() -> LimitExceeded:
    return LimitExceeded(f"the ZIP archive holds more than {MOST_MEMBERS} members", code="too-many-members")


class ZipReader:
    """Reads members; the archive read last stays open, as opening one takes time for all that it lists."""

    def __init__(self) -> None:
        self._path = ""
        self._archive: zipfile.ZipFile | None = None
        self._listed: list[zipfile.ZipInfo] = []

    def chunks(self, path: str, place: int, most: int) -> Iterator[bytes]:
        """The bytes of a member by its place in the directory; one of more than `most` is refused."""
        total = 0
        try:
            archive = self._opened(path)
            member = self._listed[place]
            if member.flag_bits & 1:
                raise Unsupported("the member is encrypted; unpack the archive first", code="zip-encrypted")
            if member.compress_type not in _METHODS:
                raise Unsupported("the member is neither stored nor deflated; pack it so", code="zip-method")
            with archive.open(member) as file:
                while chunk := file.read(CHUNK):
                    total += len(chunk)
                    if total > most:
                        raise LimitExceeded(
                            f"the member inflates to over {most} bytes (setting max_inflated_bytes)",
                            code="inflated-too-large",
                        )
                    yield chunk
        except (
            zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError, IndexError,
        ) as error:  # fmt: skip
            raise Malformed("the member of the ZIP archive is damaged", code="bad-zip") from error

    def _opened(self, path: str) -> zipfile.ZipFile:
        if self._archive is None or self._path != path:
            self.close()
            self._archive = zipfile.ZipFile(path)
            self._path, self._listed = path, self._archive.infolist()
        return self._archive

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive, self._path, self._listed = None, "", []
