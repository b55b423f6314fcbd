"""API keys, grants and stores, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.archive.audit import ReadTrail
from isocenter.archive.store import Caller
from isocenter.errors import Forbidden, NotFound, Unauthenticated
from isocenter.records import ApiKey, AuditEntry, now
from isocenter.web.access import Access, Hidden
from isocenter.web.auth import (
    FirstOf,
    KeyAuthenticator,
    Policy,
    Principal,
    Remembered,
    Scope,
    bearer,
    new_key,
)


class Keys:
    """API keys in a dictionary; counts the look-ups."""

    def __init__(self) -> None:
        self.kept: dict[str, ApiKey] = {}
        self.asked: list[str] = []

    def get(self, id: str) -> ApiKey | None:
        self.asked.append(id)
        return self.kept.get(id)

    def add(self, key: ApiKey, entry: AuditEntry) -> None:
        self.kept[key.id] = key

    def revoke(self, id: str, entry: AuditEntry) -> ApiKey:
        raise NotImplementedError

    def all(self) -> Sequence[ApiKey]:
        return list(self.kept.values())


ENTRY = Caller("test").entry("key.new")


def test_a_key_is_looked_up_once_in_its_seconds() -> None:
    keys = Keys()
    key, text = new_key("a", ["images:read"])
    keys.add(key, ENTRY)
    found = KeyAuthenticator(keys)
    assert found.known(f"Bearer {text}") is None
    for _ in range(100):
        assert (found.known(f"Bearer {text}") or found.authenticate(f"Bearer {text}")).actor == f"key:{key.id}"
    assert len(keys.asked) == 1


def test_a_key_is_forgotten_in_time_and_never_kept_beyond_its_end() -> None:
    keys = Keys()
    lasting, text = new_key("a", ["images:read"])
    ending, short = new_key("b", ["images:read"], expires=now() + timedelta(milliseconds=50))
    for key in (lasting, ending):
        keys.add(key, ENTRY)
    found = KeyAuthenticator(keys, remember_seconds=0)
    found.authenticate(f"Bearer {text}")
    assert found.known(f"Bearer {text}") is None
    patient = KeyAuthenticator(keys)
    patient.authenticate(f"Bearer {short}")
    while ending.expires is not None and now() < ending.expires:
        pass
    assert patient.known(f"Bearer {short}") is None
    with pytest.raises(Unauthenticated):
        patient.authenticate(f"Bearer {short}")


def test_failures_are_not_remembered_and_memory_is_bounded() -> None:
    remembered = Remembered(60, most=10)
    for number in range(100):
        remembered.keep(f"Bearer {number}", Principal("x", frozenset()), None)
    assert len(remembered._kept) <= 10
    keys = Keys()
    found = KeyAuthenticator(keys)
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            found.authenticate("Bearer isk_0123456789ab_" + "A" * 43)
    assert found._remembered._kept == {}


@pytest.mark.parametrize(
    "text",
    ["isk_", "isk_a_b", "isk_0123456789AB_" + "A" * 43, "isk_0123456789ab_" + "A" * 42,
     "isk_0123456789ab_" + "A" * 44,
     "ISK_0123456789ab_" + "A" * 43, "isk_%25_" + "A" * 43, "x" * 16000],
)  # fmt: skip
def test_what_cannot_be_a_key_is_not_even_looked_up(text: str) -> None:
    keys = Keys()
    with pytest.raises(Unauthenticated):
        KeyAuthenticator(keys).authenticate(f"Bearer {text}")
    assert keys.asked == []


@pytest.mark.parametrize("header", ["Bearer x", "bearer x", "BEARER  x", "Bearer x "])
def test_bearers_are_found(header: str) -> None:
    assert bearer(header) == "x"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic x",
        "x",
        "Bearer x y",
        "Bearer x\ty",
        "Bearer é",
        "Bearer\tx",
        "Bearer " + "x" * 20_000,
    ],
)
def test_other_headers_are_refused(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        bearer(header)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_keys_and_tokens_are_told_apart_however_bearer_is_written(scheme: str) -> None:
    class Tokens:
        def known(self, authorization: str | None) -> Principal | None:
            return None

        def authenticate(self, authorization: str | None) -> Principal:
            return Principal("oidc:x", frozenset())

    keys = Keys()
    key, text = new_key("a", ["images:read"])
    keys.add(key, ENTRY)
    both = FirstOf(KeyAuthenticator(keys), Tokens())
    assert both.authenticate(scheme + text).actor == f"key:{key.id}"
    assert both.authenticate(scheme + "a.b.c").actor == "oidc:x"


@pytest.fixture
def policy() -> Policy:
    trail = ReadTrail(MemoryAuditLog(MemoryDatabase(), b"key"))
    trail.close()
    return Policy(("raw", "deidentified"), frozenset(("raw",)), trail)


def access(policy: Policy, scope: Scope, *grants: str) -> Access:
    principal = Principal("x", frozenset(grants))
    return Access(scope, principal, Caller("x"), policy.reached(principal, scope), policy)


@pytest.mark.parametrize(
    ("scope", "grants", "store", "outcome"),
    [
        (Scope.READ, ["images:read", "identified:read"], "raw", None),
        (Scope.READ, ["images:read"], "deidentified", None),
        (Scope.READ, ["images:read"], "raw", Hidden),
        (Scope.READ, ["images:read", "identified:read@deidentified"], "raw", Hidden),
        (Scope.READ, ["images:read", "images:write@raw"], "raw", Forbidden),
        (Scope.READ, ["images:read@deidentified"], "raw", Hidden),
        (Scope.READ, ["images:read@deidentified", "identified:read"], "raw", Hidden),
        (Scope.WRITE, ["images:write@raw"], "raw", None),
        (Scope.WRITE, ["images:write@raw"], None, None),
        (Scope.WRITE, ["images:write@raw"], "deidentified", Hidden),
        (Scope.WRITE, ["images:write@raw", "images:read@deidentified"], "deidentified", Forbidden),
        (Scope.WRITE, ["images:write"], "nowhere", Hidden),
        (Scope.WRITE, ["images:write@nowhere"], "nowhere", Hidden),
        (Scope.DELETE, ["images:delete@deidentified"], None, Hidden),
    ],
)
def test_a_store_is_open_forbidden_or_not_there(
    policy: Policy, scope: Scope, grants: list[str], store: str | None, outcome: type[Exception] | None
) -> None:
    found = access(policy, scope, *grants)
    if outcome is None:
        assert found.store(store) == (store or "raw")
    else:
        with pytest.raises(outcome):
            found.store(store)


def test_hidden_and_missing_answer_alike(policy: Policy) -> None:
    told = []
    for store in ("raw", "nowhere"):
        with pytest.raises(NotFound) as caught:
            access(policy, Scope.READ, "images:read@deidentified").store(store)
        told.append((caught.value.code, caught.value.detail))
    assert told[0] == told[1]
    assert told[0][0] == NotFound("").code
