"""fsck finds what is missing or left over; every flipped bit is found by scrub and never served."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from isocenter.adapters.blobs.folder import FolderBlobStore
from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.archive.check import Check, purge_missing
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store, new_id
from isocenter.dicom.elements import Limits
from isocenter.errors import Corrupted
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, ImageRecord, now
from isocenter.testing.instances import ct_slice, nifti_volume, png_picture

Make = Callable[..., Platform]
FLIPS = 1000


def kept(platform: Platform, *files: bytes) -> list[ImageRecord]:
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    for data in files:
        intake = batch.begin("", Placement("raw"))
        intake.write(data)
        intake.finish()
    return [receipt.record for receipt in batch.close() if receipt.record is not None]


@pytest.fixture
def platform(make_platform: Make, tmp_path: Path) -> Platform:
    return make_platform(blobs=FolderBlobStore(tmp_path))


def test_a_sound_archive_is_clean(platform: Platform) -> None:
    kept(platform, ct_slice(1, size=32), nifti_volume(), png_picture())
    report = Check(platform).fsck()
    assert (report.images, report.blobs, report.unreferenced, report.damaged) == (3, 3, 0, 0)
    assert Check(platform).scrub().damaged == 0


def test_what_interrupted_uploads_left_is_counted_and_swept_when_old_enough(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")  # files without a name leave nothing
    kept(platform, ct_slice(1, size=32))
    leftovers = [f"raw/{id[0]}/{id}" for id in (new_id(), new_id(), new_id())]
    for key in leftovers[:2]:
        writer = platform.blobs.create(key)
        writer.write(b"12345")
        writer.commit()
    unfinished = platform.blobs.create(leftovers[2])
    unfinished.write(b"1" * 5000)
    check = Check(platform)
    report = check.fsck(sweep_before=now() - timedelta(hours=1))
    assert (report.unreferenced, report.swept, report.damaged) == (3, 0, 0)
    assert check.fsck(sweep_before=now() + timedelta(seconds=1)).swept == 3
    assert check.fsck().unreferenced == 0
    assert list((tmp_path / "incoming").iterdir()) == []
    unfinished.abort()


def test_what_others_put_into_a_bucket_is_not_ours_to_sweep(make_platform: Make) -> None:
    platform = make_platform(blobs=MemoryBlobStore())
    others = ["incoming/SMITH.dcm", "quarantine/incoming/a.dcm", "bulk/1.dcm", "uploads/x/part/0/1", "processed/a/b"]
    for key in (*others, f"raw/a/a{new_id()[1:]}"):
        writer = platform.blobs.create(key)
        writer.write(b"12345")
        writer.commit()
    report = Check(platform).fsck(sweep_before=now() + timedelta(seconds=1))
    assert (report.unreferenced, report.swept) == (1, 1)
    assert sorted(stat.key for stat in platform.blobs.list()) == sorted(others)


def test_a_sample_is_read_anew_and_tells_of_damage(make_platform: Make) -> None:
    platform = make_platform(blobs=MemoryBlobStore())
    assert Check(platform).sample(5, 1 << 20).images == 0
    records = kept(platform, *(ct_slice(number, 1, size=32) for number in range(1, 9)))
    size = records[0].blob.size
    for most_bytes, most in ((size // 2, 1), (3 * size, 3), (1 << 30, 5)):
        counted = [Check(platform).sample(5, most_bytes).images for _ in range(20)]
        assert max(counted) == most
        assert min(counted) == 1
    for record in records:
        platform.blobs.delete(record.blob.key)
    report = Check(platform).sample(5, 1 << 30)
    assert report.damaged == report.images > 0


def test_a_missing_blob_is_damage_and_its_row_can_be_taken_out_of_search(platform: Platform) -> None:
    first, second = kept(platform, ct_slice(1, size=32), ct_slice(2, size=32))
    platform.blobs.delete(first.blob.key)
    report = Check(platform).fsck()
    assert report.missing == [first.id]
    assert purge_missing(platform, report, Caller()) == 1
    assert [record.id for record in platform.index.images(ImageQuery()).items] == [second.id]
    assert Check(platform).scrub().missing == [first.id]


def test_a_blob_of_another_length_is_damage(platform: Platform, tmp_path: Path) -> None:
    (record,) = kept(platform, ct_slice(1, size=32))
    path = tmp_path / record.blob.key
    path.write_bytes(path.read_bytes() + b"\0")
    assert Check(platform).fsck().altered == [record.id]


def test_a_thousand_flipped_bits_are_all_found_and_none_is_served(platform: Platform, tmp_path: Path) -> None:
    files = [ct_slice(n, size=24) for n in range(1, 6)] + [
        nifti_volume(size=8),
        png_picture(),
        ct_slice(9, size=24)[132:],
    ]
    records = kept(platform, *files)
    assert len(records) == len(files)
    retrieve, check, chance = Retrieve(platform), Check(platform), random.Random(11)
    for number in range(FLIPS):
        record = records[number % len(records)]
        path = tmp_path / record.blob.key
        whole = path.read_bytes()
        altered = bytearray(whole)
        altered[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(altered)
        with pytest.raises(Corrupted):
            b"".join(retrieve.original(record).chunks)
        with pytest.raises(Corrupted):
            b"".join(retrieve.part10(record).chunks)
        if number % 50 == 0:
            assert check.scrub().altered == [record.id]
        path.write_bytes(whole)
    assert check.scrub().damaged == 0


def test_scrub_finds_every_one_of_many_altered_blobs(platform: Platform, tmp_path: Path) -> None:
    records = kept(platform, *(ct_slice(n, size=16) for n in range(1, 41)))
    chance = random.Random(12)
    for record in records:
        path = tmp_path / record.blob.key
        altered = bytearray(path.read_bytes())
        altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)
        path.write_bytes(altered)
    assert sorted(Check(platform).scrub().altered) == sorted(record.id for record in records)


def test_rows_without_their_metadata_are_damage(platform: Platform) -> None:
    kept(platform, ct_slice(1, size=32))

    class Forgetful:
        def __getattr__(self, name: str) -> object:
            return getattr(platform.index, name)

        def details(self, ids: object) -> dict[str, object]:
            return {}

    from dataclasses import replace

    report = Check(replace(platform, index=Forgetful())).fsck()  # type: ignore[arg-type]  # only what fsck asks
    assert len(report.missing_details) == 1
    assert report.damaged == 1
