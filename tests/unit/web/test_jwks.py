"""An issuer's keys: found, cached, rotated, and not asked for more often than is fair."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from isocenter.errors import BackendUnavailable, Unauthenticated, Unavailable
from isocenter.web.jwks import IssuerKeys, allowed_address, fetch_json

ISSUER = "https://issuer.example"
RSA = rsa.generate_private_key(65537, 2048).public_key()
EC = ec.generate_private_key(ec.SECP256R1()).public_key()


def jwk(kid: str, **more: Any) -> dict[str, Any]:
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(RSA, as_dict=True), "kid": kid, **more}


class Provider:
    """An issuer and a clock, both under the test's control."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.down = False
        self.asked = 0
        self.time = 1000.0
        self.document: Any = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}
        self.found = IssuerKeys(ISSUER, fetch=self.fetch, clock=lambda: self.time)

    def fetch(self, url: str) -> Any:
        if self.down:
            raise BackendUnavailable("down")
        if url.endswith("openid-configuration"):
            return self.document
        self.asked += 1
        return {"keys": self.keys}


def test_keys_are_fetched_once_and_used_for_minutes() -> None:
    provider = Provider(jwk("a"))
    for _ in range(50):
        provider.time += 5
        assert len(provider.found.matching("a", "RS256")) == 1
    assert provider.asked == 1
    provider.time += 100
    provider.found.matching("a", "RS256")
    assert provider.asked == 2


def test_a_new_key_is_found_and_an_old_one_goes() -> None:
    provider = Provider(jwk("a"))
    provider.found.matching("a", "RS256")
    provider.keys = [jwk("b")]
    provider.time += 6
    assert provider.found.matching("b", "RS256")
    with pytest.raises(Unauthenticated):
        provider.found.matching("a", "RS256")


def test_a_flood_of_unknown_keys_asks_the_issuer_every_five_seconds_at_most() -> None:
    provider = Provider(jwk("a"))
    for number in range(1000):
        provider.time += 0.01
        with pytest.raises(Unauthenticated):
            provider.found.matching(f"forged{number}", "RS256")
    assert provider.asked <= 3


def test_without_ever_having_had_keys_nobody_can_be_told() -> None:
    provider = Provider(jwk("a"))
    provider.down = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            provider.found.matching("a", "RS256")
    provider.down = False
    provider.time += 6
    assert provider.found.matching("a", "RS256")


def test_keys_still_count_while_the_issuer_is_away_for_less_than_an_hour() -> None:
    provider = Provider(jwk("a"))
    provider.found.matching("a", "RS256")
    provider.down = True
    provider.time += 3000
    assert provider.found.matching("a", "RS256")
    with pytest.raises(Unavailable):  # it may have a key that we have not seen
        provider.found.matching("b", "RS256")
    provider.time += 700
    with pytest.raises(Unavailable):
        provider.found.matching("a", "RS256")


def test_many_threads_at_once_fetch_once() -> None:
    provider = Provider(jwk("a"))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(provider.found.matching("a", "RS256")))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 16
    assert provider.asked == 1


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example", "jwks_uri": f"{ISSUER}/keys"},
        {"issuer": ISSUER, "jwks_uri": "http://issuer.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER},
        [],
        None,
    ],
)
def test_a_configuration_that_does_not_fit_is_not_believed(document: Any) -> None:
    provider = Provider(jwk("a"))
    provider.document = document
    with pytest.raises(Unavailable):
        provider.found.matching("a", "RS256")
    assert provider.asked == 0


def test_keys_that_are_not_for_this_are_passed_over() -> None:
    small = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    curve = jwt.algorithms.ECAlgorithm.to_jwk(EC, as_dict=True)
    bad: list[dict[str, Any]] = [
        jwk("a", use="enc"),
        jwk("a", key_ops=["encrypt"]),
        jwk("a", key_ops="verify"),
        jwk("a", alg="RS512"),
        jwk("a", n="!"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {**small, "kid": "a"},
        {"kid": "a"},
        {**curve, "kid": "a"},
    ]
    provider = Provider(*bad)
    with pytest.raises(Unauthenticated):
        provider.found.matching("a", "RS256")
    provider.keys.append(jwk("a"))
    provider.time += 6
    assert len(provider.found.matching("a", "RS256")) == 1
    assert len(provider.found.matching("a", "ES256")) == 1
    with pytest.raises(Unauthenticated):
        provider.found.matching("a", "ES384")


def test_a_token_without_a_key_id_may_be_signed_with_any_fitting_key() -> None:
    provider = Provider(jwk("a"), jwk("b"), {**jwt.algorithms.ECAlgorithm.to_jwk(EC, as_dict=True), "kid": "c"})
    assert len(provider.found.matching(None, "RS256")) == 2


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://a.example/x", True), ("http://127.0.0.1:8/x", True), ("http://[::1]:8/x", True),
        ("http://localhost/x", True), ("http://a.example", False), ("http://localhost.evil.example", False),
        ("https://user:pass@a.example", False), ("https://", False), ("ftp://a.example", False), ("", False),
        ("file:///etc/passwd", False), ("https://a.example:x/", False), ("https://[::1", False),
    ],
)  # fmt: skip
def test_addresses_are_https_or_loopback(url: str, allowed: bool) -> None:
    assert allowed_address(url) is allowed


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sent(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        with suppress(ConnectionError):
            handler.wfile.write(body)

    return answer


def test_json_is_fetched() -> None:
    with answering(sent(200, b'{"keys": []}')) as url:
        assert fetch_json(url) == {"keys": []}


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (302, b"", {"Location": "http://127.0.0.1:1/"}),
        (500, b"{}", {}),
        (404, b"{}", {}),
        (200, b"not json", {}),
        (200, b"[" * 200_000, {}),
        (200, b'"' + b"a" * 600_000 + b'"', {}),
        (200, b"", {}),
    ],
)
def test_every_other_answer_is_unavailable(status: int, body: bytes, headers: dict[str, str]) -> None:
    with answering(sent(status, body, **headers)) as url, pytest.raises(BackendUnavailable):
        fetch_json(url)


def test_nobody_listening_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable):
        fetch_json("http://127.0.0.1:9/")
