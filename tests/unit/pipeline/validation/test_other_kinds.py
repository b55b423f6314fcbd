"""Volumes and pictures: good ones pass whole or packed, others say what is wrong."""

from __future__ import annotations

import gzip
from struct import pack

import pytest

from isocenter.dicom.elements import Limits
from isocenter.pipeline.validation.report import Report
from isocenter.pipeline.validation.validator import Validator
from isocenter.testing.instances import gif_picture, jpeg_picture, nifti_volume, png_picture

VOLUME = nifti_volume(size=4)


def examined(data: bytes, limits: Limits | None = None) -> Report:
    return Validator("strict", limits=limits).object(lambda at, size: data[at : at + size], len(data)).report


def rules(data: bytes) -> set[str]:
    return {finding.rule for finding in examined(data).findings}


@pytest.mark.parametrize("data", [VOLUME, gzip.compress(VOLUME), gzip.compress(VOLUME[:9]) + gzip.compress(VOLUME[9:])])
def test_good_volumes(data: bytes) -> None:
    assert examined(data) == Report("nifti", "strict")


def test_packed_volumes_are_held_to_their_inflated_length() -> None:
    assert rules(gzip.compress(VOLUME[:-8])) == {"nifti-too-short"}
    assert rules(gzip.compress(VOLUME)[:-30]) == {"truncated"}
    assert rules(gzip.compress(VOLUME)[:-8] + bytes(8)) == {"unreadable"}
    assert rules(gzip.compress(b"some text, packed" * 100)) == {"not-an-image"}


def test_a_volume_is_inflated_up_to_the_limit() -> None:
    report = examined(gzip.compress(VOLUME + bytes(1 << 20)), Limits(inflated_bytes=1 << 16))
    assert report.has("over-limit")


def test_a_volume_of_the_other_byte_order_is_read() -> None:
    assert rules(pack(">i", 348) + VOLUME[4:]) <= {"nifti-header-invalid"}


@pytest.mark.parametrize("make", [png_picture, jpeg_picture, gif_picture])
def test_pictures_are_whole_or_not(make: object) -> None:
    data = make()  # type: ignore[operator]  # each is a builder
    assert examined(data) == Report("picture", "strict")
    assert rules(data[:-80]) == {"picture-truncated"}
    assert rules(data[:12]) <= {"picture-unreadable", "not-an-image"}
