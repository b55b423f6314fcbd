"""De-identifies the elements of one Data Set: each goes through its rule, at any depth, without a converted copy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from isocenter.deid.character_sets import known_terms
from isocenter.deid.dates import capped_age, moved
from isocenter.deid.dummies import ENUMERATED, dummy, settled
from isocenter.deid.identifiers import Gathered
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.rules import COMPOUNDS, PSEUDONYMS, Action, Rule, Rules
from isocenter.dicom.characters import Text, text_decoder
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import UNDEFINED, Element, Limits
from isocenter.dicom.iod import Definition
from isocenter.dicom.transfer_syntax import Encoding
from isocenter.dicom.walk import Walker
from isocenter.errors import Rejected

Elements = Mapping[int, Element]
Path = tuple[int, ...]
# Cleans one text: the text, and whether words have to be known to stay (descriptors) or need only not identify.
Cleaner = Callable[[str, bool], str]

_CHARACTER_SET = 0x00080005
_TEXTS = frozenset(("LO", "LT", "SH", "ST", "UC", "UT"))
# The code of a concept (PS3.3 8.8) is no free text: within sequences that have to be made dummies it stays legal.
_MEANING = 0x00080104
_CODES = frozenset((0x00080100, 0x00080102, 0x00080103, 0x00080119, 0x00080120, 0x00080122))
_SCHEMES = frozenset(
    (b"DCM", b"SCT", b"SRT", b"SNM3", b"LN", b"UCUM", b"FMA", b"RADLEX", b"NCIt", b"UMLS", b"MDC", b"I10")
)
_NUMERIC = frozenset(("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"))
_DIGITS = re.compile(rb"[0-9eE+.\\ \0-]*\Z")
_LETTERS = re.compile(rb"[A-Za-z0-9]{5}")  # so much text is hardly a number by chance
_HIERARCHY = frozenset((0x00080018, 0x0020000D, 0x0020000E))
_WELL_KNOWN = "1.2.840.10008."


@dataclass(slots=True)
class Subject:
    """Whom an instance is of, and as what it is read."""

    name: str  # the pseudonym that stands for Patient's Name and Patient ID
    days: int
    definition: Definition | None  # of the instance's IOD; None where Isocenter does not know it


@dataclass(slots=True)
class Done:
    """What was done, for evidence: how often each rule acted on each attribute. No values."""

    actions: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    gathered: Gathered = field(default_factory=Gathered)
    identity: list[tuple[int, str, str]] = field(default_factory=list)  # tag, original, pseudonym


class HeaderRules:
    """Applies the rules of a profile to the elements of one instance."""

    def __init__(self, rules: Rules, pseudonyms: Pseudonyms, subject: Subject, clean: Cleaner, limits: Limits) -> None:
        self.done = Done()
        self._rules = rules
        self._rule = rules.rule
        self._pseudonyms = pseudonyms
        self._subject = subject
        self._clean = clean
        self._limits = limits
        self._guards = "clean-descriptors" in rules.options

    def changes(self, elements: Elements) -> dict[int, Element | None]:
        """What becomes of the top level: new elements, None for those that go; what stays is not in it."""
        return self._changed(elements, (), text_decoder(_stated(elements)), mode="")

    def _changed(self, elements: Elements, path: Path, text: Text, *, mode: str) -> dict[int, Element | None]:
        found: dict[int, Element | None] = {}
        creators: dict[int, str] | None = None
        known = self._rules.known
        for tag, element in elements.items():
            rule = known.get(tag) or self._rule(tag)
            action = rule.action
            if action is Action.KEEP and not mode:
                vr = element.vr
                if vr not in ("SQ", "UN") and not (self._guards and vr in _TEXTS) and tag not in ENUMERATED:
                    continue
            elif action is Action.PRIVATE:
                if creators is None:
                    creators = self._safe_blocks(elements)
                new = self._private(tag, element, path, text, creators)
                if new is not element:
                    found[tag] = new
                    self._count(tag, "remove" if new is None else "clean", rule)
                continue
            own = "" if mode == "clean" and tag == _MEANING and _is_standard_code(elements) else mode
            new = self._apply(rule, tag, element, path, text, own)
            if new is not element:
                found[tag] = new
        stated = _stated(elements)
        if stated and (terms := known_terms(stated)) is not stated:
            found[_CHARACTER_SET] = _new(elements[_CHARACTER_SET], "CS", terms)
            self._count(_CHARACTER_SET, "clean", self._rule(_CHARACTER_SET))
        return found

    def _items(self, element: Element, tag: int, path: Path, text: Text, *, mode: str) -> Element:
        """A sequence with its items gone through; the same object if nothing changed."""
        items = element.value
        if not isinstance(items, list):
            return element
        inner = (*path, tag)
        new_items, same = [], True
        for item in items:
            stated = item.get(_CHARACTER_SET)
            own = text_decoder(stated.value) if stated is not None and isinstance(stated.value, bytes) else text
            changes = self._changed(item, inner, own, mode=mode)
            if changes:
                same = False
                kept = ((tag, changes.get(tag, old) if tag in changes else old) for tag, old in item.items())
                new_items.append({tag: new for tag, new in kept if new is not None})
            else:
                new_items.append(item)
        return element if same else Element("SQ", new_items, element.offset, UNDEFINED)

    def _apply(self, rule: Rule, tag: int, element: Element, path: Path, text: Text, mode: str) -> Element | None:
        action = rule.action
        if element.vr == "UN" and element.length and vr_of(tag) == "SQ":
            items = parsed_items(element, tag, self._limits)
            if items is None:  # a sequence that nobody can read
                self._count(tag, "remove", rule)
                return None
            element = Element("SQ", items, element.offset, UNDEFINED)
        if action in COMPOUNDS or action is Action.EMPTY:
            action = self._resolved(action, (*path, tag))
        if element.vr == "SQ":
            new = self._sequence(action, tag, element, path, text, mode)
        elif mode and action is Action.KEEP:
            if settled(element.vr, tag) in _TEXTS and tag not in _CODES and not (mode == "dummy" and tag == _MEANING):
                action = Action(mode)
            new = self._value(action, rule, tag, element, (*path, tag), text)
        else:
            new = self._value(action, rule, tag, element, (*path, tag), text)
        if new is not element:
            self._count(tag, action.value, rule)
        elif action is Action.REMOVE:
            return None
        return new

    def _is_uid(self, tag: int) -> bool:
        return self._rule(tag).action is Action.UID

    def _count(self, tag: int, action: str, rule: Rule) -> None:
        actions, key = self.done.actions, (tag, action, rule.source)
        actions[key] = actions.get(key, 0) + 1  # a Counter's own += asks Python for each new key

    # ---- sequences

    def _sequence(
        self, action: Action, tag: int, element: Element, path: Path, text: Text, mode: str
    ) -> Element | None:
        if action is Action.REMOVE:
            self.done.gathered.items(element.value, text, self._is_uid)
            return None
        if action is Action.EMPTY:
            self.done.gathered.items(element.value, text, self._is_uid)
            return element if not element.value else Element("SQ", [], element.offset, UNDEFINED)
        # D, C, U and K: the items stay, each attribute by its own rule (PS3.15 E.1.1).
        if action is Action.DUMMY or (action is Action.GRAPHICS and not self._guards):
            mode = "dummy"
        elif action is Action.CLEAN or action is Action.GRAPHICS:
            mode = mode or "clean"
        return self._items(element, tag, path, text, mode=mode)

    # ---- private attributes (E.3.10)

    def _safe_blocks(self, elements: Elements) -> dict[int, str]:
        """Private creators of which at least one attribute may stay: their names by tag."""
        found: dict[int, str] = {}
        if not self._rules.safe_private:
            return found
        names: dict[int, str] = {}
        for tag in elements:
            if tag & 0x10000 and tag & 0xFFFF >= 0x1000:
                creator = (tag & 0xFFFF0000) | (tag & 0xFF00) >> 8
                if creator not in names:
                    names[creator] = _creator(elements, creator)
                if creator not in found and self._rules.safe_vr(names[creator], tag) is not None:
                    found[creator] = names[creator]
        return found

    def _private(self, tag: int, element: Element, path: Path, text: Text, creators: dict[int, str]) -> Element | None:
        if tag in creators:
            return element
        creator = (tag & 0xFFFF0000) | (tag & 0xFF00) >> 8
        listed = self._rules.safe_vr(creators[creator], tag) if creator in creators else None
        if listed is not None and is_as_listed(element, listed):
            if element.vr == "SQ":
                return self._items(element, tag, path, text, mode="")
            return self._value(Action.KEEP, _SAFE, tag, element, (*path, tag), text)
        if element.vr == "SQ":
            self.done.gathered.items(element.value, text, self._is_uid)
        return None

    # ---- values

    def _value(self, action: Action, rule: Rule, tag: int, element: Element, path: Path, text: Text) -> Element | None:
        if action is Action.KEEP:
            if tag in ENUMERATED and element.value not in (b"", *_padded(ENUMERATED[tag])):
                return self._lost(path, element, "CS")
            if not self._guards or element.vr not in _TEXTS or not element.length:
                return element
            if element.value is None:
                return self._lost(path, element, element.vr)  # longer than anyone reads
            return self._cleaned(tag, element, text, known_words_only=False)
        vr = settled(element.vr, tag)
        raw = element.value if isinstance(element.value, bytes) else None
        if raw and raw.strip(b" \0"):
            self.done.gathered.value(tag, vr, raw, text)
        if action is Action.REMOVE:
            return None
        if element.length == 0:
            return element
        if action is Action.EMPTY:
            return _new(element, vr, b"")
        if action is Action.DUMMY:
            value = rule.value.encode() if rule.value is not None else dummy(tag, vr)
            return element if value == (raw or b"").rstrip(b" \0") else _new(element, vr, value)
        return self._replaced(action, path, vr, element, raw, text)

    def _replaced(
        self, action: Action, path: Path, vr: str, element: Element, raw: bytes | None, text: Text
    ) -> Element | None:
        tag = path[-1]
        if raw is None:
            return self._lost(path, element, vr)
        if action is Action.CLEAN or action is Action.GRAPHICS:
            cleaned = self._cleaned(tag, element, text, known_words_only=True)
            return cleaned if cleaned.length else self._lost(path, element, vr)
        written = raw.decode("latin-1").strip(" \0")
        if action is Action.UID:
            new = "\\".join(self._uid(part.strip(" \0")) for part in written.split("\\"))
        elif action is Action.AGE:
            new = capped_age(written, self._rules.profile.oldest_age or 89)
        elif action is Action.SHIFT:
            shifted = moved(written, "DT" if vr == "DT" or len(written) > 10 else "DA", self._subject.days)
            if shifted is None:
                return self._lost(path, element, vr)
            new = shifted
        else:
            written = text.decode(raw, vr).strip(" \0")
            new = self._pseudonym(tag, written)
        if action is Action.PSEUDONYM or (action is Action.UID and tag in _HIERARCHY):
            self.done.identity.append((tag, written, new))
        return element if new == written else _new(element, vr, new.encode("ascii"))

    def _lost(self, path: Path, element: Element, vr: str) -> Element | None:
        """What cannot be cleaned or moved goes, as far as the attribute's type allows."""
        action = self._resolved(Action.REMOVE_EMPTY_OR_DUMMY, path)
        if action is Action.REMOVE:
            return None
        return _new(element, vr, b"" if action is Action.EMPTY else dummy(path[-1], vr))

    def _uid(self, uid: str) -> str:
        return uid if not uid or uid.startswith(_WELL_KNOWN) else self._pseudonyms.uid(uid)

    def _pseudonym(self, tag: int, value: str) -> str:
        kind = PSEUDONYMS.get(tag, "code")
        if not value:
            return ""
        if kind in ("patient", "name"):
            return self._subject.name
        return self._pseudonyms.code(value, f"{tag:08x}")

    def _cleaned(self, tag: int, element: Element, text: Text, *, known_words_only: bool) -> Element:
        raw = element.value
        if not isinstance(raw, bytes):
            return _new(element, settled(element.vr, tag), b"")
        vr = settled(element.vr, tag)
        before = text.decode(raw, vr).strip(" \0")
        after = self._clean(before, known_words_only)
        if after == before:
            return element
        return _new(element, vr, encoded(after, text))

    def _resolved(self, action: Action, path: Path) -> Action:
        """A compound action by the attribute's type in this IOD (PS3.15 E.1.1); without one, what keeps most."""
        definition = self._subject.definition
        kind = (definition.type_of(path) or "3") if definition is not None else "1"
        if kind[0] == "1":
            return Action.EMPTY if action is Action.REMOVE_OR_EMPTY else Action.DUMMY
        if action is Action.EMPTY or (action is Action.EMPTY_OR_DUMMY):
            return Action.EMPTY
        if kind[0] == "2":
            return Action.DUMMY if action is Action.REMOVE_OR_DUMMY else Action.EMPTY
        return Action.REMOVE


_SAFE = Rule(Action.KEEP, "retain-safe-private")


def _new(element: Element, vr: str, value: bytes) -> Element:
    return Element(vr, value, element.offset, len(value))


def _stated(elements: Elements) -> bytes | None:
    stated = elements.get(_CHARACTER_SET)
    return stated.value if stated is not None and isinstance(stated.value, bytes) else None


def _padded(values: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (*values, *(value + b" " for value in values))


def _is_standard_code(elements: Elements) -> bool:
    """Whether a code's meaning is that of a public scheme, not the local words of some department."""
    scheme = elements.get(0x00080102)
    return scheme is not None and isinstance(scheme.value, bytes) and scheme.value.strip(b" \0") in _SCHEMES


def _creator(elements: Elements, tag: int) -> str:
    element = elements.get(tag)
    if element is None or not isinstance(element.value, bytes):
        return ""
    return element.value.rstrip(b" \0").decode("latin-1").strip()


def is_as_listed(element: Element, vrs: str) -> bool:
    """Whether a private element has a VR of its lists; one written as UN only if its value can be nothing else."""
    return any(_is_as(element, vr) for vr in vrs.split(" "))


def _is_as(element: Element, vr: str) -> bool:
    if element.vr == vr or (not vr and element.vr in _NUMERIC):
        return True
    if element.vr != "UN" or not isinstance(element.value, bytes):
        return False
    if vr in ("DS", "IS"):
        return bool(_DIGITS.match(element.value))
    return vr in _NUMERIC and len(element.value) <= 64 and not _LETTERS.search(element.value)


def parsed_items(element: Element, tag: int, limits: Limits) -> list[dict[int, Element]] | None:
    """The items of a standard sequence that some gateway wrote as UN; None where the bytes are no items.

    They are Implicit VR Little Endian (PS3.5 6.2.2).
    """
    raw = element.value
    if not isinstance(raw, bytes):
        return None
    head = bytes((tag >> 16 & 0xFF, tag >> 24, tag & 0xFF, tag >> 8 & 0xFF)) + len(raw).to_bytes(4, "little")
    walker = Walker(Encoding(implicit=True), element.offset - 8, limits, [])
    try:
        walker.take(head + raw)
        walker.finish()
    except Rejected:
        return None
    found = walker.elements.get(tag)
    return found.value if found is not None and isinstance(found.value, list) else None


def encoded(after: str, text: Text) -> bytes:
    """Cleaned text in the character set that it came in; letters that this cannot write are left out."""
    if after.isascii():
        return after.encode("ascii")
    codec = text.codec
    if codec is None:
        return after.encode("ascii", "ignore")
    return after.encode(codec, "ignore")


def all_elements(elements: Elements) -> Iterable[tuple[int, Element]]:
    """Elements at any depth."""
    for tag, element in elements.items():
        yield tag, element
        if isinstance(element.value, list):
            for item in element.value:
                yield from all_elements(item)
