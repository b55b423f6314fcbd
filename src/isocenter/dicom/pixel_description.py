"""The Image Pixel Module (PS3.3 C.7.6.3) as one checked value: how the bytes of pixel data are to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isocenter.dicom.data_set import DataSet
from isocenter.errors import LimitExceeded, Malformed, Unsupported

PixelKeyword = Literal["PixelData", "FloatPixelData", "DoubleFloatPixelData"]

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

# Whole-slide pyramids reach some hundred thousand frames; a count beyond this only serves to break a loop.
MOST_FRAMES = 10_000_000
MOST_ROWS = 0xFFFF

_PIXEL_TAGS: tuple[tuple[int, PixelKeyword], ...] = (
    (0x7FE00010, "PixelData"),
    (0x7FE00008, "FloatPixelData"),
    (0x7FE00009, "DoubleFloatPixelData"),
)
# Defined Terms of Photometric Interpretation with their samples per pixel, PS3.3 C.7.6.3.1.2 and the retired ones.
_SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_PARTIAL_420": 3,
    "YBR_PARTIAL_422": 3,
    "YBR_RCT": 3,
    "YBR_ICT": 3,
    "XYB": 3,
    "HSV": 3,
    "ARGB": 4,
    "CMYK": 4,
}


@dataclass(frozen=True, slots=True)
class FrameSpan:
    """Where a native frame lies: `offset` and `length` in bytes, `skip_bits` before its first sample."""

    offset: int
    length: int
    skip_bits: int


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """What the Image Pixel Module says of the pixel data, checked; sizes in pixels, depths in bits."""

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    planar_configuration: int
    number_of_frames: int
    transfer_syntax_uid: str
    keyword: PixelKeyword = "PixelData"
    vr: str = "OW"

    @classmethod
    def from_data_set(cls, data_set: DataSet, transfer_syntax_uid: str) -> PixelDescription:
        """Read and check the module; raises Malformed, Unsupported or LimitExceeded naming the Keyword."""
        keyword = _pixel_keyword(data_set)
        rows = _positive(data_set, 0x00280010, "Rows")
        columns = _positive(data_set, 0x00280011, "Columns")
        photometric, samples = _colour(data_set)
        allocated, stored, high_bit = _depth(data_set, keyword)
        representation = _choice(data_set, 0x00280103, "PixelRepresentation") if keyword == "PixelData" else 0
        if allocated == 1 and representation:
            raise Malformed("PixelRepresentation is signed where BitsAllocated is 1")
        # Planar Configuration means nothing with one sample, and files carry all sorts of values there.
        planar = _choice(data_set, 0x00280006, "PlanarConfiguration") if samples > 1 else 0
        pixel_tag = next(tag for tag, name in _PIXEL_TAGS if name == keyword)
        return cls(
            rows=rows,
            columns=columns,
            samples_per_pixel=samples,
            photometric_interpretation=photometric,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=high_bit,
            pixel_representation=representation,
            planar_configuration=planar,
            number_of_frames=_frames(data_set),
            transfer_syntax_uid=transfer_syntax_uid,
            keyword=keyword,
            vr=str(data_set.model[f"{pixel_tag:08X}"].get("vr", "OW")),
        )

    @property
    def encapsulated(self) -> bool:
        return self.transfer_syntax_uid not in NATIVE

    @property
    def big_endian(self) -> bool:
        return self.transfer_syntax_uid == EXPLICIT_BIG

    @property
    def signed(self) -> bool:
        return self.pixel_representation == 1

    @property
    def pixels(self) -> int:
        """Pixels in a frame."""
        return self.rows * self.columns

    @property
    def frame_bits(self) -> int:
        """Native length of a frame in bits, without padding; 4:2:2 shares each chroma pair between two pixels."""
        if self.photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422") and not self.encapsulated:
            return self.rows * ((self.columns + 1) // 2) * 4 * self.bits_allocated
        return self.pixels * self.samples_per_pixel * self.bits_allocated

    @property
    def frame_bytes(self) -> int:
        """Native length of a frame in bytes; for packed bits the bytes a frame that starts on a byte touches."""
        return (self.frame_bits + 7) // 8

    @property
    def native_bytes(self) -> int:
        """Native length of all frames in bytes, without the pad byte that makes it even."""
        return (self.frame_bits * self.number_of_frames + 7) // 8

    def frame_span(self, frame_number: int) -> FrameSpan:
        """The bytes to read for native frame `frame_number` (1-based).

        Frames of packed bits follow one another without padding (PS3.5 8.1.1), so one may begin inside a byte;
        and 8-bit samples in big-endian words (OW) may begin inside a word, whose bytes are swapped.
        """
        if not 1 <= frame_number <= self.number_of_frames:
            raise Malformed("the frame number lies outside NumberOfFrames")
        first = (frame_number - 1) * self.frame_bits
        unit = 16 if self.in_swapped_words else 8
        start = first // unit * unit
        end = -(-(first + self.frame_bits) // unit) * unit
        return FrameSpan(start // 8, (end - start) // 8, first - start)

    @property
    def in_swapped_words(self) -> bool:
        """Whether samples of 8 bits or fewer lie in big-endian 16-bit words."""
        return self.big_endian and self.vr == "OW" and self.bits_allocated <= 8


def _pixel_keyword(data_set: DataSet) -> PixelKeyword:
    present = [keyword for tag, keyword in _PIXEL_TAGS if tag in data_set]
    if not present:
        raise Unsupported("none of PixelData, FloatPixelData and DoubleFloatPixelData is present", code="no-pixel-data")
    if len(present) > 1:
        raise Malformed(f"{' and '.join(present)} are both present")
    return present[0]


def _integer(data_set: DataSet, tag: int, keyword: str) -> int | None:
    """The value as a whole number, None where absent or empty; anything else that is there is an error."""
    values = data_set.values(tag)
    if not values or values[0] is None:
        return None
    found = data_set.integer(tag)
    if found is None:
        raise Malformed(f"{keyword} is not a whole number")
    return found


def _positive(data_set: DataSet, tag: int, keyword: str) -> int:
    found = _integer(data_set, tag, keyword)
    if found is None:
        raise Malformed(f"{keyword} is missing")
    if not 1 <= found <= MOST_ROWS:
        raise Malformed(f"{keyword} is not between 1 and {MOST_ROWS}")
    return found


def _choice(data_set: DataSet, tag: int, keyword: str) -> int:
    found = _integer(data_set, tag, keyword)
    if found not in (None, 0, 1):
        raise Malformed(f"{keyword} is neither 0 nor 1")
    return found or 0


def _colour(data_set: DataSet) -> tuple[str, int]:
    photometric = (data_set.text(0x00280004) or "").strip()
    if not photometric:
        raise Malformed("PhotometricInterpretation is missing")
    expected = _SAMPLES.get(photometric)
    if expected is None:
        raise Malformed("PhotometricInterpretation is not a Defined Term of PS3.3 C.7.6.3.1.2")
    samples = _integer(data_set, 0x00280002, "SamplesPerPixel")
    if samples is not None and samples != expected:
        raise Malformed("SamplesPerPixel does not fit PhotometricInterpretation")
    if expected == 4:
        raise Unsupported("PhotometricInterpretation is a retired one of four samples")
    return photometric, expected


def _depth(data_set: DataSet, keyword: PixelKeyword) -> tuple[int, int, int]:
    """BitsAllocated, BitsStored and HighBit."""
    allocated = _integer(data_set, 0x00280100, "BitsAllocated")
    if keyword != "PixelData":
        width = 32 if keyword == "FloatPixelData" else 64
        if allocated not in (None, width):
            raise Malformed(f"BitsAllocated is not {width} where {keyword} is present")
        return width, width, width - 1
    if allocated is None:
        raise Malformed("BitsAllocated is missing")
    if allocated not in (1, 8, 16, 32):
        if allocated == 12 or (0 < allocated <= 64 and allocated % 8 == 0):
            raise Unsupported("BitsAllocated is not 1, 8, 16 or 32", code="unsupported-depth")
        raise Malformed("BitsAllocated is neither 1 nor a multiple of 8")
    stored = _integer(data_set, 0x00280101, "BitsStored")
    stored = allocated if stored is None else stored
    if not 1 <= stored <= allocated:
        raise Malformed("BitsStored is not between 1 and BitsAllocated")
    high_bit = _integer(data_set, 0x00280102, "HighBit")
    # High Bit is Bits Stored - 1 by the standard; older files shift the samples up, and many simply have it wrong.
    if high_bit is None or not stored - 1 <= high_bit < allocated:
        high_bit = stored - 1
    return allocated, stored, high_bit


def _frames(data_set: DataSet) -> int:
    frames = _integer(data_set, 0x00280008, "NumberOfFrames")
    if frames is None or frames == 0:
        return 1
    if frames < 0:
        raise Malformed("NumberOfFrames is negative")
    if frames > MOST_FRAMES:
        raise LimitExceeded(f"NumberOfFrames is over {MOST_FRAMES}")
    return frames
