"""What takes the place of encapsulated documents (PS3.3 C.24): one of the same kind that says nothing."""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.dicom.elements import Element

_DOCUMENT, _TYPE, _LENGTH = 0x00420011, 0x00420012, 0x00420015
_PDF = (
    b"%PDF-1.4\n"
    b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\n"
    b"xref\n0 4\n0000000000 65535 f \n0000000009 00000 n \n0000000052 00000 n \n0000000101 00000 n \n"
    b"trailer<</Size 4/Root 1 0 R>>\nstartxref\n164\n%%EOF\n"
)
_EMPTY = {
    "application/pdf": _PDF,
    "text/xml": b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"/>',
    # An STL or OBJ of nothing.
    "model/stl": bytes(80) + bytes(4),
    "application/sla": bytes(80) + bytes(4),
    "model/obj": b"# removed\n",
    "model/mtl": b"# removed\n",
}


def replaced_document(elements: Mapping[int, Element]) -> dict[int, Element]:
    """The elements that change where an encapsulated document is replaced; one of an unknown kind becomes a PDF."""
    stated = elements.get(_TYPE)
    raw = stated.value if stated is not None and isinstance(stated.value, bytes) else b""
    kind = raw.decode("latin-1").strip(" \0").lower()
    document = _EMPTY.get(kind, _PDF)
    padded = document + b"\0" * (len(document) % 2)
    found = {_DOCUMENT: Element("OB", padded, 0, len(padded))}
    if kind not in _EMPTY:
        found[_TYPE] = Element("LO", b"application/pdf", 0, 15)
    if _LENGTH in elements:
        found[_LENGTH] = Element("UL", len(document).to_bytes(4, "little"), 0, 4)
    return found
