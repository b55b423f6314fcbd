"""Jobs over steps that do as they are told: what is tried again, what goes on, what stops, and what is left."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pytest

from isocenter.adapters.memory.workflow import MemoryWorkflow
from isocenter.archive.store import Caller
from isocenter.errors import Conflict, IsocenterError, Malformed, NotFound, Saturated, StorageFull
from isocenter.jobs import Job, JobState, Task
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.pipeline.plan import Plan, StepPlan
from isocenter.pipeline.run_task import TaskRunner
from isocenter.pipeline.steps.base import Answer, Context, Done, Item, Stopped, each
from isocenter.pipeline.work import Worker
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, State
from isocenter.testing.records import new_entry, new_volume

ME = Caller("tester")


@dataclass
class Told:
    """Steps by name, each image's answers in order, the last one for good; and what was asked."""

    answers: dict[tuple[str, str], list[Done | IsocenterError]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    hold: threading.Event | None = None

    def step(self, plan: StepPlan, job: Job) -> Told:
        return self

    def run(self, items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        def one(item: Item) -> Done:
            self.asked.append((context.step, item.id))
            while self.hold is not None and not self.hold.is_set():
                if context.stopped():
                    raise Stopped
                time.sleep(0.01)
            left = self.answers.get((context.step, item.id), [Done()])
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, IsocenterError):
                raise answer
            return answer

        return each(items, context, one)


@dataclass
class World:
    platform: Platform
    workflow: MemoryWorkflow
    jobs: Jobs
    told: Told
    images: list[str]
    given: list[int]

    def runner(self, owner: str = "one", lease: float = 5.0) -> TaskRunner:
        return TaskRunner(self.platform, self.jobs, self.told.step, owner, lease=lease)

    def start(self, plan: Plan, **more: Any) -> Job:
        return self.jobs.start_with(plan, self.images, ME, **more)

    def done(self, job: Job, *, seconds: float = 20) -> Job:
        """Work until the job is over."""
        runner = self.runner()
        self.workflow.start(runner.run)
        try:
            return self.over(job, seconds=seconds)
        finally:
            runner.drain()
            self.workflow.stop(5)
            runner.close()

    def over(self, job: Job, *, seconds: float = 20) -> Job:
        end = time.monotonic() + seconds
        while not (now := self.jobs.get(job.id)).is_final and time.monotonic() < end:
            time.sleep(0.01)
        return now


@pytest.fixture
def world(make_platform: Callable[..., Platform]) -> Iterator[World]:
    platform, workflow, told, given = make_platform(), MemoryWorkflow(), Told(), [0]
    images = []
    for number in range(10):
        new = new_volume(content=b"x" * number)
        platform.index.commit([(new, new_entry())])
        images.append(new.record.id)

    def count() -> None:
        given[0] += 1

    jobs = Jobs(platform, OnceOpened(lambda: workflow), given=count, most_waiting=100)
    yield World(platform, workflow, jobs, told, images, given)
    workflow.close()


def plan(*steps: str | dict[str, Any], **more: Any) -> Plan:
    quick = {"first_seconds": 0.01, "jitter": False}
    told = [{"name": step} if isinstance(step, str) else step for step in steps]
    return Plan.model_validate(
        {
            "name": "made",
            "batch": {"images": 4},
            "steps": [{"use": "validate", "retry": quick, **s} for s in told],
            **more,
        }
    )


def test_every_image_passes_every_step_once(world: World) -> None:
    job = world.done(world.start(plan("one", "two")))
    assert job.state is JobState.DONE
    assert Counter(world.told.asked) == {(step, image): 1 for step in ("one", "two") for image in world.images}
    far = world.jobs.progress(job.id)
    assert (far.finished, far.rejected, far.unavailable, job.chunks) == (10, 0, 0, 3)
    assert orjson.loads(orjson.dumps(far.as_json()))["steps"][0] == {
        "name": "one", "done": 10, "rejected": 0, "unavailable": 0, "findings": 0,
    }  # fmt: skip
    assert [entry.action for entry in world.platform.audit.read()] == ["store"] * 10 + ["job.start"]


def test_what_is_rejected_fails_alone_and_goes_no_further(world: World) -> None:
    bad = world.images[3]
    world.told.answers["one", bad] = [Malformed("broken", code="truncated")]
    job = world.done(world.start(plan("one", "two")))
    assert ("two", bad) not in world.told.asked
    assert world.told.asked.count(("one", bad)) == 1
    assert [(fault.image, fault.step, fault.code, fault.retriable) for fault in world.jobs.faults(job.id)] == [
        (bad, "one", "truncated", False)
    ]
    assert world.jobs.progress(job.id).finished == 10


def test_what_is_unavailable_is_tried_again_alone(world: World) -> None:
    slow, gone = world.images[1], world.images[2]
    world.told.answers["one", slow] = [StorageFull("full"), StorageFull("full"), Done(findings=2)]
    world.told.answers["one", gone] = [StorageFull("full")]
    job = world.done(world.start(plan("one")))
    asked = Counter(world.told.asked)
    assert (asked["one", slow], asked["one", gone], asked["one", world.images[0]]) == (3, 3, 1)
    assert [(f.image, f.code, f.retriable) for f in world.jobs.faults(job.id)] == [(gone, "storage-full", True)]
    assert world.jobs.progress(job.id).findings == 2


def test_waits_grow_and_vary() -> None:
    retry = plan({"name": "one", "retry": {"attempts": 5, "first_seconds": 1, "most_seconds": 3}}).steps[0].retry
    assert all(len(list(retry.waits())) == 4 for _ in range(3))
    for _ in range(50):
        for wait, most in zip(retry.waits(), (1, 2, 3, 3), strict=True):
            assert most / 2 <= wait <= most


def test_a_rejected_image_may_go_on_or_stop_the_job(world: World) -> None:
    bad = world.images[0]
    world.told.answers["one", bad] = [Malformed("broken")]
    job = world.done(world.start(plan({"name": "one", "on_reject": "go-on"}, "two")))
    assert ("two", bad) in world.told.asked
    assert (job.state, world.jobs.progress(job.id).finished) == (JobState.DONE, 10)
    job = world.done(world.start(plan({"name": "one", "on_reject": "stop"}, "two")))
    assert (job.state, job.code) == (JobState.FAILED, "malformed")
    assert world.told.asked.count(("two", bad)) == 1  # by the first job


def test_images_made_by_a_step_go_on_in_place_of_what_they_were_made_of(world: World) -> None:
    made = new_volume()
    world.platform.index.commit([(made, new_entry())])
    first, second = world.images[:2]
    world.told.answers["one", first] = [Done((made.record.id,))]
    world.told.answers["one", second] = [Done(())]
    for steps in (("one", "two"), ("one", {"name": "two", "wait_for_all": True})):
        world.told.asked.clear()
        world.done(world.start(plan(*steps)))
        second_step = [image for step, image in world.told.asked if step == "two"]
        assert sorted(second_step) == sorted([made.record.id, *world.images[2:]])


def test_a_stage_begins_when_every_image_has_passed_the_one_before(world: World) -> None:
    world.done(world.start(plan("one", "two", {"name": "all", "wait_for_all": True}, "last")))
    steps = [step for step, _ in world.told.asked]
    assert steps.index("all") == 20
    assert set(steps[:20]) == {"one", "two"}
    assert Counter(steps) == {"one": 10, "two": 10, "all": 10, "last": 10}


def test_results_are_kept_with_their_images(world: World) -> None:
    image = world.images[0]
    world.told.answers["one", image] = [Done(documents=((image, "findings", b'{"a":1}'),))]
    job = world.done(world.start(plan("one")))
    kept = world.platform.results.of_image(image)
    assert [(one.job, one.step, one.kind, one.document) for one in kept] == [(job.id, "one", "findings", b'{"a":1}')]


def test_a_bug_in_a_step_costs_its_chunk_and_says_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        if world.images[0] in {item.id for item in items}:
            raise ZeroDivisionError("a value that nobody may see")
        return {item.id: Done() for item in items}

    world.told.run = broken  # type: ignore[method-assign]  # the fault of this test
    job = world.done(world.start(plan("one")))
    faults = list(world.jobs.faults(job.id))
    assert {fault.code for fault in faults} == {"unexpected-fault"}
    assert 1 <= len(faults) <= 4
    assert job.state is JobState.DONE


def test_an_image_that_was_deleted_meanwhile_is_told(world: World) -> None:
    job = world.start(plan("one"))
    world.platform.index.transition([world.images[5]], State.DELETED, new_entry("delete"))
    world.done(job)
    assert [(f.image, f.code) for f in world.jobs.faults(job.id)] == [(world.images[5], "image-deleted")]


def test_the_same_id_is_the_same_job(world: World) -> None:
    first = world.start(plan("one"), id="mine")
    assert world.start(plan("two"), id="mine") == first
    world.done(first)
    assert world.start(plan("one"), id="mine").state is JobState.DONE
    assert len(world.told.asked) == 10


def test_a_job_names_images_that_are_there(world: World) -> None:
    with pytest.raises(NotFound):
        world.jobs.start_with(plan("one"), [*world.images, "no-such"], ME)
    with pytest.raises(NotFound):
        world.jobs.start(plan("one"), ImageQuery(subject_id="nobody"), ME)
    with pytest.raises(NotFound):
        world.jobs.start(plan("one", store="other"), ImageQuery(), ME)
    assert world.jobs.start(plan("one"), ImageQuery(), ME).images == 10


def test_a_full_queue_pushes_back(world: World) -> None:
    for _ in range(10):
        world.start(plan("one"))
    with pytest.raises(Saturated):
        world.start(plan("one"))
    assert world.given == [10]


def test_a_paused_job_gives_up_what_is_under_way_and_goes_on_when_resumed(world: World) -> None:
    world.told.hold = threading.Event()
    job = world.start(plan("one"))
    runner = world.runner(lease=0.3)
    world.workflow.start(runner.run)
    while not world.told.asked:
        time.sleep(0.01)
    assert world.jobs.pause(job.id, ME).state is JobState.PAUSED
    with pytest.raises(Conflict):
        world.jobs.retry(job.id, ME)
    time.sleep(0.5)
    assert world.platform.steps.outcomes(job.id) == []
    world.told.asked.clear()
    world.told.hold.set()
    assert world.jobs.resume(job.id, ME).attempt == 2
    with pytest.raises(Conflict):
        world.jobs.resume(job.id, ME)
    assert world.over(job).state is JobState.DONE
    assert len(world.told.asked) == 10
    world.workflow.stop(5)
    runner.close()


def test_a_cancelled_job_ends_without_record_of_what_was_under_way(world: World) -> None:
    world.told.hold = threading.Event()
    job = world.start(plan("one"))
    runner = world.runner(lease=0.3)
    world.workflow.start(runner.run)
    while not world.told.asked:
        time.sleep(0.01)
    assert world.jobs.cancel(job.id, ME).state is JobState.CANCELLED
    time.sleep(0.5)
    world.told.hold.set()
    runner.drain()
    world.workflow.stop(5)
    runner.close()
    assert world.platform.steps.outcomes(job.id) == []
    assert len(world.told.asked) == 1
    with pytest.raises(Conflict):
        world.jobs.pause(job.id, ME)


def test_a_retry_takes_what_was_kept_out_and_is_one_job_however_often_it_is_asked_for(world: World) -> None:
    bad, unlucky = world.images[:2]
    world.told.answers["one", bad] = [Malformed("broken")]
    world.told.answers["one", unlucky] = [StorageFull("full")]
    first = world.done(world.start(plan("one")))
    world.told.answers.clear()
    world.told.asked.clear()
    redriven = world.jobs.retry(first.id, ME, retriable_only=True)
    assert (redriven.images, redriven.retry_of) == (1, first.id)
    assert world.jobs.retry(first.id, ME, retriable_only=True).id == redriven.id
    assert world.jobs.retry(first.id, ME).images == 2
    assert world.done(redriven).state is JobState.DONE
    with pytest.raises(Conflict):
        world.jobs.retry(redriven.id, ME)


def test_a_task_that_another_holds_waits_for_its_lease(world: World) -> None:
    job = world.start(plan("one", batch={"images": 1000}))
    assert world.platform.steps.claim(Task(job.id, 0, 0), "another, which was killed", 0.4) is not None
    runner = world.runner(lease=0.3)
    runner.run(Task(job.id, 0, 0))
    runner.close()
    assert world.jobs.get(job.id).state is JobState.DONE
    assert len(world.told.asked) == 10


def test_two_workers_who_are_brought_the_same_tasks_do_each_once(world: World) -> None:
    job = world.start(plan("one", "two"))
    runners = [world.runner("a", lease=0.3), world.runner("b", lease=0.3)]
    threads = [
        threading.Thread(target=runner.run, args=(Task(job.id, 0, chunk),))
        for runner in runners
        for chunk in range(job.chunks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for runner in runners:
        runner.close()
    assert world.jobs.get(job.id).state is JobState.DONE
    assert set(Counter(world.told.asked).values()) == {1}


def test_a_plan_may_bound_how_many_chunks_are_under_way(world: World) -> None:
    job = world.start(plan("one", concurrency=1, batch={"images": 1}))
    assert len(world.workflow._queue) == 1
    world.workflow._slots = 3
    most, now, lock = [0], [0], threading.Lock()
    real = world.told.run

    def counted(items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        answers = real(items, context)
        with lock:
            now[0] -= 1
        return answers

    world.told.run = counted  # type: ignore[method-assign]  # counts what runs at once
    assert world.done(job).state is JobState.DONE
    assert most == [1]
    assert len(world.told.asked) == 10


def test_a_worker_takes_up_what_was_created_and_never_given_and_forgets_what_is_long_over(world: World) -> None:
    job = world.start(plan("one"))
    lost = MemoryWorkflow()  # as if the process had ended before the queue had it
    worker = Worker(world.jobs, world.platform.jobs, lost, lost, world.runner(), timedelta(0))
    worker.jobs = Jobs(world.platform, OnceOpened(lambda: lost))
    worker.runner._jobs = worker.jobs
    world.platform.jobs.move(job.id, JobState.RUNNING)
    thread = threading.Thread(target=worker.run, kwargs={"drain_seconds": 5})
    thread.start()
    assert world.over(job).state is JobState.DONE
    worker.stop()
    thread.join()
    assert worker.jobs.forget(timedelta(0)) == 1
    assert world.platform.steps.outcomes(job.id) == []
    assert world.jobs.progress(job.id).finished == 10


def test_images_of_one_study_lie_together_in_chunks(world: World) -> None:
    from isocenter.testing.records import new_image, new_uid

    studies = [new_uid() for _ in range(3)]
    by_study = defaultdict(list)
    for number in range(12):
        new = new_image(study=studies[number % 3])
        world.platform.index.commit([(new, new_entry())])
        by_study[studies[number % 3]].append(new.record.id)
    job = world.jobs.start_with(plan("one"), [id for ids in zip(*by_study.values(), strict=True) for id in ids], ME)
    chunks = [world.platform.steps.claim(Task(job.id, 0, chunk), "x", 60) for chunk in range(3)]
    assert sorted(sorted(chunk or ()) for chunk in chunks) == sorted(sorted(ids) for ids in by_study.values())
