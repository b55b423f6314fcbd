"""The steps that give images out: by links, or to a destination."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import orjson

from isocenter.archive.deliver import Deliver, Terms
from isocenter.errors import IsocenterError, NotFound, Unavailable, Unsupported
from isocenter.pipeline.send import Send
from isocenter.pipeline.steps.base import Answer, Context, Done, Item, Refused, Stopped
from isocenter.ports.destination import Destination
from isocenter.records import ImageRecord, Kind

_KIND = "delivery"


class LinksStep:
    """Makes a delivery of each chunk; its links are shown to who may deliver, and nowhere kept."""

    def __init__(self, deliver: Deliver, *, seconds: int, zipped: bool) -> None:
        self._deliver = deliver
        self._seconds = seconds
        self._zipped = zipped

    def run(self, items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        answers, records = _kept(items)
        by_store: dict[str, list[str]] = defaultdict(list)
        for record in records:
            if self._zipped and record.kind is not Kind.DICOM:
                error = Unsupported("a ZIP archive is a File-set of DICOM instances alone", code="not-dicom")
                answers[record.id] = Refused(error)
            else:
                by_store[record.store].append(record.id)
        for store, ids in by_store.items():
            answers |= self._delivered(store, ids, context)
        return answers

    def _delivered(self, store: str, ids: Sequence[str], context: Context) -> dict[str, Answer]:
        if context.stopped():
            raise Stopped
        terms = Terms(self._seconds, self._zipped, id=delivery_id(context.job.id, context.step, ids))
        gone = Refused(NotFound("the image was deleted meanwhile", code="image-deleted"))
        try:
            made, missing = self._deliver.create(store, ids, terms, context.caller)
        except NotFound:
            return dict.fromkeys(ids, gone)
        except Unavailable as error:
            return dict.fromkeys(ids, Refused(error))
        told = orjson.dumps({"delivery": made.id, "expires": made.expires.isoformat()})
        return {id: gone if id in missing else Done(documents=((id, _KIND, told),)) for id in ids}


class SendStep:
    """Sends each chunk to a destination, which is opened when it is first needed."""

    def __init__(self, send: Send, opened: Callable[[], Destination]) -> None:
        self._send = send
        self._opened = opened

    def run(self, items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        answers, records = _kept(items)
        if context.stopped():
            raise Stopped
        destination = self._opened()
        said = self._send.send(records, destination, context.caller) if records else {}
        for id, where in said.items():
            answers[id] = (
                Refused(where)
                if isinstance(where, IsocenterError)
                else Done(documents=((id, _KIND, orjson.dumps({"destination": destination.name, "where": where})),))
            )
        return answers


def delivery_id(job: str, step: str, images: Sequence[str]) -> str:
    """The same for the same images of a step: run again, it finds the delivery that it made."""
    digest = hashlib.sha256("\0".join((job, step, *sorted(images))).encode()).digest()
    return base64.b32encode(digest)[:26].decode("ascii").lower()


def _kept(items: Sequence[Item]) -> tuple[dict[str, Answer], list[ImageRecord]]:
    """Answers for what is not kept here, and the records of the rest."""
    outside = {item.id for item in items if item.kept is None}
    refused = Refused(Unsupported("only images that are kept here are delivered", code="not-kept-here"))
    answers: dict[str, Answer] = dict.fromkeys(outside, refused)
    return answers, [item.record for item in items if item.id not in outside]
