"""From stored values as an array to the bytes of one frame in a transfer syntax, and which ones are possible."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.dicom.decode import MOST_SAMPLES, decode_frame
from isocenter.dicom.pixel_description import EXPLICIT_LITTLE, IMPLICIT_LITTLE, PixelDescription
from isocenter.dicom.transfer_syntax import VIDEO
from isocenter.errors import Malformed, NotAcceptable, Unsupported

Pixels = npt.NDArray[Any]

RLE: Final = "1.2.840.10008.1.2.5"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS: Final = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR: Final = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K: Final = "1.2.840.10008.1.2.4.203"

NATIVE_TARGETS: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
LOSSLESS_TARGETS: Final = (
    JPEG_LOSSLESS_SV1, JPEG_LS, JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K, RLE,
)  # fmt: skip
LOSSY_TARGETS: Final = (JPEG_BASELINE, JPEG_LS_NEAR, JPEG_2000)
TARGETS: Final = (*NATIVE_TARGETS, *LOSSLESS_TARGETS, *LOSSY_TARGETS)
# Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1).
LOSSY_METHODS: Final = {JPEG_BASELINE: "ISO_10918_1", JPEG_LS_NEAR: "ISO_14495_1", JPEG_2000: "ISO_15444_1"}

_LOSSY_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55))
_GREY = frozenset(("MONOCHROME1", "MONOCHROME2"))
_OPENJPEG_BITS = 26  # OpenJPEG codes no more bits than this
_OPENJPEG_LEAST_BITS = 4
_JPEG_SIDE = 65500  # libjpeg's own limit
_CODEC_ERRORS = (RuntimeError, ValueError, TypeError, OverflowError, IndexError, struct.error)


@dataclass(frozen=True, slots=True)
class Quality:
    """How much a lossy transfer syntax may lose.

    `near` is the largest absolute error of a sample under JPEG-LS near-lossless; `jpeg` libjpeg's 1 to 100; `psnr`
    the ratio in dB of the frame's own range of values to the root mean square error under JPEG 2000, by default 60
    for more than 8 bits stored and 45 for 8.
    """

    near: int = 2
    jpeg: int = 90
    psnr: float | None = None


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame in the target transfer syntax, with what the Image Pixel Module has to say of it."""

    data: bytes
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int


@dataclass(frozen=True, slots=True)
class FrameWork:
    """One frame to be given another transfer syntax; `data` and `skip_bits` are as `decode_frame` takes them."""

    description: PixelDescription
    data: bytes
    target: str
    quality: Quality = Quality()
    skip_bits: int = 0


def targets_of(description: PixelDescription) -> tuple[str, ...]:
    """The transfer syntaxes an instance can be given, its own first; the rules are those of PS3.5 8.2.

    An encapsulated one whose frames cannot be decoded has only its own. Not offered: packed bits and floating point
    other than natively; HTJ2K of colour that is not RGB (our decoder cannot read it back).
    """
    own = description.transfer_syntax_uid
    if not description.encapsulated:
        found = [own, *NATIVE_TARGETS]
    elif own in VIDEO:
        return (own,)
    else:
        found = [own, *(target for target in NATIVE_TARGETS if description.native_bytes < 0xFFFFFFFE)]
    if description.pixels * description.samples_per_pixel <= MOST_SAMPLES:
        photometric = photometric_when_decoded(description)
        found += [
            target
            for target in (*LOSSLESS_TARGETS, *LOSSY_TARGETS)
            if _obstacle(description, photometric, target) is None
        ]
    return tuple(dict.fromkeys(found))


def photometric_when_decoded(description: PixelDescription) -> str:
    """The Photometric Interpretation `decode_frame` will give, told from the header."""
    stated = description.photometric_interpretation
    if description.samples_per_pixel == 3 and description.transfer_syntax_uid in _LOSSY_JPEG:
        return "RGB"
    return {"YBR_FULL_422": "YBR_FULL", "YBR_RCT": "RGB", "YBR_ICT": "RGB", "XYB": "RGB"}.get(stated, stated)


def _obstacle(description: PixelDescription, photometric: str, target: str) -> str | None:
    """The Keyword that stands against a target, None where nothing does."""
    if description.keyword != "PixelData":
        return description.keyword
    if description.bits_allocated == 1:
        return "BitsAllocated"
    if photometric not in _GREY and photometric not in ("PALETTE COLOR", "RGB", "YBR_FULL"):
        return "PhotometricInterpretation"
    if target in LOSSY_TARGETS and photometric == "PALETTE COLOR":
        return "PhotometricInterpretation"
    most = {JPEG_BASELINE: 8, JPEG_LOSSLESS_SV1: 16, JPEG_LS: 16, JPEG_LS_NEAR: 16}.get(target, 32)
    if target in (JPEG_2000_LOSSLESS, JPEG_2000):
        most = _OPENJPEG_BITS
    if description.bits_stored > most:
        return "BitsStored"
    if target in (JPEG_LOSSLESS_SV1, JPEG_LS, JPEG_LS_NEAR) and description.bits_allocated > 16:
        return "BitsAllocated"
    if target == JPEG_BASELINE and description.signed:
        return "PixelRepresentation"
    sides = max(description.rows, description.columns)
    if target in (JPEG_BASELINE, JPEG_LOSSLESS_SV1) and sides > _JPEG_SIDE:
        return "Rows"
    return None


def recompress(work: FrameWork) -> EncodedFrame:
    """Decode one frame and encode it anew: the task of a sandbox worker.

    Raises what `decode_frame` raises; NotAcceptable naming the Keyword that stands against the target.
    """
    decoded = decode_frame(work.description, work.data, skip_bits=work.skip_bits)
    return encode_frame(decoded.pixels, work.description, decoded.photometric_interpretation, work.target, work.quality)


def encode_frame(
    pixels: Pixels, description: PixelDescription, photometric: str, target: str, quality: Quality | None = None
) -> EncodedFrame:
    """Encode stored values, (rows, columns) or (rows, columns, 3), as `decode_frame` gives them.

    Samples are what they were: bits above High Bit that held an overlay are gone, as decoding took them off.
    Colour is interleaved by pixel. Only JPEG Baseline changes BitsAllocated and BitsStored, to 8.
    """
    quality = quality or Quality()
    allocated, stored = description.bits_allocated, description.bits_stored
    pixels = np.ascontiguousarray(pixels)
    if target in NATIVE_TARGETS:
        data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
        return EncodedFrame(data, photometric, 8 * pixels.dtype.itemsize, stored)
    keyword = _obstacle(description, photometric, target) if target in TARGETS else "TransferSyntaxUID"
    if keyword is not None:
        raise NotAcceptable(f"{keyword} does not allow this transfer syntax", code="transfer-syntax-not-possible")
    try:
        data, photometric = _ENCODERS[target](pixels, description, photometric, quality)
    except _CODEC_ERRORS as error:
        # `from None`: codecs quote the data they choke on.
        raise Unsupported(f"the frame cannot be encoded ({type(error).__name__})", code="encode-failed") from None
    if target == JPEG_BASELINE:
        allocated = stored = 8
    return EncodedFrame(data, photometric, allocated, stored)


Encoded = tuple[bytes, str]


def _unsigned(pixels: Pixels, bits: int) -> Pixels:
    """Two's complement read without sign and cut to `bits`: what codecs without signs are given."""
    width = 8 * pixels.dtype.itemsize
    found: Pixels = pixels.view(f"u{pixels.dtype.itemsize}") if pixels.dtype.kind == "i" else pixels
    return found if bits >= width else found & found.dtype.type((1 << bits) - 1)


def _precision(pixels: Pixels, description: PixelDescription) -> int:
    """The bits to code a frame with: Bits Stored, unless a codestream held more than the header said it would.

    Cutting such values to Bits Stored would wrap them around, which is not for us to do.
    """
    stored = description.bits_stored
    low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if description.signed else (0, (1 << stored) - 1)
    fits = stored == 8 * pixels.dtype.itemsize or (int(pixels.min()) >= low and int(pixels.max()) <= high)
    return stored if fits else 8 * pixels.dtype.itemsize


def _rle(pixels: Pixels, description: PixelDescription, photometric: str, quality: Quality) -> Encoded:
    """PS3.5 Annex G: one segment for each byte of each sample, most significant first, rows coded apart."""
    samples, size = description.samples_per_pixel, pixels.dtype.itemsize
    if samples * size > 15:
        raise Unsupported("RLE has 15 segments at most", code="encode-failed")
    planes = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False)
    planes = planes.reshape(*pixels.shape[:2], samples).view("u1")
    parts = []
    for number in range(samples * size):
        part = _packed_bits(np.ascontiguousarray(planes[..., number]))
        parts.append(part + b"\0" * (len(part) % 2))
    offsets = [64 + sum(map(len, parts[:number])) for number in range(len(parts))]
    head = struct.pack("<16I", len(parts), *offsets, *([0] * (15 - len(parts))))
    return head + b"".join(parts), photometric


def _packed_bits(plane: Pixels) -> bytes:
    """Runs and literals of bytes, no code going past the end of its row (PS3.5 G.3.1)."""
    if plane.shape[1] == 1:  # the codec refuses a row of one byte: a literal of length one
        return bytes(np.pad(plane, ((0, 0), (1, 0))))
    return bytes(imagecodecs.packbits_encode(plane, axis=-1))


def _jpeg_baseline(pixels: Pixels, description: PixelDescription, photometric: str, quality: Quality) -> Encoded:
    """Process 1 (ISO/IEC 10918-1), colour as YBR_FULL_422 (PS3.5 Table 8.2.1-1)."""
    level = min(100, max(1, quality.jpeg))
    narrow = pixels.astype(np.uint8, copy=False)
    if photometric not in ("RGB", "YBR_FULL"):
        return bytes(imagecodecs.jpeg8_encode(narrow, level=level)), photometric
    space = "RGB" if photometric == "RGB" else "YCBCR"
    data = imagecodecs.jpeg8_encode(narrow, level=level, colorspace=space, outcolorspace="YCBCR", subsampling="422")
    return bytes(data), "YBR_FULL_422"


def _jpeg_lossless(pixels: Pixels, description: PixelDescription, photometric: str, quality: Quality) -> Encoded:
    """Process 14, selection value 1, at the precision of Bits Stored."""
    bits = max(2, _precision(pixels, description))
    narrow = _unsigned(pixels, bits).astype("u1" if bits <= 8 else "u2", copy=False)
    options: dict[str, Any] = {"lossless": True, "predictor": 1, "bitspersample": bits}
    if pixels.ndim == 2:
        return bytes(imagecodecs.jpeg8_encode(narrow, **options)), photometric
    # Saying RGB is what keeps libjpeg from transforming; for YBR_FULL the marks that say so are taken out again.
    data = bytes(imagecodecs.jpeg8_encode(narrow, colorspace="RGB", outcolorspace="RGB", **options))
    return (data if photometric == "RGB" else _without_colour_names(data)), photometric


def _without_colour_names(data: bytes) -> bytes:
    """Drops the Adobe segment and names the components 1, 2, 3 instead of R, G, B."""
    out, position = bytearray(data[:2]), 2
    while True:
        marker = data[position + 1]
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4])
        segment = bytearray(data[position:end])
        if marker == 0xC3:
            segment[10::3] = b"\1\2\3"
        elif marker == 0xDA:
            segment[5:11:2] = b"\1\2\3"
        if marker != 0xEE:
            out += segment
        position = end
        if marker == 0xDA:
            return bytes(out) + data[position:]


def _jpeg_ls(pixels: Pixels, description: PixelDescription, photometric: str, quality: Quality) -> Encoded:
    # The encoder's precision is that of the array, 8 or 16: signed samples stay sign extended over all of it.
    return _charls(pixels, description, 0), photometric


def _charls(pixels: Pixels, description: PixelDescription, near: int) -> bytes:
    # The room the wrapper makes by itself is too small for noise, which takes more than it did uncompressed.
    room = 2 * pixels.nbytes + 4096
    return bytes(imagecodecs.jpegls_encode(_jpeg_ls_samples(pixels, description), level=near, out=room))


def _jpeg_ls_near(pixels: Pixels, description: PixelDescription, photometric: str, quality: Quality) -> Encoded:
    """Near-lossless; a frame so close to the ends of Bits Stored that an error could leave them is kept lossless.

    A sample moved past the largest value would come back as the smallest one, an error without bound; NEAR may be 0
    here (PS3.5 A.4.3). About nought nothing wraps: the codec stops at both ends of its own unsigned range.
    """
    near = min(127, max(1, quality.near))
    stored, signed = description.bits_stored, description.signed
    lowest, highest = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    whole = not signed and stored == 8 * pixels.dtype.itemsize  # the codec itself stops at both ends
    if not whole and (int(pixels.max()) > highest - near or (signed and int(pixels.min()) < lowest + near)):
        near = 0
    return _charls(pixels, description, near), photometric


def _jpeg_ls_samples(pixels: Pixels, description: PixelDescription) -> Pixels:
    narrow = pixels if description.bits_allocated <= 16 else pixels.astype(f"{pixels.dtype.kind}2")
    return _unsigned(narrow, 8 * narrow.dtype.itemsize)


def _jpeg_2000_lossless(pixels: Pixels, description: PixelDescription, photometric: str, quality: Quality) -> Encoded:
    return _openjpeg(pixels, description, photometric, level=0, reversible=True)


def _jpeg_2000(pixels: Pixels, description: PixelDescription, photometric: str, quality: Quality) -> Encoded:
    """Irreversible; the encoder counts dB from the largest value of Bits Stored, we from the frame's own range."""
    asked = quality.psnr if quality.psnr is not None else 60.0 if description.bits_stored > 8 else 45.0
    span = max(1, int(pixels.max()) - int(pixels.min()))
    peak = (1 << description.bits_stored) - 1
    level = min(140, max(10, round(asked + 20 * math.log10(peak / span))))
    return _openjpeg(pixels, description, photometric, level=level, reversible=False)


def _openjpeg(
    pixels: Pixels, description: PixelDescription, photometric: str, *, level: int, reversible: bool
) -> Encoded:
    colour = photometric == "RGB"
    bits, width = _precision(pixels, description), 8 * pixels.dtype.itemsize
    # Of one to three bits OpenJPEG makes too little room for what is coded, and may fail: they are coded as eight.
    bits = min(_OPENJPEG_BITS, width if bits < _OPENJPEG_LEAST_BITS else bits)
    options: dict[str, Any] = {"codecformat": "j2k", "reversible": reversible, "mct": colour, "numthreads": 1}
    data = imagecodecs.jpeg2k_encode(pixels, level=level, bitspersample=bits, **options)
    if colour:
        photometric = "YBR_RCT" if reversible else "YBR_ICT"
    return bytes(data), photometric


def _htj2k(pixels: Pixels, description: PixelDescription, photometric: str, quality: Quality) -> Encoded:
    """Reversible and in RPCL order with Tile-part Length Markers, which serves all three HTJ2K syntaxes (PS3.5 10.18).

    The base resolution is 64 pixels or less. The encoder takes the width of the array for the precision; for fewer
    bits stored, values are centred as the format itself does and the true precision is stated instead.
    """
    stored, width = _precision(pixels, description), 8 * pixels.dtype.itemsize
    restate = stored < width
    if restate and pixels.dtype.kind == "u":
        pixels = (pixels.astype(np.int64) - (1 << stored - 1)).astype(f"i{pixels.dtype.itemsize}")
    levels = max(5, math.ceil(math.log2(max(description.rows, description.columns) / 64)))
    options: dict[str, Any] = {"rgb": photometric == "RGB"} if pixels.ndim == 3 else {}
    data = bytearray(
        imagecodecs.htj2k_encode(
            pixels,
            reversible=True,
            resolutions=levels,
            tlm=True,
            tilepart=imagecodecs.HTJ2K.TILEPART.RESOLUTIONS,
            **options,
        )
    )
    if restate:
        if data[:4] != b"\xff\x4f\xff\x51":
            raise Malformed("the encoder wrote no JPEG 2000 codestream", code="encode-failed")
        for component in range(int.from_bytes(data[40:42])):
            data[42 + 3 * component] = stored - 1 | (0x80 if description.signed else 0)
    return bytes(data), "YBR_RCT" if photometric == "RGB" else photometric


_ENCODERS: Final[dict[str, Callable[[Pixels, PixelDescription, str, Quality], Encoded]]] = {
    RLE: _rle,
    JPEG_BASELINE: _jpeg_baseline,
    JPEG_LOSSLESS_SV1: _jpeg_lossless,
    JPEG_LS: _jpeg_ls,
    JPEG_LS_NEAR: _jpeg_ls_near,
    JPEG_2000_LOSSLESS: _jpeg_2000_lossless,
    JPEG_2000: _jpeg_2000,
    HTJ2K_LOSSLESS: _htj2k,
    HTJ2K_LOSSLESS_RPCL: _htj2k,
    HTJ2K: _htj2k,
}
