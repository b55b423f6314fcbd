"""Files that come from outside, taken in by the front door; ZIP archives by their members; and the jobs on them."""

from __future__ import annotations

import base64
import hashlib
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
from isocenter.records import Receipt

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class File:
    """A file outside; `read` gives its chunks when it is its turn."""

    size: int
    read: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a file. `code` is why it was refused, None where it was kept or, with `is_left`, is to be tried
    again: the surroundings were at fault."""

    code: str | None = None
    is_left: bool = False


class Files:
    """Takes files in and begins a job over what they hold. The same again changes nothing: an image is known by its
    bytes, and a job by its images."""

    def __init__(
        self,
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
        self._ingest = ingest
        self._jobs = jobs
        self._store = store
        self._plan = plan
        self._caller = caller

    def take(self, files: Sequence[File]) -> tuple[list[Ended], str | None]:
        """What came of each, and the first job that began."""
        receipts = self._taken(files)
        kept = [each.record.id for each in chain(*receipts) if each.record is not None and each.accepted]
        jobs = self._started(kept)
        ended = []
        for own in receipts:
            if any(self._is_left(each, jobs) for each in own):
                ended.append(Ended(is_left=True))
            else:
                ended.append(Ended(_refusal(own)))
        return ended, next(iter(jobs.values()), None)

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
        some_of = list(dict.fromkeys(images))
        for some in [[image] for image in some_of] if self._job_each else [some_of]:
            digest = hashlib.sha256("\0".join((self._plan.name, *sorted(some))).encode()).digest()
            id = "watch-" + base64.b32encode(digest)[:26].decode("ascii").lower()
            try:
                job = self._jobs.start_with(self._plan, some, self._caller, id=id).id
            except (Saturated, Unavailable) as error:
                log.warning("the pipeline cannot begin now", code=error.code)
            else:
                started |= dict.fromkeys(some, job)
        return started

    def _taken(self, files: Sequence[File]) -> list[list[Receipt]]:
        """The receipts of each file: one, or one for each member of a ZIP archive."""
        batch = self._ingest.batch(self._caller)
        try:
            for number, given in enumerate(files):
                self._take(batch, str(number), given)
            found: list[list[Receipt]] = [[] for _ in files]
            for receipt in batch.close():
                found[int(receipt.source)].append(receipt)
            return found
        except BaseException:  # whatever it was: what is not committed leaves nothing, and it goes on up
            batch.abandon()
            raise

    def _take(self, batch: Batch, source: str, given: File) -> None:
        try:
            if self._most_bytes is not None and given.size > self._most_bytes:
                raise LimitExceeded(f"a file has at most {self._most_bytes} bytes (setting max_upload_bytes)")
            chunks = given.read()
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
