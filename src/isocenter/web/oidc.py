"""OIDC access tokens: signed JSON Web Tokens (RFC 9068) of one issuer, its keys found, cached and rotated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jwt

from isocenter.errors import Misconfigured, Unauthenticated
from isocenter.web.auth import Principal, Remembered, Scope, bearer
from isocenter.web.jwks import IssuerKeys, KeySource, allowed_address

# Asymmetric only: with HS* whoever knows the public key could sign, and none is no signature at all.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
_TYPES = frozenset(("at+jwt", "application/at+jwt", "jwt"))
_LEEWAY = 30  # seconds that clocks may differ
_REMEMBERED = 5.0  # seconds for which a token once checked is not checked again; never past its `exp`
_LONGEST_NAME = 255
_OURS = frozenset(str(scope) for scope in Scope)


class TokenAuthenticator:
    """Access tokens of one issuer, for one audience; a token becomes the actor `oidc:<sub>`.

    Grants are the scopes in `scope` or `scp` that begin with `scope_prefix`, for one store where they end in
    "@<store>". A token without any of ours is refused: ID tokens carry none.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks_url: str | None = None,
        scope_prefix: str = "",
        keys: KeySource | None = None,
    ) -> None:
        for name, address in (("oidc_issuer", issuer), ("oidc_jwks_url", jwks_url)):
            if address is not None and not allowed_address(address):
                raise Misconfigured(f"{name} must be an https address", code="oidc-insecure")
        self._issuer = issuer
        self._audience = audience
        self._prefix = scope_prefix
        self._keys = keys or IssuerKeys(issuer, jwks_url)
        self._remembered = Remembered(_REMEMBERED)

    def known(self, authorization: str | None) -> Principal | None:
        return self._remembered.get(authorization)

    def authenticate(self, authorization: str | None) -> Principal:
        token = bearer(authorization)
        algorithm, kid = _header(token)
        claims = self._verified(token, algorithm, kid)
        principal = Principal(f"oidc:{_subject(claims)}", self._grants(claims))
        if not principal.grants:
            raise Unauthenticated("the access token carries none of our scopes")
        self._remembered.keep(authorization, principal, _end(claims))
        return principal

    def _verified(self, token: str, algorithm: str, kid: str | None) -> dict[str, Any]:
        for key in self._keys.matching(kid, algorithm):
            try:
                claims = dict(
                    jwt.decode(
                        token,
                        key,
                        algorithms=[algorithm],
                        issuer=self._issuer,
                        leeway=_LEEWAY,
                        options={"require": ["exp", "iss", "sub"], "verify_aud": False},
                    )
                )
                if not self._is_for_us(claims):
                    raise jwt.InvalidAudienceError
                return claims
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise Unauthenticated("the access token has expired") from None
            except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
                raise Unauthenticated("the access token is from another issuer or for another audience") from None
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
                break
        raise Unauthenticated("the access token is not valid")

    def _is_for_us(self, claims: dict[str, Any]) -> bool:
        """Whether we are its audience. Amazon Cognito's access tokens name the client instead, as API Gateway knows."""
        if "aud" in claims:
            stated = claims["aud"]
            return self._audience in (stated if isinstance(stated, list) else [stated])
        return claims.get("token_use") == "access" and claims.get("client_id") == self._audience

    def _grants(self, claims: dict[str, Any]) -> frozenset[str]:
        found: set[str] = set()
        for name in ("scope", "scp"):
            stated = claims.get(name)
            words = stated.split(" ") if isinstance(stated, str) else stated if isinstance(stated, list) else []
            for word in words:
                if isinstance(word, str) and word.startswith(self._prefix):
                    grant = word.removeprefix(self._prefix)
                    scope, at, store = grant.partition("@")
                    if scope in _OURS and bool(at) == bool(store):
                        found.add(grant)
        return frozenset(found)


def _header(token: str) -> tuple[str, str | None]:
    """Algorithm and key id; everything in it is the sender's word, so only what we allow passes."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Unauthenticated("what follows Bearer is neither an API key nor an access token") from None
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if algorithm not in ALGORITHMS:
        raise Unauthenticated("the access token is not signed in a way that is taken here")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated("the token is not an access token")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= _LONGEST_NAME):
        raise Unauthenticated("the access token is not valid")
    return str(algorithm), kid


def _subject(claims: dict[str, Any]) -> str:
    """`sub`, which goes into the audit log: up to 255 printable ASCII characters (OpenID Connect Core 2)."""
    sub = claims["sub"]
    if not (isinstance(sub, str) and 0 < len(sub) <= _LONGEST_NAME and sub.isascii() and sub.isprintable()):
        raise Unauthenticated("the access token's sub is not printable text of 255 characters at most")
    return sub


def _end(claims: dict[str, Any]) -> datetime:
    try:
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (OverflowError, ValueError, OSError):
        raise Unauthenticated("the access token's exp is no time that a calendar has") from None
