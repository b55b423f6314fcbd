"""Instances as a File-set in one ZIP archive: a DICOMDIR, and files with names as PS3.10 8.2 wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from isocenter.archive.recent import Recent
from isocenter.archive.retrieve import Content, Retrieve
from isocenter.archive.zip_stream import Entry, ZipStream
from isocenter.dicom.dicomdir import FileEntry, dicomdir
from isocenter.records import ImageRecord

_RECENT, _RECENT_BYTES, _ENTRY_BYTES = 2, 64 << 20, 1500


class FileSets:
    """Makes ZIP archives of DICOM instances.

    The last two are remembered: a download that is resumed finds its DICOMDIR, and the CRC-32 of what was sent.
    """

    def __init__(self, retrieve: Retrieve) -> None:
        self._retrieve = retrieve
        self._recent: Recent[str, ZipStream] = Recent(_RECENT, _RECENT_BYTES)

    def archive(self, records: Sequence[ImageRecord]) -> Content:
        """The archive of these instances as they are stored; the same for the same instances in the same order."""
        fingerprint = self._retrieve.fingerprint(records, "file-set")
        made = self._recent.get(fingerprint)
        if made is None:
            made = self._made(records, fingerprint)
            self._recent.put(fingerprint, made, _ENTRY_BYTES * len(records))
        return Content(made.chunks(), made.size, fingerprint, None, made.chunks)

    def _made(self, records: Sequence[ImageRecord], fingerprint: str) -> ZipStream:
        ids = list(_file_ids(records))
        uid = f"2.25.{int(fingerprint, 16)}"
        directory = dicomdir(self._entries(records, ids), uid)
        members = [Entry("DICOMDIR", len(directory), lambda start: (directory[start:],))]
        for record, file_id in zip(records, ids, strict=True):
            content = self._retrieve.part10(record)
            members.append(Entry("/".join(file_id), content.size, partial(self._chunks, record)))
        return ZipStream(members)

    def _entries(self, records: Sequence[ImageRecord], ids: Sequence[tuple[str, ...]]) -> Iterator[FileEntry]:
        named = {record.id: file_id for record, file_id in zip(records, ids, strict=True)}
        for record, metadata in self._retrieve.each_metadata(records):
            yield FileEntry(metadata.model, named[record.id], record.transfer_syntax_uid or "")

    def _chunks(self, record: ImageRecord, start: int) -> Iterator[bytes]:
        """Whole files are held against their SHA-256; a rest of one cannot be."""
        content = self._retrieve.part10(record)
        if start == 0 or content.span is None:
            return content.chunks
        return content.span(start, content.size)


def _file_ids(records: Sequence[ImageRecord]) -> Iterator[tuple[str, ...]]:
    """DICOM/ST000001/SE000001/IM000001, each series counting from 1."""
    studies: dict[str, int] = {}
    series: dict[tuple[str, str], int] = {}
    counts: dict[tuple[str, str], int] = {}
    for record in records:
        study = record.study_uid or ""
        key = (study, record.series_uid or "")
        place = studies.setdefault(study, len(studies) + 1)
        number = series.setdefault(key, len(series) + 1)
        counts[key] = counts.get(key, 0) + 1
        yield "DICOM", f"ST{place:06d}", f"SE{number:06d}", f"IM{counts[key]:06d}"
