"""When a study is complete: at the end of an upload session, or when no image of it came for a while."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog

from isocenter.archive.store import Caller
from isocenter.errors import IsocenterError, Unavailable
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.plan import Plan
from isocenter.ports.event_feed import EventFeed
from isocenter.ports.open_studies import OpenStudy
from isocenter.ports.platform import Platform
from isocenter.records import STUDY_COMPLETE, Event, ImageQuery, ImageRecord, now

_PAGE = 500
_CAME = ("image.stored", "image.replaced")
_CALLER = Caller("study-complete")
log = structlog.get_logger()


def tell_complete(events: EventFeed, records: Iterable[ImageRecord], at: datetime) -> None:
    """Append that each study of these images is complete; each is named by its last image, and told once of it."""
    last = {(record.store, record.study_uid): record for record in records if record.study_uid is not None}
    for record in last.values():
        events.append(Event(STUDY_COMPLETE, record.store, record.id, at))


class Completeness:
    """Follows the feed, in any number of processes at once. `quiet` seconds without an image end a study, 0 never do.

    `key` makes the names that open studies are kept under. `plan` is run over every study of its store that is
    complete, whoever called it so.
    """

    def __init__(
        self,
        platform: Platform,
        jobs: Jobs,
        key: bytes,
        *,
        quiet: float,
        plan: Plan | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._platform = platform
        self._events = platform.events
        self._open = platform.open_studies
        self._jobs = jobs
        self._key = key
        self._quiet = timedelta(seconds=quiet)
        self._plan = plan
        self._clock = clock

    def look(self) -> None:
        """Follow the feed to its end, and tell of studies that have been quiet for long enough."""
        moment = self._clock()
        while self._follow():
            pass
        if not self._quiet:
            return
        while found := self._open.quiet(moment - self._quiet, _PAGE):
            for study in found:
                self._end(study, moment)

    def _follow(self) -> bool:
        """Take in a page of events; False at the feed's end."""
        before = self._open.cursor()
        events = self._events.read(before, _PAGE)
        if not events:
            return False
        opened: dict[str, OpenStudy] = {}
        for event in events:
            if event.type not in (*_CAME, STUDY_COMPLETE):
                continue
            record = self._platform.index.get(event.image)
            if record is None or record.study_uid is None:
                continue
            if event.type == STUDY_COMPLETE:
                self._start(event, record)
            elif self._quiet:
                study = OpenStudy(self._name(record), event.store, event.image, event.at)
                opened[study.study] = study
        self._open.follow(before, events[-1].sequence, list(opened.values()))
        return True

    def _end(self, study: OpenStudy, moment: datetime) -> None:
        """Told once, whoever does it and how often, and not where a session's end told of that image: the feed takes a
        study.complete of an image once."""
        record = self._platform.index.get(study.image)
        if record is not None:
            query = ImageQuery((study.store,), study_uid=record.study_uid, limit=1)
            if self._platform.index.images(query).items:
                self._events.append(Event(STUDY_COMPLETE, study.store, study.image, moment))
        self._open.close(study)

    def _start(self, event: Event, record: ImageRecord) -> None:
        """The pipeline over the study, as a job of the event's own; Unavailable leaves the event to the next look."""
        plan = self._plan
        if plan is None or plan.store != event.store:
            return
        try:
            query = ImageQuery(study_uid=record.study_uid)
            self._jobs.start(plan, query, _CALLER, id=f"study-complete-{event.sequence}")
        except Unavailable:
            raise
        except IsocenterError as error:  # nothing of it is there any more, or it is too large
            log.warning("no pipeline on a complete study", sequence=event.sequence, code=error.code)

    def _name(self, record: ImageRecord) -> str:
        text = f"{record.store}\0{record.study_uid}".encode()
        return base64.b32encode(hmac.digest(self._key, text, "sha256"))[:26].decode("ascii").lower()
