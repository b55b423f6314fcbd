"""What is indexed and returned at each level of a search (PS3.18 Tables 10.6.3-3 to 10.6.3-5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isocenter.dicom.tag_path import parse
from isocenter.errors import BadRequest

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
_SOP_CLASS = 0x00080016
LEVELS = ("study", "series", "instance")


@dataclass(frozen=True, slots=True)
class Named:
    """An attribute that the settings name to be searched by besides: its level, and the way to it through sequences."""

    level: str
    tags: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Named:
        """`study:Keyword`, `series:Sequence.Keyword`, `instance:00191002`; an instance's where no level is said."""
        level, colon, address = text.rpartition(":")
        level = level.strip() if colon else "instance"
        if level not in LEVELS:
            raise BadRequest("a searched attribute is written study:, series: or instance: and a tag", code="bad-tag")
        path = parse(address)
        if any(item for _, item in path.through):
            raise BadRequest("a searched attribute names sequences without item numbers", code="bad-tag")
        return cls(level, (*(tag for tag, _ in path.through), path.tag))

    def __str__(self) -> str:
        return f"{self.level}:{'.'.join(f'{tag:08X}' for tag in self.tags)}"


def level_of(tag: int) -> str | None:
    """The level that an attribute of the tables above belongs to, the highest where it is several."""
    return next((level for level in LEVELS if f"{tag:08X}" in _NAMES[level]), None)


def of_level(model: Model, level: str, named: Sequence[Named] = ()) -> dict[str, Mapping[str, Any]]:
    """The part of a JSON model that belongs to "study", "series" or "instance"; bulk data stays out.

    Of a sequence, only what is named comes along.
    """
    wanted = _NAMES[level] & model.keys()
    found = {name: model[name] for name in sorted(wanted) if "BulkDataURI" not in model[name]}
    for each in named:
        if each.level == level:
            _take(model, each.tags, found)
    return found


def _take(model: Model, tags: Sequence[int], into: dict[str, Mapping[str, Any]]) -> None:
    name = f"{tags[0]:08X}"
    attribute = model.get(name)
    if attribute is None or "BulkDataURI" in attribute:
        return
    if len(tags) == 1:
        into[name] = attribute
        return
    items = [item for item in attribute.get("Value", ()) if isinstance(item, Mapping)]
    there = into.get(name, {}).get("Value") or [{} for _ in items]
    if attribute.get("vr") == "SQ" and len(there) == len(items):
        for item, place in zip(items, there, strict=True):
            _take(item, tags[1:], place)
        into[name] = {"vr": "SQ", "Value": there}


def is_looked_at(level: str, tags: Sequence[int]) -> bool:
    """Whether this is an attribute that every instance has its own of, and that is therefore not indexed."""
    return level == "instance" and len(tags) == 1 and tags[0] in INSTANCE and tags[0] != _SOP_CLASS


def named_only(instance: Model) -> dict[str, Mapping[str, Any]]:
    """Of the attributes of an instance those that only the settings name."""
    return {name: instance[name] for name in instance.keys() - _NAMES["instance"]}
