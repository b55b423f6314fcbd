"""The Store transaction: blob first, durable and under its own key; then one index transaction."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from isocenter.archive.commit import GroupCommit
from isocenter.archive.recognise import HEAD, Facts, Inspector, inspector_for
from isocenter.dicom.attributes import LEVELS, Model, Named, of_level
from isocenter.dicom.elements import Limits
from isocenter.errors import Conflict, IsocenterError, NotAnImage, NotFound, OtherStudy, Unavailable
from isocenter.ports.blob_store import BlobStore, BlobWriter
from isocenter.ports.platform import Platform
from isocenter.records import (
    AuditEntry,
    BlobRef,
    CommitOutcome,
    Committed,
    Details,
    ImageQuery,
    ImageRecord,
    Kind,
    NewImage,
    now,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf something is done."""

    actor: str = "local"
    request_id: str | None = None
    address: str | None = None

    def entry(
        self,
        action: str,
        outcome: str = "success",
        *,
        store: str | None = None,
        image: str | None = None,
        count: int = 1,
    ) -> AuditEntry:
        """An audit entry of what is done now."""
        return AuditEntry(self.actor, action, outcome, now(), store, image, self.request_id, self.address, count)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image is to go, and what its sender says of it.

    Without a subject, DICOM takes its Patient ID and other kinds none. Without an image id, DICOM takes its
    SOP Instance UID and other kinds one made from their bytes, so that sending them again changes nothing.
    """

    store: str
    subject_id: str | None = None
    image_id: str | None = None
    study_uid: str | None = None  # the only study it may belong to
    dicom_only: bool = False
    other_subject_id: str | None = None  # subject of what is not DICOM, where `subject_id` is not given


def new_id() -> str:
    """An opaque id: 26 characters of lower-case base32, 130 bits of chance."""
    return base64.b32encode(secrets.token_bytes(17))[:26].decode("ascii").lower()


class Arrival:
    """One image coming in. `write` its bytes, then `finish`; on any error `abort` leaves nothing behind."""

    def __init__(self, blobs: BlobStore, limits: Limits, placement: Placement, searched: Sequence[Named] = ()) -> None:
        self.id = new_id()
        self._blobs = blobs
        self._limits = limits
        self._placement = placement
        self._searched = searched
        self._key = f"{placement.store}/{self.id[0]}/{self.id}"
        self._hash = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._inspector: Inspector | None = None
        self._writer: BlobWriter | None = None
        self.named = placement.subject_id is not None or placement.image_id is not None
        self._sop: tuple[str | None, str | None] = (None, None)

    @property
    def sop(self) -> tuple[str | None, str | None]:
        """SOP Class UID and SOP Instance UID as far as they are known, also of what is refused."""
        return self._sop if self._inspector is None else self._inspector.sop

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes; raises Rejected as soon as they cannot be those of an image."""
        self._size += len(chunk)
        if self._inspector is None:
            self._head += chunk
            if len(self._head) >= HEAD:
                self._begin()
            return
        self._pass_on(self._inspector, chunk)

    def _begin(self) -> Inspector:
        self._inspector = inspector_for(self._head[:HEAD], self._limits)
        head, self._head = self._head, b""
        self._pass_on(self._inspector, head)
        return self._inspector

    def _pass_on(self, inspector: Inspector, chunk: bytes | memoryview) -> None:
        self._hash.update(chunk)
        inspector.feed(chunk)
        if self._writer is None:
            self._writer = self._blobs.create(self._key)
        self._writer.write(chunk)

    def finish(self) -> NewImage:
        """The image as it will be committed; its blob still has to be made durable by `settle`."""
        if self._size == 0:
            raise NotAnImage("it is empty", code="empty")
        facts = (self._inspector or self._begin()).finish()
        self._inspector = None  # it holds the whole header, and the image may wait for others of its batch
        return NewImage(self._record(facts), _details(facts), *_levels(facts, self._searched), facts.warnings)

    def settle(self) -> None:
        """Make the blob durable."""
        if self._writer is not None:
            self._writer.commit()

    def abort(self) -> None:
        self._inspector, self._head = None, b""
        if self._writer is not None:
            with suppress(Unavailable):
                self._writer.abort()

    def _record(self, facts: Facts) -> ImageRecord:
        place, blob = self._placement, BlobRef(self._key, self._size, self._hash.hexdigest())
        instance, header = facts.instance, facts.header
        if instance is None or header is None:
            if place.dicom_only:
                raise NotAnImage("this door takes DICOM only; POST /images takes other kinds", code="not-dicom")
            return ImageRecord(
                self.id, place.store, facts.kind, facts.media_type, place.subject_id or place.other_subject_id or "",
                place.image_id or blob.sha256[:32], blob, now(),
            )  # fmt: skip
        self._sop = (instance.sop_class_uid, instance.sop_instance_uid)
        if place.study_uid is not None and place.study_uid != instance.study_uid:
            raise OtherStudy("StudyInstanceUID is not the one in the address", code="other-study")
        return ImageRecord(
            self.id, place.store, Kind.DICOM, facts.media_type,
            instance.patient_id if place.subject_id is None else place.subject_id,
            instance.sop_instance_uid if place.image_id is None else place.image_id,
            blob, now(),
            study_uid=instance.study_uid,
            series_uid=instance.series_uid,
            sop_instance_uid=instance.sop_instance_uid,
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            number_of_frames=facts.number_of_frames,
            body_offset=header.body_offset,
            has_part10_header=header.has_part10_header,
            preamble_is_zero=header.preamble_is_zero,
        )  # fmt: skip


def _details(facts: Facts) -> Details:
    frames = facts.instance.frames if facts.instance is not None else None
    return Details(facts.metadata, frames.to_bytes() if frames is not None else None)


Arrived = tuple[Arrival, NewImage]


class Store:
    """The Store transaction over the ports; one for each process, used by many threads."""

    def __init__(
        self,
        platform: Platform,
        limits: Limits,
        *,
        keep_versions: bool = False,
        searched: Sequence[Named] = (),
    ) -> None:
        self._blobs = platform.blobs
        self._index = platform.index
        self._limits = limits
        self._searched = tuple(searched)
        self._group = GroupCommit(platform.index, keep_versions=keep_versions)
        # Syncs of several files at once share one journal commit of the file system.
        self._syncs = ThreadPoolExecutor(8, thread_name_prefix="blob-sync")

    def begin(self, placement: Placement) -> Arrival:
        return Arrival(self._blobs, self._limits, placement, self._searched)

    def commit(self, arrived: Sequence[Arrived], caller: Caller) -> list[Committed | IsocenterError]:
        """Make images durable, then visible; an answer for each, in order. The caller has read them to their end."""
        settled = [self._taken(arrival, new) for arrival, new in arrived]
        settled = self._settle([arrival for arrival, _ in arrived], settled)
        answers: list[Committed | IsocenterError] = []
        whole = [pair for pair, error in zip(arrived, settled, strict=True) if error is None]
        try:
            committed = iter(self._group.commit([(new, caller.entry("store")) for _, new in whole]))
        except IsocenterError as error:
            # Whether the transaction took place may be unknown, so the blobs stay: fsck sweeps them if it did not.
            return [error if failed is None else failed for failed in settled]
        for (arrival, new), failed in zip(arrived, settled, strict=True):
            answers.append(failed if failed is not None else self._answer(arrival, new, next(committed)))
        return answers

    def _taken(self, arrival: Arrival, new: NewImage) -> IsocenterError | None:
        """Conflict where the sender named a subject and image id that another image has."""
        record = new.record
        if not arrival.named:
            return None
        query = ImageQuery((record.store,), subject_id=record.subject_id, image_id=record.image_id, limit=1)
        others = self._index.images(query).items
        if not others or others[0].identity == record.identity:
            return None
        arrival.abort()
        return Conflict("another image has this subject_id and image_id already; it was not changed")

    def _settle(
        self, arrivals: Sequence[Arrival], failed: Sequence[IsocenterError | None]
    ) -> list[IsocenterError | None]:
        if len(arrivals) == 1:
            return [failed[0] or _settled(arrivals[0])]
        return list(self._syncs.map(lambda arrival, error: error or _settled(arrival), arrivals, failed))

    def _answer(self, arrival: Arrival, new: NewImage, done: Committed) -> Committed | IsocenterError:
        if done.outcome in (CommitOutcome.STORED, CommitOutcome.REPLACED):
            return done
        kept, wanted = done.record, new.record
        with suppress(Unavailable):  # fsck sweeps what cannot be deleted now
            if done.outcome is CommitOutcome.DUPLICATE:
                self._mend(kept.blob, wanted.blob)
            self._blobs.delete(wanted.blob.key)
        if done.outcome is CommitOutcome.CONFLICT:
            return Conflict("other bytes are kept under this identity already; they were not changed")
        if (kept.subject_id, kept.image_id) != (wanted.subject_id, wanted.image_id) and arrival.named:
            return Conflict("this SOP instance is kept already, under another subject_id and image_id")
        return done

    def _mend(self, kept: BlobRef, sent: BlobRef) -> None:
        """Where the kept bytes are gone or cut short, what was sent again takes their place: they are the same."""
        try:
            if self._blobs.stat(kept.key).size == kept.size:
                return
            self._blobs.delete(kept.key)
        except NotFound:
            pass
        writer = self._blobs.create(kept.key)
        try:
            for chunk in self._blobs.stream(sent.key):
                writer.write(chunk)
            writer.commit()
        except BaseException:
            writer.abort()
            raise


def _settled(arrival: Arrival) -> IsocenterError | None:
    try:
        arrival.settle()
    except IsocenterError as error:
        arrival.abort()
        return error
    return None


def _levels(facts: Facts, searched: Sequence[Named]) -> tuple[Model, Model, Model]:
    """The attributes of study, series and instance."""
    if facts.instance is None:
        return {}, {}, {}
    study, series, instance = (of_level(facts.instance.model, level, searched) for level in LEVELS)
    return study, series, instance
