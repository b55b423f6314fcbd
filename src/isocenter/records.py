"""Frozen values that cross rooms: what was kept, what happened, who asked."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from isocenter.dicom.attribute_lines import Lines
from isocenter.dicom.attributes import is_looked_at
from isocenter.dicom.matching import Key, Pattern
from isocenter.errors import BadRequest, IsocenterError

T = TypeVar("T")


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


class Kind(StrEnum):
    """What an image is, told by its content."""

    DICOM = "dicom"
    NIFTI = "nifti"
    JPEG = "jpeg"
    PNG = "png"
    GIF = "gif"


class State(StrEnum):
    """Whether an image is found by search and retrieve."""

    CURRENT = "current"
    DELETED = "deleted"  # within its grace: `isocenter restore` brings it back
    SUPERSEDED = "superseded"  # another version of the same identity took its place


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Where the bytes of an image lie; `sha256` is lower-case hex over all `size` bytes."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BlobStat:
    """One stored blob as its store lists it."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next` is the opaque cursor of the part that follows, None at the end."""

    items: tuple[T, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One kept image. The DICOM identifiers are None for NIfTI volumes and pictures.

    `body_offset` is where the Data Set begins in a DICOM blob; `has_part10_header` says whether preamble and
    File Meta Information stand before it; `preamble_is_zero` whether the 128 bytes there are all zero.
    """

    id: str
    store: str
    kind: Kind
    media_type: str
    subject_id: str
    image_id: str
    blob: BlobRef
    created: datetime
    state: State = State.CURRENT
    changed: datetime | None = None  # when `state` last changed
    study_uid: str | None = None
    series_uid: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None
    transfer_syntax_uid: str | None = None
    number_of_frames: int = 1
    body_offset: int = 0
    has_part10_header: bool = True
    preamble_is_zero: bool = True

    @property
    def identity(self) -> tuple[str, ...]:
        """What only one current image of a store may have (with `store`)."""
        if self.sop_instance_uid is not None:
            return ("dicom", self.sop_instance_uid)
        return ("image", self.subject_id, self.image_id)


@dataclass(frozen=True, slots=True)
class Details:
    """What stands beside an image's row; both are zlib-compressed JSON, made once at ingest.

    `metadata`: {"meta": model, "model": model, "bulk": {path: [offset, length]}} (PS3.18 F.2).
    `frames`: {"offsets": [...], "lengths": [...], ...} as `dicom.frames.FrameTable` writes it; None without pixels.
    """

    metadata: bytes
    frames: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image whose blob is durable and whose row is still to be committed.

    `study`, `series` and `instance` are the attributes that those levels are searched by and answer with, as DICOM
    JSON models (empty unless DICOM).
    """

    record: ImageRecord
    details: Details
    study: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Any] = field(default_factory=dict)
    instance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class CommitOutcome(StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"  # the same bytes are there already: nothing was changed
    CONFLICT = "conflict"  # other bytes are there already: nothing was changed
    REPLACED = "replaced"  # other bytes were there; they are kept as a superseded version


@dataclass(frozen=True, slots=True)
class Committed:
    """What the index did with one NewImage; `record` is the image that is current afterwards."""

    outcome: CommitOutcome
    record: ImageRecord


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Which images; every field that is not None must hold. Results come in order of arrival."""

    stores: tuple[str, ...] | None = None
    subject_id: str | None = None
    image_id: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    sop_instance_uids: tuple[str, ...] | None = None
    kind: Kind | None = None
    states: tuple[State, ...] = (State.CURRENT,)
    changed_before: datetime | None = None
    after: str | None = None
    limit: int = 100
    subject_like: Pattern | None = None
    image_like: Pattern | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One attribute to sort by; what lacks it counts as the empty text."""

    tag: int
    level: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """Which studies, series or instances of a store (PS3.18 10.6), of those that hold a current image.

    Keys are of this level or one above. Results come in the given order, then in order of arrival. `after`
    continues a page; `offset` passes over that many results first.
    `with_above`: whether the attributes of the levels above come along. More than `most_scanned` instances to look
    through one by one, for keys no index helps with, is a BadRequest.
    """

    level: str  # study, series or instance
    store: str
    keys: tuple[Key, ...] = ()
    study_uids: tuple[str, ...] | None = None
    series_uids: tuple[str, ...] | None = None
    sop_instance_uids: tuple[str, ...] | None = None
    order: tuple[Order, ...] = ()
    offset: int = 0
    after: str | None = None
    limit: int = 100
    with_above: bool = True
    most_scanned: int = 200_000

    @property
    def scanned(self) -> tuple[Key, ...]:
        """The keys that no index helps with: they are held against the attributes of each instance in question."""
        return tuple(key for key in self.keys if self.level == "instance" and is_looked_at(key.level, key.tags))

    def too_wide(self) -> BadRequest:
        return BadRequest(
            f"this search would look through more than {self.most_scanned} instances one by one; narrow it by a key"
            " of study or series, or have the attribute indexed (setting search_attributes)",
            code="search-too-wide",
        )


@dataclass(frozen=True, slots=True)
class LevelRecord:
    """One study, series or instance: its attributes and those of the levels above, as `dicom.attribute_lines`.

    The counts say what it holds now; an instance has none.
    """

    store: str
    study_uid: str
    series_uid: str | None
    sop_instance_uid: str | None
    id: str | None  # internal id of an instance
    attributes: Lines
    above: Lines
    modalities: tuple[str, ...] = ()
    number_of_series: int = 0
    number_of_instances: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search; `total` counts all that match, `next` leads on."""

    items: tuple[LevelRecord, ...]
    total: int
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Indexed:
    """What search knows of one image anew: the models of its levels, as NewImage has them."""

    id: str
    study: Mapping[str, Any]
    series: Mapping[str, Any]
    instance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer for one thing that was sent in. `source` names it as the sender did (file or part number)."""

    source: str
    outcome: str  # stored, duplicate, replaced, rejected, failed
    record: ImageRecord | None = None
    reason: int | None = None  # PS3.18 Failure Reason where rejected or failed
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    warnings: tuple[str, ...] = ()
    error: IsocenterError | None = None  # why it was rejected or failed

    @property
    def accepted(self) -> bool:
        return self.outcome in ("stored", "duplicate", "replaced")


IMAGE_EVENTS = ("image.stored", "image.replaced", "image.deleted", "image.restored", "image.purged")
STUDY_COMPLETE = "study.complete"
EVENTS = (*IMAGE_EVENTS, STUDY_COMPLETE)


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the change feed. `sequence` grows without gaps being promised; 0 before it is appended."""

    type: str  # one of EVENTS
    store: str
    image: str  # internal id; of study.complete the last image that came
    at: datetime
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which image, and whether it was allowed (45 CFR 164.312(b)). Carries no attribute value."""

    actor: str
    action: str  # store, read, search, delete, restore, purge, login, key.new, ...
    outcome: str  # success, denied, failed
    at: datetime
    store: str | None = None
    image: str | None = None
    request_id: str | None = None
    address: str | None = None
    count: int = 1
    sequence: int = 0
    digest: str = ""  # hex; see `chained`

    def chained(self, key: bytes, previous: str, sequence: int) -> AuditEntry:
        """This entry as number `sequence`, its digest HMAC-SHA-256 over itself and the entry before it."""
        fields = (
            str(sequence), previous, self.actor, self.action, self.outcome, self.at.astimezone(UTC).isoformat(),
            *("" if text is None else f"={text}" for text in (self.store, self.image, self.request_id, self.address)),
            str(self.count),
        )  # fmt: skip
        # Length-prefixed, so that no two different entries give the same bytes.
        message = b"".join(b"%d:%s," % (len(part), part) for part in (f.encode() for f in fields))
        digest = hmac.new(key, message, hashlib.sha256).hexdigest()
        return AuditEntry(
            self.actor, self.action, self.outcome, self.at, self.store, self.image, self.request_id,
            self.address, self.count, sequence, digest,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Where the audit chain ends. `seal` is HMAC-SHA-256 over sequence and digest, so that a cut-off tail shows."""

    sequence: int
    digest: str
    seal: str

    @classmethod
    def sealed(cls, key: bytes, sequence: int, digest: str) -> AuditHead:
        return cls(sequence, digest, hmac.new(key, b"head:%d:%s" % (sequence, digest.encode()), "sha256").hexdigest())


@dataclass(frozen=True, slots=True)
class Delivery:
    """Images of one store that links give out to whoever holds one, until a moment. Carries no attribute value."""

    id: str
    store: str
    images: int
    created: datetime
    expires: datetime
    actor: str = "local"
    zipped: bool = False  # one link to all in a ZIP archive, instead of one to each
    original: bool = False  # preambles as they came; zeros without it
    presigned: bool = False  # where the object store can sign, its own links are given, which nobody can revoke
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """One image on its way to a destination. `sha256` is that of the bytes that go out, where it is known."""

    id: str
    path: str  # where it goes in a folder or bucket: relative, with forward slashes
    media_type: str
    size: int
    sha256: str | None
    chunks: Callable[[], Iterator[bytes]]  # its bytes, from their beginning at each call
    uids: tuple[str, str, str] | None = None  # of study, series and instance, where it is DICOM


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One API key as it is kept: only the hash of its secret half."""

    id: str
    label: str
    secret_sha256: str
    scopes: frozenset[str]  # "images:read" or, for one store only, "images:read@raw"
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
