"""Tells what a stream of bytes is by its content, never by a name, and reads its header as it passes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Protocol

import orjson

from isocenter.dicom.elements import Limits
from isocenter.dicom.instance import Instance, describe, sop_of
from isocenter.dicom.part10 import Header, HeaderReader
from isocenter.errors import LimitExceeded, Malformed, NotAnImage
from isocenter.nifti.header import NiftiHeader, read_header
from isocenter.picture import HEAD_BYTES, Picture
from isocenter.picture import recognise as recognise_picture
from isocenter.records import Kind

HEAD = 1024  # so many first bytes tell every kind
_NIFTI_SIZES = (
    b"\x5c\x01\0\0",
    b"\0\0\x01\x5c",
    b"\x1c\x02\0\0",
    b"\0\0\x02\x1c",
)  # 348 and 540, both orders
_NIFTI_HEAD = 64 << 10
_STEP = 32 << 10
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an image once its last byte has passed."""

    kind: Kind
    media_type: str
    metadata: bytes
    number_of_frames: int = 1
    instance: Instance | None = None
    header: Header | None = None
    warnings: tuple[str, ...] = ()


class Inspector(Protocol):
    """Sees every byte of one image in order."""

    def feed(self, chunk: bytes | memoryview) -> None: ...

    def finish(self) -> Facts: ...

    @property
    def sop(self) -> tuple[str | None, str | None]:
        """SOP Class UID and SOP Instance UID as far as they are known, also of what is refused."""
        ...


class _NoSop:
    """Other kinds have no SOP Instance."""

    sop = (None, None)


def inspector_for(head: bytes, limits: Limits) -> Inspector:
    """The inspector for a stream that begins with `head` (its first HEAD bytes, or all of a shorter one)."""
    if head[128:132] == b"DICM":
        return DicomInspector(limits)
    if head.startswith(_PICTURES):
        return PictureInspector()
    if head[:4] in _NIFTI_SIZES and (head[344:346] == b"n+" or head[344:346] == b"ni" or head[4:6] in (b"n+", b"ni")):
        return NiftiInspector()
    if head[:2] == _GZIP:
        return GzipInspector(limits)
    if head[:2] == b"PK":
        raise NotAnImage("a ZIP archive; `isocenter ingest` takes it, this door takes one image", code="zip-archive")
    if _may_be_data_set(head):
        return DicomInspector(limits)
    raise NotAnImage("neither DICOM nor NIfTI nor JPEG, PNG or GIF")


def kind_of(head: bytes) -> Kind:
    """The kind of what begins so; NotAnImage where it is none. A gzip is taken for a NIfTI volume's."""
    if head.startswith(_PICTURES):
        return Kind.PNG if head[1:4] == b"PNG" else Kind.GIF if head[:3] == b"GIF" else Kind.JPEG
    inspector = inspector_for(head, Limits())
    return Kind.DICOM if isinstance(inspector, DicomInspector) else Kind.NIFTI


def _may_be_data_set(head: bytes) -> bool:
    """Whether this may be DICOM without preamble: it begins with an element of group 0002, 0004 or 0008."""
    return len(head) >= 8 and (
        head[:4] == b"DICM" or (head[1] == 0 and head[0] in (2, 4, 8)) or (head[0] == 0 and head[1] in (2, 4, 8))
    )


class DicomInspector:
    def __init__(self, limits: Limits) -> None:
        self._reader = HeaderReader(limits)

    @property
    def sop(self) -> tuple[str | None, str | None]:
        return sop_of(self._reader.elements)

    def feed(self, chunk: bytes | memoryview) -> None:
        reader, view, at = self._reader, memoryview(chunk), 0
        while at < len(view):
            step = min(reader.passing_over, len(view) - at)
            if step:
                reader.pass_over(step)
            else:
                step = min(_STEP, len(view) - at)
                reader.feed(bytes(view[at : at + step]))  # pixel data behind it is not copied
            at += step

    def finish(self) -> Facts:
        header = self._reader.finish()
        instance = describe(header)
        return Facts(
            Kind.DICOM,
            "application/dicom",
            instance.metadata(),
            instance.frames.count if instance.frames else 0,
            instance,
            header,
            instance.warnings,
        )


class PictureInspector(_NoSop):
    """Reads kind and size from the head; the pixels are decoded only when the picture is shown."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = b""
        self._picture: Picture | None = None

    def feed(self, chunk: bytes | memoryview) -> None:
        if self._picture is None:
            self._head += chunk
            # Only a JPEG's frame header may stand far from the start, behind previews and profiles.
            if self._head[:2] != b"\xff\xd8" or len(self._head) >= HEAD_BYTES:
                self._recognise()
        self._tail = (self._tail + bytes(chunk[-16:]))[-16:]

    def _recognise(self) -> Picture:
        self._picture = recognise_picture(bytes(self._head[:HEAD_BYTES]))
        if self._picture is None:
            raise Malformed("the picture has no readable header", code="bad-picture")
        self._head = bytearray()
        return self._picture

    def finish(self) -> Facts:
        picture = self._picture or self._recognise()
        if picture.kind == "png" and b"IEND" not in self._tail:
            raise Malformed("the PNG ends before its IEND chunk", code="truncated")
        size: dict[str, object] = {"width": picture.width, "height": picture.height}
        return Facts(Kind(picture.kind), picture.media_type, _packed(size))


class NiftiInspector(_NoSop):
    """Reads the header of an uncompressed volume and holds the length of the stream against it."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._size = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        self._size += len(chunk)
        if len(self._head) < _NIFTI_HEAD:
            self._head += chunk[: _NIFTI_HEAD - len(self._head)]

    def finish(self) -> Facts:
        header = read_header(bytes(self._head))
        return Facts(Kind.NIFTI, "application/x-nifti", _described(header, self._size, compressed=False))


class GzipInspector(_NoSop):
    """Inflates `.nii.gz` as it passes, keeps the head only, and so also checks every gzip member's CRC."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.inflated_bytes
        self._inflate = zlib.decompressobj(wbits=31)
        self._head = bytearray()
        self._size = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        while chunk:
            if self._inflate.eof:
                if not any(chunk):
                    return  # zero padding after the last member
                self._inflate = zlib.decompressobj(wbits=31)
            self._grow(self._decompress(chunk))
            chunk = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail

    def _decompress(self, chunk: bytes | memoryview) -> bytes:
        try:
            return self._inflate.decompress(chunk, 1 << 20)
        except zlib.error as error:
            raise Malformed("the gzip stream is damaged", code="bad-gzip") from error

    def _grow(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise LimitExceeded(
                f"larger than {self._limit} bytes when inflated (setting max_inflated_bytes)",
                code="inflated-too-large",
            )
        if len(self._head) < _NIFTI_HEAD:
            self._head += data[: _NIFTI_HEAD - len(self._head)]
            if len(self._head) >= 4 and bytes(self._head[:4]) not in _NIFTI_SIZES:
                raise NotAnImage("gzip of something that is no NIfTI volume", code="not-nifti")

    def finish(self) -> Facts:
        while not self._inflate.eof:
            data = self._decompress(b"")
            if not data:
                raise Malformed("the gzip stream ends in the middle", code="truncated")
            self._grow(data)
        header = read_header(bytes(self._head))
        return Facts(Kind.NIFTI, "application/gzip", _described(header, self._size, compressed=True))


def _described(header: NiftiHeader, size: int, *, compressed: bool) -> bytes:
    needed = int(header.vox_offset) + header.data_bytes
    if size < needed:
        raise Malformed(f"dim and datatype ask for {needed} bytes, the file has {size}", code="truncated")
    return _packed(
        {
            "dim": list(header.dim),
            "datatype": header.datatype,
            "affine": header.affine,
            "compressed": compressed,
        }
    )


def _packed(description: dict[str, object]) -> bytes:
    return zlib.compress(orjson.dumps({"image": description}, option=orjson.OPT_SERIALIZE_NUMPY), 1)
