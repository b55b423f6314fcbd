"""Keyed pseudonyms: whoever has the project's secret maps alike, anywhere and in any year, without shared state."""

from __future__ import annotations

import hmac
import unicodedata
from functools import lru_cache

_LEAST = 32  # bytes of a secret
_VERSION = b"isocenter deid 1 "


class Pseudonyms:
    """Maps identifiers by HMAC-SHA-256 (RFC 2104) under keys derived from one secret of at least 32 bytes.

    Equal identifiers give equal pseudonyms; without the secret neither direction can be computed, not even by trying
    all possible identifiers.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _LEAST:
            raise ValueError(f"a secret has at least {_LEAST} bytes")
        self._keys = {
            purpose: hmac.digest(secret, _VERSION + purpose.encode(), "sha256")
            for purpose in ("uid", "patient", "code", "days", "path", "vault", "check")
        }
        self.uid = lru_cache(maxsize=1 << 16)(self._uid)

    def _uid(self, uid: str) -> str:
        """A UID under 2.25 (PS3.5 B.2), of a version 8 UUID (RFC 9562) whose bits come from the key."""
        number = int.from_bytes(self._digest("uid", uid)[:16], "big")
        number = number & ~(0xF << 76) | 8 << 76
        number = number & ~(3 << 62) | 2 << 62
        return f"2.25.{number}"

    def patient(self, patient_id: str) -> str:
        """For Patient ID: "P" and 15 digits and letters that are not mistaken for one another."""
        return "P" + _readable(self._digest("patient", patient_id.strip()), 15)

    def code(self, value: str, kind: str = "") -> str:
        """For other identifiers, apart by kind: 14 digits and letters, short enough for SH and AE."""
        return _readable(self._digest("code", f"{kind}\0{value.strip()}"), 14)

    def path(self, part: str) -> str:
        """For one part of a file's path."""
        return _readable(self._digest("path", part), 16).lower()

    def days(self, patient_id: str, earliest: int, latest: int) -> int:
        """By how many days the dates of a patient move: from `earliest` to `latest`, both included."""
        number = int.from_bytes(self._digest("days", patient_id.strip())[:8], "big")
        return earliest + number % (latest - earliest + 1)

    def vault_key(self) -> bytes:
        """The key under which identities are kept for those who may look them up: 32 bytes."""
        return self._keys["vault"]

    def check(self) -> str:
        """A fingerprint of the secret, which evidence may name: tells keys apart, says nothing of them."""
        return self._keys["check"].hex()[:16]

    def _digest(self, purpose: str, value: str) -> bytes:
        plain = unicodedata.normalize("NFC", value).encode("utf-8", "surrogateescape")
        return hmac.digest(self._keys[purpose], plain, "sha256")


def _readable(digest: bytes, length: int) -> str:
    """Crockford's base 32: no I, L, O, U."""
    number = int.from_bytes(digest, "big")
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> 5 * place & 31] for place in range(length))
