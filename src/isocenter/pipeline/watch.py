"""Watches an inbox: takes in what comes, starts a pipeline on it, and moves it to what is processed or failed."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from isocenter.archive.store import Caller, Placement
from isocenter.errors import IsocenterError, NotFound, Rejected, Saturated, Unavailable
from isocenter.pipeline.ingest import Batch, Ingest
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.plan import Plan
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

    def __init__(self, inbox: Inbox, ingest: Ingest, jobs: Jobs, store: str, plan: Plan | None, caller: Caller) -> None:
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
        kept = [receipt.record.id for receipt in receipts if receipt.record is not None and receipt.accepted]
        job = self._started(kept)
        processed = failed = 0
        for waiting, receipt in zip(claimed, receipts, strict=True):
            if receipt.accepted and (job is not None or self._plan is None):
                self._inbox.processed(waiting)
                processed += 1
            elif isinstance(receipt.error, Rejected | NotFound):
                self._inbox.failed(waiting, receipt.error.code)
                failed += 1
        return Looked(processed, failed, len(claimed) - processed - failed, job)

    def _started(self, images: Sequence[str]) -> str | None:
        """The job over these images; the same images have the same job. None where it cannot begin now."""
        if self._plan is None or not images:
            return None
        digest = hashlib.sha256("\0".join((self._plan.name, *sorted(images))).encode()).digest()
        id = "watch-" + base64.b32encode(digest)[:26].decode("ascii").lower()
        try:
            return self._jobs.start_with(self._plan, images, self._caller, id=id).id
        except (Saturated, Unavailable) as error:
            log.warning("the pipeline cannot begin now", code=error.code)
            return None

    def _taken(self, claimed: Sequence[Waiting]) -> list[Receipt]:
        batch = self._ingest.batch(self._caller)
        try:
            for number, waiting in enumerate(claimed):
                self._take(batch, number, waiting)
            return batch.close()
        except BaseException:  # whatever it was: what is not committed leaves nothing, and it goes on up
            batch.abandon()
            raise

    def _take(self, batch: Batch, number: int, waiting: Waiting) -> None:
        intake = batch.begin(str(number), Placement(self._store))
        try:
            for chunk in self._inbox.read(waiting):
                intake.write(chunk)
        except (Unavailable, NotFound) as error:
            intake.fail(error)
        except IsocenterError:
            intake.abandon()
            raise
        intake.finish()
