"""The Retrieve transaction: originals byte for byte, Part 10 files, metadata, single attributes."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from isocenter.archive.kept_model import addressed_model
from isocenter.archive.recent import Recent
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.deflated import inflated_span
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.file_meta import PREAMBLE, part10_header
from isocenter.dicom.frames import FrameTable, little_endian, read_frame
from isocenter.dicom.instance import Metadata
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.dicom.tag_path import TagPath
from isocenter.dicom.transfer_syntax import encoding_of
from isocenter.errors import BadRequest, Corrupted, NotFound, Unavailable
from isocenter.ports.blob_store import BlobStore
from isocenter.ports.index import Index
from isocenter.ports.platform import Platform
from isocenter.records import Details, ImageQuery, ImageRecord, Kind, State

WHOLE = 4 << 20  # up to this size an object is read and checked whole before its first byte goes out
_DETAILS = 1000  # metadata rows fetched with one query
_RECORDS = 5000  # rows fetched with one query
_TAG_BYTES = 256 << 10  # the largest bulk value that is answered in place
# Of a download of many, so much is read and checked before its turn comes: one after another, hashing would hold up
# sending and sending hashing.
_AHEAD, _AHEAD_BYTES, _AHEAD_THREADS = 32, 16 << 20, 2
_RECENT, _RECENT_BYTES = 256, 32 << 20
PIXEL_PATH = "7FE00010"
PIXEL_PATHS = frozenset(("7FE00008", "7FE00009", PIXEL_PATH))


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes on their way out. `sha256` is that of exactly these bytes, None where they were never hashed.

    `span` gives those from its first argument up to its second, reading no others; a part cannot be checked.
    """

    chunks: Iterator[bytes]
    size: int
    etag: str
    sha256: str | None
    span: Callable[[int, int], Iterator[bytes]] | None = None


@dataclass(frozen=True, slots=True)
class Framed:
    """What it takes to find a frame, without the rest of the header."""

    description: PixelDescription
    table: FrameTable


class Retrieve:
    """Reads what the archive keeps; what the caller may see is decided before."""

    def __init__(self, platform: Platform) -> None:
        self._blobs: BlobStore = platform.blobs
        self._index: Index = platform.index
        self._ahead = ThreadPoolExecutor(_AHEAD_THREADS, thread_name_prefix="read-ahead")
        self._framed: Recent[tuple[str, str], Framed] = Recent(_RECENT, _RECENT_BYTES)

    def image(self, id: str, stores: tuple[str, ...]) -> ImageRecord:
        """The current image with this internal id in one of `stores`, else NotFound."""
        record = self._index.get(id)
        if record is None or record.state is not State.CURRENT or record.store not in stores:
            raise NotFound("there is no image with this id")
        return record

    def instance(self, query: ImageQuery) -> ImageRecord:
        """The one current image that a query names."""
        found = self._index.images(query)
        if not found.items:
            raise NotFound("there is no such instance")
        return found.items[0]

    def instances(self, query: ImageQuery) -> list[ImageRecord]:
        """Every current image that a query names, in few queries; NotFound where there is none."""
        found: list[ImageRecord] = []
        after: str | None = None
        while True:
            page = self._index.images(replace(query, after=after, limit=_RECORDS))
            found.extend(page.items)
            after = page.next
            if after is None:
                break
        if not found:
            raise NotFound("there is no such study, series or instance")
        return found

    def subject_image(self, store: str, subject_id: str, image_id: str) -> ImageRecord:
        found = self._index.images(ImageQuery((store,), subject_id=subject_id, image_id=image_id, limit=1))
        if not found.items:
            raise NotFound("there is no image with these ids")
        return found.items[0]

    def original(self, record: ImageRecord) -> Content:
        """Exactly the bytes that came in; they are read when the chunks are."""
        span = partial(self._part, record, b"", 0)
        blob = record.blob
        return Content(self._checked(record, b"", 0), blob.size, blob.sha256, blob.sha256, span)

    def part10(self, record: ImageRecord) -> Content:
        """A PS3.10 file: the original, with a preamble of zeros in place of any other, headed where it was bare.

        Programs hide in preambles, so none but zeros leaves by DICOMweb.
        """
        if record.has_part10_header and record.preamble_is_zero:
            return self.original(record)
        head, skip = _head_of(record)
        span = partial(self._part, record, head, skip)
        chunks = self._checked(record, head, skip)
        return Content(chunks, self.part10_size(record), f"{record.blob.sha256}-p10", None, span)

    def part10_size(self, record: ImageRecord) -> int:
        """How many bytes `part10` gives."""
        head, skip = _head_of(record)
        return len(head) + record.blob.size - skip

    def part10_files(self, records: Iterable[ImageRecord]) -> Iterator[tuple[ImageRecord, Content]]:
        """The files of many, in order, the next ones being read and checked meanwhile; at most 16 MiB are held."""
        waiting: deque[tuple[ImageRecord, Content]] = deque()
        held = 0
        for record in records:
            content = self.part10(record)
            if record.blob.size <= WHOLE:
                ready = self._ahead.submit(tuple, content.chunks)
                content = replace(content, chunks=(chunk for future in (ready,) for chunk in future.result()))
                held += record.blob.size
            waiting.append((record, content))
            while len(waiting) > _AHEAD or held > _AHEAD_BYTES:
                held -= waiting[0][0].blob.size if waiting[0][0].blob.size <= WHOLE else 0
                yield waiting.popleft()
        yield from waiting

    def _checked(self, record: ImageRecord, head: bytes, skip: int) -> Iterator[bytes]:
        """`head` and the blob from `skip` on, held against its SHA-256: Corrupted before the last chunk goes out."""
        try:
            if record.blob.size <= WHOLE:
                data = self._blobs.read(record.blob.key)
                _require(record, hashlib.sha256(data).hexdigest() == record.blob.sha256)
                yield head + data[skip:] if head else data[skip:]
                return
            digest = hashlib.sha256()
            held = head
            for chunk in self._blobs.stream(record.blob.key):
                digest.update(chunk)
                if held:
                    yield held
                held, skip = chunk[skip:], max(0, skip - len(chunk))
            _require(record, digest.hexdigest() == record.blob.sha256)
            yield held
        except NotFound as error:  # a stream may say so only when it is read
            raise _missing() from error

    def _part(self, record: ImageRecord, head: bytes, skip: int, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` of `head` and the blob from `skip` on."""
        if start < len(head):
            yield head[start:stop]
        first, last = max(0, start - len(head)), stop - len(head)
        if first >= last:
            return
        try:
            yield from self._blobs.stream(record.blob.key, skip + first, last - first)
        except NotFound as error:
            raise _missing() from error

    def metadata(self, record: ImageRecord) -> Metadata:
        """The kept DICOM JSON metadata of an instance; no blob is read."""
        if record.kind is not Kind.DICOM:
            raise BadRequest("this image is not DICOM; it has no Data Set", code="not-dicom")
        found = self._index.details([record.id]).get(record.id)
        if found is None:
            raise _missing()
        return Metadata.from_bytes(found.metadata)

    def metadata_of(self, records: Sequence[ImageRecord]) -> dict[str, Metadata]:
        """The kept metadata of many instances by internal id, in few queries and without reading a blob."""
        return self.metadata_by_id([record.id for record in records if record.kind is Kind.DICOM])

    def metadata_by_id(self, ids: Sequence[str]) -> dict[str, Metadata]:
        """The same by internal ids; what is gone meanwhile is left out."""
        found: dict[str, Metadata] = {}
        for start in range(0, len(ids), _DETAILS):
            for id, details in self._index.details(ids[start : start + _DETAILS]).items():
                found[id] = Metadata.from_bytes(details.metadata)
        return found

    def each_details(self, records: Sequence[ImageRecord]) -> Iterator[tuple[ImageRecord, Details]]:
        """What is kept beside the rows of many instances, in order; what is gone meanwhile is left out."""
        for start in range(0, len(records), _DETAILS):
            part = records[start : start + _DETAILS]
            found = self._index.details([record.id for record in part])
            yield from ((record, found[record.id]) for record in part if record.id in found)

    def each_metadata(self, records: Sequence[ImageRecord]) -> Iterator[tuple[ImageRecord, Metadata]]:
        """The kept metadata of many instances, in order, taken apart one at a time."""
        return ((record, Metadata.from_bytes(kept.metadata)) for record, kept in self.each_details(records))

    def models(
        self, records: Sequence[ImageRecord], base: Callable[[ImageRecord], str]
    ) -> Iterator[tuple[ImageRecord, bytes]]:
        """The models of many instances as JSON text, in order; `base` is what stands before each BulkDataURI."""
        return ((record, addressed_model(kept.metadata, base(record))) for record, kept in self.each_details(records))

    def fingerprint(self, records: Sequence[ImageRecord], form: str = "") -> str:
        """A validator for what is made of these images: it changes when one is added, removed or replaced.

        `form` tells apart what is made of the same images.
        """
        named = "".join([f"{record.id}:{record.blob.sha256};" for record in records])
        return hashlib.sha256(f"{form}{named}".encode()).hexdigest()[:32]

    def bulk(self, record: ImageRecord, path: str) -> Iterator[bytes]:
        """The bytes of one bulk value, in chunks."""
        return self.bulk_value(record, path).chunks

    def bulk_value(self, record: ImageRecord, path: str, metadata: Metadata | None = None) -> Content:
        """One bulk value, its bytes as stored; NotFound also for encapsulated pixel data, which has frames instead."""
        place = (metadata or self.metadata(record)).bulk.get(path)
        if place is None:
            raise NotFound("there is no such bulk data in this instance")
        offset, length = place

        def span(start: int, stop: int) -> Iterator[bytes]:
            return self._spanned(record, offset + start, stop - start)

        return Content(span(0, length), length, f"{record.blob.sha256[:32]}-{path.replace('/', '-')}", None, span)

    def _spanned(self, record: ImageRecord, offset: int, length: int) -> Iterator[bytes]:
        """As `span`, in chunks."""
        if encoding_of(record.transfer_syntax_uid or "").deflated:
            yield self.span(record, offset, length)
            return
        try:
            yield from self._blobs.stream(record.blob.key, offset, length)
        except NotFound as error:
            raise _missing() from error

    def framed(self, record: ImageRecord) -> Framed:
        """How the frames of an instance lie; kept for a while, as viewers ask for one frame after another.

        The header of a thousand functional groups takes a hundred times as long to read as one frame.
        """
        key = (record.id, record.blob.sha256)
        known = self._framed.get(key)
        if known is not None:
            return known
        found = self._index.details([record.id]).get(record.id)
        if found is None or found.frames is None:
            raise NotFound("this instance has no frames that can be told apart")
        data_set = DataSet(Metadata.from_bytes(found.metadata).model)
        description = PixelDescription.from_data_set(data_set, record.transfer_syntax_uid or "")
        made = Framed(description, FrameTable.from_bytes(found.frames))
        self._framed.put(key, made, made.table.memory)
        return made

    def frames(self, record: ImageRecord, numbers: Iterable[int]) -> Iterator[bytes]:
        """Frames by number from 1, native ones little endian; NotFound before the first where one does not exist."""
        wanted = list(numbers)
        framed = self.framed(record)
        table, description = framed.table, framed.description
        if any(not 1 <= number <= table.count for number in wanted):
            raise NotFound(f"there is no such frame; the instance has {table.count}")
        read = partial(self.span, record)
        return (little_endian(description, read_frame(table, description, n, read)) for n in wanted)

    def attribute(self, record: ImageRecord, path: TagPath) -> Mapping[str, Any]:
        """One attribute in the JSON model; a bulk value up to 256 KiB is read and given inline."""
        metadata = self.metadata(record)
        model = metadata.meta if path.tag >> 16 == 2 and not path.through else metadata.model
        for tag, item in path.through:
            items = model.get(f"{tag:08X}", {}).get("Value", [])
            if item >= len(items) or not isinstance(items[item], dict):
                raise NotFound(f"{keyword_of(tag)} has no item {item} here", code="no-such-attribute")
            model = items[item]
        found = model.get(f"{path.tag:08X}")
        if found is None:
            raise NotFound(f"{keyword_of(path.tag)} is not in this instance", code="no-such-attribute")
        place = metadata.bulk.get(path.name)
        if "BulkDataURI" not in found or place is None or place[1] > _TAG_BYTES:
            return found
        return {
            "vr": found["vr"],
            "InlineBinary": base64.b64encode(self.span(record, *place)).decode("ascii"),
        }

    def span(self, record: ImageRecord, offset: int, length: int) -> bytes:
        """Bytes of the Data Set by their kept offset: of the blob, or of what it inflates to where it is deflated."""
        try:
            if not encoding_of(record.transfer_syntax_uid or "").deflated:
                return self._blobs.read(record.blob.key, offset, length)
            return inflated_span(self._blobs.stream(record.blob.key, record.body_offset), offset, length)
        except NotFound as error:
            raise _missing() from error


def _head_of(record: ImageRecord) -> tuple[bytes, int]:
    """What goes before the blob, and how much of the blob that takes the place of."""
    if not record.has_part10_header:
        uids = (record.sop_class_uid, record.sop_instance_uid, record.transfer_syntax_uid)
        return part10_header(*(uid or "" for uid in uids)), record.body_offset
    return (b"", 0) if record.preamble_is_zero else (PREAMBLE, len(PREAMBLE))


def _require(record: ImageRecord, intact: bool) -> None:
    if not intact:
        raise Corrupted(
            "the stored object no longer matches its SHA-256; it was not sent. `isocenter scrub` tells more"
        )


def _missing() -> Unavailable:
    return Unavailable("the stored object is missing; `isocenter fsck` tells more", code="stored-object-missing")
