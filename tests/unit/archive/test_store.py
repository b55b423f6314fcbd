"""Storing under faults: nothing acknowledged is lost, no row lacks its blob, no loser's blob stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isocenter.adapters.blobs.folder import FolderBlobStore
from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.archive.check import Check
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom.elements import Limits
from isocenter.errors import Conflict, IsocenterError, Unavailable
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.blob_store import BlobStore
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, Receipt, State
from isocenter.testing.elements import description, instance, native
from isocenter.testing.faults import FaultyBlobStore, FaultyIndex, Plan
from isocenter.testing.instances import ct_slice, nifti_volume, png_picture

Make = Callable[..., Platform]
RAW = Placement("raw")


def store(platform: Platform, *files: bytes, place: Placement = RAW, keep_versions: bool = False) -> list[Receipt]:
    batch = Ingest(Store(platform, Limits(), keep_versions=keep_versions)).batch(Caller())
    for number, data in enumerate(files):
        intake = batch.begin(str(number), place)
        for start in range(0, max(1, len(data)), 30_000):
            intake.write(data[start : start + 30_000])
        intake.finish()
    return batch.close()


def keys(platform: Platform) -> set[str]:
    return {stat.key for prefix in ("", "incoming/") for stat in platform.blobs.list(prefix)}


def rows(platform: Platform) -> dict[str, str]:
    """Blob keys of all rows, and the identity of each."""
    every = (State.CURRENT, State.DELETED, State.SUPERSEDED)
    page = platform.index.images(ImageQuery(states=every, limit=1000))
    return {record.blob.key: record.image_id for record in page.items}


def outcomes(receipts: list[Receipt]) -> list[str]:
    return [receipt.outcome for receipt in receipts]


def whole(platform: Platform, receipts: list[Receipt], files: list[bytes]) -> None:
    """No row lacks its blob, and what was acknowledged is there to the byte."""
    assert rows(platform).keys() <= keys(platform)
    for receipt, data in zip(receipts, files, strict=True):
        if receipt.accepted:
            assert receipt.record is not None
            assert platform.blobs.read(receipt.record.blob.key) == data
            assert receipt.record.blob.key in rows(platform)


FILES = [ct_slice(1, number, size=64) for number in (1, 2, 3)]


@pytest.fixture(params=["memory", "folder"])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return MemoryBlobStore() if request.param == "memory" else FolderBlobStore(tmp_path / "blobs")


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("operation", ["create", "write", "commit"])
def test_a_blob_that_cannot_be_kept_fails_alone(
    make_platform: Make, inner: BlobStore, operation: str, number: int
) -> None:
    platform = make_platform(blobs=FaultyBlobStore(inner, Plan((operation, number))))
    receipts = store(platform, *FILES)
    assert sorted(outcomes(receipts)) == ["failed", "stored", "stored"]
    whole(platform, receipts, FILES)
    assert keys(platform) == rows(platform).keys()
    assert outcomes(store(platform, *FILES)).count("stored") == 1


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_blob_that_became_durable_without_our_knowing_is_not_acknowledged(
    make_platform: Make, inner: BlobStore, number: int
) -> None:
    platform = make_platform(blobs=FaultyBlobStore(inner, Plan(("committed", number))))
    receipts = store(platform, *FILES)
    assert outcomes(receipts).count("failed") == 1
    whole(platform, receipts, FILES)
    assert len(keys(platform) - rows(platform).keys()) <= 1  # fsck sweeps it


def test_an_index_that_refuses_leaves_no_row_and_fsck_sweeps_the_blobs(make_platform: Make) -> None:
    platform = make_platform()
    faulty = make_platform(blobs=platform.blobs, index=FaultyIndex(platform.index, Plan(("commit", 1))))
    receipts = store(faulty, *FILES)
    assert outcomes(receipts) == ["failed"] * 3
    assert all(isinstance(receipt.error, Unavailable) for receipt in receipts)
    assert rows(platform) == {}
    report = Check(platform).fsck()
    assert (report.unreferenced, report.damaged) == (3, 0)
    assert outcomes(store(faulty, *FILES)) == ["stored"] * 3


def test_an_unknown_outcome_keeps_the_blobs_of_rows_that_may_be_there(make_platform: Make) -> None:
    platform = make_platform()
    faulty = make_platform(blobs=platform.blobs, index=FaultyIndex(platform.index, Plan(("committed", 1))))
    receipts = store(faulty, *FILES)
    assert outcomes(receipts) == ["failed"] * 3
    assert rows(platform).keys() == keys(platform)
    assert Check(platform).scrub().damaged == 0
    assert outcomes(store(faulty, *FILES)) == ["duplicate"] * 3
    assert rows(platform).keys() == keys(platform)


def test_the_same_again_is_a_duplicate_and_its_blob_is_removed(make_platform: Make) -> None:
    platform = make_platform()
    first, again = store(platform, *FILES), store(platform, *FILES)
    assert outcomes(again) == ["duplicate"] * 3
    assert [receipt.record for receipt in again] == [receipt.record for receipt in first]
    assert keys(platform) == rows(platform).keys()


def test_other_bytes_are_a_conflict_and_their_blob_is_removed(make_platform: Make) -> None:
    platform = make_platform()
    first = store(platform, FILES[0])
    (refused,) = store(platform, FILES[0][:-1] + b"\x55")
    assert refused.outcome == "rejected"
    assert isinstance(refused.error, Conflict)
    whole(platform, first, FILES[:1])
    assert keys(platform) == rows(platform).keys()


def test_where_versions_are_kept_other_bytes_replace_and_the_old_stay(make_platform: Make) -> None:
    platform = make_platform()
    changed = FILES[0][:-1] + b"\x55"
    store(platform, FILES[0], keep_versions=True)
    (receipt,) = store(platform, changed, keep_versions=True)
    assert receipt.outcome == "replaced"
    assert len(keys(platform)) == len(rows(platform)) == 2
    current = platform.index.images(ImageQuery()).items
    assert [platform.blobs.read(record.blob.key) for record in current] == [changed]


def test_a_loser_whose_blob_cannot_be_removed_is_still_told_the_truth(make_platform: Make) -> None:
    platform = make_platform(blobs=FaultyBlobStore(MemoryBlobStore(), Plan(("delete", 1))))
    store(platform, FILES[0])
    assert outcomes(store(platform, FILES[0])) == ["duplicate"]
    assert Check(platform).fsck().unreferenced == 1


def test_one_instance_twice_in_a_batch_is_one_row_and_one_blob(make_platform: Make) -> None:
    platform = make_platform()
    assert outcomes(store(platform, FILES[0], FILES[0])) == ["stored", "duplicate"]
    assert len(keys(platform)) == len(rows(platform)) == 1


def test_the_first_of_two_that_differ_in_one_batch_wins(make_platform: Make) -> None:
    platform = make_platform()
    receipts = store(platform, FILES[0], FILES[0][:-1] + b"\x55")
    assert outcomes(receipts) == ["stored", "rejected"]
    whole(platform, receipts[:1], FILES[:1])


@pytest.mark.parametrize("bad", [b"", b"junk", FILES[0][:500], b"PK\3\4" + bytes(100)])
def test_what_is_refused_leaves_nothing_behind(make_platform: Make, inner: BlobStore, bad: bytes) -> None:
    platform = make_platform(blobs=inner)
    assert outcomes(store(platform, FILES[0], bad, FILES[1])) == ["stored", "rejected", "stored"]
    assert keys(platform) == rows(platform).keys()


def test_a_batch_that_is_abandoned_leaves_nothing_behind(make_platform: Make, inner: BlobStore) -> None:
    platform = make_platform(blobs=inner)
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    for number, data in enumerate(FILES):
        intake = batch.begin(str(number), RAW)
        intake.write(data)
        intake.finish()
    batch.abandon()
    assert keys(platform) == set()
    assert rows(platform) == {}


def test_an_instance_of_another_study_is_refused_by_name(make_platform: Make) -> None:
    (receipt,) = store(make_platform(), FILES[0], place=Placement("raw", study_uid="2.25.7"))
    assert receipt.error is not None
    assert (receipt.outcome, receipt.reason, receipt.error.code) == ("rejected", 0xA900, "other-study")
    assert receipt.sop_instance_uid is not None


def test_kinds_take_their_subject_from_what_they_are(make_platform: Make) -> None:
    platform = make_platform()
    place = Placement("raw", other_subject_id="somebody")
    receipts = store(platform, FILES[0], nifti_volume(), png_picture(), place=place)
    subjects = [receipt.record.subject_id for receipt in receipts if receipt.record]
    assert subjects == ["PHANTOM-1", "somebody", "somebody"]
    assert len({receipt.record.image_id for receipt in receipts if receipt.record}) == 3


def test_blob_keys_follow_from_nothing_that_was_sent(make_platform: Make) -> None:
    platform = make_platform()
    (receipt,) = store(platform, FILES[0], place=Placement("raw", "Subject^Name", "Image"))
    assert receipt.record is not None
    assert receipt.record.blob.key == f"raw/{receipt.record.id[0]}/{receipt.record.id}"


def test_a_waiting_image_does_not_hold_its_header() -> None:
    from isocenter.archive.store import Arrival

    arrival = Arrival(MemoryBlobStore(), Limits(), RAW)
    arrival.write(instance("2.25.1", description(), native(bytes(32))).ljust(3000, b"\0"))
    arrival.finish()
    assert arrival._inspector is None


def test_errors_of_refused_images_hold_no_traceback(make_platform: Make) -> None:
    (receipt,) = store(make_platform(), FILES[0][:-100])
    error: BaseException | None = receipt.error
    assert isinstance(error, IsocenterError)
    while error is not None:
        assert error.__traceback__ is None
        error = error.__cause__ or error.__context__


@pytest.fixture
def platform(make_platform: Make, tmp_path: Path) -> Platform:
    return make_platform(blobs=FolderBlobStore(tmp_path))


def test_what_is_refused_is_still_named_by_its_uids(platform: Platform) -> None:
    refused = store(platform, ct_slice()[:-10])
    assert outcomes(refused) == ["rejected"]
    assert refused[0].sop_instance_uid is not None
    assert refused[0].sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"


def test_bytes_that_were_lost_come_back_with_the_next_copy(platform: Platform) -> None:
    data = ct_slice()
    (first,) = store(platform, data)
    assert first.record is not None
    platform.blobs.delete(first.record.blob.key)
    assert outcomes(store(platform, data)) == ["duplicate"]
    assert platform.blobs.read(first.record.blob.key) == data
    assert keys(platform) == {first.record.blob.key}


def test_an_abandoned_batch_leaves_nothing(platform: Platform) -> None:
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    done = batch.begin("one", RAW)
    done.write(ct_slice())
    done.finish()
    batch.begin("two", RAW).write(ct_slice(number=2))
    batch.abandon()
    assert batch.close() == []
    assert keys(platform) == set()
    assert rows(platform) == {}
