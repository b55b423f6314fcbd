"""Upload sessions: files announced with size and SHA-256, sent piece by piece to signed addresses, then taken in whole.

A session lives among the blobs: its manifest, its parts as they come, and what came of it. So it needs no table, any
number of servers may take its parts, and each of these is written once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from isocenter.archive.store import Caller, Placement, new_id
from isocenter.errors import BadRequest, Conflict, Malformed, NotFound
from isocenter.pipeline.completeness import tell_complete
from isocenter.pipeline.ingest import Batch, Ingest
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.places import written
from isocenter.pipeline.plan import Plan
from isocenter.ports.blob_store import BlobStore, BlobWriter, SignedPut, SignsPuts
from isocenter.ports.event_feed import EventFeed
from isocenter.records import Receipt, now

PART = 64 << 20  # bytes; a larger file comes in parts of it, each of which can be sent again by itself
MOST_FILES = 10_000
UPLOADS = "uploads/"  # what keys of upload sessions begin with
_GRACE = timedelta(hours=1)  # what expired is kept so long, so that nothing goes while it is being completed
_BAD = "this address takes no upload: it is not one of ours, or its time is over"


@dataclass(frozen=True, slots=True)
class Announced:
    """One file that is to come. `name` is the sender's and comes back in receipts; nothing is named after it."""

    name: str
    size: int
    sha256: str
    media_type: str | None = None
    subject_id: str | None = None
    image_id: str | None = None

    @property
    def parts(self) -> int:
        return max(1, -(-self.size // PART))

    def part_size(self, part: int) -> int:
        return min(PART, self.size - part * PART)


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    store: str
    pipeline: str | None
    actor: str
    expires: datetime
    files: tuple[Announced, ...]


@dataclass(frozen=True, slots=True)
class Completed:
    """What came of a session: a receipt for each file, and the job that was begun on what was taken."""

    receipts: tuple[dict[str, Any], ...]
    job: str | None


class Uploads:
    """Sessions over a blob store; `key` signs the addresses that parts are sent to.

    `presigned` says to give addresses of the object store itself where it can sign them.
    `events` is told at a session's end that its studies are complete.
    """

    def __init__(
        self,
        blobs: BlobStore,
        ingest: Ingest,
        jobs: Jobs,
        key: bytes,
        clock: Callable[[], datetime] = now,
        *,
        presigned: bool = False,
        events: EventFeed | None = None,
    ) -> None:
        self._blobs = blobs
        self._ingest = ingest
        self._jobs = jobs
        self._key = key
        self._clock = clock
        self._signer = blobs if presigned and isinstance(blobs, SignsPuts) else None
        self._events = events

    def begin(
        self, files: Sequence[Announced], store: str, pipeline: str | None, caller: Caller, seconds: int
    ) -> Session:
        """Open a session that lives so long."""
        expires = self._clock().replace(microsecond=0) + timedelta(seconds=seconds)
        id = f"{int(expires.timestamp()):x}-{new_id()}"
        session = Session(id, store, pipeline, caller.actor, expires, tuple(files))
        written(self._blobs, f"{UPLOADS}{id}/manifest", orjson.dumps(asdict(session)))
        return session

    def session(self, id: str) -> Session:
        """A session whose time is not over; NotFound for any other."""
        if not _is_id(id) or _expiry(id) <= self._clock():
            raise NotFound("there is no upload with this id, or its time is over", code="no-such-upload")
        try:
            told = orjson.loads(self._blobs.read(f"{UPLOADS}{id}/manifest"))
        except NotFound:
            raise NotFound("there is no upload with this id, or its time is over", code="no-such-upload") from None
        files = tuple(Announced(**file) for file in told.pop("files"))
        return Session(**{**told, "expires": datetime.fromisoformat(told["expires"]), "files": files})

    def received(self, session: Session) -> frozenset[tuple[int, int]]:
        """The parts that are here, as (file, part), both from 0."""
        found = set()
        prefix = f"{UPLOADS}{session.id}/part/"
        for stat in self._blobs.list(prefix):
            file, _, part = stat.key.removeprefix(prefix).partition("/")
            found.add((int(file), int(part)))
        return frozenset(found)

    def completed(self, session: Session) -> Completed | None:
        """What came of the session; None while it is open."""
        try:
            told = orjson.loads(self._blobs.read(f"{UPLOADS}{session.id}/completed"))
        except NotFound:
            return None
        return Completed(tuple(told["receipts"]), told["job"])

    def signed_put(self, session: Session, file: int, part: int) -> SignedPut | None:
        """Where the object store itself takes a part for as long as the session lives; None where our own route does.

        Of a file in several parts no part's SHA-256 is known: the whole file's is held against it at the end.
        """
        if self._signer is None:
            return None
        announced = session.files[file]
        return self._signer.signed_put(
            _part_key(session.id, file, part),
            announced.part_size(part),
            max(1, int((session.expires - self._clock()).total_seconds())),
            media_type=announced.media_type,
            sha256=announced.sha256 if announced.parts == 1 else None,
        )

    def token(self, session: Session, file: int, part: int) -> str:
        """What the address of a part ends with: the part, and a signature over it."""
        text = f"{session.id}.{file}.{part}"
        return f"{text}.{self._signed(text)}"

    def _signed(self, text: str) -> str:
        mac = hmac.new(self._key, b"isocenter upload part PUT " + text.encode(), "sha256").digest()
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode("ascii")

    def arriving(self, token: str) -> Arriving:
        """Begin to take the part that a token is for; NotFound, always the same, for any other token."""
        text, _, signature = token.rpartition(".")
        if not token.isascii() or not hmac.compare_digest(self._signed(text), signature):
            raise NotFound(_BAD, code="no-such-upload")
        id, file, part = text.rsplit(".", 2)
        try:
            session = self.session(id)
        except NotFound:
            raise NotFound(_BAD, code="no-such-upload") from None
        if self.completed(session) is not None:
            raise Conflict("this upload is completed; nothing more comes to it", code="upload-completed")
        announced = session.files[int(file)]
        return Arriving(self._blobs, _part_key(session.id, int(file), int(part)), announced, int(part))

    def complete(self, session: Session, plan: Plan | None, caller: Caller) -> Completed:
        """Check every file, take in what is right, begin the pipeline on it. Again, it answers as before.

        Conflict, with the numbers of the files, where parts are missing: nothing is taken in before all is there.
        """
        done = self.completed(session)
        if done is not None:
            return done
        try:
            return self._complete(session, plan, caller)
        except (Conflict, NotFound):
            # Another request may have completed it under our hands, and taken the parts away: then its answer holds.
            done = self.completed(session)
            if done is None:
                raise
            return done

    def _complete(self, session: Session, plan: Plan | None, caller: Caller) -> Completed:
        here = self.received(session)
        missing = [
            number
            for number, file in enumerate(session.files)
            if any((number, part) not in here for part in range(file.parts))
        ]
        if missing:
            shown = ", ".join(map(str, missing[:20])) + (" and more" if len(missing) > 20 else "")
            raise Conflict(f"not all has come: files {shown} (counted from 0) lack parts", code="upload-incomplete")
        receipts = self._taken_in(session, caller)
        records = [receipt.record for receipt in receipts if receipt.record is not None and receipt.accepted]
        images = [record.id for record in records]
        if self._events is not None:
            tell_complete(self._events, records, self._clock())
        job = None
        if plan is not None and images:
            job = self._jobs.start_with(plan, images, caller, id=f"upload-{session.id}").id
        pairs = enumerate(zip(session.files, receipts, strict=True))
        told = tuple(_told(number, file, receipt) for number, (file, receipt) in pairs)
        with suppress(Conflict):  # another request completed it this moment, and says the same
            written(self._blobs, f"{UPLOADS}{session.id}/completed", orjson.dumps({"receipts": told, "job": job}))
        for number, part in here:
            self._blobs.delete(_part_key(session.id, number, part))
        return self.completed(session) or Completed(told, job)

    def _taken_in(self, session: Session, caller: Caller) -> list[Receipt]:
        batch = self._ingest.batch(caller)
        try:
            for number, file in enumerate(session.files):
                self._take_in(session, number, file, batch)
            return batch.close()
        except BaseException:  # whatever it was: what is not committed leaves nothing, and it goes on up
            batch.abandon()
            raise

    def _take_in(self, session: Session, number: int, file: Announced, batch: Batch) -> None:
        intake = batch.begin(str(number), Placement(session.store, file.subject_id, file.image_id))
        digest = hashlib.sha256()
        for chunk in self._chunks(session, number, file):
            digest.update(chunk)
            intake.write(chunk)
        if not hmac.compare_digest(digest.hexdigest(), file.sha256):
            intake.fail(_other_bytes())
        intake.finish()

    def _chunks(self, session: Session, number: int, file: Announced) -> Iterator[bytes]:
        for part in range(file.parts):
            yield from self._blobs.stream(_part_key(session.id, number, part))

    def abandon(self, session: Session) -> None:
        """Give a session up; what has come goes. One that is completed stays as it is."""
        if self.completed(session) is not None:
            raise Conflict("this upload is completed; delete its images instead", code="upload-completed")
        self._remove(session.id)

    def sweep(self) -> int:
        """Take away sessions whose time is over; how many there were."""
        over = set()
        for stat in self._blobs.list(UPLOADS):
            id = stat.key.removeprefix(UPLOADS).partition("/")[0]
            if not _is_id(id) or _expiry(id) + _GRACE <= self._clock():
                over.add(id)
        for id in over:
            self._remove(id)
        return len(over)

    def _remove(self, id: str) -> None:
        # The manifest goes first: without it nothing more comes in.
        self._blobs.delete(f"{UPLOADS}{id}/manifest")
        for stat in list(self._blobs.list(f"{UPLOADS}{id}/")):
            self._blobs.delete(stat.key)


class Arriving:
    """One part as its bytes come. It becomes readable only when `finish` has found it right and made it durable."""

    def __init__(self, blobs: BlobStore, key: str, file: Announced, part: int) -> None:
        self._blobs = blobs
        self._key = key
        self._file = file
        self._left = self.size = file.part_size(part)
        self._digest = hashlib.sha256()
        self._writer: BlobWriter = blobs.create(key)

    @property
    def media_type(self) -> str | None:
        """The Content-Type that was announced."""
        return self._file.media_type

    def write(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise BadRequest(f"this part has {self.size} bytes, and more came", code="wrong-size")
        self._digest.update(chunk)
        self._writer.write(chunk)

    def finish(self) -> None:
        """All has come. The same bytes again change nothing; others are a Conflict."""
        if self._left:
            raise BadRequest(f"this part has {self.size} bytes, and fewer came", code="wrong-size")
        if self._file.parts == 1 and not hmac.compare_digest(self._digest.hexdigest(), self._file.sha256):
            raise _other_bytes()
        try:
            self._writer.commit()
        except Conflict:
            self.abort()
            kept = hashlib.sha256()
            for chunk in self._blobs.stream(self._key):
                kept.update(chunk)
            if kept.digest() != self._digest.digest():
                raise Conflict("other bytes came for this part before; they were kept", code="part-there") from None

    def abort(self) -> None:
        self._writer.abort()


def _other_bytes() -> Malformed:
    return Malformed("these are not the bytes that were announced: their SHA-256 differs", code="checksum-mismatch")


def _part_key(id: str, file: int, part: int) -> str:
    return f"{UPLOADS}{id}/part/{file}/{part}"


def _is_id(id: str) -> bool:
    moment, _, chance = id.partition("-")
    return id.isascii() and chance.isalnum() and len(chance) == 26 and 0 < len(moment) <= 10 and _is_hex(moment)


def _is_hex(text: str) -> bool:
    return all(sign in "0123456789abcdef" for sign in text)


def _expiry(id: str) -> datetime:
    return datetime.fromtimestamp(int(id.partition("-")[0], 16), UTC)


def _told(number: int, file: Announced, receipt: Receipt) -> dict[str, Any]:
    return {
        "file": number,
        "name": file.name,
        "outcome": receipt.outcome,
        "image_id": None if receipt.record is None else receipt.record.id,
        "code": None if receipt.error is None else receipt.error.code,
        "detail": None if receipt.error is None else receipt.error.detail,
        "warnings": list(receipt.warnings),
    }
