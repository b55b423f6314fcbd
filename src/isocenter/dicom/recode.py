"""Writes raw elements anew as Explicit or Implicit VR Little Endian (PS3.5 7.1), values byte for byte as they were."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from struct import pack

from isocenter.dicom.dictionary import LONG_VRS
from isocenter.dicom.elements import UNDEFINED, Element
from isocenter.dicom.json_model import settled_vr
from isocenter.dicom.transfer_syntax import Encoding

Read = Callable[[int, int], bytes]
# Gives native bytes for encapsulated pixel data inside a sequence (icons): the item that holds it, and the element.
IconDecoder = Callable[[Mapping[int, Element], Element], bytes]
# What takes the place of top-level elements: the pieces of a whole new element, or None to leave it out.
Changes = Mapping[int, Iterable[bytes] | None]

STEP = 1 << 20  # a multiple of every word's width
_PIXEL_REPRESENTATION = 0x00280103
_WORDS = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), "H"),
    **dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), "I"),
    **dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), "Q"),
}
_TEXT = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"))
_ITEM = pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
_ITEM_END = pack("<HHL", 0xFFFE, 0xE00D, 0)
_SEQUENCE_END = pack("<HHL", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True, slots=True)
class Source:
    """A Data Set as it lies: its top-level elements in the order of the stream, and how bytes of it are read.

    `read` takes offset and length as `Element` counts them (in the inflated Data Set where it is deflated).
    """

    elements: Mapping[int, Element]
    encoding: Encoding
    read: Read


def element_head(tag: int, vr: str, length: int, *, implicit: bool = False) -> bytes:
    """Tag, VR and length of an element; a VR whose length does not fit 16 bits is written as UN (PS3.5 6.2.2)."""
    group, number = tag >> 16, tag & 0xFFFF
    if implicit:
        return pack("<HHL", group, number, length)
    code = vr.encode("ascii")
    if code not in LONG_VRS:
        if length <= 0xFFFF:
            return pack("<HH2sH", group, number, code, length)
        code = b"UN"
    return pack("<HH2sHL", group, number, code, 0, length)


def element_bytes(tag: int, vr: str, value: bytes, *, implicit: bool = False) -> bytes:
    """A whole element, padded to even length as its VR asks (PS3.5 6.2)."""
    value += padding(vr, len(value))
    return element_head(tag, vr, len(value), implicit=implicit) + value


def padding(vr: str, length: int) -> bytes:
    """The byte that makes a value of this length even."""
    return b"" if length % 2 == 0 else b" " if vr in _TEXT else b"\0"


def swapped(data: bytes, vr: str, width: str | None = None) -> bytes:
    """Words of a value in the other byte order; bytes that make no whole word stay."""
    code = width or _WORDS.get(vr)
    if code is None:
        return data
    words = array(code)
    whole = len(data) // words.itemsize * words.itemsize
    words.frombytes(data[:whole])
    words.byteswap()
    return words.tobytes() + data[whole:]


def copied(read: Read, offset: int, length: int) -> Iterator[bytes]:
    """Bytes of the source in steps, so that memory stays bounded."""
    for start in range(0, length, STEP):
        yield read(offset + start, min(STEP, length - start))


class Recoder:
    """Writes elements of one source in one target encoding; sequences get undefined lengths."""

    def __init__(self, source: Source, *, implicit: bool, icon: IconDecoder) -> None:
        self._source = source
        self._implicit = implicit
        self._icon = icon
        self._big = source.encoding.big_endian
        # Elements that are right as they lie need not be taken apart.
        self._same = implicit == source.encoding.implicit and not self._big
        self._signed = _is_signed(source.elements, False)

    def rewritten(self, changes: Changes) -> Iterator[bytes]:
        """All top-level elements in their order, with `changes` in place of some of them.

        Group lengths are left out (PS3.5 7.2 retires them): they would no longer be true.
        """
        pending = sorted(tag for tag, new in changes.items() if new is not None)
        run: list[int] = []  # start and end of bytes to copy as they lie
        ordered = sorted(self._source.elements.items(), key=lambda pair: pair[1].offset)
        for number, (tag, element) in enumerate(ordered):
            due = []
            while pending and pending[0] <= tag:
                due.append(changes[pending.pop(0)] or ())
            kept = tag not in changes and tag & 0xFFFF != 0
            if run and (due or not kept):
                yield from copied(self._source.read, run[0], run[1] - run[0])
                run = []
            for new in due:
                yield from new
            if not kept:
                continue
            extent = self._extent(tag, element, ordered, number) if self._same else None
            if extent is None or (run and run[1] != extent[0]):
                yield from copied(self._source.read, run[0], run[1] - run[0]) if run else ()
                run = []
            if extent is None:
                yield from self.element(tag, element, self._source.elements, self._signed)
            else:
                run = [run[0] if run else extent[0], extent[1]]
        if run:
            yield from copied(self._source.read, run[0], run[1] - run[0])
        for tag in pending:
            yield from changes[tag] or ()

    def _extent(
        self, tag: int, element: Element, ordered: list[tuple[int, Element]], number: int
    ) -> tuple[int, int] | None:
        """Where a top-level element begins and ends in a source of the target's encoding; None to write it anew."""
        start = self._start(element)
        if element.length != UNDEFINED:
            if isinstance(element.value, list) and _holds_fragments(element.value):
                return None
            return start, element.offset + element.length
        if not isinstance(element.value, list) or _holds_fragments(element.value) or number + 1 >= len(ordered):
            return None
        return start, self._start(ordered[number + 1][1])

    def _start(self, element: Element) -> int:
        long = not self._implicit and element.vr.encode("ascii") in LONG_VRS
        return element.offset - (12 if long else 8)

    def element(self, tag: int, element: Element, siblings: Mapping[int, Element], signed: bool) -> Iterator[bytes]:
        """One element at any depth."""
        vr, value, offset, length = element
        if isinstance(value, list):
            yield element_head(tag, "SQ", UNDEFINED, implicit=self._implicit)
            for item in value:
                yield _ITEM
                yield from self.item(item, signed)
                yield _ITEM_END
            yield _SEQUENCE_END
            return
        if len(vr) > 2:
            vr = settled_vr(vr, tag, length, signed)
        if value is None and length == UNDEFINED:
            value, vr = self._icon(siblings, element), "OW"
            yield element_bytes(tag, vr, value, implicit=self._implicit)
            return
        pad = padding(vr, length)
        yield element_head(tag, vr, length + len(pad), implicit=self._implicit)
        pieces: Iterable[bytes] = (value,) if value is not None else copied(self._source.read, offset, length)
        for piece in pieces:
            yield swapped(piece, vr) if self._big else piece
        if pad:
            yield pad

    def item(self, elements: Mapping[int, Element], signed: bool) -> Iterator[bytes]:
        """The elements of one item, without its delimiters."""
        signed = _is_signed(elements, signed)
        for tag, element in elements.items():
            if tag & 0xFFFF:
                yield from self.element(tag, element, elements, signed)


def _is_signed(elements: Mapping[int, Element], inherited: bool) -> bool:
    found = elements.get(_PIXEL_REPRESENTATION)
    return any(found.value[:2]) if found is not None and isinstance(found.value, bytes) else inherited


def _holds_fragments(items: list[dict[int, Element]]) -> bool:
    """Whether encapsulated pixel data lies inside: it has to be written anew."""
    for item in items:
        for element in item.values():
            if isinstance(element.value, list):
                if _holds_fragments(element.value):
                    return True
            elif element.value is None and element.length == UNDEFINED:
                return True
    return False
