"""Access tokens as an attacker would write them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from isocenter.errors import Misconfigured, Unauthenticated
from isocenter.web.oidc import ALGORITHMS, TokenAuthenticator

ISSUER = "https://issuer.example/realm"
KEY = rsa.generate_private_key(65537, 2048)


class OneKey:
    def matching(self, kid: str | None, algorithm: str) -> Sequence[jwt.PyJWK]:
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        return [jwt.PyJWK(jwk, algorithm=algorithm)]


def authenticator(**more: Any) -> TokenAuthenticator:
    return TokenAuthenticator(issuer=ISSUER, audience="isocenter", keys=OneKey(), **more)


def token(*, headers: dict[str, Any] | None = None, algorithm: str = "RS256", **changes: Any) -> str:
    claims = {
        "iss": ISSUER,
        "aud": "isocenter",
        "sub": "x",
        "exp": int(time.time()) + 60,
        "scope": "images:read",
    }
    kept = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return "Bearer " + jwt.encode(kept, KEY, algorithm, headers=headers)


def test_a_good_token_becomes_an_actor_and_grants() -> None:
    principal = authenticator().authenticate(token(scope="openid images:read images:write@raw unknown:x"))
    assert principal.actor == "oidc:x"
    assert principal.grants == {"images:read", "images:write@raw"}


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_every_rsa_algorithm_is_taken(algorithm: str) -> None:
    assert authenticator().authenticate(token(algorithm=algorithm)).actor == "oidc:x"


def test_no_symmetric_algorithm_is_taken() -> None:
    assert not {each for each in ALGORITHMS if each.startswith("HS") or each.lower() == "none"}


@pytest.mark.parametrize("scp", [["images:read", 7, None], "images:read"])
def test_scopes_may_come_as_scp(scp: Any) -> None:
    assert authenticator().authenticate(token(scope=None, scp=scp)).grants == {"images:read"}


def test_a_prefix_is_taken_off_and_what_lacks_it_counts_for_nothing() -> None:
    found = authenticator(scope_prefix="api://iso/").authenticate(
        token(scope="api://iso/images:read@raw images:delete api://iso/images:write")
    )
    assert found.grants == {"images:read@raw", "images:write"}


@pytest.mark.parametrize("scope", ["images:read@", "@raw", "images:readx", "IMAGES:READ", "", 5, {"images:read": 1}])
def test_a_token_without_one_of_our_scopes_is_refused(scope: Any) -> None:
    with pytest.raises(Unauthenticated):
        authenticator().authenticate(token(scope=scope))


def test_access_tokens_of_cognito_name_their_client_in_place_of_an_audience() -> None:
    cognito: dict[str, Any] = {"aud": None, "client_id": "isocenter", "token_use": "access"}
    assert authenticator().authenticate(token(**cognito)).actor == "oidc:x"
    for wrong in ({"token_use": "id"}, {"token_use": None}, {"client_id": "another"}, {"client_id": None}):
        with pytest.raises(Unauthenticated):
            authenticator().authenticate(token(**{**cognito, **wrong}))
    with pytest.raises(Unauthenticated):  # an audience that is told is the one that counts
        authenticator().authenticate(token(**{**cognito, "aud": "another"}))


def test_audiences_may_be_several() -> None:
    assert authenticator().authenticate(token(aud=["other", "isocenter"])).actor == "oidc:x"


def test_clocks_may_differ_by_a_little() -> None:
    assert authenticator().authenticate(token(exp=int(time.time()) - 5, iat=int(time.time()) + 5))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 0}, {"exp": None}, {"exp": "soon"}, {"exp": 10**30}, {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600}, {"iss": None}, {"iss": ISSUER + "/"}, {"aud": None},
        {"aud": "isocenter2"}, {"aud": []}, {"sub": None}, {"sub": ""}, {"sub": "a\nb"}, {"sub": "a" * 256},
        {"sub": "é"}, {"sub": "a\x00"},
    ],
)  # fmt: skip
def test_a_claim_that_is_wrong_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        authenticator().authenticate(token(**changes))


@pytest.mark.parametrize("kind", ["id+jwt", "logout+jwt", "dpop+jwt", "JWE"])
def test_other_kinds_of_token_are_refused(kind: str) -> None:
    with pytest.raises(Unauthenticated):
        authenticator().authenticate(token(headers={"typ": kind}))


@pytest.mark.parametrize(
    "headers",
    [{"crit": ["x"], "x": 1}, {"kid": "k" * 300}, {"jku": "https://evil.example", "crit": ["jku"]}],
)
def test_headers_that_ask_for_more_are_refused(headers: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        authenticator().authenticate(token(headers=headers))


@pytest.mark.parametrize(
    "text",
    [
        None, "", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer a.b.c", "Bearer " + "." * 9,
        "Bearer " + "W1tb" * 3500 + ".e30.eA", "Bearer " + "A" * 20_000, "Bearer \xe9.e30.eA",
        "Bearer e30.e30.",
        "Bearer bnVsbA.e30.eA", "Bearer MTI.e30.eA", "Bearer eyJhbGciOltdfQ.e30.eA",
        "Bearer eyJhbGciOnt9fQ.e30.eA",
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(text: str | None) -> None:
    with pytest.raises(Unauthenticated):
        authenticator().authenticate(text)


def test_a_changed_token_is_refused_at_every_place() -> None:
    good = token()
    authenticator().authenticate(good)
    for place in range(len("Bearer "), len(good) - 1, 7):
        other = "A" if good[place] != "A" else "Q"
        with pytest.raises(Unauthenticated):
            authenticator().authenticate(good[:place] + other + good[place + 1 :])


def test_a_token_is_remembered_but_never_past_its_end() -> None:
    found = authenticator()
    short, long = token(exp=int(time.time()) - 10), token()
    for each in (short, long):
        assert found.known(each) is None
        found.authenticate(each)
    assert found.known(short) is None
    assert found.known(long) is not None


def test_an_issuer_without_tls_is_refused_off_loopback() -> None:
    with pytest.raises(Misconfigured):
        TokenAuthenticator(issuer="http://issuer.example", audience="x")
    with pytest.raises(Misconfigured):
        TokenAuthenticator(issuer=ISSUER, audience="x", jwks_url="file:///etc/passwd")
    TokenAuthenticator(issuer="http://127.0.0.1:1", audience="x")
