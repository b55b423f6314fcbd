"""What is read back: originals to the byte, files without foreign preambles, nothing that was altered."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from isocenter.adapters.blobs.folder import FolderBlobStore
from isocenter.archive.retrieve import WHOLE, Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom import tag_path
from isocenter.dicom.elements import Limits
from isocenter.errors import BadRequest, Corrupted, NotFound, Unavailable
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.records import ImageRecord
from isocenter.testing.elements import (
    DEFLATED,
    EXPLICIT,
    description,
    element,
    identity,
    instance,
    item,
    meta,
    native,
    sequence,
)
from isocenter.testing.faults import CountingBlobStore
from isocenter.testing.instances import ct_slice, png_picture, us_cine
from isocenter.testing.mixtures import transcoded

Make = Callable[..., Platform]
LARGE = instance("2.25.5", description(2048, 2048), native(bytes(range(256)) * (2048 * 2048 * 2 // 256)))


@pytest.fixture
def platform(make_platform: Make, tmp_path: Path) -> Platform:
    return make_platform(blobs=CountingBlobStore(FolderBlobStore(tmp_path)))


def kept(platform: Platform, data: bytes) -> ImageRecord:
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    intake = batch.begin("", Placement("raw"))
    for start in range(0, len(data), 1 << 20):
        intake.write(data[start : start + (1 << 20)])
    intake.finish()
    (receipt,) = batch.close()
    assert receipt.record is not None, receipt.error
    return receipt.record


@pytest.mark.parametrize("data", [ct_slice(size=32), LARGE, identity("2.25.6"), png_picture()], ids=len)
def test_an_original_comes_back_to_the_byte(platform: Platform, data: bytes) -> None:
    content = Retrieve(platform).original(kept(platform, data))
    assert b"".join(content.chunks) == data
    assert content.size == len(data)


@pytest.mark.parametrize("data", [identity("2.25.6"), meta(EXPLICIT, "2.25.6")[128:] + identity("2.25.6")])
def test_a_bare_data_set_leaves_as_a_file(platform: Platform, data: bytes) -> None:
    content = Retrieve(platform).part10(kept(platform, data))
    found = b"".join(content.chunks)
    assert len(found) == content.size
    assert content.sha256 is None
    assert pydicom.dcmread(BytesIO(found)).SOPInstanceUID == "2.25.6"
    assert found.endswith(identity("2.25.6"))


@pytest.mark.parametrize("body", [identity("2.25.7"), LARGE[132:]], ids=len)
def test_a_preamble_that_is_not_zero_leaves_as_zeros(platform: Platform, body: bytes) -> None:
    data = (
        b"MZ\x90".ljust(128, b"\x13")
        + b"DICM"
        + (body if body[:2] == b"\2\0" else meta(EXPLICIT, "2.25.7")[132:] + body)
    )
    content = Retrieve(platform).part10(kept(platform, data))
    assert b"".join(content.chunks) == bytes(128) + data[128:]


def test_an_altered_large_object_is_found_before_its_last_chunk(platform: Platform, tmp_path: Path) -> None:
    assert len(LARGE) > WHOLE
    record = kept(platform, LARGE)
    path = tmp_path / record.blob.key
    path.write_bytes(LARGE[:-1] + b"\x7e")
    sent = []
    with pytest.raises(Corrupted):
        for chunk in Retrieve(platform).original(record).chunks:
            sent.append(chunk)  # what came before the error counts
    assert len(b"".join(sent)) < len(LARGE)


def test_a_missing_object_is_unavailable_and_not_an_absent_image(platform: Platform) -> None:
    for data in (ct_slice(size=16), LARGE):
        record = kept(platform, data)
        platform.blobs.delete(record.blob.key)
        with pytest.raises(Unavailable):
            list(Retrieve(platform).original(record).chunks)


def test_a_frame_is_read_without_the_rest(platform: Platform) -> None:
    data = us_cine(frames=6)
    record = kept(platform, data)
    blobs = platform.blobs
    assert isinstance(blobs, CountingBlobStore)
    blobs.bytes_read = 0
    pixels = pydicom.dcmread(BytesIO(data)).PixelData
    one = len(pixels) // 6
    assert list(Retrieve(platform).frames(record, [5])) == [pixels[4 * one : 5 * one]]
    assert blobs.bytes_read == one


def test_metadata_and_attributes_read_no_blob(platform: Platform) -> None:
    record = kept(platform, ct_slice(size=32))
    blobs = platform.blobs
    assert isinstance(blobs, CountingBlobStore)
    blobs.bytes_read = 0
    retrieve = Retrieve(platform)
    assert retrieve.attribute(record, tag_path.parse("PatientID"))["Value"] == ["PHANTOM-1"]
    assert retrieve.attribute(record, tag_path.parse("TransferSyntaxUID"))["Value"] == [EXPLICIT]
    assert record.id in retrieve.metadata_of([record])
    assert blobs.bytes_read == 0


def test_bulk_data_inside_a_sequence_is_found_by_its_path(platform: Platform) -> None:
    data = instance("2.25.8", sequence(0x00880200, item(b""), item(element(0x00091001, "OB", b"\7" * 3000))))
    record = kept(platform, data)
    assert list(Retrieve(platform).bulk(record, "00880200/1/00091001")) == [b"\7" * 3000]
    with pytest.raises(NotFound):
        Retrieve(platform).bulk(record, "00880200/0/00091001")


def test_frames_and_bulk_data_of_a_deflated_instance_are_inflated(platform: Platform) -> None:
    plain = ct_slice(3, size=64)
    record = kept(platform, transcoded(plain, DEFLATED))
    pixels = pydicom.dcmread(BytesIO(plain)).PixelData
    assert list(Retrieve(platform).frames(record, [1])) == [pixels]
    assert list(Retrieve(platform).bulk(record, "7FE00010")) == [pixels]


def test_what_is_not_there_is_not_found(platform: Platform) -> None:
    record, picture = kept(platform, ct_slice(size=16)), kept(platform, png_picture())
    retrieve = Retrieve(platform)
    for path in ("PatientComments", "ReferencedImageSequence.PatientID", "PatientID.PatientID"):
        with pytest.raises(NotFound):
            retrieve.attribute(record, tag_path.parse(path))
    with pytest.raises(NotFound):
        retrieve.frames(record, [2])
    with pytest.raises(NotFound):
        retrieve.image(record.id, ("deidentified",))
    with pytest.raises(BadRequest):
        retrieve.metadata(picture)
