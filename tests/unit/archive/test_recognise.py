"""What an image is follows from its bytes alone."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from isocenter.archive.recognise import HEAD, Facts, inspector_for
from isocenter.dicom.elements import Limits
from isocenter.errors import LimitExceeded, Malformed, NotAnImage, Rejected
from isocenter.records import Kind
from isocenter.testing.elements import identity, implicit
from isocenter.testing.hostile import corpus
from isocenter.testing.hostile_data_sets import Hostile
from isocenter.testing.instances import ct_slice, gif_picture, jpeg_picture, nifti_volume, png_picture, us_cine


def recognised(data: bytes, step: int = 1 << 20, limits: Limits | None = None) -> Facts:
    inspector = inspector_for(data[:HEAD], limits or Limits())
    inspector.feed(data[:HEAD])
    for start in range(HEAD, len(data), step):
        inspector.feed(data[start : start + step])
    return inspector.finish()


SOUND = [
    (ct_slice(size=32), Kind.DICOM, "application/dicom"),
    (us_cine(frames=2, rows=8, columns=8), Kind.DICOM, "application/dicom"),
    (identity("2.25.1"), Kind.DICOM, "application/dicom"),
    (implicit(0x00080016, "1.2") + b"".join(
        implicit(tag, "1.2\0") for tag in (0x00080018, 0x0020000D, 0x0020000E)
    ), Kind.DICOM, "application/dicom"),
    (nifti_volume(size=8), Kind.NIFTI, "application/x-nifti"),
    (gzip.compress(nifti_volume(size=8), mtime=0), Kind.NIFTI, "application/gzip"),
    (jpeg_picture(), Kind.JPEG, "image/jpeg"),
    (png_picture(), Kind.PNG, "image/png"),
    (gif_picture(), Kind.GIF, "image/gif"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "kind", "media_type"), SOUND, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("step", [1, 13, 1000, 1 << 20])
def test_every_kind_is_told_by_its_content(data: bytes, kind: Kind, media_type: str, step: int) -> None:
    found = recognised(data, step)
    assert (found.kind, found.media_type) == (kind, media_type)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"text " * 500, b"%PDF-1.7", b"PK\3\4" + bytes(500), gzip.compress(b"text" * 500, mtime=0)]
)
def test_what_is_no_image_is_told_as_such(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        recognised(data)


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\x1f\x8b", b"PK\3\4", b"\x5c\x01\0\0"]
)
def test_a_file_with_the_dicom_prefix_is_dicom_whatever_its_preamble_looks_like(start: bytes) -> None:
    data = start.ljust(128, b"\0") + ct_slice(size=16)[128:]
    assert recognised(data).kind is Kind.DICOM


@pytest.mark.parametrize(
    "data", [data[: len(data) * 2 // 3] for data, _, _ in (SOUND[0], SOUND[4], SOUND[5], SOUND[7])]
)
def test_a_file_that_was_cut_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        recognised(data)


def test_what_inflates_beyond_the_limit_is_refused() -> None:
    limits = Limits(inflated_bytes=10_000)
    with pytest.raises(LimitExceeded):
        recognised(gzip.compress(nifti_volume(size=32), mtime=0), limits=limits)


def hostile() -> Iterator[Hostile]:
    return (file for file in corpus() if "bomb" not in file.name)


def test_every_hostile_file_is_recognised_or_refused_as_it_should_be() -> None:
    for file in hostile():
        try:
            recognised(file.data)
        except Rejected:
            assert file.expectation != "accept", file.name
        else:
            assert file.expectation != "reject", file.name
