"""The Retrieve transaction: originals byte for byte, Part 10 files, metadata, single attributes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

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
from isocenter.records import ImageQuery, ImageRecord, Kind, State

WHOLE = 4 << 20  # up to this size an object is read and checked whole before its first byte goes out
_DETAILS = 500  # metadata rows fetched with one query
_TAG_BYTES = 256 << 10  # the largest bulk value that is answered in place


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes on their way out. `sha256` is that of exactly these bytes, None where they were never hashed."""

    chunks: Iterator[bytes]
    size: int
    etag: str
    sha256: str | None


class Retrieve:
    """Reads what the archive keeps; what the caller may see is decided before."""

    def __init__(self, platform: Platform) -> None:
        self._blobs: BlobStore = platform.blobs
        self._index: Index = platform.index

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

    def subject_image(self, store: str, subject_id: str, image_id: str) -> ImageRecord:
        found = self._index.images(ImageQuery((store,), subject_id=subject_id, image_id=image_id, limit=1))
        if not found.items:
            raise NotFound("there is no image with these ids")
        return found.items[0]

    def original(self, record: ImageRecord) -> Content:
        """Exactly the bytes that came in."""
        return Content(self._checked(record, 0), record.blob.size, record.blob.sha256, record.blob.sha256)

    def part10(self, record: ImageRecord) -> Content:
        """A PS3.10 file: the original, with a preamble of zeros in place of any other, headed where it was bare.

        Programs hide in preambles, so none but zeros leaves by DICOMweb.
        """
        if record.has_part10_header and record.preamble_is_zero:
            return self.original(record)
        if record.has_part10_header:
            head, skip = PREAMBLE, len(PREAMBLE)
        else:
            head = part10_header(
                record.sop_class_uid or "", record.sop_instance_uid or "", record.transfer_syntax_uid or ""
            )
            skip = record.body_offset
        chunks = _headed(head, self._checked(record, skip))
        return Content(chunks, len(head) + record.blob.size - skip, f"{record.blob.sha256}-p10", None)

    def _checked(self, record: ImageRecord, skip: int) -> Iterator[bytes]:
        """The blob from `skip` on, held against its SHA-256; raises Corrupted before the last chunk goes out."""
        try:
            if record.blob.size <= WHOLE:
                data = self._blobs.read(record.blob.key)
                _require(record, hashlib.sha256(data).hexdigest() == record.blob.sha256)
                return iter((data[skip:],))
            return self._checked_stream(record, skip)
        except NotFound as error:
            raise _missing() from error

    def _checked_stream(self, record: ImageRecord, skip: int) -> Iterator[bytes]:
        digest = hashlib.sha256()
        held = b""
        try:
            for chunk in self._blobs.stream(record.blob.key):
                digest.update(chunk)
                if held:
                    yield held
                held, skip = chunk[skip:], max(0, skip - len(chunk))
        except NotFound as error:  # a stream may say so only when it is read
            raise _missing() from error
        _require(record, digest.hexdigest() == record.blob.sha256)
        yield held

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

    def fingerprint(self, records: Sequence[ImageRecord]) -> str:
        """A validator for what is made of these images: it changes when one is added, removed or replaced."""
        digest = hashlib.sha256()
        for record in records:
            digest.update(f"{record.id}:{record.blob.sha256};".encode("ascii"))
        return digest.hexdigest()[:32]

    def bulk(self, record: ImageRecord, path: str) -> Iterator[bytes]:
        """The pieces of one bulk value: one, or for encapsulated pixel data one for each frame."""
        place = self.metadata(record).bulk.get(path)
        if place is not None:
            return iter((self.span(record, *place),))
        if path == "7FE00010" and record.number_of_frames:
            return self.frames(record, range(1, record.number_of_frames + 1))
        raise NotFound("there is no such bulk data in this instance")

    def frames(self, record: ImageRecord, numbers: Iterable[int]) -> Iterator[bytes]:
        """Frames by number from 1, native ones little endian; NotFound before the first where one does not exist."""
        wanted = list(numbers)
        found = self._index.details([record.id]).get(record.id)
        if found is None or found.frames is None:
            raise NotFound("this instance has no frames that can be told apart")
        table = FrameTable.from_bytes(found.frames)
        if any(not 1 <= number <= table.count for number in wanted):
            raise NotFound(f"there is no such frame; the instance has {table.count}")
        data_set = DataSet(Metadata.from_bytes(found.metadata).model)
        description = PixelDescription.from_data_set(data_set, record.transfer_syntax_uid or "")
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


def _headed(head: bytes, body: Iterator[bytes]) -> Iterator[bytes]:
    return chain((head + next(body, b""),), body)


def _require(record: ImageRecord, intact: bool) -> None:
    if not intact:
        raise Corrupted(
            "the stored object no longer matches its SHA-256; it was not sent. `isocenter scrub` tells more"
        )


def _missing() -> Unavailable:
    return Unavailable("the stored object is missing; `isocenter fsck` tells more", code="stored-object-missing")
