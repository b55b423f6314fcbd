"""Identifiers that are repeated in attributes no rule names: taken out of what stays, at any depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from isocenter.deid.dummies import dummy, settled
from isocenter.deid.scan import Finder
from isocenter.deid.words import is_defined_term
from isocenter.dicom.characters import Text, text_decoder
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.elements import PIXEL_TAGS, UNDEFINED, Element
from isocenter.dicom.iod import Definition
from isocenter.errors import Rejected

_TEXTS = frozenset(("LO", "LT", "SH", "ST", "UC", "UT", "PN"))
_WORDS = frozenset(("AE", "CS"))
_NUMBERS = frozenset(("AS", "DA", "DS", "DT", "IS", "TM", "UR"))
_CHARACTER_SET = 0x00080005
_SYNTAX_TAGS = frozenset((_CHARACTER_SET, 0x00080016))


class Echoes:
    """Goes through elements that stay and takes identifiers out of them; counts where it found any."""

    def __init__(self, finder: Finder, uid: Callable[[str], str], definition: Definition | None) -> None:
        self.found: Counter[int] = Counter()
        self._finder = finder
        self._uid = uid
        self._definition = definition

    def cleaned(
        self, elements: dict[int, Element], path: tuple[int, ...] = (), text: Text | None = None
    ) -> dict[int, Element]:
        """The elements without identifiers; those that held nothing are the same objects.

        Raises Rejected (`identifier-left`) for a value that nobody can take one out of.
        """
        stated = elements.get(_CHARACTER_SET)
        if text is None or (stated is not None and isinstance(stated.value, bytes)):
            text = text_decoder(stated.value if stated is not None and isinstance(stated.value, bytes) else None)
        kept: dict[int, Element] = {}
        for tag, element in elements.items():
            if tag in _SYNTAX_TAGS or tag in PIXEL_TAGS:
                kept[tag] = element
                continue
            new = self._element(tag, element, (*path, tag), text)
            if new is not element:
                self.found[tag] += 1
            if new is not None:
                kept[tag] = new
        return kept

    def _element(self, tag: int, element: Element, path: tuple[int, ...], text: Text) -> Element | None:
        value = element.value
        if isinstance(value, list):
            items = [self.cleaned(item, path, text) for item in value]
            if all(
                new[tag] is old[tag] for new, old in zip(items, value, strict=True) for tag in old if tag in new
            ) and ([len(item) for item in items] == [len(item) for item in value]):
                return element
            return Element("SQ", items, element.offset, UNDEFINED)
        if not value:
            return element
        vr = settled(element.vr, tag)
        if vr in _TEXTS or vr in _WORDS:
            return self._text(element, vr, path, text)
        if vr == "UI":
            element = self._identifier(element, vr)
            value = element.value
        if not isinstance(value, bytes) or self._finder.is_clean(value):
            return element
        if vr in _NUMBERS or vr == "UI" or tag >> 16 & 1 or element.vr == "UN":
            return self._lost(element, vr, path)
        raise Rejected(f"an identifier is left in {keyword_of(tag)}, a value without text", code="identifier-left")

    def _text(self, element: Element, vr: str, path: tuple[int, ...], text: Text) -> Element | None:
        assert isinstance(element.value, bytes)
        parts = text.decode(element.value, vr).split("\\") if vr != "LT" else [text.decode(element.value, vr)]
        new = [self._part(part, vr) for part in parts]
        if new == parts:
            return element
        joined = "\\".join(new).strip()
        if not joined.strip("\\ "):
            return self._lost(element, vr, path)
        codec = text.codec or "ascii"
        raw = joined.encode(codec, "ignore")
        return Element(vr, raw, element.offset, len(raw))

    def _part(self, part: str, vr: str) -> str:
        spans = self._finder.spans(part)
        if not spans:
            return part
        if vr in _WORDS:
            return part if is_defined_term(part) else "REMOVED"
        while spans:  # what stood around one identifier may make another
            left, at = [], 0
            for start, end in spans:
                left.append(part[at:start])
                at = end
            part = " ".join("".join([*left, part[at:]]).split())
            spans = self._finder.spans(part)
        return part

    def _identifier(self, element: Element, vr: str) -> Element:
        assert isinstance(element.value, bytes)
        uids = element.value.decode("latin-1").strip(" \0").split("\\")
        new = "\\".join(self._uid(uid) if uid in self._finder.known.exact else uid for uid in uids).encode("ascii")
        return element if new == element.value.strip(b" \0") else Element(vr, new, element.offset, len(new))

    def _lost(self, element: Element, vr: str, path: tuple[int, ...]) -> Element | None:
        kind = "3" if self._definition is None else self._definition.type_of(path) or "3"
        if kind[0] == "3":
            return None
        raw = b"" if kind[0] == "2" else dummy(path[-1], vr)
        return Element(vr, raw, element.offset, len(raw))
