"""Preamble and File Meta Information (PS3.10 7.1) for Data Sets that came without them."""

from __future__ import annotations

from struct import pack

IMPLEMENTATION_CLASS_UID = "2.25.196276284419917208470286113853604316673"
PREAMBLE = bytes(128) + b"DICM"


def part10_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """128 zero bytes, "DICM" and the required elements of group 0002, Explicit VR Little Endian."""
    group = b"".join(
        (
            pack("<HH2sHL", 2, 1, b"OB", 0, 2) + b"\0\1",
            _uid(2, sop_class_uid),
            _uid(3, sop_instance_uid),
            _uid(0x10, transfer_syntax_uid),
            _uid(0x12, IMPLEMENTATION_CLASS_UID),
        )
    )
    return PREAMBLE + pack("<HH2sHL", 2, 0, b"UL", 4, len(group)) + group


def _uid(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    value += b"\0" * (len(value) % 2)
    return pack("<HH2sH", 2, element, b"UI", len(value)) + value
