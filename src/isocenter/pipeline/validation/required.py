"""Which attributes have to be there: types 1, 1C and 2 of the modules of an IOD (PS3.3 A, PS3.5 7.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from isocenter.dicom.elements import Element
from isocenter.dicom.iod import Module, Node, functional_groups_of, modules_of
from isocenter.pipeline.validation.elements import Items, Values, is_empty
from isocenter.pipeline.validation.report import Collector, Where

_SHARED, _PER_FRAME, _FRAMES = 0x52009229, 0x52009230, 0x00280008
_CONTENT = 0x0040A730  # Content Sequence: items nested in items, listed once
_VALUE_TYPE, _BY_REFERENCE, _RELATIONSHIP = 0x0040A040, 0x0040DB73, 0x0040A010
# What a content item has of its own by its Value Type (PS3.3 C.17.3.2 and C.18); no other type has it.
_CONTENTS = {
    "TEXT": (0x0040A160,), "DATETIME": (0x0040A120,), "DATE": (0x0040A121,), "TIME": (0x0040A122,),
    "PNAME": (0x0040A123,), "UIDREF": (0x0040A124,), "NUM": (0x0040A300,), "CODE": (0x0040A168,),
    "COMPOSITE": (0x00081199,), "IMAGE": (0x00081199,), "WAVEFORM": (0x00081199,),
    "SCOORD": (0x00700022, 0x00700023), "SCOORD3D": (0x00700022, 0x00700023, 0x30060024),
    "TCOORD": (0x0040A130,), "CONTAINER": (0x0040A050,),
}  # fmt: skip
_OF_ANY_TYPE = frozenset(tag for tags in _CONTENTS.values() for tag in tags)
_OVERLAY_GROUPS = range(0x60000000, 0x60200000, 0x20000)
# Told by other rules: the four identifiers, and what says how to read pixel data.
IDENTIFIERS = frozenset((0x00080016, 0x00080018, 0x0020000D, 0x0020000E))
PIXELS = frozenset(
    (0x00280002, 0x00280004, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x7FE00010)
)
_MISSING = {"1": "type-1-missing", "2": "type-2-missing", "1C": "type-1c-absent"}
_LAXEST_FIRST = ("3", "2C", "1C", "2", "1")


@dataclass(frozen=True, slots=True)
class Option:
    """A module that is not in every instance: one of `signs` tells that it is there."""

    signs: frozenset[int]
    required: Mapping[int, Node]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an IOD asks for: of all, of whoever has an optional module, of items, and of functional groups."""

    required: Mapping[int, Node]
    options: tuple[Option, ...]
    items: Mapping[int, Node]
    groups: Mapping[int, Node]  # macros by their sequence
    groups_required: frozenset[int]
    overlay: Mapping[int, Node]


@lru_cache(maxsize=256)
def plan_of(sop_class_uid: str) -> Plan | None:
    """The plan of a SOP Class; None for one that this edition does not know."""
    modules = modules_of(sop_class_uid)
    if not modules:
        return None
    overlay = next((m.attributes for m in modules if m.name == "overlay-plane"), {})
    modules = tuple(m for m in modules if m.name != "overlay-plane")
    required: dict[int, Node] = {}
    for module in modules:
        if module.usage == "M":
            for tag, node in module.attributes.items():
                if node.type in _MISSING and _is_stricter(node, required.get(tag)):
                    required[tag] = node
    groups = functional_groups_of(sop_class_uid)
    return Plan(
        required, tuple(_options(modules)), _merged(modules), _merged(groups),
        frozenset(tag for g in groups if g.usage == "M" for tag, node in g.attributes.items() if node.type == "1"),
        overlay,
    )  # fmt: skip


def _options(modules: tuple[Module, ...]) -> Iterable[Option]:
    for module in modules:
        if module.usage == "M":
            continue
        others = {tag for other in modules if other is not module for tag in other.attributes}
        needed = {tag: node for tag, node in module.attributes.items() if node.type in ("1", "2")}
        # What a user may add shows by any of its attributes; what a condition asks for by one that it has to have,
        # as writers leave optional ones of it in images that do not meet the condition.
        own = needed if module.usage == "C" else module.attributes
        signs = frozenset(tag for tag in own if tag not in others)
        if signs and needed:
            yield Option(signs, needed)


def _is_stricter(node: Node, known: Node | None) -> bool:
    return known is None or _LAXEST_FIRST.index(node.type) > _LAXEST_FIRST.index(known.type)


def _merged(modules: Iterable[Module]) -> dict[int, Node]:
    """All attributes of all modules. Of one that several list, only what all of them ask of its items is asked."""
    found: dict[int, Node] = {}
    for module in modules:
        for tag, node in module.attributes.items():
            found[tag] = _both(found[tag], node) if tag in found else node
    return found


def _both(one: Node, other: Node) -> Node:
    kind = min(one.type, other.type, key=_LAXEST_FIRST.index)
    if not one.items or not other.items:
        return Node(kind, one.items or other.items)
    items = {}
    for tag in one.items.keys() | other.items.keys():
        first, second = one.items.get(tag), other.items.get(tag)
        if first is not None and second is not None:
            items[tag] = _both(first, second)
        else:
            alone = first or second
            assert alone is not None
            items[tag] = replace(alone, type="3")
    return Node(kind, items)


class RequiredAttributes:
    """Holds an instance against the plan of its IOD."""

    def __init__(self, found: Collector, plan: Plan) -> None:
        self._found = found
        self._plan = plan
        self._tells_conditions = found.wants("type-1c-absent")

    def check(self, elements: Items) -> None:
        """The whole Data Set."""
        plan = self._plan
        left_out = IDENTIFIERS | PIXELS if any(tag >> 16 == 0x7FE0 for tag in elements) else IDENTIFIERS
        if _VALUE_TYPE in plan.required:
            left_out |= _not_of_content(plan.required, elements)
            self._content(plan.items, elements, None)
        self._attributes(plan.required, elements, None, left_out)
        for option in plan.options:
            if not option.signs.isdisjoint(elements):
                self._attributes(option.required, elements, None, left_out | plan.required.keys())
        for tag, element in elements.items():
            node = plan.items.get(tag)
            if node is None:
                continue
            if node.type == "1C" and is_empty(element) and tag not in left_out:
                self._found.add("type-1-empty", tag)
            if node.items and tag not in (_SHARED, _PER_FRAME):
                self._items(node, tag, element, None)
        self._overlays(elements)
        if plan.groups:
            self._groups(elements)

    def _attributes(
        self, nodes: Mapping[int, Node], elements: Items, where: Where | None, left_out: Iterable[int] = ()
    ) -> None:
        for tag, node in nodes.items():
            if tag in left_out:
                continue
            element = elements.get(tag)
            if element is None:
                rule = _MISSING.get(node.type)
                if rule is not None and (rule != "type-1c-absent" or (where is None and self._tells_conditions)):
                    self._found.add(rule, tag, where)
            elif node.type == "1" and is_empty(element):
                self._found.add("item-missing" if element.vr == "SQ" else "type-1-empty", tag, where)

    def _items(self, node: Node, tag: int, element: Element, where: Where | None) -> None:
        if not isinstance(element.value, list):
            return
        for number, item in enumerate(element.value):
            here = Where(where, tag, number)
            self._attributes(node.items, item, here, _not_of_content(node.items, item) if tag == _CONTENT else ())
            if tag == _CONTENT:
                self._content(node.items, item, here)
            for inner_tag, inner in item.items():
                if not isinstance(inner.value, list):
                    continue
                below = node.items.get(inner_tag)
                if below is not None and below.items:
                    self._items(below, inner_tag, inner, here)
                elif inner_tag == _CONTENT and tag == _CONTENT:
                    self._items(node, inner_tag, inner, here)

    def _content(self, nodes: Mapping[int, Node], item: Items, where: Where | None) -> None:
        """What is of type 1C because it depends on the Value Type, which is known."""
        if _BY_REFERENCE not in item:
            for tag in _CONTENTS.get(Values(item).code(_VALUE_TYPE), ()):
                if tag not in item and tag in nodes and nodes[tag].type == "1C":
                    self._found.add("type-1-missing", tag, where)

    def _overlays(self, elements: Items) -> None:
        """Each repeating group with an overlay has the whole module (PS3.3 C.9.2)."""
        present = {tag & 0xFFFF0000 for tag in elements if tag >> 24 == 0x60}
        for group in present & set(_OVERLAY_GROUPS):
            nodes = {group | (tag & 0xFFFF): node for tag, node in self._plan.overlay.items()}
            self._attributes({tag: node for tag, node in nodes.items() if node.type in ("1", "2")}, elements, None)

    def _groups(self, elements: Items) -> None:
        """Functional groups (PS3.3 C.7.6.16): each required macro is shared, or in every frame."""
        shared, frames = _items_of(elements, _SHARED), _items_of(elements, _PER_FRAME)
        for sequence, items in ((_SHARED, shared), (_PER_FRAME, frames)):
            for number, item in enumerate(items):
                here = Where(None, sequence, number)
                for tag, element in item.items():
                    node = self._plan.groups.get(tag)
                    if node is not None and node.items:
                        self._items(node, tag, element, here)
        in_all: set[int] = set(frames[0]) if frames else set()
        for item in frames[1:]:
            in_all &= item.keys()
        present = in_all | {tag for item in shared for tag in item}
        for tag in sorted(self._plan.groups_required - present):
            self._found.add("functional-group-missing", tag, Where(None, _SHARED, 0))


def _not_of_content(nodes: Mapping[int, Node], item: Items) -> frozenset[int]:
    """What a content item need not have because it is of another Value Type, or stands elsewhere in the tree."""
    if _BY_REFERENCE in item:
        return frozenset(nodes.keys() - {_RELATIONSHIP})
    return _OF_ANY_TYPE.difference(_CONTENTS.get(Values(item).code(_VALUE_TYPE), ()))


def _items_of(elements: Items, tag: int) -> list[Items]:
    element = elements.get(tag)
    return element.value if element is not None and isinstance(element.value, list) else []
