"""Who may: callers are recognised by API key or OIDC access token, and every route declares its scope."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import anyio.to_thread
from fastapi import Depends, Request

from isocenter.archive.audit import ReadTrail
from isocenter.archive.store import Caller
from isocenter.errors import Forbidden, NotFound, Unauthenticated
from isocenter.ports.api_keys import ApiKeys
from isocenter.records import ApiKey, ImageRecord, now

if TYPE_CHECKING:
    from isocenter.web.services import Services


class Scope(StrEnum):
    """What a caller may do; a grant is a scope for all stores ("images:read") or for one ("images:read@raw")."""

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
LOCAL = Principal("local", EVERYTHING)


class Authenticator(Protocol):
    """Recognises the bearer of a request; `at_once` where that asks nothing of a database or the network."""

    @property
    def at_once(self) -> bool: ...

    def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an Authorization header; raises Unauthenticated."""


class Anyone:
    """Authentication switched off: the server listens on loopback only, and whoever reaches it is the owner."""

    at_once = True

    def authenticate(self, authorization: str | None) -> Principal:
        return LOCAL


class KeyAuthenticator:
    """API keys of the form isk_<id>_<secret>; only the hash of the secret half is kept."""

    at_once = False

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def authenticate(self, authorization: str | None) -> Principal:
        id, secret = _key_parts(_bearer(authorization))
        key = self._keys.get(id) if id else None
        # Compared also when there is no such key, so that the time taken tells nothing.
        expected = key.secret_sha256 if key is not None else "0" * 64
        if not hmac.compare_digest(hash_secret(secret), expected) or key is None:
            raise Unauthenticated("the API key is not known")
        if key.revoked is not None:
            raise Unauthenticated("the API key has been revoked")
        if key.expires is not None and key.expires <= now():
            raise Unauthenticated("the API key has expired")
        return Principal(f"key:{key.id}", key.scopes)


class FirstOf:
    """API keys by their prefix, everything else by access token."""

    at_once = False

    def __init__(self, keys: Authenticator, tokens: Authenticator) -> None:
        self._keys = keys
        self._tokens = tokens

    def authenticate(self, authorization: str | None) -> Principal:
        chosen = self._keys if (authorization or "").startswith("Bearer isk_") else self._tokens
        return chosen.authenticate(authorization)


def new_key(label: str, scopes: Iterable[str], **times: Any) -> tuple[ApiKey, str]:
    """A key to keep and its text to hand out once."""
    id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = ApiKey(id, label, hash_secret(secret), frozenset(scopes), now(), **times)
    return key, f"isk_{id}_{secret}"


def hash_secret(secret: str) -> str:
    """SHA-256: the secret is 256 random bits, which no dictionary holds, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("send an API key or access token as Authorization: Bearer")
    return token.strip()


def _key_parts(token: str) -> tuple[str, str]:
    prefix, _, rest = token.partition("_")
    id, _, secret = rest.partition("_")
    if prefix != "isk" or len(id) != 12 or not id.isalnum():
        return "", secret
    return id, secret


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


@dataclass(frozen=True, slots=True)
class Access:
    """One authenticated request: who, and to which stores its scope reaches."""

    principal: Principal
    caller: Caller
    stores: tuple[str, ...]
    policy: Policy

    def store(self, name: str | None) -> str:
        """A store this request may use; NotFound where it may not see it, whether it exists or not."""
        chosen = name or self.policy.stores[0]
        if chosen not in self.stores:
            if chosen in self.policy.readable(self.principal):
                raise Forbidden("this takes a scope for the store that the caller does not have")
            raise NotFound("there is no such store")
        return chosen

    def note(self, action: str, *, outcome: str = "success", record: ImageRecord | None = None, **more: Any) -> None:
        """Audit a read or search of this request."""
        if record is not None:
            more = {"store": record.store, "image": record.id, **more}
        self.policy.trail.add(self.caller.entry(action, outcome, **more))


async def _access(request: Request, scope: Scope) -> Access:
    services: Services = request.app.state.services
    policy, authenticator = services.policy, services.authenticator
    address = request.client.host if request.client else None
    request_id = request.scope.get("isocenter.request_id")
    authorization = request.headers.get("authorization")
    try:
        if authenticator.at_once:
            principal = authenticator.authenticate(authorization)
        else:
            principal = await anyio.to_thread.run_sync(authenticator.authenticate, authorization)
    except Unauthenticated:
        policy.trail.add(Caller("unknown", request_id, address).entry("login", "denied"))
        raise
    caller = Caller(principal.actor, request_id, address)
    if not principal.may_anywhere(scope):
        policy.trail.add(caller.entry(f"scope {scope}", "denied"))
        raise Forbidden(f"this takes the scope {scope}")
    if scope is Scope.READ:
        stores = policy.readable(principal)
    else:
        stores = tuple(store for store in policy.stores if principal.may(scope, store))
    return Access(principal, caller, stores, policy)


def requires(scope: Scope) -> Any:
    """The dependency that guards a route: `access: Annotated[Access, requires(Scope.READ)]`."""

    async def guard(request: Request) -> Access:
        return await _access(request, scope)

    guard.scope = scope  # type: ignore[attr-defined]  # read by the test that walks the routes
    return Depends(guard)


def open_to_all() -> Any:
    """Marks a route that needs no scope, for the test that walks the routes."""

    async def guard() -> None:
        return None

    guard.scope = None  # type: ignore[attr-defined]
    return Depends(guard)


Reader = Annotated[Access, requires(Scope.READ)]
Writer = Annotated[Access, requires(Scope.WRITE)]
Deleter = Annotated[Access, requires(Scope.DELETE)]
