"""Functional groups of enhanced multi-frame objects (PS3.3 C.7.6.16), and the part of a header rendering needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isocenter.dicom.data_set import DataSet, Model

SHARED = 0x52009229
PER_FRAME = 0x52009230
# Pixel Measures, Frame VOI LUT, Pixel Value Transformation, Plane Position; and what gives a frame its Pixel
# Presentation: MR Image, CT Image, MR Spectroscopy, X-Ray, X-Ray 3D, PET Frame Type, US Image Description.
FRAME_TYPES = (0x00189226, 0x00189329, 0x00189227, 0x00189412, 0x00189504, 0x00189751, 0x00189806)
_GROUPS = (0x00289110, 0x00289132, 0x00289145, 0x00209113, *FRAME_TYPES)
_TOP_LEVEL = frozenset(
    f"{tag:08X}"
    for tag in (
        0x00089205,  # Pixel Presentation
        0x00181164,  # Imager Pixel Spacing
        0x00182010,  # Nominal Scanned Pixel Spacing
        0x20500010,  # Presentation LUT Sequence
        0x20500020,  # Presentation LUT Shape
        0x7FE00008,
        0x7FE00009,
        0x7FE00010,
    )
)
# Of an overlay group: its plane's size, frames, type, origin, bits, layer and data.
OVERLAY_ELEMENTS = frozenset({"0010", "0011", "0015", "0040", "0050", "0051", "0100", "0102", "1001", "3000"})


def functional_group(data_set: DataSet, tag: int, frame_number: int) -> DataSet | None:
    """The item of functional group `tag` that holds for a frame (1-based): its own, else the shared one."""
    raised = data_set.items(tag)
    if raised:
        return raised[0]
    per_frame = data_set.values(PER_FRAME)[frame_number - 1 : frame_number]
    places = [DataSet(item) for item in per_frame if isinstance(item, Mapping)] + data_set.items(SHARED)[:1]
    for place in places:
        found = place.items(tag)
        if found:
            return found[0]
    return None


def rendering_model(model: Model, frame_number: int, more: Iterable[int] = ()) -> dict[str, Mapping[str, Any]]:
    """The few attributes rendering reads, with the frame's functional groups raised to the top level.

    The header of an enhanced multi-frame object runs to many megabytes; this is what should go to a worker. `more`
    names tags to keep besides. ICC profiles, up to megabytes too, are kept only if named.
    """
    kept = {key: value for key, value in model.items() if _is_read(key)}
    for tag in more:
        key = f"{tag:08X}"
        if key in model:
            kept[key] = model[key]
    if f"{SHARED:08X}" in model or f"{PER_FRAME:08X}" in model:
        data_set = DataSet(model)
        for tag in _GROUPS:
            group = functional_group(data_set, tag, frame_number)
            if group is not None:
                kept[f"{tag:08X}"] = {"vr": "SQ", "Value": [group.model]}
    return kept


def _is_read(key: str) -> bool:
    if key.startswith("0028"):
        return key != "00282000"
    return key in _TOP_LEVEL or (key.startswith("60") and key[4:] in OVERLAY_ELEMENTS)
