"""The steps that give images out, as jobs run them, on a platform in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson
import pytest
from pydantic import ValidationError

from isocenter.adapters.destinations.stored import StoredDestination
from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.archive.deliver import Deliver
from isocenter.archive.file_set import FileSets
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom.elements import Limits
from isocenter.errors import BackendUnavailable, IsocenterError
from isocenter.jobs import Job
from isocenter.pipeline.ingest import Ingest
from isocenter.pipeline.plan import Plans
from isocenter.pipeline.send import Send
from isocenter.pipeline.steps.base import Context, Done, Item, Refused, Step
from isocenter.pipeline.steps.deliver import LinksStep, SendStep
from isocenter.pipeline.steps.parameters import Delivering
from isocenter.ports.destination import Destination
from isocenter.ports.platform import Platform
from isocenter.records import Parcel, State
from isocenter.testing.instances import ct_slice, png_picture
from isocenter.testing.records import new_job

ME = Caller("tester")


class World:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.retrieve = Retrieve(platform)
        self.deliver = Deliver(platform, self.retrieve, FileSets(self.retrieve), {"raw"})
        self.job: Job = new_job()
        self.ingest = Ingest(Store(platform, Limits()))

    def put(self, data: bytes, store: str = "deidentified") -> str:
        batch = self.ingest.batch(ME)
        intake = batch.begin("x", Placement(store, "subject"))
        intake.write(data)
        intake.finish()
        (receipt,) = batch.close()
        assert receipt.record is not None
        return receipt.record.id

    def items(self, ids: Sequence[str]) -> list[Item]:
        records = [self.platform.index.get(id) for id in ids]
        return [Item.of_record(record, self.retrieve) for record in records if record is not None]

    def run(self, step: Step, ids: Sequence[str]) -> Mapping[str, Done | Refused]:
        return step.run(self.items(ids), Context(self.job, "deliver", ME, 60))

    def sending(self, destination: Destination) -> SendStep:
        return SendStep(Send(self.deliver, self.platform.audit, {"raw"}), lambda: destination)

    def audited(self) -> list[tuple[str, str, int]]:
        return [(e.action, e.outcome, e.count) for e in self.platform.audit.read() if e.action.startswith("deliver")]


@pytest.fixture
def world(make_platform: Callable[..., Platform]) -> World:
    return World(make_platform())


def documents(answers: Mapping[str, Done | Refused]) -> list[dict[str, str]]:
    return [orjson.loads(document) for each in answers.values() for _, _, document in each.documents]


def codes(answers: Mapping[str, Done | Refused]) -> list[str | None]:
    return [each.error.code if isinstance(each, Refused) else None for each in answers.values()]


def test_a_chunk_becomes_one_delivery_and_run_again_it_is_the_same(world: World) -> None:
    ids = [world.put(ct_slice(1, number, size=16)) for number in (1, 2)]
    step = LinksStep(world.deliver, seconds=60, zipped=False)
    first, again = world.run(step, ids), world.run(step, ids)
    assert documents(first) == documents(again)
    (name,) = {each["delivery"] for each in documents(first)}
    delivery = world.platform.deliveries.get(name)
    assert delivery is not None
    assert (delivery.images, delivery.actor, delivery.store) == (2, "tester", "deidentified")
    assert [link.image_id for link in world.deliver.links(delivery).items] == ids
    assert world.audited() == [("deliver.create", "success", 2)]
    assert all("path" not in each and "url" not in each for each in documents(first))


def test_what_was_deleted_or_is_no_dicom_for_a_zip_fails_alone(world: World) -> None:
    good, gone, picture = (
        world.put(ct_slice(1, 1, size=16)), world.put(ct_slice(1, 2, size=16)), world.put(png_picture(1))
    )  # fmt: skip
    items = world.items([good, gone, picture])
    world.platform.index.transition([gone], State.DELETED, ME.entry("delete"))
    step = LinksStep(world.deliver, seconds=60, zipped=True)
    answers = step.run(items, Context(world.job, "deliver", ME, 60))
    assert dict(zip(answers, codes(answers), strict=True)) == {
        good: None, gone: "image-deleted", picture: "not-dicom"
    }  # fmt: skip


def test_images_of_two_stores_become_two_deliveries(world: World) -> None:
    ids = [world.put(ct_slice(1, 1, size=16)), world.put(ct_slice(1, 1, size=16), "raw")]
    answers = world.run(LinksStep(world.deliver, seconds=60, zipped=False), ids)
    assert len({each["delivery"] for each in documents(answers)}) == 2


def test_images_are_sent_under_uids_or_ids_and_it_is_told_where(world: World) -> None:
    data = ct_slice(1, 1, size=16)
    clean, raw, picture = world.put(data), world.put(data, "raw"), world.put(png_picture(1))
    there = MemoryBlobStore()
    answers = world.run(world.sending(StoredDestination("there", there)), [clean, raw, picture])
    record = world.platform.index.get(clean)
    assert record is not None
    paths = [
        f"{record.study_uid}/{record.series_uid}/{record.sop_instance_uid}.dcm", f"raw/{raw}.dcm",
        f"deidentified/{picture}.png",
    ]  # fmt: skip
    assert documents(answers) == [{"destination": "there", "where": path} for path in paths]
    assert [there.read(path) for path in paths] == [data, data, png_picture(1)]
    assert sorted(world.audited()) == [("deliver.send", "success", 1), ("deliver.send", "success", 2)]


def test_another_image_under_a_name_is_kept_out_and_counted(world: World) -> None:
    ids = [world.put(ct_slice(1, number, size=16)) for number in (1, 2)]
    record = world.platform.index.get(ids[0])
    assert record is not None
    there = MemoryBlobStore()
    writer = there.create(f"{record.study_uid}/{record.series_uid}/{record.sop_instance_uid}.dcm")
    writer.write(b"other")
    writer.commit()
    assert codes(world.run(world.sending(StoredDestination("there", there)), ids)) == ["destination-conflict", None]
    assert sorted(world.audited()) == [("deliver.send", "failed", 1), ("deliver.send", "success", 1)]


def test_a_destination_that_is_not_there_leaves_everything_to_be_tried_again(world: World) -> None:
    class Away:
        name = "away"

        def put(self, parcels: Sequence[Parcel]) -> Mapping[str, str | IsocenterError]:
            raise BackendUnavailable("away")

        def close(self) -> None:
            return None

    with pytest.raises(BackendUnavailable):  # the runner refuses each image of the chunk with it
        world.run(world.sending(Away()), [world.put(ct_slice(1, 1, size=16))])


def test_what_lies_outside_is_not_delivered(world: World) -> None:
    item = Item("outside.x", lambda: pytest.fail("it is not read"))
    for step in (
        LinksStep(world.deliver, seconds=60, zipped=False),
        world.sending(StoredDestination("x", MemoryBlobStore())),
    ):
        answers = step.run([item], Context(world.job, "deliver", ME, 60))
        assert codes(answers) == ["not-kept-here"]


@pytest.mark.parametrize(
    "told", [{}, {"to": "x", "links": {}}, {"links": {"seconds": 59}}, {"links": {"seconds": 604801}}, {"too": "x"}]
)
def test_a_step_says_either_where_to_or_how_long(told: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Delivering.model_validate(told)


def test_the_shipped_pipeline_ends_in_links_of_a_quarter_of_an_hour() -> None:
    plan = Plans().load("ingest-validate-deidentify-deliver")
    assert [step.use for step in plan.steps] == ["validate", "deidentify", "deliver"]
    told = plan.steps[-1].checked
    assert isinstance(told, Delivering)
    assert told.links is not None
    assert told.links.seconds == 900
