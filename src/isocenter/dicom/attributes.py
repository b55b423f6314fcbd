"""What is indexed and returned at each level of a search (PS3.18 Tables 10.6.3-3 to 10.6.3-5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STUDY = frozenset(
    (
        0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080056, 0x00080090, 0x00080201, 0x00081030, 0x00081032,
        0x00081048, 0x00081060, 0x00081080, 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100032, 0x00100040,
        0x00101010, 0x00101020, 0x00101030, 0x00102160, 0x00102180, 0x0020000D, 0x00200010,
    )
)  # fmt: skip
SERIES = frozenset(
    (
        0x00080021, 0x00080031, 0x00080060, 0x00080070, 0x00080080, 0x0008103E, 0x00081050, 0x00081070, 0x00081090,
        0x00180015, 0x00181030, 0x00200011, 0x0020000E, 0x00200052, 0x00200060, 0x00400244, 0x00400245, 0x00400275,
    )
)  # fmt: skip
INSTANCE = frozenset(
    (
        0x00080005, 0x00080008, 0x00080012, 0x00080013, 0x00080016, 0x00080018, 0x00080022, 0x00080023, 0x0008002A,
        0x00080032, 0x00080033, 0x00080201, 0x0020000D, 0x0020000E, 0x00200012, 0x00200013, 0x00200032, 0x00200037,
        0x00201041, 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
    )
)  # fmt: skip

Model = Mapping[str, Mapping[str, Any]]


def _names(tags: frozenset[int]) -> frozenset[str]:
    return frozenset(f"{tag:08X}" for tag in tags)


_NAMES = {"study": _names(STUDY), "series": _names(SERIES), "instance": _names(INSTANCE)}


def of_level(model: Model, level: str) -> dict[str, Mapping[str, Any]]:
    """The part of a JSON model that belongs to "study", "series" or "instance"; bulk data stays out."""
    wanted = _NAMES[level]
    return {name: model[name] for name in sorted(wanted & model.keys()) if "BulkDataURI" not in model[name]}
