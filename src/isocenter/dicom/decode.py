"""From the bytes of one frame, native or compressed, to its stored values as an array."""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.dicom.codestream import Codestream, read_jpeg, read_jpeg_2000, read_jpeg_xl
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.dicom.transfer_syntax import JPEG_XL
from isocenter.errors import LimitExceeded, Malformed, Unsupported

Pixels = npt.NDArray[Any]

# 128 Mi samples hold any radiograph, mammogram or tile of a slide, and decode within a gigabyte.
MOST_SAMPLES: Final = 2**27
# A blank frame compresses without bound in JPEG 2000, JPEG-LS and JPEG XL, so a frame of up to 16 Mi samples may
# come from any number of bytes; a larger one must have at least one byte for this many samples.
_FREE_SAMPLES: Final = 2**24
_SAMPLES_PER_BYTE: Final = 4096

RLE: Final = "1.2.840.10008.1.2.5"
_JPEG: Final = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55, 57, 70))
_JPEG_LS: Final = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
_JPEG_2000: Final = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
_HTJ2K: Final = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))
_JPEG_XL: Final = frozenset(JPEG_XL)
_VIDEO: Final = frozenset(
    f"1.2.840.10008.1.2.4.{n}" for n in ("100", "101", "102", "103", "104", "105", "106", "107", "108")
)

# What codecs raise for bad data; MemoryError is left to pass, for the pool of workers to see.
_CODEC_ERRORS: Final = (RuntimeError, ValueError, TypeError, OverflowError, IndexError, struct.error)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """Stored values, (rows, columns) or (rows, columns, 3), and the Photometric Interpretation they now have."""

    pixels: Pixels
    photometric_interpretation: str


def decode_frame(
    description: PixelDescription, data: bytes, *, skip_bits: int = 0, most_samples: int = MOST_SAMPLES
) -> DecodedFrame:
    """Decode one frame to stored values, sign extended and freed of bits above High Bit.

    `data` is the frame's codestream, or for native pixel data the bytes `PixelDescription.frame_span` names, with
    its `skip_bits`. Colour comes back interleaved by pixel. JPEG's and JPEG 2000's own colour transforms are undone
    (the result says RGB); YBR_FULL_422 comes back upsampled as YBR_FULL, and native YBR_PARTIAL_422 upsampled under
    its own name. Raises Malformed, Unsupported and LimitExceeded; MemoryError passes through.
    """
    samples = description.pixels * description.samples_per_pixel
    if samples > most_samples:
        raise LimitExceeded(f"Rows x Columns x SamplesPerPixel is over {most_samples} samples", code="decode-limit")
    if not description.encapsulated:
        if description.photometric_interpretation in ("YBR_PARTIAL_420", "HSV", "XYB"):
            raise Unsupported(
                "PhotometricInterpretation is not one of native pixel data", code="unsupported-photometric"
            )
        return _native(description, data, skip_bits)
    if description.transfer_syntax_uid == RLE:
        return DecodedFrame(_rle(description, data), _upsampled(description))
    return _compressed(description, data)


def _upsampled(description: PixelDescription) -> str:
    photometric = description.photometric_interpretation
    return "YBR_FULL" if photometric == "YBR_FULL_422" else photometric


# Native -------------------------------------------------------------------------------------------------------


def _native(description: PixelDescription, data: bytes, skip_bits: int) -> DecodedFrame:
    if len(data) * 8 < description.frame_bits + skip_bits:
        raise Malformed(f"{description.keyword} is shorter than Rows, Columns and BitsAllocated require")
    if description.in_swapped_words:
        data = np.frombuffer(data, "<u2", len(data) // 2).byteswap().tobytes() + data[len(data) & ~1 :]
    subsampled = description.photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422")
    if subsampled and (description.bits_allocated == 1 or description.keyword != "PixelData"):
        raise Unsupported(
            "subsampled colour of packed bits or floating point is not supported", code="unsupported-depth"
        )
    if description.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little", count=skip_bits + description.frame_bits)
        return DecodedFrame(_shaped(bits[skip_bits:], description), description.photometric_interpretation)
    if subsampled:
        return DecodedFrame(_native_422(description, data, skip_bits), _upsampled(description))
    count = description.pixels * description.samples_per_pixel
    flat = _native_samples(description, data, skip_bits // 8, count)
    return DecodedFrame(_shaped(flat, description), description.photometric_interpretation)


def _native_samples(description: PixelDescription, data: bytes, offset: int, count: int) -> Pixels:
    kind = "u" if description.keyword == "PixelData" else "f"
    dtype = np.dtype(f"{'>' if description.big_endian else '<'}{kind}{description.bits_allocated // 8}")
    flat = np.frombuffer(data, dtype, count, offset=offset)
    if description.big_endian:
        flat = flat.astype(dtype.newbyteorder("="))
    return _stored_values(flat, description) if kind == "u" else flat


def _native_422(description: PixelDescription, data: bytes, skip_bits: int) -> Pixels:
    """Two luminance samples, then the blue and red chrominance they share (PS3.3 C.7.6.3.1.2)."""
    rows, columns, size = description.rows, description.columns, description.bits_allocated // 8
    if description.number_of_frames == 1 and len(data) >= 3 * size * description.pixels and rows > 1:
        # Three whole samples a pixel: the label says 4:2:2, but nobody subsampled.
        return _native_samples(description, data, 0, 3 * description.pixels).reshape(rows, columns, 3)
    pairs = (columns + 1) // 2
    groups = _native_samples(description, data, skip_bits // 8, rows * pairs * 4).reshape(rows, pairs, 4)
    full = np.empty((rows, pairs, 2, 3), groups.dtype)
    full[..., 0] = groups[..., :2]
    full[..., 1] = groups[..., 2:3]
    full[..., 2] = groups[..., 3:4]
    return full.reshape(rows, 2 * pairs, 3)[:, :columns]


def _shaped(flat: Pixels, description: PixelDescription) -> Pixels:
    rows, columns, samples = description.rows, description.columns, description.samples_per_pixel
    if samples == 1:
        return flat.reshape(rows, columns)
    if description.planar_configuration == 1:
        return np.ascontiguousarray(flat.reshape(samples, rows, columns).transpose(1, 2, 0))
    return flat.reshape(rows, columns, samples)


def _stored_values(values: Pixels, description: PixelDescription) -> Pixels:
    """Unsigned words to stored values: what lies above High Bit or below the lowest stored bit goes (old overlays)."""
    allocated, stored, high = description.bits_allocated, description.bits_stored, description.high_bit
    if not description.signed:
        most = (1 << stored) - 1
        # Most files have nothing there: a look costs a fraction of a copy.
        if stored == allocated or (high == stored - 1 and values.size and int(values.max()) <= most):
            return values
        low = high - stored + 1
        shifted: Pixels = values >> low if low else values
        kept: Pixels = shifted & values.dtype.type(most)
        return kept
    signed = values.view(f"i{values.dtype.itemsize}")
    if stored == allocated:
        return signed
    extended: Pixels = (signed << (allocated - 1 - high)) >> (allocated - stored)
    return extended


# Run length ---------------------------------------------------------------------------------------------------


def _rle(description: PixelDescription, data: bytes) -> Pixels:
    """PS3.5 Annex G: a 64-byte header, then one PackBits segment for each byte of each sample."""
    samples, size = description.samples_per_pixel, description.bits_allocated // 8
    if size == 0 or description.keyword != "PixelData":
        raise Unsupported("RLE of packed bits or floating point is not supported", code="unsupported-codec")
    if len(data) < 64:
        raise Malformed("the RLE header is cut short")
    count, *offsets = struct.unpack_from("<16I", data)
    if count != samples * size:
        raise Malformed("the RLE header's segments do not fit SamplesPerPixel and BitsAllocated")
    bounds = [*offsets[:count], len(data)]
    lengths = [end - start for start, end in pairwise(bounds)]
    if bounds[0] != 64 or min(lengths) < 2:
        raise Malformed("an RLE segment lies outside the frame")
    # Two bytes make at most 128, so that less than 1/64 of the frame cannot be the whole of it.
    if min(lengths) * 64 < description.pixels:
        raise Malformed("an RLE segment is too short for Rows and Columns")
    dtype = np.dtype(f"<u{size}")
    decoded: Pixels = np.frombuffer(_attempt("RLE", partial(imagecodecs.dicomrle_decode, data, dtype)), dtype)
    if decoded.size < description.pixels * samples:
        raise Malformed("the RLE frame is shorter than Rows and Columns require")
    stored = _stored_values(decoded[: description.pixels * samples], description)
    # Run length coding keeps colour by plane, whatever Planar Configuration says.
    if samples == 1:
        return stored.reshape(description.rows, description.columns)
    planes = stored.reshape(samples, description.rows, description.columns)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


# Codecs -------------------------------------------------------------------------------------------------------


def _compressed(description: PixelDescription, data: bytes) -> DecodedFrame:
    stream, decoders = _codec(description, data)
    _check_declared(description, stream, len(data))
    photometric = _upsampled(description)
    if stream.family == "jpeg" and description.samples_per_pixel == 3:
        decoders = [_jpeg_in_colour(data, transformed=_is_ybr(description, stream))]
        photometric = "RGB"
    elif photometric in ("YBR_RCT", "YBR_ICT", "XYB"):
        photometric = "RGB"
    pixels = _first_success(stream.family, decoders)
    if pixels.shape != _shape(description):
        raise Malformed("the decoded frame's size is not Rows, Columns and SamplesPerPixel")
    return DecodedFrame(_fit(pixels, description, stream), photometric)


def _shape(description: PixelDescription) -> tuple[int, ...]:
    if description.samples_per_pixel == 1:
        return (description.rows, description.columns)
    return (description.rows, description.columns, description.samples_per_pixel)


Decoder = Callable[[], Pixels]


def _codec(description: PixelDescription, data: bytes) -> tuple[Codestream, list[Decoder]]:
    """The codestream's own header, and decoders to try in turn."""
    syntax = description.transfer_syntax_uid
    if syntax in _JPEG:
        stream = read_jpeg(data)
        if stream.family != "jpeg-lossless":
            return stream, [partial(imagecodecs.jpeg8_decode, data)]
        # Lossless colour is never transformed here: what was stored is what Photometric Interpretation names.
        space = "RGB" if description.samples_per_pixel == 3 else "GRAYSCALE"
        return stream, [
            partial(imagecodecs.jpeg8_decode, data, colorspace=space, outcolorspace=space),
            partial(imagecodecs.jpegsof3_decode, data),
        ]
    if syntax in _JPEG_LS:
        stream = read_jpeg(data)
        # Cut short, a stream makes CharLS read noughts for seconds; at an end marker it stops.
        ended = data if b"\xff\xd9" in data[-4:] else data + b"\xff\xd9"
        return stream, [partial(imagecodecs.jpegls_decode, ended)]
    if syntax in _JPEG_2000 or syntax in _HTJ2K:
        stream = read_jpeg_2000(data)
        bare = data[stream.start :]
        openjpeg = partial(imagecodecs.jpeg2k_decode, bare, numthreads=1)
        return stream, [partial(_htj2k, bare), openjpeg] if syntax in _HTJ2K else [openjpeg]
    if syntax in _JPEG_XL:
        return read_jpeg_xl(data), [partial(imagecodecs.jpegxl_decode, data, index=0, numthreads=1)]
    if syntax in _VIDEO:
        raise Unsupported("frames of a video Transfer Syntax are not decoded", code="video")
    raise Unsupported("this Transfer Syntax is not decoded", code="unsupported-transfer-syntax")


# Python has one hook each for what a codec could not raise and for what it prints.
_HOOK = threading.Lock()


def _htj2k(data: bytes) -> Pixels:
    """OpenJPH's errors are only reported, not raised, and it returns what it had: here they are raised."""
    reported: list[object] = []
    with _HOOK:
        hooks = sys.unraisablehook, sys.excepthook
        sys.unraisablehook, sys.excepthook = reported.append, lambda *_: None
        try:
            pixels: Pixels = imagecodecs.htj2k_decode(data, planar=False)
        finally:
            sys.unraisablehook, sys.excepthook = hooks
    if reported:
        raise RuntimeError("OpenJPH failed")
    return pixels


def _check_declared(description: PixelDescription, stream: Codestream, length: int) -> None:
    """Hold the codestream to the Data Set before anything is allocated for it."""
    if (stream.height, stream.width) != (description.rows, description.columns):
        raise Malformed("the compressed frame's size is not Rows and Columns")
    if stream.components not in (None, description.samples_per_pixel):
        raise Malformed("the compressed frame's components are not SamplesPerPixel")
    if stream.precision is not None and stream.precision > description.bits_allocated:
        raise Malformed("the compressed frame's precision is over BitsAllocated")
    samples = description.pixels * description.samples_per_pixel
    if samples > _FREE_SAMPLES and samples > length * _SAMPLES_PER_BYTE:
        raise LimitExceeded("the compressed frame is too short for Rows and Columns", code="decode-limit")
    # Huffman codes spend at least one bit on a lossless sample, and two on a block of 64.
    if stream.family == "jpeg-lossless" and samples > 8 * length:
        raise Malformed("the JPEG lossless frame is too short for Rows and Columns")


def _is_ybr(description: PixelDescription, stream: Codestream) -> bool:
    """Whether a lossy JPEG's components are YCbCr: its own word (Adobe, component names), else the Data Set's.

    Files labelled RGB come in both kinds. Chrominance is subsampled and RGB is not, so that settles a doubt.
    """
    if stream.adobe_transform is not None:
        return stream.adobe_transform != 0
    if stream.component_ids == b"RGB":
        return False
    return description.photometric_interpretation != "RGB" or stream.subsampled


def _jpeg_in_colour(data: bytes, *, transformed: bool) -> Decoder:
    space = "YCBCR" if transformed else "RGB"
    return partial(imagecodecs.jpeg8_decode, data, colorspace=space, outcolorspace="RGB")


def _fit(pixels: Pixels, description: PixelDescription, stream: Codestream) -> Pixels:
    """Give decoded samples the sign and width the Data Set asks for."""
    allocated = description.bits_allocated
    if allocated == 1 or pixels.dtype.kind not in "iu":
        raise Unsupported("compressed packed bits or floating point are not supported", code="unsupported-codec")
    unsigned, signed = np.dtype(f"u{allocated // 8}"), np.dtype(f"i{allocated // 8}")
    if pixels.dtype.kind == "i":
        if description.signed:
            return pixels.astype(signed, copy=False)
        # A signed codestream under an unsigned Pixel Representation: the same bits, read without sign.
        bits: Pixels = pixels.astype(unsigned) & unsigned.type((1 << (stream.precision or allocated)) - 1)
        return bits
    pixels = pixels.astype(unsigned, copy=False)
    depth = description.bits_stored
    if stream.family == "jpeg-2000":
        depth = min(depth, stream.precision or depth)
    if description.signed:
        # The codestream knows no sign, or was written without: the stored bits are two's complement all the same.
        gap = allocated - depth
        return (pixels.view(signed) << gap) >> gap if gap else pixels.view(signed)
    if stream.family in ("jpeg-lossless", "jpeg-ls") and depth < (stream.precision or depth):
        pixels = pixels & unsigned.type((1 << depth) - 1)
    return pixels


def _attempt(family: str, decode: Callable[[], Any]) -> Any:
    try:
        return decode()
    except _CODEC_ERRORS as error:
        # `from None`: codecs quote the data they choke on.
        raise Malformed(
            f"the {family} frame cannot be decoded ({type(error).__name__})", code="decode-failed"
        ) from None


def _first_success(family: str, decoders: list[Decoder]) -> Pixels:
    for decode in decoders[:-1]:
        try:
            return decode()
        except _CODEC_ERRORS:
            continue
    found: Pixels = _attempt(family, decoders[-1])
    return found
