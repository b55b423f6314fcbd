"""Cursors are ours or nobody's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.adapters.sql.cursor import cursor, position
from isocenter.errors import BadRequest


@given(st.integers(0, 2**63 - 1))
def test_a_cursor_gives_its_position_back(number: int) -> None:
    assert position("images", cursor("images", number)) == number


@given(st.text())
def test_any_other_text_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        position("images", text)


@given(st.integers(0, 2**63 - 1), st.integers(0, 95))
def test_a_changed_bit_is_a_bad_request(number: int, bit: int) -> None:
    text = cursor("images", number)
    changed = chr(ord(text[bit // 6]) ^ 1) if text[bit // 6].isalnum() else "A"
    with pytest.raises(BadRequest):
        position("images", text[: bit // 6] + changed + text[bit // 6 + 1 :])
