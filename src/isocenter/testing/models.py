"""Holds a DICOM JSON model of ours against pydicom's, and names what the two do differently on purpose."""

from __future__ import annotations

import base64
import math
import warnings
from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset

from isocenter.dicom.json_model import Encoded

Model = Mapping[str, Mapping[str, Any]]
_NUMBERS = frozenset(("DS", "IS", "FL", "FD", "US", "SS", "UL", "SL", "UV", "SV"))
_WIDTHS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_OPEN = frozenset(("US", "SS", "OW", "OB", "UN"))  # VRs between which the dictionary leaves the choice


def pydicom_model(data_set: Dataset) -> dict[str, Any]:
    """pydicom's model; what it cannot encode is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: dict[str, Any] = data_set.to_json_dict(bulk_data_threshold=1 << 40, suppress_invalid_tags=True)
    return found


def differences(ours: Encoded, theirs: Model, blob: bytes = b"", *, big_endian: bool = False) -> list[str]:
    """Where two models of one Data Set differ, by path and both values; `blob` is what bulk offsets count in.

    Not counted, because ours is right or PS3.18 leaves it open:
    - Specific Character Set: ours says ISO_IR 192, which the model is in (F.2), pydicom's what the file said.
    - Group lengths: they are no part of the model.
    - NaN and infinity: ours are the strings of F.2.3.1, pydicom's are floats that no JSON parser takes.
    - DS and IS: numbers of ours against numbers or strings of pydicom's are compared as numbers.
    - Text is compared without padding, empty components and empty trailing values.
    - Long values: ours are read from the blob by their offset. pydicom pads odd ones with a zero.
    - A VR that the dictionary leaves open (US or SS or OW).
    - InlineBinary of a big-endian file: ours is little endian (F.2.7), pydicom's as the file has it.
    """
    theirs = _swapped(theirs) if big_endian else theirs
    return _data_sets(ours.model, theirs, "", ours.bulk, blob)


def _swapped(model: Model) -> Model:
    found: dict[str, Mapping[str, Any]] = {}
    for tag, attribute in model.items():
        width = _WIDTHS.get(attribute["vr"], 1)
        if attribute["vr"] == "SQ" and "Value" in attribute:
            found[tag] = {"vr": "SQ", "Value": [_swapped(each) for each in attribute["Value"]]}
        elif width > 1 and "InlineBinary" in attribute:
            data = base64.b64decode(attribute["InlineBinary"])
            data = b"".join(data[start : start + width][::-1] for start in range(0, len(data), width))
            found[tag] = {"vr": attribute["vr"], "InlineBinary": base64.b64encode(data).decode()}
        else:
            found[tag] = attribute
    return found


def _data_sets(ours: Model, theirs: Model, path: str, bulk: Mapping[str, tuple[int, int]], blob: bytes) -> list[str]:
    found = []
    for tag in sorted({*ours, *theirs}):
        if tag == "00080005" or tag.endswith("0000") or tag in ("7FE00010",):
            continue
        place = path + tag
        one, other = ours.get(tag), theirs.get(tag)
        if one is None or other is None:
            found.append(f"{place}: ours {one}, pydicom's {other}")
            continue
        if one["vr"] != other["vr"] and not {one["vr"], other["vr"]} <= _OPEN:
            found.append(f"{place}: VR {one['vr']}, pydicom's {other['vr']}")
            continue
        if one["vr"] == "SQ":
            items, others = one.get("Value", []), other.get("Value", [])
            if len(items) != len(others):
                found.append(f"{place}: {len(items)} items, pydicom's {len(others)}")
            for number, pair in enumerate(zip(items, others, strict=False)):
                found += _data_sets(*pair, f"{place}/{number}/", bulk, blob)
        elif _plain(one, place, bulk, blob) != _plain(other, place, bulk, blob):
            found.append(f"{place} {one['vr']}: {str(one)[:200]}, pydicom's {str(other)[:200]}")
    return found


def _plain(
    attribute: Mapping[str, Any], path: str, bulk: Mapping[str, tuple[int, int]], blob: bytes
) -> list[Any] | bytes | str:
    if "BulkDataURI" in attribute:
        offset, length = bulk[path]
        data = blob[offset : offset + length]
        return _text(data) if attribute["vr"] in ("UT", "LT", "ST", "UC", "LO") else data.rstrip(b"\0")
    if "InlineBinary" in attribute:
        return base64.b64decode(attribute["InlineBinary"]).rstrip(b"\0")
    values = [_value(value, attribute["vr"]) for value in attribute.get("Value", [])]
    while values and values[-1] is None:
        values.pop()
    return values


def _text(data: bytes) -> list[str]:
    return [data.decode("utf-8", "replace").rstrip("\0 ")]


def _value(value: Any, vr: str) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, Mapping):
        groups = {name: "^".join(part.split("^")).rstrip("^ ") for name, part in value.items()}
        return {name: part for name, part in groups.items() if part} or None
    if vr in _NUMBERS:
        try:
            number = float(value)
        except ValueError:
            return str(value).strip()
        return "NaN" if math.isnan(number) else number
    return str(value).strip(" \0") or None
