"""Checks of what is kept against what is known: fsck compares blobs and rows, scrub re-reads every byte."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from isocenter.archive.store import Caller
from isocenter.errors import NotFound
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, ImageRecord, State

_BATCH = 1000
_SHOWN = 1000  # findings kept for the report; all are counted
# What is ours to sweep: blobs of images by their keys, and files in progress of a folder. In a bucket other things may
# lie beside them: what waits to be taken in, and what could not be.
_OURS = re.compile(r"[^/]+/([a-z2-7])/\1[a-z2-7]{25}\Z|incoming/[0-9a-f]{32}\Z")
ALL_STATES = (State.CURRENT, State.DELETED, State.SUPERSEDED)
Progress = Callable[[int], None]


@dataclass(slots=True)
class Report:
    """What a check found. `missing` and `altered` are damage; `unreferenced` is what interrupted uploads leave."""

    images: int = 0
    blobs: int = 0
    bytes_read: int = 0
    unreferenced: int = 0
    unreferenced_bytes: int = 0
    swept: int = 0
    missing: list[str] = field(default_factory=list)  # internal ids
    altered: list[str] = field(default_factory=list)
    missing_details: list[str] = field(default_factory=list)

    @property
    def damaged(self) -> int:
        return len(self.missing) + len(self.altered) + len(self.missing_details)


class Check:
    """fsck and scrub over the ports."""

    def __init__(self, platform: Platform) -> None:
        self._index = platform.index
        self._blobs = platform.blobs
        self._events = platform.events

    def records(self) -> Iterator[ImageRecord]:
        """Every row in any state, in pages."""
        cursor: str | None = None
        while True:
            page = self._index.images(ImageQuery(states=ALL_STATES, after=cursor, limit=_BATCH))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def fsck(self, *, sweep_before: datetime | None = None, progress: Progress | None = None) -> Report:
        """Hold every row against its blob's presence and length, and every blob against the rows.

        With `sweep_before`, unreferenced blobs last changed before that moment are removed: whoever gives it
        knows that no upload older than it is still under way.
        """
        report = Report()
        for record in self.records():
            report.images += 1
            self._check_blob(record, report)
            if progress is not None and report.images % 100 == 0:
                progress(report.images)
        self._check_details(report)
        self.sweep(report, sweep_before)
        return report

    def _check_blob(self, record: ImageRecord, report: Report) -> None:
        try:
            size = self._blobs.stat(record.blob.key).size
        except NotFound:
            _note(report.missing, record.id)
            return
        if size != record.blob.size:
            _note(report.altered, record.id)

    def _check_details(self, report: Report) -> None:
        batch: list[str] = []
        for record in self.records():
            batch.append(record.id)
            if len(batch) == 100:
                self._details_of(batch, report)
                batch = []
        self._details_of(batch, report)

    def _details_of(self, ids: list[str], report: Report) -> None:
        found = self._index.details(ids) if ids else {}
        for id in ids:
            if id not in found:
                _note(report.missing_details, id)

    def sweep(self, report: Report, before: datetime | None) -> None:
        """Count the blobs that no row refers to; remove those changed before `before`."""
        # Blobs are listed first: one committed after the listing is not in it, one before it has its row.
        found = (stat for prefix in ("", "incoming/") for stat in self._blobs.list(prefix))
        keys = {stat.key: stat for stat in found if _OURS.match(stat.key)}
        report.blobs = len(keys)
        for key in self._index.blob_keys():
            keys.pop(key, None)
        for stat in keys.values():
            report.unreferenced += 1
            report.unreferenced_bytes += stat.size
            if before is not None and stat.modified < before:
                self._blobs.delete(stat.key)
                report.swept += 1

    def sample(self, most_images: int, most_bytes: int) -> Report:
        """Scrub some images, from anywhere in the change feed on; where they are large, the first alone."""
        last = self._events.last()
        told = self._events.read(secrets.randbelow(last), most_images) if last else ()
        found = (self._index.get(id) for id in dict.fromkeys(event.image for event in told))
        chosen: list[ImageRecord] = []
        for record in found:
            if record is None:
                continue  # purged since
            most_bytes -= record.blob.size
            if chosen and most_bytes < 0:
                break
            chosen.append(record)
        return self._scrubbed(chosen, None)

    def scrub(self, *, progress: Progress | None = None) -> Report:
        """Read every blob and hold it against its SHA-256."""
        return self._scrubbed(self.records(), progress)

    def _scrubbed(self, records: Iterable[ImageRecord], progress: Progress | None) -> Report:
        report = Report()
        for record in records:
            report.images += 1
            digest = hashlib.sha256()
            try:
                for chunk in self._blobs.stream(record.blob.key):
                    digest.update(chunk)
                    report.bytes_read += len(chunk)
            except NotFound:
                _note(report.missing, record.id)
                continue
            if digest.hexdigest() != record.blob.sha256:
                _note(report.altered, record.id)
            if progress is not None:
                progress(report.images)
        return report


def purge_missing(platform: Platform, report: Report, caller: Caller) -> int:
    """Take the rows whose blob is gone out of search, restorable should the blob come back from a backup."""
    return len(platform.index.transition(report.missing, State.DELETED, caller.entry("fsck.delete")))


def _note(findings: list[str], id: str) -> None:
    if len(findings) < _SHOWN:
        findings.append(id)
