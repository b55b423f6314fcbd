"""What is larger than an item lies beside it, comes back whole, and goes with it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.deliveries import DynamoDeliveries
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.job_ledger import DynamoJobLedger
from isocenter.adapters.aws.levels import joined, parted
from isocenter.adapters.aws.open_studies import DynamoOpenStudies
from isocenter.adapters.aws.results import DynamoResults
from isocenter.adapters.aws.step_ledger import DynamoStepLedger
from isocenter.adapters.aws.table import Table
from isocenter.adapters.aws.webhooks import DynamoWebhooks
from isocenter.errors import BackendUnavailable
from isocenter.jobs import JobState, Result, StepOutcome, Task
from isocenter.ports.open_studies import OpenStudy
from isocenter.ports.webhooks import Letter
from isocenter.records import Details, NewImage, State, now
from isocenter.testing.records import new_delivery, new_entry, new_image, new_job, new_moment, new_subscription

KEY = b"audit key"


def noise(size: int) -> bytes:
    """Bytes that no compression makes fewer."""
    return random.Random(1867).randbytes(size)


def large(size: int, **changes: Any) -> NewImage:
    return replace(new_image(**changes), details=Details(noise(size), noise(size // 2)))


def parts(client: Any, table: Table) -> int:
    """How many items hold parts of others; only a test may scan."""
    found = client.scan(TableName=table.name, ProjectionExpression="pk")["Items"]
    return sum(item["pk"]["S"].startswith("PART#") for item in found)


@pytest.mark.parametrize("size", [0, 200_000, 350_000, 450_000, 4_200_000])
def test_details_of_any_size_come_back_and_are_forgotten_whole(table: Table, client: Any, size: int) -> None:
    index, new = DynamoIndex(table, KEY), large(size)
    index.commit([(new, new_entry())])
    id = new.record.id
    assert index.details([id]) == {id: new.details}
    index.transition([id], State.DELETED, new_entry())
    assert index.details([id]) == {id: new.details}
    index.purge([id], new_entry())
    assert parts(client, table) == 0


def test_many_large_ones_go_in_as_several_transactions(table: Table) -> None:
    index, batch = DynamoIndex(table, KEY), [large(200_000) for _ in range(25)]
    index.commit([(new, new_entry()) for new in batch])
    assert index.details([new.record.id for new in batch]) == {new.record.id: new.details for new in batch}


def test_a_duplicate_leaves_no_parts(table: Table, client: Any) -> None:
    index, new = DynamoIndex(table, KEY), large(500_000)
    index.commit([(new, new_entry())])
    before = parts(client, table)
    index.commit([(new, new_entry())])
    assert parts(client, table) == before == 3


def test_parts_that_are_missing_are_not_passed_over(table: Table) -> None:
    item = {"pk": "a", "sk": "b", **table.packed(noise(800_000))}
    assert table.unpacked(item) == noise(800_000)
    client = table.client
    pk, sk = table.part_keys(item)[1]
    client.delete_item(TableName=table.name, Key={"pk": {"S": pk}, "sk": {"S": sk}})
    with pytest.raises(BackendUnavailable):
        table.unpacked(item)


def test_metadata_and_frames_are_told_apart() -> None:
    for metadata, frames in ((b"", None), (b"", b""), (b"1:+", b"2:"), (b"m", None), (noise(50), noise(20))):
        assert parted(joined(metadata, frames)) == (metadata, frames)


def test_a_result_of_more_than_a_megabyte_comes_back(table: Table) -> None:
    results = DynamoResults(table)
    given = [Result("image", "job", f"step{n}", "evidence", noise(1_500_000 + n), new_moment()) for n in range(3)]
    results.put(given)
    assert list(results.of_image("image")) == given
    assert list(results.of_job("job")) == given


def test_results_that_were_not_said_to_the_end_are_not_there(table: Table) -> None:
    class Killed:
        """A client whose process ends before the last request."""

        def __getattr__(self, name: str) -> Any:
            if name == "transact_write_items":
                raise KeyboardInterrupt
            return getattr(table.client, name)

    given = [Result(f"image{n}", "job", "step", "findings", b"{}", new_moment()) for n in range(30)]
    with pytest.raises(KeyboardInterrupt):
        DynamoResults(Table(table.name, KEY, client=Killed())).put(given)
    results = DynamoResults(table)
    assert list(results.of_job("job")) == list(results.of_image("image3")) == []
    results.put(given)
    assert list(results.of_job("job")) == given
    assert list(results.of_image("image3")) == [given[3]]


def test_a_job_of_many_chunks_and_outcomes_is_kept_and_forgotten(table: Table, client: Any) -> None:
    jobs, steps = DynamoJobLedger(table), DynamoStepLedger(table)
    chunks = [[f"{noise(4).hex()}{number:032x}{i:08x}" for i in range(n)] for number, n in enumerate((40_000, 3, 0))]
    job = jobs.create(new_job(images=40_003, chunks=3), chunks)
    task = Task(job.id, 0, 0)
    assert steps.claim(task, "me", 60) == tuple(chunks[0])
    outcome = StepOutcome("step", 0, (), {}, {noise(16).hex() + each: "unavailable" for each in chunks[0]})
    assert steps.record(task, [outcome]) == [outcome]
    assert steps.record(task, [StepOutcome("step", 0, ("a",))]) == [outcome]
    assert list(steps.outcomes(job.id)) == [outcome]
    jobs.move(job.id, JobState.DONE)
    assert jobs.forget(now()) == [job.id]
    found = client.scan(TableName=table.name, ProjectionExpression="pk, sk")["Items"]
    assert {item["pk"]["S"].partition("#")[0] for item in found} == {"JOB", "JOBS", "JOBS-HEAD"}


def test_a_delivery_of_many_images_knows_each(table: Table, client: Any) -> None:
    deliveries = DynamoDeliveries(table, KEY)
    images = [random.Random(number).randbytes(16).hex() for number in range(30_000)]
    delivery = deliveries.create(new_delivery(images=len(images)), images, new_entry())
    assert deliveries.holds(delivery.id, images[-1])
    assert not deliveries.holds(delivery.id, "none")
    assert deliveries.images(delivery.id, after=29_990) == images[29_990:]
    assert deliveries.sweep(now()) == 1
    assert parts(client, table) == 0


def test_many_studies_opened_at_once_are_kept_and_who_comes_late_changes_nothing(table: Table) -> None:
    studies = DynamoOpenStudies(table)
    opened = [OpenStudy(f"study{number}", "raw", f"image{number}", new_moment()) for number in range(200)]
    assert studies.follow(0, 200, opened)
    late = [replace(each, image="late") for each in opened]
    assert not studies.follow(0, 200, late)
    assert studies.quiet(now(), limit=1000) == opened
    assert studies.cursor() == 200


def test_many_dead_letters_are_tried_again_and_go_with_their_webhook(table: Table, client: Any) -> None:
    webhooks, made = DynamoWebhooks(table, KEY), new_subscription()
    webhooks.add(made, 0, new_entry())
    assert webhooks.claim(made.id, "me", 60) == 0
    for number in range(1, 96):
        assert webhooks.record(made.id, "me", 60, letter=Letter(number, 5, "gone", new_moment()))
    assert webhooks.redrive(made.id, new_entry()) == 95
    (standing,) = webhooks.all()
    assert (standing.waiting, standing.dead) == (95, 0)
    assert [each.sequence for each in webhooks.due(made.id, now(), limit=200)] == list(range(1, 96))
    assert [each.count for each in DynamoAuditLog(table, KEY).read()] == [1, 95]
    webhooks.remove(made.id, new_entry())
    found = client.scan(TableName=table.name, ProjectionExpression="pk")["Items"]
    assert {item["pk"]["S"].partition("#")[0] for item in found} == {"HEAD", "AUDIT"}
