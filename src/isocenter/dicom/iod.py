"""Information Object Definitions (PS3.3): which attributes an instance of a SOP Class has, and of which type."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import orjson

_SHARED_GROUPS, _FRAME_GROUPS = 0x52009229, 0x52009230
_ANY_GROUPS = "multi-frame-functional-groups"
# From what has to be there with a value to what may be left out (PS3.5 7.4).
_STRICTEST_FIRST = ("1", "1C", "2", "2C", "3")

# Standard SOP Classes that were retired, read by the definition that took their place (PS3.4 B.6, PS3.3 A).
_RETIRED = {
    "1.2.840.10008.5.1.4.1.1.6": "1.2.840.10008.5.1.4.1.1.6.1",  # Ultrasound Image
    "1.2.840.10008.5.1.4.1.1.3": "1.2.840.10008.5.1.4.1.1.3.1",  # Ultrasound Multi-frame Image
    "1.2.840.10008.5.1.4.1.1.5": "1.2.840.10008.5.1.4.1.1.20",  # Nuclear Medicine Image
    "1.2.840.10008.5.1.4.1.1.12.3": "1.2.840.10008.5.1.4.1.1.12.1",  # X-Ray Angiographic Bi-plane Image
    "1.2.840.10008.5.1.4.1.1.77.1": "1.2.840.10008.5.1.4.1.1.77.1.4",  # VL Image
    "1.2.840.10008.5.1.4.1.1.77.2": "1.2.840.10008.5.1.4.1.1.77.1.4.1",  # VL Multi-frame Image
    "1.2.840.10008.5.1.4.1.1.88.1": "1.2.840.10008.5.1.4.1.1.88.11",  # Text SR, trial
    "1.2.840.10008.5.1.4.1.1.88.2": "1.2.840.10008.5.1.4.1.1.88.11",  # Audio SR, trial
    "1.2.840.10008.5.1.4.1.1.88.3": "1.2.840.10008.5.1.4.1.1.88.22",  # Detail SR, trial
    "1.2.840.10008.5.1.4.1.1.88.4": "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR, trial
}


class Definition:
    """One IOD: types of its attributes by their path of tags."""

    def __init__(self, name: str, types: Mapping[tuple[int, ...], str]) -> None:
        self.name = name
        self._types = types
        self._by_parent: dict[tuple[int, ...], str] = {}
        for path, kind in types.items():
            self._by_parent[path[-2:]] = _stricter(self._by_parent.get(path[-2:]), kind)

    def type_of(self, path: Sequence[int]) -> str | None:
        """Type ("1", "1C", "2", "2C", "3") of the attribute at a path of tags from the top of the Data Set.

        The strictest of all modules that name it. None where no module does. Content nested in itself, as in structured
        reports, is found by the sequence right around it.
        """
        steps = tuple(path)
        if len(steps) > 1 and steps[0] in (_SHARED_GROUPS, _FRAME_GROUPS):
            steps = steps[1:]
        if steps[0] >> 24 in (0x50, 0x60):  # repeating groups are defined once
            steps = (steps[0] & 0xFF00FFFF,)
        return self._types.get(steps) or (self._by_parent.get(steps[-2:]) if len(steps) > 1 else None)


def definition_of(sop_class_uid: str) -> Definition | None:
    """The definition of a storage SOP Class; None for one that is private or that this edition does not know."""
    name = _tables()["classes"].get(_RETIRED.get(sop_class_uid, sop_class_uid))
    return None if name is None else _definition(name)


@dataclass(frozen=True, slots=True)
class Node:
    """An attribute as a module lists it: its type, and those of the items that it holds."""

    type: str
    items: dict[int, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Module:
    """A module or functional group macro as an IOD uses it: "M" (mandatory), "C" (conditional) or "U" (user option)."""

    name: str
    usage: str
    attributes: Mapping[int, Node]


def modules_of(sop_class_uid: str) -> tuple[Module, ...]:
    """The modules of a storage SOP Class (PS3.3 A), none where this edition does not know it."""
    return _used(sop_class_uid, "modules", "modules")


def functional_groups_of(sop_class_uid: str) -> tuple[Module, ...]:
    """The functional group macros of a storage SOP Class (PS3.3 C.7.6.16)."""
    return _used(sop_class_uid, "groups", "macros")


@lru_cache(maxsize=256)
def _used(sop_class_uid: str, use: str, table: str) -> tuple[Module, ...]:
    tables = _tables()
    name = tables["classes"].get(_RETIRED.get(sop_class_uid, sop_class_uid))
    used: Mapping[str, str] = tables["iods"].get(name, {}).get(use, {})
    return tuple(Module(each, usage, _nodes(_attributes(tables[table], [each]))) for each, usage in used.items())


def _nodes(attributes: Iterable[tuple[str, str]]) -> dict[int, Node]:
    """The tree of a module. Attributes of a sequence that it does not list itself are left out."""
    top: dict[int, Node] = {}
    for path, kind in sorted(attributes, key=lambda each: each[0].count(":")):
        *outer, last = (int(step.replace("x", "0"), 16) for step in path.split(":"))
        place: dict[int, Node] | None = top
        for step in outer:
            place = place[step].items if place is not None and step in place else None
        if place is not None:
            place[last] = Node(kind)
    return top


@lru_cache(maxsize=256)
def _definition(name: str) -> Definition:
    tables = _tables()
    used: Mapping[str, Any] = tables["iods"].get(name, {"modules": {}, "groups": {}})
    types: dict[tuple[int, ...], str] = {}
    for table, names in (("modules", used["modules"]), ("macros", used["groups"])):
        for path, kind in _attributes(tables[table], names):
            steps = tuple(int(step.replace("x", "0"), 16) for step in path.split(":"))
            types[steps] = _stricter(types.get(steps), kind)
    return Definition(name, types)


def _attributes(table: Mapping[str, Mapping[str, str]], names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        if name not in table and name.endswith(_ANY_GROUPS):
            name = _ANY_GROUPS  # the IOD's own, which says which macros are used; the attributes are the same
        yield from table.get(name, {}).items()


def _stricter(one: str | None, other: str) -> str:
    if one is None:
        return other
    return min(one, other, key=_STRICTEST_FIRST.index)


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    packed = files("isocenter.dicom").joinpath("data", "iod.json.gz").read_bytes()
    found: dict[str, Any] = orjson.loads(gzip.decompress(packed))
    return found
