"""When pixels are looked at, and what masks and regions are for an instance, told from its header."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isocenter.deid.boxes import Box, Cut, covered, merged, outside
from isocenter.deid.pixel_policy import Mask, Pixels, When
from isocenter.dicom.data_set import DataSet

TAGS = {
    "sop_class": "00080016", "modality": "00080060", "manufacturer": "00080070", "model": "00081090",
    "software": "00181020", "burned_in": "00280301", "rows": "00280010", "columns": "00280011",
}  # fmt: skip


def header(**values: Any) -> DataSet:
    model: dict[str, Any] = {TAGS[name]: {"vr": "LO", "Value": [value]} for name, value in values.items()}
    return DataSet({**model, "7FE00010": {"vr": "OW", "BulkDataURI": "x"}})


def policy(text: str) -> Pixels:
    return Pixels.model_validate(yaml.safe_load(text))


def test_a_policy_in_yaml():
    found = policy(
        """
        read:
          modalities: [US, xa]
          burned_in_annotation: [YES, absent]
          devices: [{manufacturer: "Acme*", model: "Echo ?"}]
          secondary_capture: true
        remove: all
        ultrasound_regions: true
        masks:
          - {manufacturer: "acme*", rows: 768, columns: 1024, rectangles: [[0, 0, 1024, 40]], note: the bar above}
        """
    )
    assert found.takes_a_detector
    assert found.reads(header(modality="US", burned_in="NO"))
    assert found.reads(header(modality="XA", burned_in="NO"))
    assert found.reads(header(modality="CT", burned_in="YES"))
    assert found.reads(header(modality="CT"))
    assert not found.reads(header(modality="CT", burned_in="NO"))
    assert found.reads(header(modality="CT", burned_in="NO", manufacturer="ACME Inc", model="echo 7"))
    assert not found.reads(header(modality="CT", burned_in="NO", manufacturer="ACME Inc", model="echo 70"))
    assert found.reads(header(modality="CT", burned_in="NO", sop_class="1.2.840.10008.5.1.4.1.1.7.2"))
    device = header(modality="CT", burned_in="NO", manufacturer="Acme", rows=768, columns=1024)
    assert found.masked(device) == [Box(0, 0, 1024, 40)]
    assert found.concerns(device)
    assert not found.masked(header(manufacturer="Acme", rows=768, columns=1000))


@pytest.mark.parametrize("text", ["{}", "read: always", "read: {modalities: [US]}", "read: {secondary_capture: true}"])
def test_what_has_text_read_takes_a_detector(text):
    assert policy(text).takes_a_detector


@pytest.mark.parametrize("text", ["read: never", "read: {}", "{read: never, ultrasound_regions: true}"])
def test_what_has_no_text_read_takes_none(text):
    assert not policy(text).takes_a_detector
    assert not policy(text).reads(header(modality="US", burned_in="YES"))


@pytest.mark.parametrize(
    "text",
    [
        "read: sometimes",
        "remove: some",
        "mask: []",
        "read: {modality: [US]}",
        "read: {burned_in_annotation: [maybe]}",
        "masks: [{manufacturer: a, rectangles: [[0, 0, 1, 1]]}]",
        "masks: [{rows: 9, columns: 9, rectangles: []}]",
        "masks: [{rows: 9, columns: 9, rectangles: [[0, 0, 0, 1]]}]",
        "masks: [{rows: 9, columns: 9, rectangles: [[-1, 0, 1, 1]]}]",
        "masks: [{rows: 9, columns: 9, rectangles: [[1, 2, 3]]}]",
        "masks: [{rows: 9, columns: 9, rectangles: [[1, 2, 3, 4], [1, 2, 3, 4]]}]",
    ],
)
def test_a_policy_with_a_slip_is_refused(text):
    with pytest.raises(ValidationError):
        policy(text)


def test_without_pixels_nothing_is_to_be_done():
    whole = header(modality="US")
    assert Pixels(read="always").concerns(whole)
    assert not Pixels(read="always").concerns(DataSet({tag: value for tag, value in whole.model.items() if tag < "7"}))


def test_a_mask_goes_by_modality_and_software_too():
    mask = Mask(modality="US", software="V1*", rows=9, columns=9, rectangles=((0, 0, 3, 3),))
    found = Pixels(read=When(), masks=(mask,))
    assert found.concerns(header(modality="US", software="v1.2", rows=9, columns=9))
    assert not found.concerns(header(modality="US", software="v2", rows=9, columns=9))
    assert not found.concerns(header(modality="CT", software="v1", rows=9, columns=9))


def test_regions_are_those_with_an_extent():
    items = [
        {
            tag: {"vr": "UL", "Value": [value]}
            for tag, value in zip(("00186018", "0018601A", "0018601C", "0018601E"), corners, strict=True)
        }
        for corners in ((10, 20, 109, 69), (5, 5, 5, 5), (9, 9, 3, 3))
    ]
    data_set = DataSet({**header().model, "00186011": {"vr": "SQ", "Value": [*items, {}]}})
    assert Pixels(read="never", ultrasound_regions=True).regions(data_set) == [Box(10, 20, 100, 50)]
    assert Pixels(read="never").regions(data_set) == []


BOXES = st.lists(
    st.builds(Box, st.integers(-5, 40), st.integers(-5, 30), st.integers(0, 50), st.integers(0, 40)), max_size=5
)


@given(regions=BOXES)
def test_outside_is_all_that_is_not_inside(regions):
    inside = covered(regions, 30, 40)
    around = outside(regions, 30, 40)
    assert np.array_equal(covered(around, 30, 40), ~inside)
    assert sum(box.area for box in around) == np.count_nonzero(~inside)


@given(boxes=BOXES)
def test_merging_keeps_all_that_was_to_go(boxes):
    cuts = [Cut(box, "pattern", box) for box in boxes]
    whole = covered((cut.box for cut in cuts), 30, 40)
    assert (covered((cut.box for cut in merged(cuts)), 30, 40) >= whole).all()
