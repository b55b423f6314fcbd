"""Base64 bodies: any chunking gives the same bytes."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.errors import BadRequest, Saturated
from isocenter.web.upload import Base64Body, Gate


def decoded(text: bytes, cuts: list[int], *, as_json: bool) -> bytes:
    found = bytearray()
    body = Base64Body(found.extend, json=as_json)
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in pairwise(places):
        body(text[start:end])
    body.finish()
    return bytes(found)


CUTS = st.lists(st.integers(0, 10_000), max_size=20)


@given(st.binary(max_size=400), CUTS, st.sampled_from(["", "\n", "\r\n", " "]), st.integers(1, 80))
def test_any_chunking_of_base64_text_gives_the_same_bytes(data: bytes, cuts: list[int], gap: str, every: int) -> None:
    text = base64.b64encode(data).decode()
    lines = gap.join(text[start : start + every] for start in range(0, len(text), every))
    assert decoded(lines.encode(), cuts, as_json=False) == data


@given(st.binary(max_size=400), CUTS, st.booleans(), st.sampled_from([None, 1, 4]))
def test_any_chunking_of_json_gives_the_same_bytes(
    data: bytes, cuts: list[int], escaped: bool, indent: int | None
) -> None:
    text = json.dumps({"data": base64.b64encode(data).decode()}, indent=indent)
    if escaped:
        text = text.replace("/", "\\/")
    assert decoded(text.encode(), cuts, as_json=True) == data


@given(st.binary(max_size=100), CUTS)
def test_no_bytes_make_it_fail_in_another_way(text: bytes, cuts: list[int]) -> None:
    for as_json in (True, False):
        with suppress(BadRequest):
            decoded(text, cuts, as_json=as_json)


@pytest.mark.parametrize("text", [b"AAA", b"AA==AA==", b"A*==", b"=AAA", b"AAAA=", b"\xff\xff\xff\xff"])
def test_what_is_not_base64_is_refused_however_it_is_cut(text: bytes) -> None:
    for cut in range(len(text)):
        with pytest.raises(BadRequest):
            decoded(text, [cut], as_json=False)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b'{"data":',
        b'{"data": "AAAA',
        b'{"other": "AAAA"}',
        b'{"data": 5}',
        b'{"data": "A"}',
    ],
)
def test_what_is_not_the_json_asked_for_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        decoded(text, [], as_json=True)


def test_a_gate_lets_so_many_in_and_the_next_after_one_left() -> None:
    gate = Gate(2)
    with gate:
        with gate, pytest.raises(Saturated):
            gate.__enter__()
        with gate:
            pass
