"""The front door: batches are committed together, answered in order, and one bad image fails alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom.elements import Limits
from isocenter.errors import BadRequest, FailureReason
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery
from isocenter.testing.faults import FaultyBlobStore, FaultyIndex, Plan
from isocenter.testing.instances import ct_slice
from isocenter.testing.threads import together

Make = Callable[..., Platform]


def test_answers_come_in_the_order_of_the_images(make_platform: Make) -> None:
    batch = Ingest(Store(make_platform(), Limits())).batch(Caller())
    for number in range(200):
        intake = batch.begin(f"file {number}", Placement("raw"))
        intake.write(b"junk" if number % 10 == 3 else ct_slice(1, number, size=8))
        intake.finish()
    receipts = batch.close()
    assert [receipt.source for receipt in receipts] == [f"file {number}" for number in range(200)]
    assert [receipt.outcome == "rejected" for receipt in receipts] == [number % 10 == 3 for number in range(200)]
    assert all(receipt.reason for receipt in receipts if not receipt.accepted)


def test_many_images_take_few_transactions(make_platform: Make) -> None:
    platform = make_platform()
    index = FaultyIndex(platform.index, Plan())
    batch = Ingest(Store(make_platform(blobs=platform.blobs, index=index), Limits())).batch(Caller())
    for number in range(200):
        intake = batch.begin("", Placement("raw"))
        intake.write(ct_slice(1, number, size=8))
        intake.finish()
    assert all(receipt.outcome == "stored" for receipt in batch.close())
    assert index.plan.calls["commit"] == 4


def test_after_a_failure_the_rest_of_the_bytes_is_forgotten(make_platform: Make) -> None:
    platform = make_platform()
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    intake = batch.begin("", Placement("raw"))
    intake.write(b"junk" * 1000)
    assert intake.failure is not None
    for _ in range(10):
        intake.write(b"more" * 1000)
    intake.finish()
    (receipt,) = batch.close()
    assert receipt.reason == FailureReason.CANNOT_UNDERSTAND
    assert list(platform.blobs.list()) == []


def test_a_sender_may_give_an_image_up(make_platform: Make) -> None:
    platform = make_platform()
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    intake = batch.begin("", Placement("raw"))
    intake.write(ct_slice(size=16))
    intake.fail(BadRequest("given up"))
    intake.finish()
    assert [receipt.outcome for receipt in batch.close()] == ["failed"]
    assert list(platform.blobs.list()) == []


def test_a_bug_in_between_leaves_no_blob(make_platform: Make) -> None:
    plan = Plan(("write", 1), error=lambda: ZeroDivisionError("bug"))
    platform = make_platform()
    faulty = make_platform(blobs=FaultyBlobStore(platform.blobs, plan))
    batch = Ingest(Store(faulty, Limits())).batch(Caller())
    intake = batch.begin("", Placement("raw"))
    with pytest.raises(ZeroDivisionError):
        intake.write(ct_slice(size=64))
    assert list(platform.blobs.list()) == []


def test_32_writers_of_one_instance_make_one_row_and_one_blob(make_platform: Make) -> None:
    platform = make_platform()
    ingest = Ingest(Store(platform, Limits()))
    data = ct_slice(size=16)

    def send(number: int) -> list[str]:
        found = []
        for _ in range(20):
            batch = ingest.batch(Caller())
            intake = batch.begin("", Placement("raw"))
            intake.write(data)
            intake.finish()
            found += [receipt.outcome for receipt in batch.close()]
        return found

    outcomes = [outcome for found in together(send, range(32)) for outcome in found]
    assert outcomes.count("stored") == 1
    assert outcomes.count("duplicate") == 32 * 20 - 1
    assert len(platform.index.images(ImageQuery()).items) == len(list(platform.blobs.list())) == 1
