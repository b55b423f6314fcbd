"""The step that de-identifies DICOM instances into another store."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress

import orjson

from isocenter.archive.store import Placement
from isocenter.deid.engine import Deidentifier
from isocenter.deid.identifiers import Known
from isocenter.dicom.instance import Metadata
from isocenter.errors import Corrupted, IsocenterError, NotFound, Rejected, Unavailable, Unsupported
from isocenter.pipeline.ingest import Batch, Ingest
from isocenter.pipeline.steps.base import Answer, Context, Done, Item, Refused, Stopped
from isocenter.ports.index import Index
from isocenter.records import ImageQuery, Kind

_STUDIES = 256  # so many studies' identifiers are remembered
_DETAILS = 500


class DeidentifyStep:
    """De-identifies; each output goes in by the one front door and is committed with its chunk."""

    def __init__(self, deidentifier: Deidentifier, ingest: Ingest, index: Index, into: str) -> None:
        self._deidentifier = deidentifier
        self._ingest = ingest
        self._index = index
        self._into = into
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        batch = self._ingest.batch(context.caller)
        answers: dict[str, Answer] = {}
        evidence: dict[str, bytes] = {}
        try:
            for item in items:
                if context.stopped():
                    raise Stopped
                try:
                    evidence[item.id] = self._take(item, context, batch)
                except (Rejected, Unavailable, Corrupted, NotFound) as error:
                    answers[item.id] = Refused(error)
            receipts = {receipt.source: receipt for receipt in batch.close()}
        except BaseException:  # whatever it was: what is not committed leaves nothing, and it goes on up
            batch.abandon()
            raise
        for id, document in evidence.items():
            receipt = receipts[id]
            if receipt.record is not None and receipt.accepted:
                made = receipt.record.id
                answers[id] = Done((made,), documents=((made, "evidence", document),))
            else:
                answers[id] = Refused(receipt.error or IsocenterError("it was not stored"))
        return answers

    def _take(self, item: Item, context: Context, batch: Batch) -> bytes:
        """De-identify one into the batch; gives its evidence."""
        if item.record.kind is not Kind.DICOM:
            raise Unsupported("only DICOM instances are de-identified", code="not-dicom")
        released = self._deidentifier.deidentify(item.source, self._known_of(item, context))
        intake = batch.begin(item.id, Placement(self._into, dicom_only=True))
        try:
            evidence = released.write(intake.write)
        except BaseException:  # whatever it was, the half that is written goes, and it goes on up
            intake.abandon()
            raise
        if evidence.source_sha256 != item.record.blob.sha256:
            intake.abandon()
            raise Corrupted("the stored bytes are no longer those that came in")
        intake.finish()
        return orjson.dumps(evidence.model())

    def _known_of(self, item: Item, context: Context) -> Known:
        """What identifies the people and places of the item's study, from the index: no other image is opened."""
        study = item.record.study_uid
        if study is None:
            return Known()
        key = (context.job.id, study)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        known = self._gathered(item.record.store, study)
        with self._lock:
            self._known[key] = known
            while len(self._known) > _STUDIES:
                self._known.popitem(last=False)
        return known

    def _gathered(self, store: str, study: str) -> Known:
        known, after = Known(), None
        while True:
            page = self._index.images(ImageQuery((store,), study_uid=study, after=after, limit=_DETAILS))
            for details in self._index.details([record.id for record in page.items]).values():
                with suppress(Rejected):  # unreadable metadata: the instance's own header is looked at besides
                    known |= self._deidentifier.known_in_model(Metadata.from_bytes(details.metadata).model)
            after = page.next
            if after is None:
                return known
