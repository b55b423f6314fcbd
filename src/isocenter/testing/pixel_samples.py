"""Images for tests: pydicom's bundled files as rendering sees them, and small models with made-up pixels."""

from __future__ import annotations

import base64
import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.encaps import generate_frames

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.pixel_description import PixelDescription

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_BUNDLED = Path(pydicom.__file__).parent / "data"


@dataclass(frozen=True)
class PixelSample:
    """A file's header in the DICOM JSON model, and its pixel data frame by frame."""

    path: Path
    model: Mapping[str, Mapping[str, Any]]
    transfer_syntax_uid: str
    pixel_data: bytes = field(repr=False)

    @property
    def description(self) -> PixelDescription:
        return PixelDescription.from_data_set(DataSet(self.model), self.transfer_syntax_uid)

    def frame(self, frame_number: int = 1) -> bytes:
        """What `decode_frame` takes for a frame (1-based)."""
        description = self.description
        if not description.encapsulated:
            span = description.frame_span(frame_number)
            return self.pixel_data[span.offset : span.offset + span.length]
        frames = generate_frames(self.pixel_data, number_of_frames=description.number_of_frames)
        return next(itertools.islice(frames, frame_number - 1, None))


def bundled_images() -> list[Path]:
    """The files with pixel data that pydicom's wheel carries, in a fixed order; nothing is downloaded."""
    found = []
    for path in sorted(_BUNDLED.rglob("*")):
        if path.suffix in (".py", ".pyc", ".json") or not path.is_file():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                data_set = pydicom.dcmread(path)
            except (pydicom.errors.InvalidDicomError, OSError, ValueError):
                continue
            if "PixelData" in data_set and "Rows" in data_set and "TransferSyntaxUID" in data_set.file_meta:
                found.append(path)
    return found


def bundled_image(name: str) -> Path:
    return next(path for path in _BUNDLED.rglob("*") if path.name == name)


def read_sample(path: Path) -> PixelSample:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(path, stop_before_pixels=True)
        whole = pydicom.dcmread(path)
        model = header.to_json_dict(suppress_invalid_tags=True)
        if "NumberOfFrames" in header and "00280008" not in model:
            model["00280008"] = {"vr": "IS", "Value": [str(header["NumberOfFrames"].value)]}
        element = whole["PixelData"]
    model["7FE00010"] = {"vr": element.VR, "BulkDataURI": "x"}
    return PixelSample(path, model, str(whole.file_meta.TransferSyntaxUID), element.value)


_VRS = {
    0x00280004: "CS", 0x00280008: "IS", 0x00280030: "DS", 0x00280034: "IS", 0x00281050: "DS", 0x00281051: "DS",
    0x00281052: "DS", 0x00281053: "DS", 0x00281056: "CS", 0x20500020: "CS", 0x00283000: "SQ", 0x00283010: "SQ",
    0x52009229: "SQ", 0x52009230: "SQ", 0x00289145: "SQ", 0x00289132: "SQ", 0x00289110: "SQ",
}  # fmt: skip


def attributes(values: Mapping[int, Any]) -> dict[str, dict[str, Any]]:
    """A DICOM JSON model of attributes by tag: bytes become InlineBinary, lists and scalars the Value."""
    model: dict[str, dict[str, Any]] = {}
    for tag, value in values.items():
        if isinstance(value, bytes):
            model[f"{tag:08X}"] = {"vr": "OW", "InlineBinary": base64.b64encode(value).decode()}
        else:
            listed = value if isinstance(value, list) else [value]
            model[f"{tag:08X}"] = {"vr": _VRS.get(tag, "US"), "Value": listed}
    return model


def image_model(
    rows: int,
    columns: int,
    *,
    bits: int = 16,
    stored: int | None = None,
    signed: bool = False,
    photometric: str = "MONOCHROME2",
    more: Mapping[int, Any] | None = None,
    keyword_tag: int = 0x7FE00010,
    vr: str = "OW",
) -> dict[str, dict[str, Any]]:
    """The header of a made-up image; `more` adds or replaces attributes by tag."""
    stored = bits if stored is None else stored
    samples = 1 if photometric.startswith(("MONOCHROME", "PALETTE")) else 3
    values: dict[int, Any] = {
        0x00280002: samples,
        0x00280004: photometric,
        0x00280010: rows,
        0x00280011: columns,
        0x00280100: bits,
        0x00280101: stored,
        0x00280102: stored - 1,
        0x00280103: int(signed),
    }
    if samples == 3:
        values[0x00280006] = 0
    model = attributes({**values, **(more or {})})
    model[f"{keyword_tag:08X}"] = {"vr": vr, "BulkDataURI": "x"}
    return model
