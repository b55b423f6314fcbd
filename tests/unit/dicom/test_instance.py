"""What a header means: identifiers checked, warnings told, metadata that comes back as it was kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom.instance import Instance, Metadata, describe
from isocenter.dicom.part10 import HeaderReader
from isocenter.errors import Malformed, Unsupported
from isocenter.testing.elements import (
    EXPLICIT,
    RLE,
    description,
    element,
    encapsulated,
    identity,
    instance,
    meta,
    native,
)
from isocenter.testing.instances import ct_slice, sample_study, uid


def described(data: bytes) -> Instance:
    reader = HeaderReader()
    reader.feed(data)
    return describe(reader.finish())


def test_an_instance_is_described_by_its_identifiers() -> None:
    found = described(ct_slice(3, 2))
    assert found.study_uid == uid(3, "study")
    assert found.series_uid == uid(3, "CT")
    assert found.sop_instance_uid == uid(3, "CT", 2)
    assert found.patient_id == "PHANTOM-3"
    assert found.transfer_syntax_uid == EXPLICIT
    assert found.warnings == ()
    assert found.frames is not None
    assert found.frames.count == 1


def test_the_sample_study_is_one_study_of_three_series() -> None:
    found = [described(data) for _, data in sample_study(4)]
    assert len({each.study_uid for each in found}) == len({each.patient_id for each in found}) == 1
    assert len({each.series_uid for each in found}) == 3
    assert len({each.sop_instance_uid for each in found}) == len(found) == 14
    assert all(each.warnings == () for each in found)


@pytest.mark.parametrize("name", ["sop_class", "sop_instance", "study", "series"])
@pytest.mark.parametrize("value", [None, b"", b"1.2.x", b"1..2", b"9" * 66, b"../..", b"1.2\0.3", b"1.2\n"])
def test_an_identifier_that_is_missing_or_wrong_is_refused_by_name(name: str, value: bytes | None) -> None:
    with pytest.raises(Malformed) as caught:
        described(meta(EXPLICIT, "2.25.1") + identity("2.25.1", None, **{name: value}))
    assert caught.value.code in ("missing-identifier", "bad-identifier")
    assert "UID" in caught.value.detail


def test_a_leading_zero_in_a_uid_is_a_warning_only() -> None:
    assert any("leading zero" in each for each in described(instance("1.02.3")).warnings)


def test_two_different_instance_uids_are_a_warning_and_the_data_set_counts() -> None:
    found = described(meta(EXPLICIT, "2.25.1") + identity("2.25.2"))
    assert found.sop_instance_uid == "2.25.2"
    assert any("MediaStorageSOPInstanceUID" in each for each in found.warnings)


def test_a_dicomdir_is_no_image() -> None:
    data = meta(EXPLICIT, "2.25.1").replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.1.3.10\0".ljust(26, b"\0"))
    with pytest.raises(Unsupported) as caught:
        described(data + identity("2.25.1"))
    assert caught.value.code == "dicomdir"


def test_pixels_of_which_no_picture_can_be_made_are_kept_with_a_warning() -> None:
    data = instance("2.25.1", description(8, 8, frames="2"), encapsulated((b"aa", b"bb", b"cc")), transfer_syntax=RLE)
    found = described(data)
    assert found.frames is None
    assert any("no picture" in each for each in found.warnings)


def test_pixels_that_are_too_few_are_refused() -> None:
    with pytest.raises(Malformed) as caught:
        described(instance("2.25.1", description(8, 8), native(bytes(100))))
    assert caught.value.code == "pixel-data-too-short"


def test_two_kinds_of_pixel_data_are_refused() -> None:
    with pytest.raises(Malformed):
        described(instance("2.25.1", description(), element(0x7FE00008, "OF", bytes(64)), native(bytes(32))))


@pytest.mark.parametrize("data", [data for _, data in sample_study(5)[-3:]])
def test_metadata_comes_back_as_it_was_kept(data: bytes) -> None:
    found = described(data)
    back = Metadata.from_bytes(found.metadata())
    assert back.model == found.model
    assert back.meta == found.meta
    assert back.bulk == found.bulk


@given(st.binary(max_size=300))
def test_damaged_metadata_is_told_as_such(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        Metadata.from_bytes(data)
    assert caught.value.code == "bad-metadata"
