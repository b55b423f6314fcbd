"""Multipart bodies: any chunking gives the same parts, and none is believed before its end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from isocenter.web.multipart import Headers, MultipartReader, Part, boundary_of, media_type

BOUNDARY = b"b0und"


class Kept:
    """Collects parts; `open` ones were not finished."""

    def __init__(self) -> None:
        self.parts: list[tuple[Headers, bytearray]] = []
        self.finished = 0

    def begin(self, headers: Headers) -> Part | None:
        self.parts.append((headers, bytearray()))
        return self

    def write(self, chunk: bytes | memoryview) -> None:
        self.parts[-1][1].extend(chunk)

    def finish(self) -> None:
        self.finished += 1


def body(parts: list[bytes]) -> bytes:
    made = b"".join(b"--b0und\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts)
    return made + b"--b0und--\r\n"


def read(data: bytes, cuts: list[int], most_parts: int = 100, most_header_bytes: int = 1000) -> Kept:
    kept = Kept()
    reader = MultipartReader(BOUNDARY, kept.begin, most_parts=most_parts, most_header_bytes=most_header_bytes)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        reader.feed(data[start:end])
    reader.finish()
    assert reader.parts == len(kept.parts) == kept.finished
    return kept


# Bytes that nearly look like a boundary are what a push parser gets wrong.
CONTENT = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"--b0un", b"b0und", b"x", b"\0", b"\r\n--b0u"])
).map(b"".join)


@given(st.lists(CONTENT, min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_chunking_gives_the_same_parts(parts: list[bytes], cuts: list[int]) -> None:
    parts = [part for part in parts if b"\r\n--b0und" not in b"\r\n" + part] or [b""]
    kept = read(body(parts), cuts)
    assert [bytes(data) for _, data in kept.parts] == parts
    assert all(headers == {"content-type": "application/dicom"} for headers, _ in kept.parts)


def test_every_byte_alone_gives_the_same_parts() -> None:
    data = body([b"one\r\n--b0un", b"two"])
    assert [bytes(d) for _, d in read(data, list(range(len(data)))).parts] == [b"one\r\n--b0un", b"two"]


@pytest.mark.parametrize("cut", [3, 8, 20, 40, 55, 60])
def test_a_body_that_was_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(BadRequest):
        read(body([b"content"])[:-cut], [])


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_in_another_way(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read(data, [])


def test_there_is_an_end_to_parts_and_to_headers() -> None:
    with pytest.raises(PayloadTooLarge):
        read(body([b""] * 101), [])
    long = b"--b0und\r\nX: " + b"a" * 2000 + b"\r\n\r\n\r\n--b0und--\r\n"
    with pytest.raises(BadRequest):
        read(long, [])
    with pytest.raises(BadRequest):
        read(b"--b0und\r\n" + b"X: a\r\n" * 1000 + b"\r\n\r\n--b0und--\r\n", list(range(0, 5000, 7)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('multipart/related; type="application/dicom"; boundary=b0und', b"b0und"),
        ('Multipart/Related; Boundary="b 0;und"', b"b 0;und"),
    ],
)
def test_boundaries_are_found(value: str, expected: bytes) -> None:
    assert boundary_of(value, "multipart/related") == expected


@pytest.mark.parametrize(
    "value",
    ["multipart/related", 'multipart/related; boundary=""', f"multipart/related; boundary={'b' * 201}"],
)
def test_a_boundary_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        boundary_of(value, "multipart/related")


@pytest.mark.parametrize("value", [None, "", "multipart/mixed; boundary=x", "application/dicom", "multipart/related,x"])
def test_another_type_is_refused(value: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        boundary_of(value, "multipart/related")


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_no_content_type_makes_it_fail(value: str) -> None:
    kind, parameters = media_type(value)
    assert kind == kind.lower()
    assert all(isinstance(each, str) for each in parameters.values())
