"""What is an address of a listener, and what only looks like one."""

from __future__ import annotations

import pytest

from isocenter.errors import BadRequest
from isocenter.pipeline.listeners import Listener, trusted_origins


@pytest.mark.parametrize(
    ("url", "listener"),
    [
        ("https://a.example", Listener("https", "a.example", 443, "/")),
        ("https://A.example:8443/x?y=1", Listener("https", "a.example", 8443, "/x?y=1")),
        ("http://10.0.0.1/x", Listener("http", "10.0.0.1", 80, "/x")),
    ],
)
def test_addresses_are_read(url: str, listener: Listener) -> None:
    assert Listener.parse(url) == listener


@pytest.mark.parametrize(
    "url",
    [
        "", "a.example", "//a.example/", "ftp://a.example/", "file:///etc/passwd", "https://", "https:///x",
        "https://user@a.example/", "https://user:word@a.example/", "https://@a.example/", "https://a.example/#x",
        "https://a.example:0/", "https://a.example:99999/", "https://a.example:x/", "https://a b/",
        "https://a.example/ x", "https://a.example/\r\nX: y", "https://a.exa\tmple/", "https://a.example/\\x",
        "https://a.example\\@b.example/", "https://b\u00fccher.example/", "https://a.example/\u00fc",
        "https://[::1]/", "https://a..example/", "https://-a.example/", "https://a.example/" + "x" * 2048,
        "\nhttps://a.example/", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_what_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Listener.parse(url)
    assert "example" not in refused.value.detail


def test_trust_is_for_one_scheme_host_and_port() -> None:
    origins = trusted_origins(["http://10.0.0.1:9000", "https://inside.example"])
    trusted = ["http://10.0.0.1:9000/any?x", "https://inside.example:443/x", "https://INSIDE.example"]
    others = [
        "https://10.0.0.1:9000/", "http://10.0.0.1/", "http://10.0.0.1:90001/", "http://inside.example/",
        "https://inside.example.evil.example/", "https://inside.example:8443/",
    ]  # fmt: skip
    for url in trusted:
        assert Listener.parse(url).is_trusted(origins)
    for url in others:
        try:
            assert not Listener.parse(url).is_trusted(origins)
        except BadRequest:
            continue


@pytest.mark.parametrize("entry", ["", "inside.example", "http://a.example/x", "http://a.example?x", "ftp://a.example"])
def test_what_is_no_origin_is_no_setting(entry: str) -> None:
    with pytest.raises(ValueError, match="webhook_urls"):
        trusted_origins([entry])
