"""What an HTTP API does before it calls a function: JWT authorizers, and answers to browsers' questions of origin."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.request import urlopen

import jwt

_KEPT: Final = 7200.0  # seconds for which API Gateway keeps an issuer's keys
_ALGORITHMS: Final = ("RS256", "RS384", "RS512")  # it takes no others
_KEYS: dict[str, tuple[float, list[jwt.PyJWK]]] = {}


@dataclass(frozen=True)
class Turned(Exception):
    """A request that does not come to the function, and how it is answered."""

    status: int
    message: str
    challenge: str


def authorized(api: Any, route: Any, headers: Mapping[str, str]) -> dict[str, Any]:
    """What the event is told of the token, nothing where the route takes none; raises Turned."""
    if route.authorization_type in (None, "", "NONE"):
        return {}
    if route.authorization_type != "JWT":
        raise Turned(501, f"authorizers of type {route.authorization_type} are not done here", "")
    given = headers.get("authorization", "").strip()
    token = given[7:].strip() if given[:7].lower() == "bearer " else given
    if not token:
        raise Turned(401, "Unauthorized", "Bearer")
    wanted = list(route.authorization_scopes or ())
    told = api.authorizers[route.authorizer_id].jwt_config
    try:
        claims = _claims(token, told["issuer"], told.get("audience") or [])
    except (jwt.PyJWTError, OSError, ValueError, KeyError) as error:
        raise Turned(401, "Unauthorized", _challenge(wanted, "invalid_token", str(error))) from error
    held = _scopes(claims)
    found = [scope for scope in wanted if scope in held]
    if wanted and not found:
        raise Turned(403, "Forbidden", _challenge(wanted, "insufficient_scope", "the token has none of the scopes"))
    texts = {name: value if isinstance(value, str) else _text(value) for name, value in claims.items()}
    return {"authorizer": {"jwt": {"claims": texts, "scopes": found or None}}}


def _claims(token: str, issuer: str, audience: list[str]) -> dict[str, Any]:
    kid = jwt.get_unverified_header(token).get("kid")
    key = next((each for each in _keys(issuer) if each.key_id == kid), None)
    if kid is None or key is None:
        raise jwt.InvalidKeyError("the issuer has no such key")
    options: Any = {"require": ["exp"], "verify_aud": False}
    claims = jwt.decode(token, key, algorithms=list(_ALGORITHMS), issuer=issuer, options=options)
    # client_id counts where there is no aud, as in access tokens of Cognito.
    named = claims.get("aud", claims.get("client_id"))
    if not ({named} if isinstance(named, str) else set(named or ())) & set(audience):
        raise jwt.InvalidAudienceError("the token does not have a valid audience")
    return dict(claims)


def _keys(issuer: str) -> list[jwt.PyJWK]:
    asked, keys = _KEYS.get(issuer, (0.0, []))
    if not keys or time.monotonic() - asked > _KEPT:
        with urlopen(f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=1.5) as answer:
            place = json.load(answer)["jwks_uri"]
        with urlopen(place, timeout=1.5) as answer:
            keys = jwt.PyJWKSet.from_dict(json.load(answer)).keys
        _KEYS[issuer] = time.monotonic(), keys
    return keys


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    told = claims.get("scope") or claims.get("scp") or ""
    return set(told.split() if isinstance(told, str) else told)


def _text(value: Any) -> str:
    """API Gateway gives every claim as text, lists in brackets without commas."""
    if isinstance(value, list):
        return f"[{' '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _challenge(scopes: list[str], error: str, described: str) -> str:
    plain = described.replace('"', "'").replace("\n", " ")
    return f'Bearer scope="{" ".join(scopes)}" error="{error}" error_description="{plain}"'


def of_origin(api: Any, headers: Mapping[str, str], *, preflight: bool) -> dict[str, str] | None:
    """Headers for a page of another origin, none for one that may not ask; None where the API is not told of any."""
    told = api.cors_configuration
    if not told:
        return None
    origin, allowed = headers.get("origin"), told.get("allowOrigins") or []
    if origin is None or not ("*" in allowed or origin in allowed):
        return {}
    found = {"access-control-allow-origin": "*" if "*" in allowed else origin}
    lists = {"access-control-expose-headers": "exposeHeaders"}
    if preflight:
        lists = {"access-control-allow-methods": "allowMethods", "access-control-allow-headers": "allowHeaders"}
        if told.get("maxAge") is not None:
            found["access-control-max-age"] = str(told["maxAge"])
    found |= {name: ",".join(told[key]) for name, key in lists.items() if told.get(key)}
    if told.get("allowCredentials"):
        found["access-control-allow-credentials"] = "true"
    return found
