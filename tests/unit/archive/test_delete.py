"""Deleting hides, restoring brings back, purging forgets: rows first, so that no row lacks its blob."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.archive.check import Check
from isocenter.archive.delete import Delete
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom.elements import Limits
from isocenter.errors import BackendUnavailable, Conflict, NotFound
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, ImageRecord
from isocenter.testing.faults import FaultyBlobStore, FaultyIndex, Plan
from isocenter.testing.instances import ct_slice

Make = Callable[..., Platform]
NOW, WEEK = timedelta(seconds=-1), timedelta(days=7)


def kept(platform: Platform, *files: bytes) -> list[ImageRecord]:
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    for data in files:
        intake = batch.begin("", Placement("raw"))
        intake.write(data)
        intake.finish()
    return [receipt.record for receipt in batch.close() if receipt.record is not None]


def test_a_deleted_image_is_hidden_and_can_be_restored(make_platform: Make) -> None:
    platform = make_platform()
    (record,) = kept(platform, ct_slice(size=16))
    delete, retrieve = Delete(platform, WEEK), Retrieve(platform)
    assert [each.id for each in delete.delete([record], Caller())] == [record.id]
    assert list(delete.delete([record], Caller())) == []
    with pytest.raises(NotFound):
        retrieve.image(record.id, ("raw",))
    assert platform.index.images(ImageQuery()).items == ()
    assert [each.id for each in delete.restore([record.id], Caller())] == [record.id]
    assert b"".join(retrieve.original(retrieve.image(record.id, ("raw",))).chunks) == ct_slice(size=16)


def test_within_its_grace_nothing_is_purged(make_platform: Make) -> None:
    platform = make_platform()
    delete = Delete(platform, WEEK)
    delete.delete(kept(platform, ct_slice(size=16)), Caller())
    assert delete.purge_expired(Caller()) == 0
    assert len(list(platform.blobs.list())) == 1


def test_after_its_grace_an_image_is_gone_for_good(make_platform: Make) -> None:
    platform = make_platform()
    delete = Delete(platform, NOW)
    (record, other) = kept(platform, ct_slice(1, size=16), ct_slice(2, size=16))
    delete.delete([record], Caller())
    assert delete.purge_expired(Caller()) == 1
    assert platform.index.get(record.id) is None
    assert [stat.key for stat in platform.blobs.list()] == [other.blob.key]
    assert list(delete.restore([record.id], Caller())) == []
    assert Check(platform).fsck().unreferenced == 0


def test_a_deleted_identity_may_be_stored_anew_and_then_not_restored(make_platform: Make) -> None:
    platform = make_platform()
    delete = Delete(platform, WEEK)
    (first,) = kept(platform, ct_slice(size=16))
    delete.delete([first], Caller())
    (second,) = kept(platform, ct_slice(size=16, StudyDescription="Changed"))
    assert second.id != first.id
    with pytest.raises(Conflict):
        delete.restore([first.id], Caller())
    assert [record.id for record in platform.index.images(ImageQuery()).items] == [second.id]


def test_a_blob_that_cannot_be_deleted_now_is_left_for_fsck(make_platform: Make) -> None:
    platform = make_platform(blobs=FaultyBlobStore(MemoryBlobStore(), Plan(("delete", 1))))
    delete = Delete(platform, NOW)
    delete.delete(kept(platform, ct_slice(size=16)), Caller())
    assert delete.purge_expired(Caller()) == 1
    report = Check(platform).fsck()
    assert (report.unreferenced, report.damaged) == (1, 0)


def test_a_purge_that_fails_leaves_row_and_blob(make_platform: Make) -> None:
    platform = make_platform()
    faulty = make_platform(blobs=platform.blobs, index=FaultyIndex(platform.index, Plan(("purge", 1))))
    delete = Delete(faulty, NOW)
    delete.delete(kept(platform, ct_slice(size=16)), Caller())
    with pytest.raises(BackendUnavailable):
        delete.purge_expired(Caller())
    assert Check(platform).fsck().damaged == 0
    assert delete.purge_expired(Caller()) == 1


def test_every_deletion_is_audited_without_a_value(make_platform: Make) -> None:
    platform = make_platform()
    delete = Delete(platform, NOW)
    records = kept(platform, ct_slice(5, size=16))
    delete.delete(records, Caller("somebody"))
    delete.restore([records[0].id], Caller("somebody"))
    delete.delete(records, Caller("somebody"))
    delete.purge_expired(Caller("housekeeping"))
    entries = platform.audit.read()
    assert [entry.action for entry in entries] == ["store", "delete", "restore", "delete", "purge"]
    assert "PHANTOM-5" not in str(entries)
    assert "Phantom" not in str(entries)
