"""The steps as jobs run them: what is read and written is counted, and what comes out is looked at."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.adapters.memory.workflow import MemoryWorkflow
from isocenter.archive.store import Caller, Placement, Store
from isocenter.deid.engine import Deidentifier
from isocenter.deid.profile import load
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.dicom.elements import Limits
from isocenter.jobs import Job
from isocenter.pipeline.ingest import Ingest
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.pipeline.plan import Plan, StepPlan
from isocenter.pipeline.run_task import TaskRunner
from isocenter.pipeline.steps.base import Step
from isocenter.pipeline.steps.deidentify import DeidentifyStep
from isocenter.pipeline.steps.validate import ValidateStep
from isocenter.pipeline.validation.validator import Validator
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery
from isocenter.testing.faults import CountingBlobStore
from isocenter.testing.instances import ct_slice

ME = Caller("tester")
PLAN = {
    "name": "made",
    "batch": {"images": 16},
    "steps": [
        {"name": "validate", "use": "validate", "with": {"profile": "lenient"}},
        {"name": "deidentify", "use": "deidentify"},
    ],
}


class World:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.ingest = Ingest(Store(platform, Limits()))
        self.workflow = MemoryWorkflow()
        self.jobs = Jobs(platform, OnceOpened(lambda: self.workflow))
        self.deidentify = DeidentifyStep(
            Deidentifier(load("basic"), Pseudonyms(b"k" * 32)), self.ingest, platform.index, "deidentified"
        )

    def steps(self, plan: StepPlan, job: Job) -> Step:
        if plan.use == "deidentify":
            return self.deidentify
        return ValidateStep(Validator(plan.parameters.get("profile", "standard")), self.platform.index)

    def put(self, *images: bytes) -> list[str]:
        batch = self.ingest.batch(ME)
        for number, data in enumerate(images):
            intake = batch.begin(str(number), Placement("raw"))
            intake.write(data)
            intake.finish()
        receipts = batch.close()
        assert all(receipt.accepted for receipt in receipts), receipts
        return [receipt.record.id for receipt in receipts if receipt.record is not None]

    def run(self, plan: Mapping[str, Any]) -> Job:
        job = self.jobs.start(Plan.model_validate(plan), ImageQuery(), ME)
        runner = TaskRunner(self.platform, self.jobs, self.steps, "one")
        self.workflow.start(runner.run)
        end = time.monotonic() + 60
        while not (now := self.jobs.get(job.id)).is_final and time.monotonic() < end:
            time.sleep(0.01)
        runner.drain()
        self.workflow.stop(5)
        runner.close()
        return now


class Opens(CountingBlobStore):
    """Counts what is opened, by key."""

    def __init__(self) -> None:
        super().__init__(MemoryBlobStore())
        self.opened: Counter[tuple[str, str]] = Counter()

    def create(self, key: str) -> Any:
        self.opened["write", key] += 1
        return super().create(key)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        self.opened["read", key] += 1
        return super().read(key, offset, length)

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Any:
        self.opened["read", key] += 1
        return super().stream(key, offset, length)


def test_a_run_opens_each_object_once_to_read_and_each_result_once_to_write(
    make_platform: Callable[..., Platform],
) -> None:
    blobs = Opens()
    world = World(make_platform(blobs=blobs))
    count = 1000
    for study in range(10):
        world.put(*(ct_slice(study, number, size=16, slices=100) for number in range(1, 101)))
    kept = {key for _, key in blobs.opened}
    blobs.opened.clear()
    job = world.run(PLAN)
    assert world.jobs.progress(job.id).as_json()["steps"][1]["done"] == count
    reads = {key: times for (what, key), times in blobs.opened.items() if what == "read"}
    writes = {key: times for (what, key), times in blobs.opened.items() if what == "write"}
    assert reads == dict.fromkeys(kept, 1)
    assert set(writes.values()) == {1}
    assert len(writes) == count
    assert not kept & writes.keys()


def test_what_identifies_a_study_is_looked_for_in_each_of_its_instances(make_platform: Callable[..., Platform]) -> None:
    """A name in one instance's Operators' Name stands in another's comment, and the chunk has but one of them."""
    world = World(make_platform())
    world.put(
        ct_slice(1, 1, size=16, OperatorsName="QUIRRENBACH^ANNA"),
        ct_slice(1, 2, size=16, OperatorsName="", SeriesDescription="THORAX QUIRRENBACH"),
    )
    world.run({**PLAN, "batch": {"images": 1}})
    found = world.platform.index.images(ImageQuery(("deidentified",))).items
    assert len(found) == 2
    for record in found:
        assert b"QUIRRENBACH" not in world.platform.blobs.read(record.blob.key)
        evidence = orjson.loads(world.platform.results.of_image(record.id)[0].document)
        assert evidence["output"]["sha256"] == record.blob.sha256


def test_stored_bytes_that_changed_are_told_and_nothing_is_made_of_them(make_platform: Callable[..., Platform]) -> None:
    blobs = MemoryBlobStore()
    world = World(make_platform(blobs=blobs))
    (image,) = world.put(ct_slice(1, 1, size=16))
    record = world.platform.index.get(image)
    assert record is not None
    data = bytearray(blobs.read(record.blob.key))
    data[-1] ^= 1
    blobs.delete(record.blob.key)
    writer = blobs.create(record.blob.key)
    writer.write(bytes(data))
    writer.commit()
    job = world.run(PLAN)
    assert [(fault.step, fault.code) for fault in world.jobs.faults(job.id)] == [("validate", "stored-object-altered")]
    assert world.platform.index.images(ImageQuery(("deidentified",))).items == ()


@pytest.mark.parametrize(("slices", "valid"), [((1, 2, 3, 4), True), ((1, 2, 4, 5), False)])
def test_a_series_is_judged_where_the_chunk_has_the_whole_of_it(
    make_platform: Callable[..., Platform], slices: tuple[int, ...], valid: bool
) -> None:
    world = World(make_platform())
    world.put(*(ct_slice(1, number, size=16, slices=5) for number in slices))
    plan = {"name": "made", "steps": [{"name": "validate", "use": "validate", "with": {"profile": "strict"}}]}

    def findings(batch: int) -> set[str]:
        job = world.run({**plan, "batch": {"images": batch}})
        told = [orjson.loads(result.document) for result in world.platform.results.of_job(job.id)]
        return {finding["rule"] for one in told for report in one["reports"] for finding in report["findings"]}

    assert ("slice-missing" in findings(10)) == (not valid)
    assert "slice-missing" not in findings(3)
