"""Raw DICOM elements byte by byte (PS3.5 7.1), right or wrong as a test asks."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

from isocenter.dicom.dictionary import LONG_VRS
from isocenter.testing.instances import CT_STORAGE

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
RLE, JPEG, JPEG_LOSSLESS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_2000, HTJ2K = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"
UNDEFINED = 0xFFFFFFFF


def element(tag: int, vr: str, value: bytes | str, *, length: int | None = None, pad: bool = True) -> bytes:
    """An element in Explicit VR Little Endian; `length` states another length than the value has."""
    data = value.encode() if isinstance(value, str) else value
    if pad and len(data) % 2:
        data += b"\0" if vr in ("UI", "OB", "UN") else b" "
    stated = len(data) if length is None else length
    head = pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr.encode() in LONG_VRS:
        return head + pack("<HL", 0, stated) + data
    return head + pack("<H", stated & 0xFFFF) + data


def implicit(tag: int, value: bytes | str, *, length: int | None = None) -> bytes:
    """An element in Implicit VR Little Endian."""
    data = value.encode() if isinstance(value, str) else value
    data += b" " * (len(data) % 2)
    return pack("<HHL", tag >> 16, tag & 0xFFFF, len(data) if length is None else length) + data


def short(tag: int, *values: int) -> bytes:
    """An element of VR US."""
    return element(tag, "US", pack(f"<{len(values)}H", *(value & 0xFFFF for value in values)))


def item(content: bytes, *, undefined: bool = False, length: int | None = None) -> bytes:
    """An item of a sequence, or a fragment."""
    if undefined:
        return pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + content + pack("<HHL", 0xFFFE, 0xE00D, 0)
    return pack("<HHL", 0xFFFE, 0xE000, len(content) if length is None else length) + content


SEQUENCE_END = pack("<HHL", 0xFFFE, 0xE0DD, 0)
ITEM_END = pack("<HHL", 0xFFFE, 0xE00D, 0)


def sequence(tag: int, *items: bytes, undefined: bool = False) -> bytes:
    if undefined:
        return element(tag, "SQ", b"".join(items), length=UNDEFINED) + SEQUENCE_END
    return element(tag, "SQ", b"".join(items))


def meta(transfer_syntax: str, uid: str, *, preamble: bytes = bytes(128), group_length: int | None = None) -> bytes:
    """Preamble, prefix and File Meta Information."""
    group = b"".join(
        (
            element(0x00020001, "OB", b"\0\1"),
            element(0x00020002, "UI", CT_STORAGE),
            element(0x00020003, "UI", uid),
            element(0x00020010, "UI", transfer_syntax),
            element(0x00020012, "UI", "2.25.1"),
        )
    )
    stated = len(group) if group_length is None else group_length
    return preamble + b"DICM" + element(0x00020000, "UL", pack("<L", stated)) + group


def identity(uid: str, character_set: str | None = None, **changes: bytes | str | None) -> bytes:
    """The elements that every instance has; changed by name, left out where None."""
    values: dict[str, tuple[int, str, bytes | str | None]] = {
        "character_set": (0x00080005, "CS", character_set),
        "sop_class": (0x00080016, "UI", CT_STORAGE),
        "sop_instance": (0x00080018, "UI", uid),
        "modality": (0x00080060, "CS", "CT"),
        "patient_name": (0x00100010, "PN", "Hostile^File"),
        "patient_id": (0x00100020, "LO", "HOSTILE"),
        "study": (0x0020000D, "UI", "2.25.1000"),
        "series": (0x0020000E, "UI", "2.25.1001"),
    }
    for name, value in changes.items():
        tag, vr, _ = values[name]
        values[name] = (tag, vr, value)
    return b"".join(element(tag, vr, value) for tag, vr, value in values.values() if value is not None)


def description(
    rows: int = 4,
    columns: int = 4,
    *,
    bits: int = 16,
    stored: int | None = None,
    samples: int = 1,
    photometric: str = "MONOCHROME2",
    frames: str | None = None,
) -> bytes:
    """The Image Pixel module without the pixels."""
    depth = bits if stored is None else stored
    parts = [short(0x00280002, samples), element(0x00280004, "CS", photometric)]
    if samples > 1:
        parts.append(short(0x00280006, 0))
    if frames is not None:
        parts.append(element(0x00280008, "IS", frames))
    parts += [short(0x00280010, rows), short(0x00280011, columns), short(0x00280100, bits)]
    parts += [short(0x00280101, depth), short(0x00280102, depth - 1), short(0x00280103, 0)]
    return b"".join(parts)


def native(data: bytes, *, vr: str = "OW", length: int | None = None) -> bytes:
    return element(0x7FE00010, vr, data, length=length)


def encapsulated(fragments: Sequence[bytes], *, table: bytes = b"", closed: bool = True) -> bytes:
    """Encapsulated PixelData (PS3.5 A.4), fragments padded to even length."""
    items = b"".join(item(part + b"\0" * (len(part) % 2)) for part in (table, *fragments))
    return element(0x7FE00010, "OB", items, length=UNDEFINED) + (SEQUENCE_END if closed else b"")


def instance(uid: str, *parts: bytes, transfer_syntax: str = EXPLICIT, preamble: bytes = bytes(128)) -> bytes:
    """A PS3.10 file: identity, then `parts` as they are."""
    return meta(transfer_syntax, uid, preamble=preamble) + identity(uid) + b"".join(parts)
