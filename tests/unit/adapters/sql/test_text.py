"""Text and JSON are kept in a form that both databases take."""

from __future__ import annotations

from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.adapters.sql.text import clean, dumped, indexed
from isocenter.errors import LimitExceeded


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_clean_text_is_utf_8_without_nul_and_stays_clean(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned.encode().decode()
    assert clean(cleaned) == cleaned


@given(st.text())
def test_text_without_nul_is_kept_as_it_is(text: str) -> None:
    assert clean(text.replace("\0", "")) == text.replace("\0", "")


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ({}, {}),
        ({"a": "x\0y"}, {"a": "xy"}),
        ({"a\0": ["\0", {"b": "\ud800"}]}, {"a": ["", {"b": "?"}]}),
        ({"a": "\\u0000"}, {"a": "\\u0000"}),
        ({"a": ("x", 1, 1.5, None, True)}, {"a": ["x", 1, 1.5, None, True]}),
        ({"a": float("nan"), "b": "\0"}, {"a": None, "b": ""}),
        ({"a": MappingProxyType({"b": 1})}, {"a": {"b": 1}}),
        ({"a": "山田"}, {"a": "山田"}),
    ],
)
def test_a_model_is_kept_without_nul_and_otherwise_whole(model: dict[str, object], kept: dict[str, object]) -> None:
    assert orjson.loads(dumped(model)) == kept
    assert "\0" not in dumped(model)


def test_indexed_text_has_a_limit_in_bytes() -> None:
    assert indexed("PatientID", "é" * 256) == "é" * 256
    with pytest.raises(LimitExceeded, match="PatientID is longer than 512 bytes"):
        indexed("PatientID", "é" * 257)
