"""Finds what a path holds: files, the members of ZIP archives, what a DICOMDIR lists, standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.errors import Malformed, Rejected
from isocenter.pipeline.zip_archives import CHUNK, ZipReader, is_archive, members

_RECORDS, _FILE_ID = 0x00041220, 0x00041500


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to take in: a file, a member of a ZIP archive, or an object. `name` is how it is spoken of."""

    path: str
    member: int | None = None  # its place in the archive's directory: names in there are never used as paths
    name: str = ""
    key: str | None = None  # of an object in the bucket that `path` is the URL of
    size: int = 0  # of an object


def sources(paths: list[str]) -> Iterator[Source | tuple[str, Rejected]]:
    """Everything that the paths lead to; what cannot be opened comes as its name and the reason."""
    for path in paths:
        if path == "-":
            yield Source("-", name="standard input")
        elif os.path.isdir(path):
            yield from _folder(path)
        elif os.path.isfile(path):
            yield from _file(path)
        else:
            yield path, Malformed("there is no such file or folder", code="no-such-file")


def _folder(folder: str) -> Iterator[Source | tuple[str, Rejected]]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            # A DICOMDIR only lists files that lie beside it; walking the folder finds them all.
            path = os.path.join(place, name)
            if name.upper() != "DICOMDIR" and os.path.isfile(path):
                yield from _file(path, follow=False)


def _file(path: str, *, follow: bool = True) -> Iterator[Source | tuple[str, Rejected]]:
    try:
        with open(path, "rb") as file:
            head = file.read(132)
    except OSError as error:
        yield path, Malformed(f"it cannot be read ({error.strerror})", code="unreadable")
        return
    if is_archive(head):
        yield from _archive(path)
    elif follow and os.path.basename(path).upper() == "DICOMDIR":
        yield from _directory(path)
    else:
        yield Source(path, name=path)


def _archive(path: str) -> Iterator[Source | tuple[str, Rejected]]:
    try:
        places = members(path)
    except Rejected as error:
        yield path, error
        return
    for place in places:
        yield Source(path, place, f"{path}, member {place + 1}")


def _directory(path: str) -> Iterator[Source | tuple[str, Rejected]]:
    """The files that a DICOMDIR refers to (PS3.3 F.3), as long as they lie in its own folder."""
    folder = Path(path).resolve().parent
    try:
        listed = _listed_files(path)
    except Rejected as error:
        yield path, error
        return
    for parts in listed:
        found = folder.joinpath(*parts).resolve()
        if not parts or not found.is_relative_to(folder) or any(p in ("", ".", "..") for p in parts):
            yield path, Malformed("the DICOMDIR lists a file outside its folder", code="outside-folder")
        elif not found.is_file():
            yield path, Malformed("the DICOMDIR lists a file that is not there", code="no-such-file")
        else:
            yield Source(str(found), name=str(found))


def _listed_files(path: str) -> list[list[str]]:
    reader = HeaderReader()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            reader.feed(chunk)
    header = reader.finish()
    data_set = DataSet(encode(header.elements, big_endian=header.encoding.big_endian).model)
    records = data_set.items(_RECORDS)
    return [[str(p) for p in record.values(_FILE_ID) if p] for record in records if record.values(_FILE_ID)]


def read_chunks(source: Source, most: int, archives: ZipReader) -> Iterator[bytes]:
    """The bytes of a source; a ZIP member that inflates to more than `most` bytes is refused."""
    if source.path == "-":
        while chunk := sys.stdin.buffer.read(CHUNK):
            yield chunk
    elif source.member is None:
        with open(source.path, "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    else:
        yield from archives.chunks(source.path, source.member, most)
