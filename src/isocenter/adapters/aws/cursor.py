"""Opaque cursors: a position and the list it belongs to, with a check so that no foreign string passes."""

from __future__ import annotations

import base64
import binascii
import hashlib

from isocenter.errors import UnknownCursor


def cursor(list_name: str, position: int) -> str:
    """The cursor that continues the list after (or, where it runs backwards, before) `position`."""
    number = position.to_bytes(8, "big")
    return base64.urlsafe_b64encode(number + _check(list_name, number)).decode()


def position(list_name: str, text: str) -> int:
    """The position in a cursor; BadRequest where it is none of ours or of another list."""
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != 12 or raw[8:] != _check(list_name, raw[:8]):
        raise UnknownCursor("the cursor is not one that this list gave out; begin again without it")
    return int.from_bytes(raw[:8], "big")


def _check(list_name: str, number: bytes) -> bytes:
    return hashlib.sha256(b"isocenter dynamodb cursor:%s:%s" % (list_name.encode(), number)).digest()[:4]
