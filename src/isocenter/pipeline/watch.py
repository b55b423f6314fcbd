"""Watches an inbox: takes in what comes, starts a pipeline on it, and moves it to what is processed or failed."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain

import structlog

from isocenter.archive.store import Caller, Placement
from isocenter.errors import IsocenterError, LimitExceeded, Malformed, NotFound, Rejected, Saturated, Unavailable
from isocenter.pipeline.ingest import Batch, Ingest
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.plan import Plan
from isocenter.pipeline.spool import nameless
from isocenter.pipeline.zip_archives import ZipReader, is_archive, members
from isocenter.ports.inbox import Inbox, Waiting
from isocenter.records import Receipt

_MOST = 500  # files of one batch, and so of one job
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look came to."""

    processed: int = 0
    failed: int = 0
    left: int = 0  # to be tried again: the surroundings were at fault
    job: str | None = None

    def __add__(self, other: Looked) -> Looked:
        return Looked(self.processed + other.processed, self.failed + other.failed, other.left, other.job or self.job)


class Watcher:
    """Takes files in by the one front door. A file is moved only when it is kept and its job has begun, so that
    whatever ends this process, the next one finds it claimed and goes on."""

    def __init__(
        self,
        inbox: Inbox,
        ingest: Ingest,
        jobs: Jobs,
        store: str,
        plan: Plan | None,
        caller: Caller,
        *,
        job_each: bool = False,
        most_bytes: int | None = None,
        most_inflated: int = 4 << 30,
    ) -> None:
        """`job_each` begins a job for each image: whoever is told of one twice, among others, begins the same again.

        A file of more than `most_bytes` fails unread, as does a member of a ZIP archive of more than `most_inflated`.
        """
        self._most_inflated = most_inflated
        self._job_each = job_each
        self._most_bytes = most_bytes
        self._inbox = inbox
        self._ingest = ingest
        self._jobs = jobs
        self._store = store
        self._plan = plan
        self._caller = caller

    def run(self, stopping: threading.Event, seconds: float, told: Callable[[Looked], None]) -> None:
        """Look every so many seconds until told to stop."""
        while not stopping.is_set():
            try:
                looked = self.look()
            except (Unavailable, NotFound) as error:
                log.warning("the inbox cannot be looked at", code=error.code)
            else:
                if looked != Looked():
                    told(looked)
                if looked.processed + looked.failed == _MOST:
                    continue  # there may be more at once
            stopping.wait(seconds)

    def look(self) -> Looked:
        """Take in what lies there whole."""
        claimed = [waiting for waiting in self._inbox.look(_MOST) if self._inbox.claim(waiting)]
        if not claimed:
            return Looked()
        receipts = self._taken(claimed)
        kept = [each.record.id for each in chain(*receipts) if each.record is not None and each.accepted]
        jobs = self._started(kept)
        processed = failed = 0
        for waiting, own in zip(claimed, receipts, strict=True):
            if any(self._is_left(each, jobs) for each in own):
                continue
            code = _refusal(own)
            if code is None:
                self._inbox.processed(waiting)
                processed += 1
            else:
                self._inbox.failed(waiting, code)
                failed += 1
        return Looked(processed, failed, len(claimed) - processed - failed, next(iter(jobs.values()), None))

    def _is_left(self, receipt: Receipt, jobs: Mapping[str, str]) -> bool:
        """Whether it is to be tried again: the surroundings kept it out, or its job from beginning."""
        if receipt.record is not None and receipt.accepted:
            return self._plan is not None and receipt.record.id not in jobs
        return not isinstance(receipt.error, Rejected | NotFound)

    def _started(self, images: Sequence[str]) -> dict[str, str]:
        """The job of each image: one over all, or one for each; the same images have the same job.

        An image whose job cannot begin now is left out.
        """
        if self._plan is None or not images:
            return {}
        started: dict[str, str] = {}
        for some in [[image] for image in dict.fromkeys(images)] if self._job_each else [list(images)]:
            digest = hashlib.sha256("\0".join((self._plan.name, *sorted(some))).encode()).digest()
            id = "watch-" + base64.b32encode(digest)[:26].decode("ascii").lower()
            try:
                job = self._jobs.start_with(self._plan, some, self._caller, id=id).id
            except (Saturated, Unavailable) as error:
                log.warning("the pipeline cannot begin now", code=error.code)
            else:
                started |= dict.fromkeys(some, job)
        return started

    def _taken(self, claimed: Sequence[Waiting]) -> list[list[Receipt]]:
        """The receipts of each file: one, or one for each member of a ZIP archive."""
        batch = self._ingest.batch(self._caller)
        try:
            for number, waiting in enumerate(claimed):
                self._take(batch, str(number), waiting)
            found: list[list[Receipt]] = [[] for _ in claimed]
            for receipt in batch.close():
                found[int(receipt.source)].append(receipt)
            return found
        except BaseException:  # whatever it was: what is not committed leaves nothing, and it goes on up
            batch.abandon()
            raise

    def _take(self, batch: Batch, source: str, waiting: Waiting) -> None:
        try:
            if self._most_bytes is not None and waiting.size > self._most_bytes:
                raise LimitExceeded(f"a file has at most {self._most_bytes} bytes (setting max_upload_bytes)")
            chunks = self._inbox.read(waiting)
            first = next(chunks, b"")
            if is_archive(first):
                self._take_members(batch, source, chain((first,), chunks))
            else:
                self._take_in(batch, source, chain((first,), chunks))
        except (Unavailable, NotFound, Rejected) as error:
            batch.begin(source, Placement(self._store)).fail(error)

    def _take_members(self, batch: Batch, source: str, chunks: Iterator[bytes]) -> None:
        """Each member by itself: its directory stands at an archive's end, so it has to lie in a file."""
        with ExitStack() as held:
            file, path = nameless(held)
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            places = members(path)
            if not places:
                raise Malformed("the ZIP archive holds no file", code="empty-zip")
            archives = ZipReader()
            held.callback(archives.close)
            for place in places:
                try:
                    self._take_in(batch, source, archives.chunks(path, place, self._most_inflated))
                except Rejected as error:
                    batch.begin(source, Placement(self._store)).fail(error)

    def _take_in(self, batch: Batch, source: str, chunks: Iterator[bytes]) -> None:
        intake = batch.begin(source, Placement(self._store))
        try:
            for chunk in chunks:
                intake.write(chunk)
        except IsocenterError:
            intake.abandon()
            raise
        intake.finish()


def _refusal(receipts: Sequence[Receipt]) -> str | None:
    """Why a file failed, None where it did not. What is no image in an archive that holds one is only passed over."""
    codes = [receipt.error.code for receipt in receipts if receipt.error is not None]
    faults = [code for code in codes if code != "not-an-image"] if len(codes) < len(receipts) else codes
    return faults[0] if faults else None
