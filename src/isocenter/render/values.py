"""Frames, volumes and pictures as the plain little-endian values that a viewer windows and measures by itself."""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import decode_frame
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import Malformed, NotAnImage, Unsupported
from isocenter.nifti.header import NiftiHeader, read_header
from isocenter.picture import recognise
from isocenter.render.colour import to_bytes, ybr_to_rgb
from isocenter.render.frame import FrameRequest
from isocenter.render.functional_groups import functional_group
from isocenter.render.lookup import read_lookup
from isocenter.render.palette import read_palette
from isocenter.render.picture import decode_picture, exif_orientation
from isocenter.render.volume import first_volume, inflate, needed_bytes, oriented

Form = Literal["u8", "i16", "u16", "f32", "rgb8"]

# A browser holds what it scrolls through; of a larger volume every second voxel along each side is given, or fewer.
MOST_VOLUME: Final = 128 << 20
HEAD_BYTES: Final = 64 << 10
_DTYPES: Final = {"u8": "u1", "i16": "<i2", "u16": "<u2", "f32": "<f4", "rgb8": "u1"}
_COLOURS: Final = frozenset({"RGB", "YBR_RCT", "YBR_ICT", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422"})
# NIfTI datatypes; what is not named here comes as 32-bit floating point.
_VOLUMES: Final[dict[int, Form]] = {2: "u8", 4: "i16", 256: "i16", 512: "u16", 128: "rgb8", 2304: "rgb8"}


def size_of(form: Form) -> int:
    """Bytes of one pixel."""
    return 3 if form == "rgb8" else np.dtype(_DTYPES[form]).itemsize


def form_of(data_set: DataSet, description: PixelDescription) -> Form:
    """What `frame_values` gives of every frame of an instance; Unsupported where it gives nothing."""
    photometric = description.photometric_interpretation
    if description.samples_per_pixel == 3 or photometric == "PALETTE COLOR":
        if description.keyword != "PixelData" or photometric not in _COLOURS | {"PALETTE COLOR"}:
            raise Unsupported("this PhotometricInterpretation is not shown", code="unsupported-photometric")
        return "rgb8"
    if description.keyword != "PixelData" or description.bits_allocated == 32:
        return "f32"
    if has_modality_table(data_set):
        return "u16"
    if description.bits_allocated <= 8:
        return "i16" if description.signed else "u8"
    return "i16" if description.signed else "u16"


def has_modality_table(data_set: DataSet) -> bool:
    """Whether a Modality LUT Sequence stands in place of slope and intercept; the values given have been through it."""
    return functional_group(data_set, 0x00289145, 1) is None and bool(data_set.items(0x00283000))


def frame_values(request: FrameRequest) -> bytes:
    """One frame as `form_of` says, row by row: stored values of grey, RGB of colour.

    Raises what `decode_frame` does. The window and picture parameters of the request are passed over.
    """
    data_set = DataSet(request.model)
    description = PixelDescription.from_data_set(data_set, request.transfer_syntax_uid)
    number = request.frame_number
    if not 1 <= number <= description.number_of_frames:
        raise Malformed("the frame number lies outside NumberOfFrames")
    form = form_of(data_set, description)
    skip_bits = 0 if description.encapsulated else description.frame_span(number).skip_bits
    decoded = decode_frame(description, request.data, skip_bits=skip_bits, most_samples=request.most_samples)
    pixels = decoded.pixels
    if form == "rgb8":
        photometric = decoded.photometric_interpretation
        if photometric == "PALETTE COLOR":
            pixels = read_palette(data_set, signed=description.signed).apply(pixels)
        elif photometric in ("YBR_FULL", "YBR_PARTIAL_422"):
            partial = photometric == "YBR_PARTIAL_422"
            pixels = ybr_to_rgb(to_bytes(pixels, description), partial=partial)
        else:
            pixels = to_bytes(pixels, description)
    elif has_modality_table(data_set):
        table = read_lookup(data_set.items(0x00283000)[0], signed=description.signed)
        pixels = table.apply(pixels)
    return _plain(pixels, form)


def _plain(pixels: npt.NDArray[np.generic], form: Form) -> bytes:
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(pixels, np.dtype(_DTYPES[form])).tobytes()


def volume_header(head: bytes) -> NiftiHeader:
    """The header of a NIfTI file, packed or not, from its first HEAD_BYTES."""
    return read_header(inflate(head, HEAD_BYTES) if head[:2] == b"\x1f\x8b" else head)


def volume_shape(header: NiftiHeader) -> tuple[Form, tuple[int, int, int], tuple[float, float, float], int]:
    """How `volume_values` gives a volume: form, voxels to left, posterior and inferior, their spacings, and step.

    A step of 2 gives every second voxel along each side.
    """
    form = _VOLUMES.get(header.datatype, "f32")
    shape = (*header.dim[:3], 1, 1)[:3]
    numbers = np.broadcast_to(np.zeros(1, np.uint8), shape)
    turned, spacing = oriented(numbers, header)
    step = 1
    while math.prod(-(-side // step) for side in shape) * size_of(form) > MOST_VOLUME:
        step += 1
    x, y, z = (-(-side // step) for side in turned.shape[:3])
    dx, dy, dz = (each * step for each in spacing)
    return form, (x, y, z), (dx, dy, dz), step


def volume_values(data: bytes) -> bytes:
    """The first volume of a NIfTI file as `volume_shape` says, from the top of the head down, slice by slice."""
    header = volume_header(data[:HEAD_BYTES] if data[:2] != b"\x1f\x8b" else data)
    form, _, _, step = volume_shape(header)
    needed = needed_bytes(header)
    if data[:2] == b"\x1f\x8b":
        data = inflate(data, needed)
    if len(data) < needed:
        raise Malformed("the NIfTI file is shorter than its dimensions require")
    voxels = first_volume(header, data)
    turned, _ = oriented(np.abs(voxels) if voxels.dtype.kind == "c" else voxels, header)
    thinned = turned[::step, ::step, ::step]
    return _plain(np.moveaxis(thinned, (0, 1, 2), (2, 1, 0)), form)


def picture_values(data: bytes) -> bytes:
    """A JPEG, PNG or GIF picture as RGB, upright."""
    pixels = decode_picture(data)
    return _plain(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels, "rgb8")


def picture_size(head: bytes) -> tuple[int, int]:
    """Rows and columns of what `picture_values` gives, from the first bytes of the file."""
    picture = recognise(head)
    if picture is None:
        raise NotAnImage("the file is no JPEG, PNG or GIF")
    lying = picture.kind == "jpeg" and exif_orientation(head) >= 5
    return (picture.width, picture.height) if lying else (picture.height, picture.width)
