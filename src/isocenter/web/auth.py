"""Who may: callers are recognised by API key or OIDC access token, and every route declares its scope."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from isocenter.archive.audit import ReadTrail
from isocenter.errors import Unauthenticated
from isocenter.ports.api_keys import ApiKeys
from isocenter.records import ApiKey, now

REVOKED_WITHIN = 5.0  # seconds
_LONGEST_TOKEN = 16 << 10
_KEY = re.compile(r"isk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})\Z")


class Scope(StrEnum):
    """What a caller may do; granted for all stores ("images:read") or for one ("images:read@raw")."""

    READ = "images:read"
    WRITE = "images:write"
    DELETE = "images:delete"
    IDENTIFIED = "identified:read"
    PROCESS = "process"
    DELIVER = "deliver"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody we know, and what they may do."""

    actor: str
    grants: frozenset[str]

    def may(self, scope: Scope, store: str | None = None) -> bool:
        return scope in self.grants or (store is not None and f"{scope}@{store}" in self.grants)

    def may_anywhere(self, scope: Scope) -> bool:
        return any(grant == scope or grant.startswith(f"{scope}@") for grant in self.grants)


EVERYTHING = frozenset(str(scope) for scope in Scope)
# Scopes that let their holder know of a store; reading is told by `Policy.readable`, as it may take two.
_ALONE = (Scope.WRITE, Scope.DELETE, Scope.PROCESS, Scope.DELIVER, Scope.ADMIN)
LOCAL = Principal("local", EVERYTHING)


class Authenticator(Protocol):
    """Recognises the bearer of a request."""

    def known(self, authorization: str | None) -> Principal | None:
        """The principal where memory alone can tell, None where `authenticate` has to; never raises."""

    def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an Authorization header; may ask a database or the network.

        Raises Unauthenticated, or Unavailable where that cannot be told now.
        """


class Anyone:
    """Authentication switched off: the server listens on loopback, and whoever reaches it is the owner."""

    def known(self, authorization: str | None) -> Principal | None:
        return LOCAL

    def authenticate(self, authorization: str | None) -> Principal:
        return LOCAL


class Remembered:
    """Principals recognised a moment ago, by the hash of what they showed; failures are not kept."""

    def __init__(self, seconds: float, most: int = 4096) -> None:
        self._seconds = seconds
        self._most = most
        self._kept: dict[bytes, tuple[Principal, float]] = {}

    def get(self, authorization: str | None) -> Principal | None:
        found = self._kept.get(_print(authorization)) if authorization else None
        return found[0] if found is not None and time.monotonic() < found[1] else None

    def keep(self, authorization: str | None, principal: Principal, expires: datetime | None) -> None:
        """Remember for the seconds agreed, and never beyond `expires`."""
        left = self._seconds if expires is None else min(self._seconds, (expires - now()).total_seconds())
        if len(self._kept) >= self._most:
            self._kept = {}
        self._kept[_print(authorization)] = principal, time.monotonic() + left


def _print(authorization: str | None) -> bytes:
    return hashlib.sha256((authorization or "").encode("utf-8", "surrogatepass")).digest()


class KeyAuthenticator:
    """API keys of the form isk_<id>_<secret>; only the hash of the secret half is kept.

    A key once recognised is not looked up again for 5 seconds: a revocation takes effect within that time.
    """

    def __init__(self, keys: ApiKeys, *, remember_seconds: float = REVOKED_WITHIN) -> None:
        self._keys = keys
        self._remembered = Remembered(remember_seconds)

    def known(self, authorization: str | None) -> Principal | None:
        return self._remembered.get(authorization)

    def authenticate(self, authorization: str | None) -> Principal:
        name, secret = _key_parts(bearer(authorization))
        key = self._keys.get(name) if name else None
        # Compared also when there is no such key, so that the time taken tells nothing.
        expected = key.secret_sha256 if key is not None else "0" * 64
        if not hmac.compare_digest(hash_secret(secret), expected) or key is None:
            raise Unauthenticated("the API key is not known")
        if key.revoked is not None:
            raise Unauthenticated("the API key has been revoked")
        if key.expires is not None and key.expires <= now():
            raise Unauthenticated("the API key has expired")
        principal = Principal(f"key:{key.id}", key.scopes)
        self._remembered.keep(authorization, principal, key.expires)
        return principal


class FirstOf:
    """API keys by their prefix, everything else by access token."""

    def __init__(self, keys: Authenticator, tokens: Authenticator) -> None:
        self._keys = keys
        self._tokens = tokens

    def known(self, authorization: str | None) -> Principal | None:
        return self._keys.known(authorization) or self._tokens.known(authorization)

    def authenticate(self, authorization: str | None) -> Principal:
        chosen = self._keys if bearer(authorization).startswith("isk_") else self._tokens
        return chosen.authenticate(authorization)


def new_key(label: str, scopes: Iterable[str], **times: Any) -> tuple[ApiKey, str]:
    """A key to keep and its text to hand out once."""
    name, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = ApiKey(name, label, hash_secret(secret), frozenset(scopes), now(), **times)
    return key, f"isk_{name}_{secret}"


def hash_secret(secret: str) -> str:
    """SHA-256: the secret is 256 random bits, which no dictionary holds, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header (RFC 6750 2.1); raises Unauthenticated."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("send an API key or access token as Authorization: Bearer")
    if len(token) > _LONGEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise Unauthenticated("what follows Bearer is neither an API key nor an access token")
    return token


def _key_parts(token: str) -> tuple[str, str]:
    """The id, empty unless it could be one of ours, and the secret."""
    found = _KEY.match(token)
    return (found[1], found[2]) if found else ("", token)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules that turn grants into stores."""

    stores: tuple[str, ...]
    identified: frozenset[str]
    trail: ReadTrail

    def readable(self, principal: Principal) -> tuple[str, ...]:
        """Stores the principal may read: those with identity take identified:read besides."""
        return tuple(
            store
            for store in self.stores
            if principal.may(Scope.READ, store)
            and (store not in self.identified or principal.may(Scope.IDENTIFIED, store))
        )

    def visible(self, principal: Principal, store: str) -> bool:
        """Whether the principal may know of the store: a scope that is worth something alone reaches it."""
        if store not in self.stores:
            return False
        return store in self.readable(principal) or any(principal.may(scope, store) for scope in _ALONE)

    def reached(self, principal: Principal, scope: Scope) -> tuple[str, ...]:
        """Stores in which the principal may do what the scope is for."""
        if scope is Scope.READ:
            return self.readable(principal)
        return tuple(store for store in self.stores if principal.may(scope, store))
