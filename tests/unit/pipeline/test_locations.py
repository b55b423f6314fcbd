"""URLs of images as people and programs write them, and as attackers do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.errors import BadRequest, Forbidden
from isocenter.pipeline.locations import Allowed, InBucket, OnHost, Ours, parsed, require_allowed

ID = "a" * 26


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("s3://images/a/b.dcm", InBucket("s3", "images", "a/b.dcm")),
        ("s3a://images/a b.dcm".replace(" ", "%20"), InBucket("s3", "images", "a%20b.dcm")),
        ("https://images.s3.amazonaws.com/a/b.dcm", InBucket("s3", "images", "a/b.dcm")),
        ("https://images.s3.eu-west-1.amazonaws.com/a%20b.dcm", InBucket("s3", "images", "a b.dcm")),
        ("https://images.s3-us-west-2.amazonaws.com/a", InBucket("s3", "images", "a")),
        ("https://images.s3.dualstack.eu-west-1.amazonaws.com/a", InBucket("s3", "images", "a")),
        ("https://s3.eu-west-1.amazonaws.com/images/a/b", InBucket("s3", "images", "a/b")),
        ("https://s3.amazonaws.com:443/images/a?X-Amz-Signature=x", InBucket("s3", "images", "a")),
        ("https://dotted.name.s3.eu-west-1.amazonaws.com/a", InBucket("s3", "dotted.name", "a")),
        ("gs://images/a/b.dcm", InBucket("gs", "images", "a/b.dcm")),
        ("https://storage.googleapis.com/images/a", InBucket("gs", "images", "a")),
        ("https://images.storage.googleapis.com/a", InBucket("gs", "images", "a")),
        ("https://storage.cloud.google.com/images/a", InBucket("gs", "images", "a")),
        ("az://container/a/b", InBucket("az", "container", "a/b")),
        ("https://account.blob.core.windows.net/container/a", InBucket("az", "container", "a")),
        ("http://127.0.0.1:9000/images/a%2Bb", InBucket("s3", "images", "a+b")),
        ("https://host.example/a/b.dcm?x=1", OnHost("host.example", 443, "/a/b.dcm?x=1")),
        ("https://host.example:8443/a", OnHost("host.example", 8443, "/a")),
        (f"isocenter:{ID}", Ours(ID)),
    ],
)
def test_every_way_to_write_a_place_is_understood(url: str, found: object) -> None:
    assert parsed(url, endpoint="http://127.0.0.1:9000") == found


@pytest.mark.parametrize(
    "url",
    [
        "", "images/a", "/etc/passwd", "file:///etc/passwd", "ftp://host/a", "http://host.example/a", "gopher://h/1",
        "s3://", "s3://images", "s3://images/", "s3://images//a", "s3://images/../a", "s3://images/a/..", "s3://images/./a",
        "s3://user@images/a", "s3://images:80/a", "s3://images/a#b", "s3://images/a?x=1", "s3://IM_AGES../a",
        "https://user:pw@host.example/a", "https://host.example", "https:///a", "https://host.example/a#b",
        "https://host.example/a b", "https://host.example/a\nHost: x", "https://host.example\\@evil.example/a",
        "https://[::1]/a", "https://[::ffff:127.0.0.1]/a", "https://host..example/a", "https://hóst.example/a",
        "https://host.example/ä", "https://host.example:99999/a", "https://host.example:x/a", "https://ⓛocalhost/a",
        "https://s3.amazonaws.com/images/%2e%2e/a", "https://images.s3.amazonaws.com/a%00b",
        "http://127.0.0.1:9001/images/a",
        "https://images.s3.amazonaws.com/", "isocenter:", "isocenter:../../a", f"isocenter:{ID}/x",
        "javascript:alert(1)",
        "data:image/png;base64,AA", "https://host.example/" + "a" * 3000,
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parsed(url, endpoint="http://127.0.0.1:9000")
    assert len(url) < 12 or url not in refused.value.detail


@given(st.text(max_size=80))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    for url in (text, f"https://{text}", f"s3://{text}", f"https://host.example/{text}", f"s3://bucket/{text}"):
        try:
            found = parsed(url)
        except BadRequest:
            continue
        assert isinstance(found, InBucket | OnHost | Ours)


def allowed(*entries: str) -> list[Allowed]:
    return [Allowed.parse(entry) for entry in entries]


def test_nothing_is_allowed_unless_it_is_said() -> None:
    for url in ("s3://images/a", "https://host.example/a"):
        with pytest.raises(Forbidden):
            require_allowed(_outside(url), [])


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("s3://images", ("s3://images/a", "https://images.s3.amazonaws.com/a"), ("s3://images2/a", "gs://images/a")),
        ("s3://images/in", ("s3://images/in/a",), ("s3://images/a", "s3://images/inside/a", "s3://images/other/in/a")),
        ("https://host.example", ("https://host.example/a?b=c",), ("https://host.example.evil/a", "https://x.host.example/a")),
        ("https://host.example/pub", ("https://host.example/pub/a",), (
            "https://host.example/private", "https://host.example/pub/../private", "https://host.example/pub/%2e%2e/private",
            "https://host.example/public/a", "https://host.example:444/pub/a",
        )),
        ("https://host.example:8443", ("https://host.example:8443/a",), ("https://host.example/a",)),
    ],
)  # fmt: skip
def test_an_entry_covers_its_place_and_no_other(entry: str, inside: tuple[str, ...], outside: tuple[str, ...]) -> None:
    for url in inside:
        require_allowed(_outside(url), allowed("gs://unrelated", entry))
    for url in outside:
        with pytest.raises(Forbidden):
            require_allowed(_outside(url), allowed(entry))


def _outside(url: str) -> InBucket | OnHost:
    found = parsed(url)
    assert isinstance(found, InBucket | OnHost)
    return found


@pytest.mark.parametrize(
    "entry", ["", "images", "s3://", "http://host.example", "https://", "https://h/a?x", "s3://*", "*"]
)
def test_an_entry_that_is_no_place_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="allowed place"):
        Allowed.parse(entry)


def test_what_is_written_lies_beside() -> None:
    assert InBucket("s3", "b", "x/y/a.dcm").beside("a_annot.dcm") == InBucket("s3", "b", "x/y/a_annot.dcm")
    assert InBucket("s3", "b", "a.dcm").beside("n").url == "s3://b/n"
    assert InBucket("s3", "b", "x/a.dcm").name == "a.dcm"
    assert "secret" not in repr(OnHost("host.example", 443, "/a?token=secret"))
