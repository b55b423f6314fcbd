"""The DICOM JSON model as a Native DICOM Model in XML (PS3.19 A.1), which DICOMweb calls application/dicom+xml."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.values import value_bytes

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
PERSON_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
PERSON_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

# All that XML 1.0 has no way to say, not even by number (its production 2, Char).
_UNSAYABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_RETURN = {"\r": "&#13;"}  # a bare one would be read as a line feed
_IN_ATTRIBUTE = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}

Model = Mapping[str, Mapping[str, Any]]


def to_xml(model: Model) -> bytes:
    """The whole document in UTF-8. A BulkDataURI goes into BulkData as it is: give it absolute or relative before.

    A value with a control character that XML cannot say (ESC, form feed) is written as InlineBinary of its UTF-8
    bytes, so that nothing is lost; `xml_read` takes it back as text. SpecificCharacterSet should say ISO_IR 192, as
    `json_model.encode` makes it.
    """
    parts = [f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">']
    parts.extend(_data_set(model))
    parts.append("</NativeDicomModel>\n")
    return "".join(parts).encode("utf-8")


def _data_set(model: Model) -> Iterator[str]:
    creators = _creators(model)
    for name in sorted(model):
        attribute = model[name]
        vr = str(attribute.get("vr", "UN"))
        head = f'<DicomAttribute{_identity(name, creators)} vr="{vr}"'
        content = "".join(_content(name, vr, attribute))
        yield f"{head}>{content}</DicomAttribute>" if content else f"{head}/>"


def _creators(model: Model) -> dict[str, str]:
    """Private Creators by the group and block they reserve, "00091000" where (0009,0010) does.

    One that reserves two blocks of a group is left out: without the number of the block they could not be told apart.
    """
    found: dict[str, str] = {}
    for name, attribute in model.items():
        if int(name[:4], 16) & 1 and name[4:6] == "00" and int(name[6:], 16) >= 0x10:
            values = attribute.get("Value")
            if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str):
                found[f"{name[:4]}{name[6:]}"] = values[0]
    twice = [(block[:4], creator) for block, creator in found.items()]
    return {block: creator for block, creator in found.items() if twice.count((block[:4], creator)) == 1}


def _identity(name: str, creators: Mapping[str, str]) -> str:
    """Tag, keyword and private creator; the tag of a private attribute has 00 for its block (PS3.19 Table A.1.5-2)."""
    tag = int(name, 16)
    if not tag >> 16 & 1:
        keyword = keyword_of(tag)
        return f' tag="{name}"' + ("" if keyword.startswith("(") else f' keyword="{keyword}"')
    creator = creators.get(name[:6])
    if creator is None or _UNSAYABLE.search(creator):
        return f' tag="{name}"'
    return f' tag="{name[:4]}00{name[6:]}" privateCreator={quoteattr(creator, _IN_ATTRIBUTE)}'


def _content(name: str, vr: str, attribute: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in attribute:
        yield f"<BulkData uri={quoteattr(str(attribute['BulkDataURI']), _IN_ATTRIBUTE)}/>"
    elif "InlineBinary" in attribute:
        yield f"<InlineBinary>{escape(str(attribute['InlineBinary']))}</InlineBinary>"
    elif vr == "SQ":
        for number, item in enumerate(attribute.get("Value", ()), 1):
            yield f'<Item number="{number}">'
            yield from _data_set(item or {})
            yield "</Item>"
    elif attribute.get("Value"):
        yield from _values(name, vr, attribute["Value"])


def _values(name: str, vr: str, values: list[Any]) -> Iterator[str]:
    if any(_UNSAYABLE.search(text) for text in _texts(values)):
        inline = base64.b64encode(value_bytes(int(name, 16), vr, values)).decode("ascii")
        yield f"<InlineBinary>{inline}</InlineBinary>"
        return
    for number, value in enumerate(values, 1):
        if vr == "PN":
            yield f'<PersonName number="{number}">{_person(value)}</PersonName>'
        elif value is None:
            yield f'<Value number="{number}"/>'
        else:
            text = value if isinstance(value, str) else repr(value)
            yield f'<Value number="{number}">{escape(text, _RETURN)}</Value>'


def _texts(values: list[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from (part for part in value.values() if isinstance(part, str))


def _person(value: Any) -> str:
    """Component groups, each split into its five components; a sixth and more stay with the suffix."""
    if not isinstance(value, Mapping):
        return ""
    parts = []
    for group in PERSON_GROUPS:
        text = value.get(group)
        if text:
            components = zip(PERSON_PARTS, str(text).split("^", len(PERSON_PARTS) - 1), strict=False)
            inside = "".join(f"<{part}>{escape(name, _RETURN)}</{part}>" for part, name in components if name)
            parts.append(f"<{group}>{inside}</{group}>")
    return "".join(parts)
