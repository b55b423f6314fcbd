"""Functional groups of enhanced multi-frame objects (PS3.3 C.7.6.16), and the part of a header rendering needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isocenter.dicom.data_set import DataSet, Model

SHARED = 0x52009229
PER_FRAME = 0x52009230
# Pixel Measures, Frame VOI LUT, Pixel Value Transformation.
_GROUPS = (0x00289110, 0x00289132, 0x00289145)
# Imager Pixel Spacing, Nominal Scanned Pixel Spacing, Presentation LUT Shape, and where pixel data is.
_SINGLE = ("00181164", "00182010", "20500020", "7FE00008", "7FE00009", "7FE00010")


def functional_group(data_set: DataSet, tag: int, frame_number: int) -> DataSet | None:
    """The item of functional group `tag` that holds for a frame (1-based): its own, else the shared one."""
    raised = data_set.items(tag)
    if raised:
        return raised[0]
    per_frame = data_set.items(PER_FRAME)
    places = per_frame[frame_number - 1 : frame_number] + data_set.items(SHARED)[:1]
    for place in places:
        found = place.items(tag)
        if found:
            return found[0]
    return None


def rendering_model(model: Model, frame_number: int) -> dict[str, Mapping[str, Any]]:
    """The few attributes rendering reads, with the frame's functional groups raised to the top level.

    The header of an enhanced multi-frame object runs to many megabytes; this is what should go to a worker.
    """
    kept = {key: value for key, value in model.items() if key.startswith("0028") or key in _SINGLE}
    data_set = DataSet(model)
    for tag in _GROUPS:
        group = functional_group(data_set, tag, frame_number)
        if group is not None:
            kept[f"{tag:08X}"] = {"vr": "SQ", "Value": [group.model]}
    return kept
