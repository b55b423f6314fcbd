"""Walks over the raw elements of a Data Set (PS3.5 7) as it comes in, one pass and without recursion."""

from __future__ import annotations

from struct import Struct

from isocenter.dicom.dictionary import LONG_VRS, SHORT_VRS, keyword_of, private_vr_of, vr_of
from isocenter.dicom.elements import PIXEL_DATA, PIXEL_TAGS, UNDEFINED, Element, Fragments, Limits
from isocenter.dicom.transfer_syntax import Encoding
from isocenter.errors import LimitExceeded, Malformed

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = 0xFFFE


class _Level:
    """An open data set, sequence or run of fragments."""

    __slots__ = ("elements", "end", "implicit", "items", "kind", "owner")

    def __init__(self, kind: str, end: int | None, implicit: bool, owner: int = 0) -> None:
        self.kind = kind  # "data set", "sequence", "fragments"
        self.end = end  # offset where it ends, None for undefined length
        self.implicit = implicit
        self.owner = owner  # tag of the sequence
        self.elements: dict[int, Element] = {}
        self.items: list[dict[int, Element]] = []


class Walker:
    """Takes a Data Set in any chunks; bulk values are passed over, not buffered.

    Offsets count from `base`. Raises Malformed or LimitExceeded at the first place that cannot be read.
    """

    def __init__(self, encoding: Encoding, base: int, limits: Limits, warnings: list[str]) -> None:
        self.fragments: Fragments | None = None
        self.trailing = False  # what comes is no longer part of the Data Set
        self._limits = limits
        self._warnings = warnings
        self._buffer = b""
        self._at = 0  # position in the buffer
        self._base = base  # offset of the buffer's first byte
        self._skip = 0  # bytes of bulk data still to come
        self._count = 0
        self._kept = 0
        self._final = False
        self._root = _Level("data set", None, encoding.implicit)
        self._stack = [self._root]
        order = ">" if encoding.big_endian else "<"
        self._short = Struct(order + "HH2sH").unpack_from
        self._long = Struct(order + "L").unpack_from
        self._plain = Struct(order + "HHL").unpack_from

    @property
    def elements(self) -> dict[int, Element]:
        return self._root.elements

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self.trailing:
            return
        if self._skip:
            if self._skip >= len(chunk):
                self._skip -= len(chunk)
                self._base += len(chunk)
                return
            self._base += self._skip
            chunk, self._skip = chunk[self._skip :], 0
        rest = len(self._buffer) - self._at
        self._base += self._at
        self._buffer = chunk if rest == 0 else self._buffer[self._at :] + chunk
        self._at = 0
        self._run()

    @property
    def passing_over(self) -> int:
        """So many of the next bytes are bulk data that nobody has to look at."""
        return 0 if self.trailing or self._at < len(self._buffer) else self._skip

    def pass_over(self, size: int) -> None:
        """The next `size` bytes, not more than `passing_over`, have gone by."""
        self._skip -= size
        self._base += size

    def _run(self) -> None:
        while self._step():
            pass
        if self._at == len(self._buffer):
            self._base += self._at
            self._buffer, self._at = b"", 0

    def finish(self) -> None:
        """The stream has ended: whatever is still open is cut short."""
        self._final = True
        if not self.trailing and not self._skip:
            self._run()
        if self.trailing:
            return
        if self._skip:
            last = keyword_of(next(reversed(self._stack[-1].elements), 0))
            raise Malformed(f"the file ends {self._skip} bytes before the end of {last}", code="truncated")
        if self._at < len(self._buffer):
            raise Malformed("the file ends in the middle of an element", code="truncated")
        self._check_closed()
        if not self._root.elements:
            raise Malformed("the Data Set is empty", code="empty-data-set")

    def _check_closed(self) -> None:
        if len(self._stack) == 1:
            return
        level = self._stack[-1]
        if len(self._stack) == 2 and level.kind == "fragments" and self.fragments and self.fragments.offsets:
            # Whole fragments, only the delimiter is missing: some writers leave it out.
            self._warnings.append("PixelData has no Sequence Delimitation Item")
            self._close()
            return
        owner = next((open_.owner for open_ in reversed(self._stack) if open_.owner), 0)
        raise Malformed(f"the file ends inside {keyword_of(owner)}", code="truncated")

    def _step(self) -> bool:
        """One step of the walk; False when more bytes are needed."""
        if self._skip:
            return self._skip_more()
        level = self._stack[-1]
        if level.end is not None:
            here = self._base + self._at
            if here >= level.end:
                if here > level.end:
                    raise Malformed(f"an element goes past the end of {keyword_of(level.owner)}", code="bad-length")
                self._close()
                return True
        elif len(self._buffer) == self._at:
            return False
        if level.kind == "data set":
            if not level.implicit and self._simple(level):
                return True
            return self._element(level)
        if level.kind == "sequence":
            return self._item(level)
        return self._fragment()

    def _skip_more(self) -> bool:
        left = len(self._buffer) - self._at
        if left == 0:
            return False
        step = min(left, self._skip)
        self._at += step
        self._skip -= step
        return True

    def _simple(self, level: _Level) -> bool:
        """A run of elements with short values in explicit VR: most of every header, so the loop is kept tight.

        Stops before anything else, which `_element` then looks at; False where it got nowhere.
        """
        buffer, at, base, short = self._buffer, self._at, self._base, self._short
        elements, most = level.elements, self._limits.value_bytes
        end = len(buffer) if level.end is None else min(len(buffer), level.end - base)
        began, known = at, len(elements)
        while at + 8 <= end:
            group, number, code, length = short(buffer, at)
            vr = SHORT_VRS.get(code)
            stop = at + 8 + length
            tag = group << 16 | number
            if vr is None or stop > end or group <= 2 or length > most or tag in elements:
                break
            elements[tag] = Element(vr, buffer[at + 8 : stop], base + at + 8, length)
            at = stop
        if at == began:
            return False
        self._at = at
        self._counted(len(elements) - known, at - began)
        return True

    def _element(self, level: _Level) -> bool:
        buffer, at = self._buffer, self._at
        if len(buffer) - at < 8:
            return self._starved(level)
        if level.implicit:
            group, number, length = self._plain(buffer, at)
            tag = group << 16 | number
            vr = self._implicit_vr(level, tag) if group != _DELIMITERS else ""
            start = at + 8
        else:
            group, number, code, length = self._short(buffer, at)
            tag = group << 16 | number
            if group == _DELIMITERS:
                length = self._long(buffer, at + 4)[0]
                vr, start = "", at + 8
            elif code in LONG_VRS:
                if len(buffer) - at < 12:
                    return self._starved(level)
                length = self._long(buffer, at + 8)[0]
                vr, start = code.decode(), at + 12
            elif code in SHORT_VRS:
                vr, start = SHORT_VRS[code], at + 8
            else:
                return self._no_element(level, f"{keyword_of(tag)} has no known VR")
        if group == _DELIMITERS:
            return self._delimiter(level, tag, start)
        if tag in level.elements and not self._repeated(level.elements[tag], length, start):
            return self._no_element(level, f"{keyword_of(tag)} occurs twice")
        if group == 0 or group == 2:
            return self._no_element(level, f"{keyword_of(tag)} does not belong in a Data Set")
        return self._value(level, tag, vr, length, start)

    def _starved(self, level: _Level) -> bool:
        """Too few bytes for an element's head: wait, or at the end of the file say what is wrong."""
        if self._final and self._past_pixels(level):
            return self._trail()
        return False

    def _past_pixels(self, level: _Level) -> bool:
        return level is self._root and any(tag in level.elements for tag in PIXEL_TAGS)

    def _no_element(self, level: _Level, message: str) -> bool:
        """After the pixel data, what is no element is padding that writers leave; elsewhere it is a fault."""
        if self._past_pixels(level):
            return self._trail()
        raise Malformed(message, code="bad-element")

    def _repeated(self, before: Element, length: int, start: int) -> bool:
        """Whether the element at `start` says again, to the byte, what was said before: harmless, so allowed."""
        if not isinstance(before.value, bytes) or length != before.length:
            return False
        if len(self._buffer) - start < length:
            return not self._final
        return self._buffer[start : start + length] == before.value

    def _trail(self) -> bool:
        self._warnings.append("bytes follow the end of the Data Set")
        self.trailing = True
        self._buffer, self._at = b"", 0
        return False

    def _delimiter(self, level: _Level, tag: int, start: int) -> bool:
        if tag == _ITEM_END and level is not self._root and level.end is None:
            self._at = start
            self._close()
            return True
        return self._no_element(level, "an item or delimiter stands where an element should")

    def _counted(self, elements: int, size: int) -> None:
        self._count += elements
        self._kept += size + 64 * elements
        if self._count > self._limits.elements:
            raise LimitExceeded(
                f"more than {self._limits.elements} elements (setting max_elements)", code="too-many-elements"
            )
        if self._kept > self._limits.header_bytes:
            raise LimitExceeded(
                f"the header is larger than {self._limits.header_bytes} bytes (setting max_header_bytes)",
                code="header-too-large",
            )

    def _value(self, level: _Level, tag: int, vr: str, length: int, start: int) -> bool:
        offset = self._base + start
        if length == UNDEFINED:
            self._at = start
            self._open_undefined(level, tag, vr, offset)
            return True
        if level.end is not None and offset + length > level.end:
            raise Malformed(f"{keyword_of(tag)} is longer than what holds it", code="bad-length")
        if vr == "SQ":
            self._at = start
            self._push(_Level("sequence", offset + length, level.implicit, tag), level, tag, offset, length)
            return True
        binary = vr[0] == "O" or vr == "UN" or vr == "US or OW"
        if tag in PIXEL_TAGS or length > (self._limits.inline_bytes if binary else self._limits.value_bytes):
            level.elements[tag] = Element(vr, None, offset, length)
            self._counted(1, 0)
            self._at, self._skip = start, length
            return True
        if len(self._buffer) - start < length:
            if self._final:
                raise Malformed(f"the file ends inside {keyword_of(tag)}", code="truncated")
            return False
        level.elements[tag] = Element(vr, self._buffer[start : start + length], offset, length)
        self._counted(1, length)
        self._at = start + length
        return True

    def _implicit_vr(self, level: _Level, tag: int) -> str:
        group = tag >> 16
        if not group & 1 or tag & 0xFFFF < 0x1000:
            return vr_of(tag)
        creator = level.elements.get(group << 16 | (tag & 0xFF00) >> 8)
        if creator is None or not isinstance(creator.value, bytes):
            return "UN"
        return private_vr_of(creator.value.rstrip(b"\0 ").decode("latin-1"), tag)

    def _open_undefined(self, level: _Level, tag: int, vr: str, offset: int) -> None:
        if tag == PIXEL_DATA or vr in ("OB", "OW", "OB or OW"):
            if level is self._root and tag == PIXEL_DATA:
                self.fragments = Fragments()
            self._push(_Level("fragments", None, level.implicit, tag), level, tag, offset, UNDEFINED, vr="OB")
            return
        if vr not in ("SQ", "UN"):
            raise Malformed(
                f"{keyword_of(tag)} has an undefined length, which its VR does not allow", code="bad-length"
            )
        # PS3.5 6.2.2 note 4: the content of an undefined-length UN is Implicit VR Little Endian.
        self._push(_Level("sequence", None, level.implicit or vr == "UN", tag), level, tag, offset, UNDEFINED)

    def _push(self, new: _Level, level: _Level, tag: int, offset: int, length: int, vr: str = "SQ") -> None:
        if sum(x.kind != "data set" for x in self._stack) >= self._limits.depth:
            raise LimitExceeded(
                f"sequences are nested deeper than {self._limits.depth} (setting max_depth)", code="too-deep"
            )
        level.elements[tag] = Element(vr, new.items if vr == "SQ" else None, offset, length)
        self._counted(1, 0)
        self._stack.append(new)

    def _close(self) -> None:
        level = self._stack.pop()
        if level.kind == "data set":
            self._stack[-1].items.append(level.elements)

    def _item(self, level: _Level) -> bool:
        if len(self._buffer) - self._at < 8:
            return False
        group, number, length = self._plain(self._buffer, self._at)
        tag = group << 16 | number
        self._counted(1, 0)
        self._at += 8
        if tag == _SEQUENCE_END and level.end is None:
            self._close()
            return True
        if tag != _ITEM:
            raise Malformed(f"{keyword_of(level.owner)} holds something that is no item", code="bad-sequence")
        end = None if length == UNDEFINED else self._base + self._at + length
        if end is not None and level.end is not None and end > level.end:
            raise Malformed(f"an item is longer than {keyword_of(level.owner)}", code="bad-length")
        self._stack.append(_Level("data set", end if end is not None else None, level.implicit, level.owner))
        return True

    def _fragment(self) -> bool:
        buffer, at = self._buffer, self._at
        left = len(buffer) - at
        if left < 8:
            return False
        group, number, length = self._plain(buffer, at)
        tag = group << 16 | number
        if tag == _SEQUENCE_END:
            self._at += 8
            self._close()
            return True
        if tag != _ITEM or length == UNDEFINED:
            raise Malformed("PixelData holds something that is no fragment", code="bad-fragment")
        top = len(self._stack) == 2 and self._stack[-1].owner == PIXEL_DATA
        return self._take_fragment(self.fragments if top else None, length, left)

    def _take_fragment(self, found: Fragments | None, length: int, left: int) -> bool:
        level = self._stack[-1]
        start = self._at + 8
        if not level.items:  # the first item is the Basic Offset Table
            if length > self._limits.header_bytes // 8:
                raise LimitExceeded("the Basic Offset Table is too large", code="header-too-large")
            if left - 8 < length:
                return False
            if found is not None:
                found.table = self._buffer[start : start + length]
            level.items.append({})
            self._at = start + length
            return True
        if left - 8 < min(length, 4):
            return False
        if found is not None:
            found.offsets.append(self._base + start)
            found.lengths.append(length)
            found.starts.append(self._buffer[start : start + 2] in (b"\xff\xd8", b"\xff\x4f"))
        self._at, self._skip = start, length
        return True
