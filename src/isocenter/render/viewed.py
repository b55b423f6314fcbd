"""What a viewer has to know of a frame: shape, meaning of its values, windows, and where it lies in the patient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.render.functional_groups import functional_group
from isocenter.render.values import form_of, has_modality_table
from isocenter.render.voi import read_padding, read_rescale

# Modalities of projections, whose Pixel Spacing is one at the detector unless it was calibrated (PS3.3 10.7.1.1).
_PROJECTIONS: Final = frozenset({"CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"})
_MOST_WINDOWS: Final = 16
_MOST_TEXT: Final = 256
_REGION: Final = {
    "spatialFormat": 0x00186012, "dataType": 0x00186014, "x0": 0x00186018, "y0": 0x0018601A, "x1": 0x0018601C,
    "y1": 0x0018601E, "unitsX": 0x00186024, "unitsY": 0x00186026, "deltaX": 0x0018602C, "deltaY": 0x0018602E,
}  # fmt: skip
_TOLD: Final = {
    "patientName": 0x00100010, "patientId": 0x00100020, "patientBirthDate": 0x00100030, "patientSex": 0x00100040,
    "studyDate": 0x00080020, "studyTime": 0x00080030, "studyDescription": 0x00081030, "accessionNumber": 0x00080050,
    "modality": 0x00080060, "seriesDescription": 0x0008103E, "seriesNumber": 0x00200011, "bodyPart": 0x00180015,
    "institutionName": 0x00080080, "manufacturer": 0x00080070, "protocolName": 0x00181030,
    "deidentified": 0x00120062, "burnedIn": 0x00280301,
}  # fmt: skip


def told_of(model: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The attributes that are shown beside an image, as text; those without a value are left out."""
    data_set = DataSet(model)
    found = {name: text_of(data_set.values(tag)) for name, tag in _TOLD.items()}
    return {name: text for name, text in found.items() if text}


def text_of(values: Sequence[Any], most: int = _MOST_TEXT) -> str:
    """Values as people read them, by backslash where there are several; names in all their component groups."""
    text = "\\".join(_plain(value) for value in values)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        groups = [str(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # DS is kept as a number
    return "" if value is None else str(value)


def shape_of(model: Mapping[str, Mapping[str, Any]], description: PixelDescription) -> dict[str, Any]:
    """What all frames of an instance have in common."""
    data_set = DataSet(model)
    padding = read_padding(data_set, description)
    inverse = (data_set.text(0x20500020) or "").strip() == "INVERSE"
    return {
        "rows": description.rows,
        "columns": description.columns,
        "form": form_of(data_set, description),
        "bitsStored": description.bits_stored,
        "signed": description.signed,
        "photometric": description.photometric_interpretation,
        "inverted": description.photometric_interpretation == "MONOCHROME1" or inverse,
        "padding": None if padding is None else list(padding),
        "frameTime": _frame_time(data_set),
        "regions": [_region(item) for item in data_set.items(0x00186011)[:16]],
    }


def _frame_time(data_set: DataSet) -> float | None:
    """Milliseconds from one frame to the next, where the Data Set says so (PS3.3 C.7.6.5)."""
    stated = data_set.number(0x00181063)
    if stated is None and (rate := data_set.number(0x00082144) or data_set.number(0x00180040)):
        stated = 1000 / rate
    return stated if stated is not None and math.isfinite(stated) and 1 <= stated <= 60_000 else None


def _region(item: DataSet) -> dict[str, float | None]:
    return {name: _finite(item.number(tag)) for name, tag in _REGION.items()}


def frame_of(model: Mapping[str, Mapping[str, Any]], description: PixelDescription, number: int) -> dict[str, Any]:
    """What one frame (from 1) has of its own."""
    data_set = DataSet(model)
    grey = form_of(data_set, description) != "rgb8"
    transform = functional_group(data_set, 0x00289145, number) or data_set
    table = has_modality_table(data_set)
    slope, intercept = (1.0, 0.0) if table or not grey else read_rescale(transform)
    spacing, measured = _spacing(data_set, number)
    position = functional_group(data_set, 0x00209113, number) or data_set
    orientation = functional_group(data_set, 0x00209116, number) or data_set
    anatomy = functional_group(data_set, 0x00209071, number)
    side = None if anatomy is None else anatomy.text(0x00209072)
    measures = functional_group(data_set, 0x00289110, number) or data_set
    return {
        "frame": number,
        "number": data_set.integer(0x00200013),
        "slope": slope,
        "intercept": intercept,
        "units": _units(data_set, transform, table=table) if grey else None,
        "windows": windows_of(functional_group(data_set, 0x00289132, number) or data_set) if grey else [],
        "spacing": spacing,
        "measured": measured,
        "position": _vector(position, 0x00200032, 3),
        "orientation": _vector(orientation, 0x00200037, 6),
        "thickness": _finite(measures.number(0x00180050)),
        "laterality": side or data_set.text(0x00200062) or data_set.text(0x00200060),
    }


def windows_of(group: DataSet) -> list[dict[str, Any]]:
    """The windows of a header with their explanations; a VOI LUT as the window over all that it maps."""
    function = (group.text(0x00281056) or "LINEAR").strip()
    function = function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"
    told = group.values(0x00281055)
    found = []
    for place, (center, width) in enumerate(zip(group.numbers(0x00281050), group.numbers(0x00281051), strict=False)):
        if math.isfinite(center) and math.isfinite(width) and width > 0:
            words = str(told[place]) if place < len(told) and told[place] is not None else ""
            found.append({"center": center, "width": width, "function": function, "told": words[:_MOST_TEXT]})
    for item in group.items(0x00283010):
        descriptor = item.numbers(0x00283002)
        if len(descriptor) == 3 and all(map(math.isfinite, descriptor)):
            count, first = descriptor[0] or 65536, descriptor[1]
            words = (item.text(0x00283003) or "")[:_MOST_TEXT]
            found.append({"center": first + count / 2, "width": count, "function": "LINEAR", "told": words})
    return found[:_MOST_WINDOWS]


def _units(data_set: DataSet, transform: DataSet, *, table: bool) -> str | None:
    """What slope and intercept lead to. Of a CT it is HU unless Rescale Type says otherwise (PS3.3 C.8.2.1)."""
    if table:
        items = data_set.items(0x00283000)
        stated = (items[0].text(0x00283004) or "") if items else ""
    else:
        stated = transform.text(0x00281054) or ""
    stated = stated.strip()
    modality = (data_set.text(0x00080060) or "").strip()
    if modality == "CT":
        if stated in ("", "HU"):
            return "HU" if transform.number(0x00281052) is not None and not table else None
    elif stated == "HU":
        return None
    if modality == "PT" and not stated:
        return (data_set.text(0x00541001) or "").strip() or None
    return stated[:16] if stated not in ("", "US") else None


def _spacing(data_set: DataSet, number: int) -> tuple[list[float] | None, str | None]:
    """Millimetres from row to row and column to column, and where: in the patient or at the detector."""
    measures = functional_group(data_set, 0x00289110, number)
    if measures is not None and (own := _pair(measures, 0x00280030)):
        return own, "patient"
    plain, imager = _pair(data_set, 0x00280030), _pair(data_set, 0x00181164)
    if plain is not None:
        projection = (data_set.text(0x00080060) or "").strip() in _PROJECTIONS
        calibrated = (data_set.text(0x00280A02) or "").strip() != ""
        at_detector = projection and not calibrated and (imager is None or imager == plain)
        return plain, "detector" if at_detector else "patient"
    if imager is not None:
        return imager, "detector"
    scanned = _pair(data_set, 0x00182010)
    return scanned, None if scanned is None else "scanned"


def _pair(data_set: DataSet, tag: int) -> list[float] | None:
    found = data_set.numbers(tag)[:2]
    return found if len(found) == 2 and all(math.isfinite(each) and each > 0 for each in found) else None


def _vector(data_set: DataSet, tag: int, count: int) -> list[float] | None:
    found = data_set.numbers(tag)
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def in_order(frames: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Frames of one orientation as they follow each other in the patient, else by Instance Number and frame.

    Along the slice normal, to the side that the instance numbers rise to.
    """
    by_number = sorted(frames, key=_numbered)
    if any(frame["position"] is None or frame["orientation"] is None for frame in frames):
        return by_number
    normal = normal_of(frames[0]["orientation"])
    places = [round(sum(a * b for a, b in zip(frame["position"], normal, strict=True)), 3) for frame in by_number]
    falling = sum((b > a) - (b < a) for a, b in pairwise(places)) < 0
    pairs = sorted(zip(places, by_number, strict=True), key=lambda pair: -pair[0] if falling else pair[0])
    return [frame for _, frame in pairs]


def _numbered(frame: Mapping[str, Any]) -> tuple[float, float]:
    return (math.inf if frame["number"] is None else frame["number"]), frame["frame"]


def normal_of(orientation: Sequence[float]) -> tuple[float, float, float]:
    """The direction that rows and columns stand on."""
    a, b, c, d, e, f = orientation
    return b * f - c * e, c * d - a * f, a * e - b * d
