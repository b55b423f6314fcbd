"""The public keys of a token issuer: discovered (OpenID Connect Discovery 1.0), cached, fetched anew."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

import jwt
import structlog

from isocenter.errors import BackendUnavailable, IsocenterError, Unauthenticated, Unavailable

log = structlog.get_logger()

_FRESH = 300.0  # seconds that keys are used without asking again
_STALE = 3600.0  # seconds that they still count where the issuer does not answer
_PAUSE = 5.0  # seconds at least between two fetches, whoever asks for whatever key
_TIMEOUT = 5.0  # seconds for one answer, from first to last byte
_MOST_BYTES = 512 << 10
_MOST_KEYS = 100
_LEAST_RSA_BITS = 2048
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class KeySource(Protocol):
    """Where the keys for checking a signature come from."""

    def matching(self, kid: str | None, algorithm: str) -> Sequence[jwt.PyJWK]:
        """Keys that may have made a signature; Unauthenticated or Unavailable where there is none."""


class IssuerKeys:
    """The keys of one issuer; safe for threads, and only one of them fetches at a time."""

    def __init__(
        self,
        issuer: str,
        jwks_url: str | None = None,
        *,
        fetch: Callable[[str], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: float = _PAUSE,
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._fetch = fetch or fetch_json
        self._clock = clock
        self._pause = pause
        self._turn = threading.Lock()
        self._keys: tuple[dict[str, Any], ...] = ()
        self._fetched: float | None = None
        self._tried: float | None = None
        self._failed = False

    def matching(self, kid: str | None, algorithm: str) -> Sequence[jwt.PyJWK]:
        age = self._age()
        if age > _FRESH:
            self._refresh(wait=age > _STALE)
        self._require_known()
        found = self._select(kid, algorithm)
        if not found:
            self._refresh(wait=True)
            found = self._select(kid, algorithm)
        if not found and self._failed:
            raise self._away()
        if not found:
            raise Unauthenticated("the access token is signed with a key that its issuer does not publish")
        return found

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    def _require_known(self) -> None:
        if self._age() > _STALE:
            raise self._away()

    def _away(self) -> Unavailable:
        return BackendUnavailable("the issuer of access tokens does not answer", code="issuer-unavailable")

    def _refresh(self, *, wait: bool) -> None:
        """Fetch the keys unless that was tried a moment ago; where it fails, those we have stay."""
        if self._pausing() or not self._turn.acquire(timeout=2 * _TIMEOUT + 1 if wait else 0):
            return
        try:
            if self._pausing():  # another thread was faster
                return
            try:
                self._keys = _usable(self._fetch(self._found_url()))
                self._fetched = self._clock()
                self._failed = False
            except IsocenterError as error:
                self._failed = True
                log.warning("the keys of the token issuer could not be fetched", code=error.code)
            finally:
                self._tried = self._clock()
        finally:
            self._turn.release()

    def _pausing(self) -> bool:
        return self._tried is not None and self._clock() - self._tried < self._pause

    def _found_url(self) -> str:
        if self._jwks_url is not None:
            return self._jwks_url
        found = self._fetch(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(found, dict) or found.get("issuer") != self._issuer:
            raise BackendUnavailable("the issuer's configuration names another issuer", code="issuer-mismatch")
        url = found.get("jwks_uri")
        if not isinstance(url, str) or not allowed_address(url):
            raise BackendUnavailable("the issuer's configuration has no usable jwks_uri", code="issuer-mismatch")
        return url

    def _select(self, kid: str | None, algorithm: str) -> list[jwt.PyJWK]:
        """Keys by id, or where the token names none every one that fits the algorithm."""
        made = (_key(each, algorithm) for each in self._keys if kid is None or each.get("kid") == kid)
        return [key for key in made if key is not None]


def _usable(found: Any) -> tuple[dict[str, Any], ...]:
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise BackendUnavailable("the issuer's keys are not a JSON Web Key Set", code="issuer-mismatch")
    return tuple(key for key in keys[:_MOST_KEYS] if isinstance(key, dict))


def _key(found: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """The key made ready, None where it is not one for checking signatures of this algorithm (RFC 7517 4)."""
    kind = "OKP" if algorithm == "EdDSA" else "EC" if algorithm.startswith("ES") else "RSA"
    operations = found.get("key_ops", ["verify"])
    if found.get("kty") != kind or found.get("use", "sig") != "sig" or found.get("alg", algorithm) != algorithm:
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if algorithm in _CURVES and found.get("crv") != _CURVES[algorithm]:
        return None
    try:
        key = jwt.PyJWK(found, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if kind == "RSA" and getattr(key.key, "key_size", 0) < _LEAST_RSA_BITS:
        return None
    return key


def allowed_address(url: str) -> bool:
    """https anywhere, http on this machine only; no user, query or fragment hidden in it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None  # becomes an HTTPError


def fetch_json(url: str) -> Any:
    """A JSON document of at most 512 KiB within 5 seconds; every failure is BackendUnavailable."""
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if urlsplit(url).hostname in _LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))
    if not allowed_address(url):
        raise BackendUnavailable("the issuer's address is not https", code="issuer-unavailable")
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  # checked
    deadline = time.monotonic() + _TIMEOUT
    data = b""
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT) as answer:
            while chunk := answer.read1(64 << 10):
                data += chunk
                if len(data) > _MOST_BYTES or time.monotonic() > deadline:
                    raise BackendUnavailable("the issuer's answer is too long or too slow", code="issuer-unavailable")
        return json.loads(data)
    except urllib.error.HTTPError as error:
        error.close()
        raise BackendUnavailable("the issuer answers with an error", code="issuer-unavailable") from None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        raise BackendUnavailable("the issuer does not answer in JSON", code="issuer-unavailable") from None
