"""Spans of a deflated Data Set are those of what it inflates to."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom.deflated import inflated_span
from isocenter.errors import Malformed

_PLAIN = random.Random(3).randbytes(3000) * 20


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


_PACKED = deflate(_PLAIN)


@given(st.integers(0, 70_000), st.integers(0, 70_000), st.integers(1, 5000))
def test_every_span_comes_back_from_any_chunks(offset: int, length: int, size: int) -> None:
    chunks = [_PACKED[start : start + size] for start in range(0, len(_PACKED), size)]
    assert inflated_span(chunks, offset, length) == _PLAIN[offset : offset + length]


def test_what_cannot_be_inflated_is_malformed() -> None:
    with pytest.raises(Malformed):
        inflated_span([b"\xff" * 100], 0, 10)


def test_a_span_behind_a_hundred_megabytes_takes_little_memory() -> None:
    packed = deflate(bytes(100 << 20) + b"the end")
    tracemalloc.start()
    try:
        assert inflated_span([packed], 100 << 20, 7) == b"the end"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
