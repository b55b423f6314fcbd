"""The signed statement over a batch: what was released under which profile and key, checkable by anyone (Ed25519)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_SIGNED = "signature"


def public_key_of(seed: bytes) -> str:
    """The public key, as hexadecimal, of a signing key of 32 bytes."""
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def fingerprint(public_key: str) -> str:
    """What people compare: the first 16 digits of the key's SHA-256."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


def signed(statement: dict[str, Any], seed: bytes) -> dict[str, Any]:
    """The statement with the public key and its signature (RFC 8032)."""
    whole = {**statement, "public_key": public_key_of(seed)}
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_canonical(whole))
    return {**whole, _SIGNED: signature.hex()}


def is_genuine(manifest: dict[str, Any]) -> bool:
    """Whether the signature is that of the public key it names, over all the rest."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(manifest["public_key"]))
        key.verify(bytes.fromhex(manifest[_SIGNED]), _canonical({k: v for k, v in manifest.items() if k != _SIGNED}))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False
    return True


def _canonical(statement: dict[str, Any]) -> bytes:
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
