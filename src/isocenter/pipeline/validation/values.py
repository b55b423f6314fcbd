"""Walks over all elements: forms of values, their number, order, character sets, private blocks (PS3.5 6 and 7)."""

from __future__ import annotations

from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import PIXEL_TAGS, UNDEFINED, Element
from isocenter.dicom.json_model import settled_vr
from isocenter.pipeline.validation.character_sets import CharacterSet, character_set_of
from isocenter.pipeline.validation.elements import Items
from isocenter.pipeline.validation.report import Collector, Where
from isocenter.pipeline.validation.value_forms import FORMS, TEXTS, WIDTHS, entry_of, text_fault

_CHARACTER_SET, _PIXEL_REPRESENTATION = 0x00080005, 0x00280103
_TRAILING_PADDING = 0xFFFCFFFC
_FOUR = frozenset((0x00080016, 0x00080018, 0x0020000D, 0x0020000E))  # held to account as identifiers
# PS3.5 7.8: groups that private elements must not use.
_FORBIDDEN_GROUPS = frozenset((0x0001, 0x0003, 0x0005, 0x0007, 0xFFFF))
_OPEN_VRS = frozenset(("OB", "OW", "UN"))
# The length of palette data may be in either of two VRs, and many write the other one.
_SINGLE = frozenset(("LT", "ST", "UR", "UT"))


class ValueRules:
    """The rules about single elements, over a whole Data Set."""

    def __init__(self, found: Collector, *, implicit: bool) -> None:
        self._found = found
        self._implicit = implicit
        self._signed = False

    def check(self, elements: Items, where: Where | None = None, outer: CharacterSet | None = None
              ) -> None:  # fmt: skip
        """One data set or item, and the items in it."""
        charset = self._charset(elements, where, outer)
        representation = elements.get(_PIXEL_REPRESENTATION)
        if representation is not None and isinstance(representation.value, bytes):
            self._signed = any(representation.value[:2])
        add = self._found.add
        previous = -1
        for tag, element in elements.items():
            if tag < previous:
                add("attribute-order", tag, where)
            previous = tag
            if element.length & 1 and element.length != UNDEFINED:
                add("value-odd-length", tag, where)
            if tag & 0xFFFF == 0:
                add("group-length-present", tag, where)
            elif tag >> 16 & 1:
                self._private(tag, element, elements, where)
            else:
                self._standard(tag, element, where, charset)
            if isinstance(element.value, list):
                for number, item in enumerate(element.value):
                    self.check(item, Where(where, tag, number), charset)
        self._repeated(elements, where)

    def _repeated(self, elements: Items, where: Where | None) -> None:
        """An element that was written again, to the byte, has its first place in the order and its last offset."""
        following = 1 << 63
        for tag, element in reversed(elements.items()):
            if element.offset > following:
                self._found.add("attribute-repeated", tag, where)
            else:
                following = element.offset

    def _charset(self, elements: Items, where: Where | None, outer: CharacterSet | None) -> CharacterSet:
        stated = elements.get(_CHARACTER_SET)
        if stated is None or not isinstance(stated.value, bytes):
            return outer or character_set_of(None)
        found = character_set_of(stated.value)
        if found.fault:
            self._found.add(found.fault, _CHARACTER_SET, where)
        return found

    def _private(self, tag: int, element: Element, elements: Items, where: Where | None) -> None:
        if tag >> 16 in _FORBIDDEN_GROUPS:
            self._found.add("private-group-invalid", tag, where)
        number = tag & 0xFFFF
        if number < 0x10 or 0x100 <= number < 0x1000:
            self._found.add("private-group-invalid", tag, where)
        elif number >= 0x1000:
            creator = elements.get(tag & 0xFFFF0000 | number >> 8)
            if creator is None or not creator.value or not isinstance(creator.value, bytes):
                self._found.add("private-creator-missing", tag, where)
        self._width(tag, element.vr, element, where)

    def _standard(self, tag: int, element: Element, where: Where | None, charset: CharacterSet) -> None:
        entry = entry_of(tag)
        add = self._found.add
        if entry.retired:
            add("attribute-retired", tag, where)
        if tag == _TRAILING_PADDING:
            add("trailing-padding", tag, where)
            return
        vr = element.vr
        if vr == "UN":
            if entry.vrs:
                add("vr-unknown", tag, where)
            vr = vr_of(tag)
        if len(vr) > 2:
            vr = settled_vr(vr, tag, element.length, self._signed)
        elif vr not in entry.vrs and entry.vrs and not (self._implicit or (vr in _OPEN_VRS and entry.vrs & _OPEN_VRS)):
            add("vr-not-of-dictionary", tag, where)
        value = element.value
        if not value or not isinstance(value, bytes):
            if value is None and tag not in PIXEL_TAGS:
                self._width(tag, vr, element, where)
            return
        if vr in TEXTS:
            self._text(tag, vr, value, where, charset)
        elif vr in FORMS:
            self._form(tag, vr, value, where)
        elif not self._width(tag, vr, element, where):
            return
        if entry.least:
            self._multiplicity(tag, vr, value, where, charset)

    def _form(self, tag: int, vr: str, value: bytes, where: Where | None) -> None:
        fault = FORMS[vr](value)
        if fault is not None and not (fault == "uid-invalid" and where is None and tag in _FOUR):
            self._found.add(fault, tag, where)
        last = value[-1]
        if last == (0x20 if vr == "UI" else 0):
            self._found.add("value-padding", tag, where)

    def _text(self, tag: int, vr: str, value: bytes, where: Where | None, charset: CharacterSet) -> None:
        text, fault = charset.read(value)
        if fault is None and text is not None:
            fault = text_fault(text, vr)
        if fault is not None:
            self._found.add(fault, tag, where)
        if value[-1] == 0:
            self._found.add("value-padding", tag, where)

    def _width(self, tag: int, vr: str, element: Element, where: Where | None) -> bool:
        width = WIDTHS.get(vr)
        if width is None or element.length == UNDEFINED or element.length % width == 0:
            return True
        self._found.add("value-length-wrong", tag, where)
        return False

    def _multiplicity(self, tag: int, vr: str, value: bytes, where: Where | None, charset: CharacterSet) -> None:
        width = WIDTHS.get(vr)
        if width is not None:
            count = len(value) // width
        elif vr in _SINGLE or b"\\" not in value:
            count = 1
        elif value.isascii():
            count = value.count(b"\\") + 1
        else:  # a backslash may be half of a character
            text, _ = charset.read(value)
            count = (text if text is not None else value.decode("latin-1")).count("\\") + 1
        if not entry_of(tag).allows(count):
            self._found.add("vm-invalid", tag, where)
