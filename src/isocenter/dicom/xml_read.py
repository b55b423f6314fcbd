"""A Native DICOM Model in XML (PS3.19 A.1) to the DICOM JSON model; documents from outside, so nothing is trusted."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any
from xml.parsers import expat

from isocenter.dicom.characters import text_decoder
from isocenter.dicom.dictionary import VRS, keyword_of, tag_of
from isocenter.dicom.elements import Limits
from isocenter.dicom.values import BINARY_VRS
from isocenter.dicom.xml_write import NAMESPACE, PERSON_GROUPS, PERSON_PARTS
from isocenter.errors import LimitExceeded, Malformed

Model = dict[str, dict[str, Any]]

_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")
_NUMBER = re.compile(r"[0-9]{1,7}\Z")
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}\Z")
_MOST_VALUES = 1 << 16  # with a gap before them: `number` may skip values, which then are empty
_WHOLE_VRS = frozenset(("US", "SS", "UL", "SL", "UV", "SV"))
_ODD = {"nan": "NaN", "inf": "inf", "-inf": "-inf", "+inf": "inf", "infinity": "inf", "-infinity": "-inf"}
_INSIDE = {
    "": {"NativeDicomModel"},
    "NativeDicomModel": {"DicomAttribute"},
    "Item": {"DicomAttribute"},
    "DicomAttribute": {"Value", "PersonName", "Item", "BulkData", "InlineBinary"},
    "PersonName": set(PERSON_GROUPS),
    **{group: set(PERSON_PARTS) for group in PERSON_GROUPS},
}


def from_xml(data: bytes | Iterable[bytes], limits: Limits | None = None) -> Model:
    """The JSON model of a document, given whole or in chunks.

    Document type declarations are refused, and with them all entities but the five of XML itself. Raises Malformed,
    naming the Keyword where there is one, and LimitExceeded for what is too deep, too much or too long.
    """
    reader = _Reader(limits or Limits())
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    size = 0
    try:
        for chunk in (data,) if isinstance(data, bytes) else data:
            size += len(chunk)
            if size > reader.limits.header_bytes:
                raise LimitExceeded(
                    f"the XML document is larger than {reader.limits.header_bytes} bytes (setting max_header_bytes)",
                    code="header-too-large",
                )
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        # `from None`: the message may quote the document; its line says enough.
        raise Malformed(f"the XML document is not well formed (line {error.lineno})", code="bad-xml") from None
    except (LookupError, UnicodeError):
        raise Malformed("the XML document is in an encoding that is not known; use UTF-8", code="bad-xml") from None
    if reader.model is None:
        raise Malformed("the XML document holds no NativeDicomModel", code="bad-xml")
    return reader.model


def _refuse(*_: Any) -> int:
    raise Malformed("a document type declaration is not part of a Native DICOM Model; leave it out", code="bad-xml")


class _Attribute:
    """A DicomAttribute being read."""

    __slots__ = ("creator", "inline", "items", "keyword", "tag", "uri", "values", "vr")

    def __init__(self, tag: int, vr: str, creator: str | None) -> None:
        self.tag = tag
        self.vr = vr
        self.creator = creator
        self.keyword = keyword_of(tag)
        self.values: list[Any] = []
        self.items: list[Any] = []
        self.inline: str | None = None
        self.uri: str | None = None


class _Reader:
    """Takes the parser's events; one stack each for elements, attributes and Data Sets under way."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.model: Model | None = None
        self._names: list[str] = []
        self._sets: list[list[tuple[_Attribute, dict[str, Any]]]] = []
        self._attributes: list[_Attribute] = []
        self._text: list[str] = []
        self._place = 0  # of the value under way, from 1
        self._person: dict[str, str] = {}
        self._parts: dict[str, str] = {}
        self._count = 0

    # ---- events

    def start(self, name: str, given: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        outside = self._names[-1] if self._names else ""
        if local not in _INSIDE.get(outside, ()) or space not in ("", NAMESPACE):
            raise Malformed("an XML element stands where PS3.19 A.1.6 has none of its name", code="bad-xml")
        self._count += 1
        if self._count > self.limits.elements:
            raise LimitExceeded(
                f"more than {self.limits.elements} elements (setting max_elements)", code="too-many-elements"
            )
        self._names.append(local)
        self._text.clear()
        if local in ("NativeDicomModel", "Item"):
            self._open(local, given)
        elif local == "DicomAttribute":
            self._attributes.append(_attribute(given))
        elif local in ("Value", "PersonName"):
            self._place = self._number(given, len(self._attributes[-1].values))
            self._person = {}
        elif local == "BulkData":
            # By uuid a host and its application name what they share (PS3.19); over the web only a URI leads anywhere.
            self._attributes[-1].uri = given.get("uri") or given.get("uuid") or ""
        elif local in PERSON_GROUPS:
            self._parts = {}

    def text(self, data: str) -> None:
        if self._names and self._names[-1] in ("Value", "InlineBinary", *PERSON_PARTS):
            self._text.append(data)
        elif data.strip(" \t\r\n"):
            raise Malformed("text stands between the elements of the XML document", code="bad-xml")

    def end(self, name: str) -> None:
        local = self._names.pop()
        if local == "Value":
            attribute = self._attributes[-1]
            text = "".join(self._text)
            self._put(attribute.values, _value(attribute, text) if text else None)
        elif local == "InlineBinary":
            self._attributes[-1].inline = "".join("".join(self._text).split())
        elif local in PERSON_PARTS:
            self._parts[local] = "".join(self._text)
        elif local in PERSON_GROUPS:
            joined = "^".join(self._parts.get(part, "") for part in PERSON_PARTS).rstrip("^")
            if joined:
                self._person[local] = joined
        elif local == "PersonName":
            self._put(self._attributes[-1].values, self._person or None)
        elif local == "DicomAttribute":
            attribute = self._attributes.pop()
            self._sets[-1].append((attribute, _finished(attribute)))
        elif local == "Item":
            found = _data_set(self._sets.pop())
            self._attributes[-1].items.append(found)
        elif local == "NativeDicomModel":
            self.model = _data_set(self._sets.pop())
        self._text.clear()

    # ---- pieces

    def _open(self, local: str, given: dict[str, str]) -> None:
        if local == "Item":
            place = self._number(given, len(self._attributes[-1].items))
            if place != len(self._attributes[-1].items) + 1:
                raise Malformed(f"the items of {self._attributes[-1].keyword} are not in order", code="bad-xml")
        if len(self._sets) > self.limits.depth:
            raise LimitExceeded(
                f"sequences are nested deeper than {self.limits.depth} (setting max_depth)", code="too-deep"
            )
        self._sets.append([])

    def _number(self, given: dict[str, str], before: int) -> int:
        """The place of a value or item; the next one where nothing is said."""
        text = given.get("number")
        if text is None:
            return before + 1
        keyword = self._attributes[-1].keyword
        if not _NUMBER.match(text) or int(text) <= before:
            raise Malformed(f"the values of {keyword} are not numbered in order from 1", code="bad-xml")
        if int(text) > before + _MOST_VALUES:
            raise LimitExceeded(f"{keyword} leaves out more than {_MOST_VALUES} values", code="too-many-elements")
        self._count += int(text) - before - 1
        return int(text)

    def _put(self, values: list[Any], value: Any) -> None:
        values += [None] * (self._place - 1 - len(values))
        values.append(value)


def _attribute(given: dict[str, str]) -> _Attribute:
    text, keyword = given.get("tag"), given.get("keyword")
    if text is None and keyword:
        found = tag_of(keyword)
        text = None if found is None else f"{found:08X}"
    if text is None or not _TAG.match(text):
        raise Malformed("a DicomAttribute has no tag of eight hexadecimal digits", code="bad-xml")
    tag, vr = int(text, 16), given.get("vr", "")
    if not vr.isascii() or vr.encode() not in VRS:
        raise Malformed(f"{keyword_of(tag)} has no `vr` of PS3.5 6.2", code="bad-vr")
    return _Attribute(tag, vr, given.get("privateCreator"))


def _value(attribute: _Attribute, text: str) -> Any:
    """One value as PS3.18 F.2.3 has it in JSON."""
    vr = attribute.vr
    if vr in _WHOLE_VRS:
        if not _WHOLE.match(text.strip()):
            raise Malformed(f"{attribute.keyword}: a value of {vr} is a whole number", code="bad-value")
        return int(text)
    if vr in ("FL", "FD"):
        odd = _ODD.get(text.strip().lower())
        if odd is not None:
            return odd
        try:
            return float(text)
        except ValueError:
            raise Malformed(f"{attribute.keyword}: a value of {vr} is a number", code="bad-value") from None
    if vr in ("DS", "IS"):
        found = text_decoder(None).converters[vr](text.encode("utf-8"))
        return found[0] if len(found) == 1 else text
    return text


def _finished(attribute: _Attribute) -> dict[str, Any]:
    """The attribute in the JSON model; Malformed where it holds what does not go together."""
    ways = [
        way
        for way, there in (
            ("Value", bool(attribute.values)),
            ("Item", bool(attribute.items)),
            ("InlineBinary", attribute.inline is not None),
            ("BulkData", attribute.uri is not None),
        )
        if there
    ]
    vr = attribute.vr
    if len(ways) > 1:
        raise Malformed(f"{attribute.keyword} has both {ways[0]} and {ways[1]}; send one", code="bad-value")
    if ways == ["BulkData"]:
        return {"vr": vr, "BulkDataURI": attribute.uri}
    if ways == ["Item"]:
        if vr != "SQ":
            raise Malformed(f"{attribute.keyword} has items, but its `vr` is not SQ", code="bad-value")
        return {"vr": vr, "Value": attribute.items}
    if ways == ["Value"]:
        if vr == "SQ" or any(
            isinstance(value, dict) != (vr == "PN") for value in attribute.values if value is not None
        ):
            raise Malformed(f"{attribute.keyword} has values of another kind than its `vr`", code="bad-value")
        return {"vr": vr, "Value": attribute.values} if attribute.values != [None] else {"vr": vr}
    if ways == ["InlineBinary"] and attribute.inline:
        return _inline(attribute, attribute.inline)
    return {"vr": vr}


def _inline(attribute: _Attribute, inline: str) -> dict[str, Any]:
    """Binary values as they are; of text, what XML had no characters for (see `xml_write.to_xml`)."""
    if attribute.vr in BINARY_VRS:
        return {"vr": attribute.vr, "InlineBinary": inline}
    convert = text_decoder(b"ISO_IR 192").converters.get(attribute.vr)
    if convert is None:
        raise Malformed(f"{attribute.keyword}: InlineBinary does not go with {attribute.vr}", code="bad-value")
    try:
        values = convert(base64.b64decode(inline, validate=True))
    except (ValueError, binascii.Error):
        raise Malformed(f"{attribute.keyword}: InlineBinary is not base64", code="bad-value") from None
    return {"vr": attribute.vr, "Value": values} if values else {"vr": attribute.vr}


def _data_set(found: list[tuple[_Attribute, dict[str, Any]]]) -> Model:
    """Attributes by tag, private ones in the block that their creator has or is given now."""
    model: Model = {}
    of_creators = []
    for attribute, value in found:
        if attribute.tag >> 16 & 1 and attribute.creator is not None:
            of_creators.append((attribute, attribute.creator, value))
        else:
            _add(model, f"{attribute.tag:08X}", value, attribute.keyword)
    for attribute, creator, value in of_creators:
        group, number = attribute.tag >> 16, attribute.tag & 0xFFFF
        reserved = f"{group:04X}00{number >> 8:02X}"
        if number >= 0x1000 and reserved not in model:  # it names a block that is nobody's yet
            model[reserved] = {"vr": "LO", "Value": [creator]}
        elif number < 0x1000 or model[reserved].get("Value") != [creator]:
            number = _block(model, group, creator) << 8 | number & 0xFF
        _add(model, f"{group:04X}{number:04X}", value, attribute.keyword)
    return dict(sorted(model.items()))


def _add(model: Model, name: str, value: dict[str, Any], keyword: str) -> None:
    if name in model:
        raise Malformed(f"{keyword} occurs twice in the XML document", code="bad-xml")
    model[name] = value


def _block(model: Model, group: int, creator: str) -> int:
    """The block that a Private Creator reserves in a group (PS3.5 7.8.1); the first free one where it has none yet."""
    free = 0
    for block in range(0xFF, 0x0F, -1):
        known = model.get(f"{group:04X}00{block:02X}")
        if known is None:
            free = block
        elif known.get("Value") == [creator]:
            return block
    if not free:
        raise Malformed("a group has more Private Creators than it has blocks", code="bad-xml")
    model[f"{group:04X}00{free:02X}"] = {"vr": "LO", "Value": [creator]}
    return free
