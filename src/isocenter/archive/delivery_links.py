"""Links that need no credentials: tokens over delivery, image and expiry, which only our key can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from secrets import token_bytes

from isocenter.ports.secrets import Secrets

KEY_NAME = "delivery-links"
_PURPOSE = b"isocenter delivery link 1\0GET\0"  # HEAD is a GET without its body; nothing else is signed for
_ID = re.compile(rb"[a-z2-7]{26}\Z")
_ALL = b"-" * 26  # in place of an image: all of them, as one archive
_VERSION = b"\1"
_PAYLOAD = 1 + 26 + 26 + 8
_TEXT = re.compile(r"[A-Za-z0-9_-]{124}\Z")  # a multiple of 4, so that no bit of it is without a meaning


@dataclass(frozen=True, slots=True)
class Named:
    """What a token names: `image` is None where it is for all of them, `expires` in microseconds since 1970."""

    delivery: str
    image: str | None
    expires: int


class DeliveryLinks:
    """Makes and reads tokens with a key of the key store, made when it is first needed."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._key: bytes | None = None

    def token(self, named: Named) -> str:
        """The names and HMAC-SHA-256 over them and the method, as base64url (RFC 4648 5)."""
        ids = (named.delivery.encode("ascii"), _ALL if named.image is None else named.image.encode("ascii"))
        if not _ID.match(ids[0]) or not (ids[1] == _ALL or _ID.match(ids[1])):
            raise ValueError("links are made for internal ids alone")
        payload = _VERSION + b"".join(ids) + named.expires.to_bytes(8, "big")
        return base64.urlsafe_b64encode(payload + self._mac(payload)).decode("ascii")

    def read(self, token: str) -> Named | None:
        """What a token of ours names; None for anything else, in the same time whatever is wrong with its MAC."""
        if not _TEXT.match(token):
            return None
        raw = base64.urlsafe_b64decode(token)
        payload, mac = raw[:_PAYLOAD], raw[_PAYLOAD:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            return None
        image = payload[27:53]
        name = None if image == _ALL else image.decode("ascii")
        return Named(payload[1:27].decode("ascii"), name, int.from_bytes(payload[53:], "big"))

    def _mac(self, payload: bytes) -> bytes:
        if self._key is None:
            self._key = self._secrets.create(KEY_NAME, token_bytes(32))
        return hmac.new(self._key, _PURPOSE + payload, hashlib.sha256).digest()
