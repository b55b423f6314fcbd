"""Retrieve in another transfer syntax: Part 10 files and single frames, pixels decoded in killable workers."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Protocol

from isocenter.archive.retrieve import WHOLE, Retrieve
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import PIXEL_TAGS, UNDEFINED, Element, Limits
from isocenter.dicom.frames import FrameTable, read_frame
from isocenter.dicom.instance import Metadata
from isocenter.dicom.part10 import HeaderReader
from isocenter.dicom.pixel_description import EXPLICIT_LITTLE, IMPLICIT_LITTLE, PixelDescription
from isocenter.dicom.pixel_encode import NATIVE_TARGETS, EncodedFrame, FrameWork, Quality, recompress, targets_of
from isocenter.dicom.recode import Source
from isocenter.dicom.transcode import icon_description, rewritten, transcoded
from isocenter.dicom.transfer_syntax import NATIVE, encoding_of
from isocenter.dicom.walk import Walker
from isocenter.errors import BadRequest, Corrupted, Malformed, NotAcceptable, NotFound, Rejected, Unavailable
from isocenter.ports.platform import Platform
from isocenter.records import ImageRecord, Kind

_STEP = 256 << 10
_IN_MEMORY = 32 << 20  # of an inflated Data Set; what is longer goes to a temporary file without a name
# What came in was measured then; here limits only break loops.
_DEEP = Limits(depth=64, elements=10_000_000, header_bytes=1 << 30, inflated_bytes=1 << 40)
_MOST_ICON = 16 << 20

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Representation:
    """A Part 10 file on its way out. `size` is None where it is known only at the end.

    `etag` names original, transfer syntax and quality; the bytes behind it may differ from version to version of a
    codec, so it is a weak one.
    """

    chunks: Iterator[bytes]
    transfer_syntax_uid: str
    size: int | None
    etag: str


@dataclass(frozen=True, slots=True)
class _Opened:
    """What transcoding needs of one instance; `description` and `table` are None without frames."""

    read: Read
    size: int
    description: PixelDescription | None
    table: FrameTable | None


class _Inflated:
    """An inflated Data Set, in memory or in a temporary file without a name."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when the last reader lets go of it
        self.size = 0

    def append(self, data: bytes) -> None:
        self.size += self._file.write(data)

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def __del__(self) -> None:
        self._file.close()


class Transcoded:
    """Gives what the archive keeps in another transfer syntax; `seconds` is what one frame may take."""

    def __init__(self, platform: Platform, retrieve: Retrieve, seconds: float, limits: Limits = _DEEP) -> None:
        self._platform = platform
        self._retrieve = retrieve
        self._seconds = seconds
        self._limits = limits

    def targets(self, record: ImageRecord) -> tuple[str, ...]:
        """The transfer syntaxes this instance can be given in, its own first; no blob is read.

        BadRequest where it is not DICOM.
        """
        own = record.transfer_syntax_uid or ""
        description, table, swappable = self._pixels(record)
        if description is not None and table is not None:
            return targets_of(description)
        # Without pixels nothing stands against another native encoding; pixels that cannot be told apart stay.
        if own in NATIVE and swappable:
            return tuple(dict.fromkeys((own, EXPLICIT_LITTLE, IMPLICIT_LITTLE)))
        return (own,)

    def part10(
        self, record: ImageRecord, target: str, quality: Quality | None = None, *, new_uid: str | None = None
    ) -> Representation:
        """The instance as a PS3.10 file in `target`; the original where that is its own transfer syntax.

        The first frame is made before this returns, so that errors come while a status can still be chosen:
        NotAcceptable where `target` is not one of `targets`, Rejected where pixels cannot be decoded. `new_uid`
        (only where pixels are encoded) is explained in `dicom.transcode`.
        """
        quality = quality or Quality()
        if target == record.transfer_syntax_uid and new_uid is None:
            content = self._retrieve.part10(record)
            return Representation(content.chunks, target, content.size, content.etag)
        if target not in self.targets(record):
            raise _not_possible()
        opened = self._open(record)
        source = self._source(record, opened)
        etag = f"{record.blob.sha256}-{target}-{quality.near}-{quality.jpeg}-{quality.psnr}"
        icon = partial(self._icon, record, opened)
        description = opened.description
        if target in NATIVE_TARGETS and (description is None or not description.encapsulated):
            bits = description.bits_allocated if description is not None else 8
            return Representation(rewritten(source, target, icon=icon, bits_allocated=bits), target, None, etag)
        if description is None or opened.table is None:
            raise _not_possible()
        get_frame = partial(self._frame, opened, description, opened.table, target, quality)
        chunks = transcoded(source, description, target, get_frame, icon=icon, new_uid=new_uid)
        return Representation(chunks, target, None, etag)

    def frames(
        self, record: ImageRecord, numbers: Iterable[int], target: str, quality: Quality | None = None
    ) -> Iterator[bytes]:
        """The bytes of frames by number from 1, each as `target` has it; native ones little endian.

        NotFound before the first where one does not exist; NotAcceptable where `target` is not possible. The first
        frame is made before this returns.
        """
        wanted = list(numbers)
        if target == record.transfer_syntax_uid or (
            target in NATIVE_TARGETS and (record.transfer_syntax_uid or "") in NATIVE
        ):
            return self._retrieve.frames(record, wanted)
        if target not in self.targets(record):
            raise _not_possible()
        opened = self._open(record, whole=False)
        if opened.description is None or opened.table is None:
            raise NotFound("this instance has no frames that can be told apart")
        if any(not 1 <= number <= opened.table.count for number in wanted):
            raise NotFound(f"there is no such frame; the instance has {opened.table.count}")
        make = partial(self._frame, opened, opened.description, opened.table, target, quality or Quality())
        first = make(wanted[0]).data if wanted else b""
        return (first if place == 0 else make(number).data for place, number in enumerate(wanted))

    def _pixels(self, record: ImageRecord) -> tuple[PixelDescription | None, FrameTable | None, bool]:
        """Description and frames as far as there are any, and whether the pixel data's words can be turned."""
        if record.kind is not Kind.DICOM:
            raise BadRequest("this image is not DICOM; it has no transfer syntax", code="not-dicom")
        found = self._platform.index.details([record.id]).get(record.id)
        if found is None:
            raise _missing()
        data_set = DataSet(Metadata.from_bytes(found.metadata).model)
        if not any(tag in data_set for tag in PIXEL_TAGS):
            return None, None, True
        try:
            description = PixelDescription.from_data_set(data_set, record.transfer_syntax_uid or "")
        except Rejected:
            # It was kept all the same; without knowing its depth it can be copied, but not turned.
            return None, None, not encoding_of(record.transfer_syntax_uid or "").big_endian
        return description, None if found.frames is None else FrameTable.from_bytes(found.frames), True

    # ---- reading

    def _open(self, record: ImageRecord, *, whole: bool = True) -> _Opened:
        """A blob up to 4 MiB is read at once and held against its SHA-256 where all of it is wanted."""
        description, table, _ = self._pixels(record)
        key = record.blob.key
        try:
            if encoding_of(record.transfer_syntax_uid or "").deflated:
                read, size = self._inflated(record)
            elif whole and record.blob.size <= WHOLE:
                data = self._platform.blobs.read(key)
                if hashlib.sha256(data).hexdigest() != record.blob.sha256:
                    raise Corrupted("the stored object no longer matches its SHA-256; it was not sent")
                read, size = (lambda offset, length: data[offset : offset + length]), len(data)
            else:
                read, size = partial(self._retrieve.span, record), record.blob.size
        except NotFound as error:
            raise _missing() from error
        return _Opened(read, size, description, table)

    def _inflated(self, record: ImageRecord) -> tuple[Read, int]:
        """A deflated Data Set inflated once, for it can only be read from its beginning."""
        inflated = _Inflated()
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        for chunk in self._platform.blobs.stream(record.blob.key, record.body_offset):
            while chunk and not inflate.eof:
                try:
                    data = inflate.decompress(chunk, 1 << 20)
                except zlib.error as error:
                    raise Malformed("the deflated Data Set cannot be inflated", code="bad-deflate") from error
                chunk = inflate.unconsumed_tail
                inflated.append(data)
        inflated.append(inflate.flush())
        return inflated.read, inflated.size

    def _source(self, record: ImageRecord, opened: _Opened) -> Source:
        """The elements of the top level; pixel data is leapt over, and what follows it is read too."""
        encoding = encoding_of(record.transfer_syntax_uid or "")
        if encoding.deflated:
            return Source(_walked(Walker(encoding, 0, self._limits, []), opened, 0), encoding, opened.read)
        reader = HeaderReader(self._limits)
        _read_on(opened, 0, reader, reader.feed, lambda: any(tag in reader.elements for tag in PIXEL_TAGS))
        elements = dict(reader.elements)
        tag = next((tag for tag in PIXEL_TAGS if tag in elements), None)
        if tag is None:
            return Source(reader.finish().elements, reader.encoding, opened.read)
        for later in [known for known, element in elements.items() if element.offset > elements[tag].offset]:
            del elements[later]
        end = _end(elements[tag], opened)
        walker = Walker(reader.encoding, end, self._limits, [])
        walker.elements.update(elements)  # so that it knows that it is past the pixels
        return Source(_walked(walker, opened, end), reader.encoding, opened.read)

    # ---- making

    def _frame(
        self,
        opened: _Opened,
        description: PixelDescription,
        table: FrameTable,
        target: str,
        quality: Quality,
        number: int,
    ) -> EncodedFrame:
        data = read_frame(table, description, number, opened.read)
        skip = 0 if description.encapsulated else description.frame_span(number).skip_bits
        work = FrameWork(description, data, target, quality, skip)
        return self._platform.sandbox.run(recompress, work, seconds=self._seconds)

    def _icon(self, record: ImageRecord, opened: _Opened, item: Mapping[int, Element], element: Element) -> bytes:
        """Encapsulated pixel data inside a sequence, decoded: one frame in any number of fragments."""
        fragments, position, total = [], element.offset, 0
        while True:
            head = opened.read(position, 8)
            length = int.from_bytes(head[4:8], "little")
            if len(head) < 8 or head[:4] != b"\xfe\xff\x00\xe0":
                break
            total += 8 + length
            if total > _MOST_ICON:
                raise Malformed("PixelData of an icon is larger than icons are", code="icon-too-large")
            fragments.append(opened.read(position + 8, length))
            position += 8 + length
        description = icon_description(item, element, record.transfer_syntax_uid or "")
        work = FrameWork(description, b"".join(fragments[1:]), EXPLICIT_LITTLE)
        return self._platform.sandbox.run(recompress, work, seconds=self._seconds).data


class _Passing(Protocol):
    """What reads a Data Set by pieces, and leaps over long values."""

    @property
    def passing_over(self) -> int: ...

    def pass_over(self, count: int, /) -> None: ...


def _read_on(
    opened: _Opened, position: int, reader: _Passing, take: Callable[[bytes], object], enough: Callable[[], bool]
) -> None:
    """Give `take` what is there from a position on, but for what the reader passes over, until it has enough."""
    while position < opened.size and not enough():
        leap = min(reader.passing_over, opened.size - position)
        if leap:
            reader.pass_over(leap)
        else:
            chunk = opened.read(position, min(_STEP, opened.size - position))
            take(chunk)
            leap = len(chunk)
        position += leap


def _walked(walker: Walker, opened: _Opened, position: int) -> dict[int, Element]:
    _read_on(opened, position, walker, walker.take, lambda: walker.trailing)
    walker.finish()
    return walker.elements


def _end(element: Element, opened: _Opened) -> int:
    """Where pixel data ends in the blob."""
    if element.length != UNDEFINED:
        return element.offset + element.length
    table = opened.table
    if table is None or not table.offsets:
        raise _not_possible()
    end = table.offsets[-1] + table.lengths[-1]
    return end + 8 if opened.read(end, 4) == b"\xfe\xff\xdd\xe0" else end


def _not_possible() -> NotAcceptable:
    return NotAcceptable("this instance cannot be given in that transfer syntax", code="transfer-syntax-not-possible")


def _missing() -> Unavailable:
    return Unavailable("the stored object is missing; `isocenter fsck` tells more", code="stored-object-missing")
