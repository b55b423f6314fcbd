"""The frames of one instance: decoded one at a time, codecs in the sandbox, and made anew with boxes in black."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from isocenter.deid.boxes import Box
from isocenter.deid.pixel_fill import Fill, FrameBytes, Refill, decoded, fill_of, patched, patches_of, refilled
from isocenter.deid.pixel_views import Read, display_of
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import MOST_SAMPLES, DecodedFrame
from isocenter.dicom.elements import PIXEL_DATA
from isocenter.dicom.frames import frame_table, read_frame
from isocenter.dicom.part10 import Header
from isocenter.dicom.pixel_description import DEFLATED, EXPLICIT_LITTLE, PixelDescription
from isocenter.dicom.pixel_encode import (
    HTJ2K_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    RLE,
    EncodedFrame,
    photometric_when_decoded,
    targets_of,
)
from isocenter.dicom.recode import Changes, Source
from isocenter.dicom.transcode import native_pixels, pixel_changes
from isocenter.errors import LimitExceeded, Unsupported
from isocenter.ports.sandbox import Sandbox

# The lossless transfer syntax of each family that keeps pixels compressed.
FAMILIES: Final[Mapping[str, str]] = {
    **{f"1.2.840.10008.1.2.4.{end}": JPEG_LOSSLESS_SV1 for end in (50, 51, 53, 55, 57, 70)},
    **{f"1.2.840.10008.1.2.4.{end}": JPEG_LS for end in (80, 81)},
    **{f"1.2.840.10008.1.2.4.{end}": JPEG_2000_LOSSLESS for end in (90, 91)},
    **{f"1.2.840.10008.1.2.4.{end}": HTJ2K_LOSSLESS for end in (201, 202, 203)},
    RLE: RLE,
}
# Smallest and Largest Image Pixel Value, of the image and of the series: optional, and no longer known to be true.
_EXTREMES: Final = (0x00280106, 0x00280107, 0x00280108, 0x00280109)


class Frames:
    """Raises Malformed, Unsupported or LimitExceeded where the pixel data cannot be told apart into frames."""

    def __init__(self, header: Header, read: Read, data_set: DataSet, sandbox: Sandbox, seconds: float) -> None:
        self.description = PixelDescription.from_data_set(data_set, header.transfer_syntax_uid)
        if self.description.pixels * self.description.samples_per_pixel > MOST_SAMPLES:
            raise LimitExceeded(f"a frame has over {MOST_SAMPLES} samples", code="decode-limit")
        self._table = frame_table(header, self.description)
        self.display = display_of(data_set, self.description, header.elements, read)
        self._source = Source(header.elements, header.encoding, read)
        self._overlays = _has_embedded_overlays(data_set)
        self._sandbox = sandbox
        self._seconds = seconds
        self._held: tuple[int, DecodedFrame] | None = None
        self._fill: Fill | None = None

    @property
    def count(self) -> int:
        return self.description.number_of_frames

    def decoded(self, number: int) -> DecodedFrame:
        """Frame `number` from 1; the last one asked for is kept."""
        if self._held is None or self._held[0] != number:
            self._held = None
            work = self._bytes(number)
            # Native pixel data is only arithmetic on arrays of a size that was checked.
            encapsulated = self.description.encapsulated
            frame = self._sandbox.run(decoded, work, seconds=self._seconds) if encapsulated else decoded(work)
            self._held = (number, frame)
        return self._held[1]

    @property
    def fill(self) -> Fill:
        """Black, by the first frame: the same in all of them."""
        if self._fill is None:
            photometric = photometric_when_decoded(self.description)
            palette = self.display.palette
            self._fill = fill_of(self.description, photometric, palette, lambda: self.decoded(1).pixels)
        return self._fill

    @property
    def target(self) -> str:
        """The transfer syntax of cleaned pixels: native ones stay native, others lossless in their family.

        Where there is none (JPEG XL) or it cannot hold them, Explicit VR Little Endian, as for all native ones that
        are not deflated: `changes` are written so.
        """
        own = self.description.transfer_syntax_uid
        if not self.description.encapsulated:
            return own if own == DEFLATED else EXPLICIT_LITTLE
        family = FAMILIES.get(own, EXPLICIT_LITTLE)
        return family if family in targets_of(self.description) else EXPLICIT_LITTLE

    def changes(self, boxes: Mapping[int, Sequence[Box]]) -> Changes:
        """What takes the place of elements where boxes go, by frame; made as it is taken, one frame at a time."""
        gone: dict[int, Iterable[bytes] | None] = dict.fromkeys(_EXTREMES)
        if self.description.encapsulated:
            target, fill = self.target, self.fill

            def make(number: int) -> EncodedFrame:
                work = Refill(self._bytes(number), tuple(boxes.get(number, ())), fill, target)
                return self._sandbox.run(refilled, work, seconds=self._seconds)

            return {**gone, **pixel_changes(self._source, self.description, target, make)}
        if self.description.keyword != "PixelData":
            raise Unsupported("text in pixels of floating point is not taken out", code="float-pixel-data")
        element = self._source.elements[PIXEL_DATA]
        bits = self.description.bits_allocated
        pieces = native_pixels(self._source, PIXEL_DATA, element, bits, implicit=False)
        frames = sorted(boxes.items())
        patches = patches_of(self.description, frames, self.fill, length=element.length, overlays=self._overlays)
        return {**gone, PIXEL_DATA: patched(pieces, patches)}

    def _bytes(self, number: int) -> FrameBytes:
        data = read_frame(self._table, self.description, number, self._source.read)
        skip = 0 if self.description.encapsulated else self.description.frame_span(number).skip_bits
        return FrameBytes(self.description, data, skip)


def _has_embedded_overlays(data_set: DataSet) -> bool:
    """Whether overlays lie in unused bits of the pixel data (retired, PS3.3 C.9.2 of 2004)."""
    allocated = (data_set.integer(0x60000100 + (group << 16)) for group in range(0, 32, 2))
    return any(bits is not None and bits > 1 for bits in allocated)
