"""DICOM files around given pixels, in any transfer syntax and form we write: for tests of what changes pixels."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from isocenter.dicom.pixel_description import EXPLICIT_BIG, EXPLICIT_LITTLE, NATIVE, PixelDescription
from isocenter.dicom.pixel_encode import Quality, encode_frame
from isocenter.testing.instances import CT_STORAGE, written

Pixels = NDArray[Any]
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"


def pixel_instance(
    frames: Pixels,
    *,
    photometric: str = "MONOCHROME2",
    transfer_syntax: str = EXPLICIT_LITTLE,
    stored: int | None = None,
    high_bit: int | None = None,
    planar: int = 0,
    modality: str = "OT",
    overlay: NDArray[np.bool_] | None = None,
    uid: str = "1.2.3.4",
    **attributes: Any,
) -> bytes:
    """`frames` are (frame, row, column) or (frame, row, column, sample) of the dtype to be stored.

    Native YBR_FULL_422 is subsampled from whole samples; `overlay` sets the bit above `stored` in each frame;
    `attributes` set more of them by keyword.
    """
    allocated = 8 * frames.dtype.itemsize
    stored = allocated if stored is None else stored
    samples = frames.shape[3] if frames.ndim == 4 else 1
    high_bit = stored - 1 if high_bit is None else high_bit
    description = PixelDescription(
        frames.shape[1], frames.shape[2], samples, photometric, allocated, stored, high_bit,
        int(frames.dtype.kind == "i"), planar, len(frames), transfer_syntax,
    )  # fmt: skip
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = CT_STORAGE, uid
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "2.25.1000", "2.25.1001"
    data_set.PatientName, data_set.PatientID, data_set.Modality = "Hostile^File", "HOSTILE", modality
    if transfer_syntax in NATIVE:
        body = _native(frames, description, overlay)
        data_set.PixelData = body + b"\0" * (len(body) % 2)
    else:
        encoded = [_encoded(frame, description) for frame in frames]
        photometric, planar = encoded[0][1], 0
        data_set.PixelData = encapsulate([data + b"\0" * (len(data) % 2) for data, _ in encoded], has_bot=False)
    data_set["PixelData"].VR = "OW" if allocated > 8 and transfer_syntax in NATIVE else "OB"
    data_set["PixelData"].is_undefined_length = transfer_syntax not in NATIVE
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = samples, photometric
    data_set.NumberOfFrames, data_set.Rows, data_set.Columns = frames.shape[:3]
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = allocated, stored, high_bit
    data_set.PixelRepresentation = int(frames.dtype.kind == "i")
    if samples > 1:
        data_set.PlanarConfiguration = planar
    if overlay is not None:
        data_set.add_new(0x60000100, "US", allocated)
        data_set.add_new(0x60000102, "US", stored)
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    return written(data_set, transfer_syntax)


def _native(frames: Pixels, description: PixelDescription, overlay: NDArray[np.bool_] | None) -> bytes:
    words = frames.astype(frames.dtype.newbyteorder("<")).view(f"<u{frames.dtype.itemsize}")
    if description.bits_stored < description.bits_allocated and (overlay is not None or frames.dtype.kind == "u"):
        words = words & ((1 << description.bits_stored) - 1)
    words = words << (description.high_bit - description.bits_stored + 1)
    if overlay is not None:
        words = words | (overlay.astype(words.dtype) << description.bits_stored)
    if description.photometric_interpretation == "YBR_FULL_422":
        pairs = words.reshape(*words.shape[:2], -1, 2, 3)
        groups = np.concatenate([pairs[..., 0], pairs[..., :1, 1], pairs[..., :1, 2]], axis=-1)
        return groups.astype(words.dtype).tobytes()
    if description.planar_configuration == 1:
        words = words.transpose(0, 3, 1, 2)
    if description.transfer_syntax_uid == EXPLICIT_BIG:
        words = words.astype(words.dtype.newbyteorder(">"))
    return np.ascontiguousarray(words).tobytes()


def _encoded(frame: Pixels, description: PixelDescription) -> tuple[bytes, str]:
    """A compressed frame, and the Photometric Interpretation it is in."""
    photometric = description.photometric_interpretation
    if description.transfer_syntax_uid == JPEG_EXTENDED:
        return bytes(imagecodecs.jpeg8_encode(frame, level=95, bitspersample=12)), photometric
    quality = Quality(jpeg=95)
    made = encode_frame(frame, description, photometric, description.transfer_syntax_uid, quality)
    return made.data, made.photometric_interpretation
