"""Attributes as lines of JSON: what goes in comes out, in order, whatever the values hold."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from isocenter.adapters.sql.text import dumped
from isocenter.dicom.attribute_lines import joined, line, lines_in, lines_of, model_of, text_of

names = st.integers(0, 2**32 - 1).map(lambda tag: f"{tag:08X}")
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.sampled_from(
    [",\n", '","', '",\n"00100020":{', "\\n", "\u2028", "}", "\r\n"]
)
values = st.recursive(
    texts | st.integers(-(2**53), 2**53) | st.none(),
    lambda inner: st.dictionaries(names | texts, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)
models = st.dictionaries(names, st.fixed_dictionaries({"vr": st.just("LO"), "Value": st.lists(values, max_size=3)}))


@given(models)
def test_a_kept_text_is_the_models_json_and_its_lines_are_those_of_the_model(model: dict[str, Any]) -> None:
    text = text_of(model, dumped)
    assert orjson.loads(text) == model
    assert lines_in(text) == lines_of(model)
    assert model_of(lines_in(text)) == model


@given(models)
def test_texts_written_in_other_ways_are_read_too(model: dict[str, Any]) -> None:
    for text in (dumped(model), json.dumps(model), json.dumps(model, ensure_ascii=False)):
        assert model_of(lines_in(text)) == model


@given(models, models)
def test_lines_of_several_levels_are_joined_in_the_order_of_tags(one: dict[str, Any], other: dict[str, Any]) -> None:
    lines = {**lines_in(text_of(one, dumped)), **lines_in(text_of(other, dumped)), "00080056": line("00080056", {})}
    found = json.loads(joined(lines))
    assert list(found) == sorted(found)
    assert found == {**one, **other, "00080056": {}}


def test_names_that_are_no_tags_do_not_go_astray() -> None:
    model = {"00100010": {"vr": "PN"}, "odd": {"vr": "LO"}}
    assert orjson.loads(text_of(model, dumped)) == model
