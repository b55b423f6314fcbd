"""The way in: bytes of one image in, pushed or pulled, a report out; then a batch of what was remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from isocenter.archive.recognise import inspector_for
from isocenter.dicom.elements import PIXEL_DATA, UNDEFINED, Limits
from isocenter.dicom.iod import modules_of
from isocenter.dicom.part10 import Header, HeaderReader
from isocenter.errors import BadRequest, LimitExceeded, Malformed, NotAnImage, Rejected
from isocenter.pipeline.validation.batch import Entry, Hasher, SeriesReport, check_batch, entry_of
from isocenter.pipeline.validation.elements import Values
from isocenter.pipeline.validation.file_meta import check_dates, check_file, check_identifiers
from isocenter.pipeline.validation.image import check_image
from isocenter.pipeline.validation.models import PatientMetadata, StudyMetadata
from isocenter.pipeline.validation.other_kinds import NIFTI_SIZES, NiftiCheck, PictureCheck
from isocenter.pipeline.validation.pixels import check_pixels
from isocenter.pipeline.validation.profile import Profile, load
from isocenter.pipeline.validation.report import Collector, Report
from isocenter.pipeline.validation.required import RequiredAttributes, plan_of
from isocenter.pipeline.validation.values import ValueRules

Read = Callable[[int, int], bytes]

_HEAD = 1024  # so many first bytes tell every kind
_FIRST, _STEP = 64 << 10, 256 << 10
_STREAM = 64 << 10  # bytes of the first codestream that are kept
_DIRECTORY = "1.2.840.10008.1.3.10"
# Rules by the codes of the readers' errors; any other is `unreadable`.
_RULES = {
    "truncated": "truncated", "not-dicom": "not-an-image", "not-nifti": "not-an-image", "zip-archive": "not-an-image",
    "unknown-transfer-syntax": "transfer-syntax-unknown", "encoding-mismatch": "transfer-syntax-wrong",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Examined:
    """The report on one image, and what is remembered of a DICOM instance for the rules of its batch."""

    report: Report
    entry: Entry | None = None


class _Other(Protocol):
    """The check of a kind that is not DICOM."""

    @property
    def may_skip(self) -> bool: ...

    def skip(self, size: int) -> None: ...

    def feed(self, chunk: bytes) -> None: ...

    def finish(self, found: Collector) -> None: ...


class Validator:
    """Holds images against one profile. `today` is the day that dates are held against; `hasher` that of the batch."""

    def __init__(
        self, profile: Profile | str = "standard", *, limits: Limits | None = None, today: date | None = None,
        hasher: Hasher | None = None,
    ) -> None:  # fmt: skip
        self.profile = load(profile) if isinstance(profile, str) else profile
        self.limits = limits or Limits()
        self.today = today or date.today()  # noqa: DTZ011  a day of grace is given either way
        self.hasher = hasher or Hasher()

    def examination(self) -> Examination:
        """To push the bytes of one image through."""
        return Examination(self)

    def object(self, read: Read, length: int) -> Examined:
        """One image of `length` bytes, read by position; pixel data is passed over."""
        examination = Examination(self)
        at, step = 0, _FIRST
        while at < length and not examination.done:
            over = min(examination.passing_over, length - at)
            if over:
                examination.pass_over(over)
                at += over
                continue
            chunk = read(at, min(step, length - at))
            if not chunk:
                break
            examination.feed(chunk)
            at, step = at + len(chunk), _STEP
        return examination.finish()

    def header(self, header: Header, codestream: bytes = b"", content: bytes = b"") -> Examined:
        """One DICOM instance whose header has been read; `codestream` begins its first fragment."""
        found = Collector(self.profile)
        values = Values(header.elements, big_endian=header.encoding.big_endian)
        found.sop_class_uid = values.uid(0x00080016)
        if Values(header.meta).uid(0x00020002) == _DIRECTORY or found.sop_class_uid == _DIRECTORY:
            found.add("not-an-image", detail="a DICOMDIR is a directory of files, not an image; validate its folder")
            return Examined(found.report())
        check_file(found, header)
        check_identifiers(found, values)
        plan = plan_of(found.sop_class_uid)
        if plan is not None:
            RequiredAttributes(found, plan).check(header.elements)
        ValueRules(found, implicit=header.encoding.implicit).check(header.elements)
        check_dates(found, PatientMetadata.of(values), StudyMetadata.of(values), self.today)
        is_image = any(
            module.name == "image-pixel" and module.usage == "M" for module in modules_of(found.sop_class_uid)
        )
        check_pixels(found, header, values, codestream, is_image=is_image)
        check_image(found, values)
        return Examined(found.report(), entry_of(values, self.hasher, content))

    def batch(self, entries: Sequence[Entry]) -> list[SeriesReport]:
        """What can only be told of the instances of a batch together."""
        return list(check_batch(entries, self.profile))


class Examination:
    """One image as its bytes pass: `feed` them in order, `pass_over` those that need not be looked at, `finish`."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self._first = b""
        self._size = 0
        self._reader: HeaderReader | None = None
        self._other: _Other | None = None
        self._error: Rejected | None = None
        self._part10 = False
        self._stream = bytearray()  # from the first byte of encapsulated pixel data on
        self._stream_at = -1
        self._hash = hashlib.blake2b(digest_size=16)  # of the first bytes, however they are fed

    @property
    def done(self) -> bool:
        """Whether nothing that is still to come can change the report."""
        return self._error is not None

    @property
    def passing_over(self) -> int:
        """So many of the next bytes may be passed over."""
        if self._other is not None:
            return 1 << 62 if self._other.may_skip else 0
        if self._reader is None or (self._stream_at >= 0 and len(self._stream) < _STREAM):
            return 0
        return self._reader.passing_over

    def pass_over(self, size: int) -> None:
        self._size += size
        if self._other is not None:
            self._other.skip(size)
        elif self._reader is not None:
            self._reader.pass_over(size)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; what is wrong with them is told by `finish`."""
        if self.done:
            return
        if self._reader is None and self._other is None:
            self._first += chunk
            if len(self._first) < _HEAD:
                return
            chunk, self._first = self._first, b""
            self._begin(chunk)
        self._take(chunk)

    def _begin(self, head: bytes) -> None:
        try:
            # Whatever ingestion takes is validated as what ingestion takes it for.
            inspector_for(head[:_HEAD], self._validator.limits)
        except Rejected as error:
            self._error = error
            return
        self._part10 = head[128:132] == b"DICM"
        if self._part10:
            self._reader = HeaderReader(self._validator.limits)
        elif head[:3] == b"\xff\xd8\xff" or head[:4] in (b"\x89PNG", b"GIF8"):
            self._other = PictureCheck()
        elif head[:2] == b"\x1f\x8b" or head[:4] in NIFTI_SIZES:
            self._other = NiftiCheck(self._validator.limits, packed=head[:2] == b"\x1f\x8b")
        else:
            self._reader = HeaderReader(self._validator.limits)

    def _take(self, chunk: bytes) -> None:
        at, self._size = self._size, self._size + len(chunk)
        if self._error is not None:
            return
        try:
            if self._other is not None:
                self._other.feed(chunk)
            elif self._reader is not None:
                if at < _FIRST:
                    self._hash.update(chunk[: _FIRST - at])
                self._reader.feed(chunk)
                self._keep_stream(self._reader, chunk, at)
        except Rejected as error:
            self._error = error

    def _keep_stream(self, reader: HeaderReader, chunk: bytes, at: int) -> None:
        if self._stream_at < 0:
            pixels = reader.elements.get(PIXEL_DATA)
            if pixels is None or pixels.length != UNDEFINED:
                return
            self._stream_at = pixels.offset
        if len(self._stream) < _STREAM:
            begin = max(0, self._stream_at + len(self._stream) - at)
            self._stream += chunk[begin : begin + _STREAM - len(self._stream)]

    def finish(self) -> Examined:
        """The report; nothing that is wrong with an image raises."""
        validator = self._validator
        if self._reader is None and self._other is None and self._error is None:
            first, self._first = self._first, b""
            self._begin(first)
            self._take(first)
        try:
            if self._error is not None:
                raise self._error
            if self._other is not None:
                found = Collector(validator.profile, "nifti" if isinstance(self._other, NiftiCheck) else "picture")
                self._other.finish(found)
                return Examined(found.report())
            assert self._reader is not None
            header = self._reader.finish()
        except Rejected as error:
            if error.code == "not-dicom" and self._part10:
                error = Malformed(error.detail, code="bad-data-set")  # it says that it is DICOM, and is not
            return Examined(refused(error, validator.profile))
        return validator.header(header, self._first_fragment(header), self._hash.digest() + b"%d" % self._size)

    def _first_fragment(self, header: Header) -> bytes:
        if self._stream_at < 0 or header.fragments is None or not header.fragments.offsets:
            return b""
        begin = header.fragments.offsets[0] - self._stream_at
        return bytes(self._stream[begin : begin + header.fragments.lengths[0]])


def refused(error: Rejected, profile: Profile) -> Report:
    """The report on what could not be read at all. Errors name keywords and limits, never contents."""
    rule = _RULES.get(error.code)
    if rule is None:
        rule = "not-an-image" if isinstance(error, NotAnImage) else "unreadable"
        rule = "over-limit" if isinstance(error, LimitExceeded) else rule
    found = Collector(profile, "unknown" if rule == "not-an-image" else "broken")
    found.add(rule, detail=error.detail)
    return found.report()


def validate_instance(header: Header | bytes, length: int, profile: Profile | str = "standard") -> Report:
    """The report on one image of `length` bytes by its header, or by its first bytes.

    First bytes have to reach to the pixel data: BadRequest where they do not. Of encapsulated pixel data that goes on
    behind them the fragments are not held to account; give `Validator.object` a way to read those.
    """
    validator = Validator(profile)
    if isinstance(header, Header):
        return validator.header(header).report
    examination = validator.examination()
    examination.feed(header)
    left = length - len(header)
    if not left or examination.done:
        return examination.finish().report
    if left <= examination.passing_over:
        examination.pass_over(left)
        return examination.finish().report
    return _without_pixels(validator, header)


def _without_pixels(validator: Validator, first: bytes) -> Report:
    """The report on the first bytes of an instance whose encapsulated pixel data goes on behind them."""
    reader = HeaderReader(validator.limits)
    try:
        reader.feed(first)
        pixels = reader.elements.get(PIXEL_DATA)
        if pixels is None:
            raise BadRequest("the bytes given end before the pixel data; give more of them", code="too-few-bytes")
        again = HeaderReader(validator.limits)
        again.feed(first[: pixels.offset - (8 if reader.encoding.implicit else 12)])
        header = again.finish()
    except Rejected as error:
        return refused(error, validator.profile)
    header.elements[PIXEL_DATA] = pixels._replace(value=None)
    return validator.header(header).report
