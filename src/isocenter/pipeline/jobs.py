"""Jobs from their start to their end: what callers ask of them, and what comes after each chunk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from isocenter.archive.store import Caller, new_id
from isocenter.errors import BadRequest, Conflict, NotFound, Saturated
from isocenter.jobs import Counts, Job, JobState, Task
from isocenter.pipeline.plan import Batch, Plan
from isocenter.ports.platform import Platform
from isocenter.ports.workflow import Workflow
from isocenter.records import ImageQuery, ImageRecord, now

_PAGE = 1000
_MOST_IMAGES = 1_000_000
UNDER_WAY = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `finished` images have come through every step or were kept out by one."""

    job: Job
    steps: Mapping[str, Counts]
    finished: int

    @property
    def rejected(self) -> int:
        return sum(counts.rejected for counts in self.steps.values())

    @property
    def unavailable(self) -> int:
        return sum(counts.unavailable for counts in self.steps.values())

    @property
    def findings(self) -> int:
        return sum(counts.findings for counts in self.steps.values())

    @property
    def rate(self) -> float:
        """Images a second since the job was created."""
        until = self.job.changed if self.job.is_final and self.job.changed is not None else now()
        seconds = (until - self.job.created).total_seconds()
        return self.finished / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        if self.job.is_final or self.finished == 0:
            return None
        return (self.job.images - self.finished) / self.rate

    def as_json(self) -> dict[str, Any]:
        job, left = self.job, self.seconds_left
        return {
            "id": job.id, "pipeline": job.pipeline, "state": job.state.value, "store": job.store,
            "images": job.images, "finished": self.finished, "rejected": self.rejected,
            "unavailable": self.unavailable, "findings": self.findings, "images_per_second": round(self.rate, 2),
            "seconds_left": None if left is None else round(left, 1), "created": job.created.isoformat(),
            "changed": None if job.changed is None else job.changed.isoformat(), "priority": job.priority,
            "attempt": job.attempt, "retry_of": job.retry_of, "code": job.code,
            "steps": [{"name": name, **asdict(counts)} for name, counts in self.steps.items()],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """An image that a step kept out."""

    image: str
    step: str
    code: str
    retriable: bool


class OnceOpened:
    """The workflow, opened when it is first needed: most processes never start a job."""

    def __init__(self, open: Callable[[], Workflow]) -> None:
        self._open = open
        self._lock = threading.Lock()
        self._workflow: Workflow | None = None

    def __call__(self) -> Workflow:
        with self._lock:
            if self._workflow is None:
                self._workflow = self._open()
            return self._workflow

    def close(self) -> None:
        if self._workflow is not None:
            self._workflow.close()


class Jobs:
    """Starts, steers and tells of jobs. `most_waiting` images may wait in all; above that it says Saturated."""

    def __init__(
        self,
        platform: Platform,
        workflow: OnceOpened,
        *,
        most_waiting: int = 1_000_000,
        given: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs = platform.jobs
        self._steps = platform.steps
        self._index = platform.index
        self._audit = platform.audit
        self._workflow = workflow
        self._most_waiting = most_waiting
        self._given = given

    def close(self) -> None:
        self._workflow.close()

    def start(
        self,
        plan: Plan,
        query: ImageQuery,
        caller: Caller,
        *,
        id: str | None = None,
        priority: int = 100,
    ) -> Job:
        """Run a pipeline over the current images that a query names; the same id again is the same job."""
        if id is not None and (known := self._jobs.get(id)) is not None:
            return known
        found: list[tuple[str, str, int]] = []
        after: str | None = None
        while True:
            page = self._index.images(replace(query, stores=(plan.store,), after=after, limit=_PAGE))
            found += [_brief(record) for record in page.items]
            after = page.next
            if len(found) > _MOST_IMAGES:
                raise BadRequest(
                    f"a job takes at most {_MOST_IMAGES} images; name fewer at once", code="too-many-images"
                )
            if after is None:
                break
        return self._begin(plan, found, caller, id, priority)

    def start_with(
        self, plan: Plan, images: Sequence[str], caller: Caller, *, id: str | None = None, priority: int = 100
    ) -> Job:
        """Run a pipeline over images by their internal ids; one that is not in the plan's store raises NotFound."""
        if id is not None and (known := self._jobs.get(id)) is not None:
            return known
        found = []
        for image in dict.fromkeys(images):
            record = self._index.get(image)
            if record is None or record.store != plan.store:
                raise NotFound(f"an image that was named is not in the store {plan.store}", code="no-such-image")
            found.append(_brief(record))
        return self._begin(plan, found, caller, id, priority)

    def start_outside(self, plan: Plan, sealed: Sequence[str], caller: Caller, *, id: str | None = None) -> Job:
        """Run a pipeline over images that lie outside, by their sealed locations."""
        if id is not None and (known := self._jobs.get(id)) is not None:
            return known
        return self._begin(plan, [(location, "", 0) for location in sealed], caller, id, 50)

    def _begin(
        self,
        plan: Plan,
        found: list[tuple[str, str, int]],
        caller: Caller,
        id: str | None,
        priority: int,
        retry_of: str | None = None,
    ) -> Job:
        if not found:
            raise NotFound(f"no image in the store {plan.store} is as was asked for", code="no-images")
        if self._jobs.waiting() + len(found) > self._most_waiting:
            raise Saturated(
                f"more than {self._most_waiting} images wait for their jobs; come again later", retry_after=60
            )
        chunks = list(_chunks(found, plan.batch))
        made = Job(
            id or new_id(), plan.name, plan.to_json(), plan.store, len(found), len(chunks), now(), caller.actor,
            priority, retry_of,
        )  # fmt: skip
        job = self._jobs.create(made, chunks)
        if job == made:
            self._audit.append([caller.entry("job.start", store=plan.store, count=len(found))])
        self._give(job, 0)
        return job

    def get(self, id: str) -> Job:
        job = self._jobs.get(id)
        if job is None:
            raise NotFound("there is no job with this id")
        return job

    def progress(self, id: str) -> Progress:
        """How far a job is; three queries whatever its size."""
        job = self.get(id)
        steps = self._steps.counts(job.id) if job.summary is None else job.summary
        plan = Plan.from_json(job.plan)
        last = plan.steps[-1]
        kept_out = sum(
            steps[step.name].unavailable + (steps[step.name].rejected if step.on_reject != "go-on" else 0)
            for step in plan.steps
            if step.name in steps and step is not last
        )
        ended = steps.get(last.name, Counts())
        finished = min(job.images, ended.done + ended.rejected + ended.unavailable + kept_out)
        in_order = {step.name: steps.get(step.name, Counts()) for step in plan.steps}
        return Progress(job, in_order, finished)

    def faults(self, id: str) -> Iterator[Fault]:
        """What was kept out, and why."""
        for outcome in self._steps.outcomes(self.get(id).id, faults_only=True):
            for reasons, retriable in ((outcome.rejected, False), (outcome.unavailable, True)):
                for image, code in reasons.items():
                    yield Fault(image, outcome.step, code, retriable)

    def cancel(self, id: str, caller: Caller) -> Job:
        """End a job: what is under way ends without record, what was done stays done."""
        job = self._move(id, JobState.CANCELLED, caller)
        self._withdraw(job)
        return job

    def pause(self, id: str, caller: Caller) -> Job:
        """Let no chunk begin, and give up those under way, until it is resumed."""
        job = self.get(id)
        if job.is_final:
            raise Conflict(f"a job that is {job.state.value} cannot be paused", code="job-is-final")
        job = self._move(id, JobState.PAUSED, caller)
        self._withdraw(job)
        return job

    def resume(self, id: str, caller: Caller) -> Job:
        """Go on with a job that is paused."""
        job = self.get(id)
        if job.state is not JobState.PAUSED:
            raise Conflict(f"only a paused job is resumed, and this one is {job.state.value}", code="job-not-paused")
        job = self._move(id, JobState.QUEUED, caller)
        self.carry_on(job)
        return job

    def retry(self, id: str, caller: Caller, *, retriable_only: bool = False) -> Job:
        """Run the pipeline again, as a new job, over the images that were kept out and no others."""
        job = self.get(id)
        if not job.is_final:
            raise Conflict("only what is over is tried again; this job still runs", code="job-not-over")
        faults = [fault for fault in self.faults(id) if fault.retriable or not retriable_only]
        found = []
        for image in dict.fromkeys(fault.image for fault in faults):
            record = self._index.get(image)
            if record is not None and record.store == job.store:
                found.append(_brief(record))
        if not found:
            raise Conflict("nothing of this job was kept out that could be tried again", code="nothing-to-retry")
        # One retry of one job: asked for twice, it is the same.
        again = f"{job.id}-again" if not retriable_only else f"{job.id}-redrive"
        if (known := self._jobs.get(again)) is not None:
            return known
        return self._begin(Plan.from_json(job.plan), found, caller, again, job.priority, job.id)

    def forget(self, before: timedelta) -> int:
        """Keep of jobs that are over so long no more than their summaries."""
        gone = self._jobs.forget(now() - before)
        for id in gone:
            job = self._jobs.get(id)
            if job is not None:
                self._workflow().forget(list(_all_tasks(job)))
        return len(gone)

    def carry_on(self, job: Job) -> None:
        """Give what is not done yet of the stage a job is in, or end it; may be called at any time, by anyone."""
        plan = Plan.from_json(job.plan)
        for stage in range(len(plan.stages)):
            if len(self._steps.recorded(job.id, stage)) < job.chunks:
                self._give(job, stage)
                return
        self._jobs.move(job.id, JobState.DONE)

    def after(self, task: Task) -> None:
        """A task is recorded: where it was its stage's last, the next stage begins or the job ends."""
        job = self.get(task.job)
        if job.state not in UNDER_WAY:
            return
        if len(self._steps.recorded(job.id, task.stage)) == job.chunks:
            self.carry_on(job)
        elif Plan.from_json(job.plan).concurrency is not None:
            self._give(job, task.stage)

    def end(self, id: str, attempt: int) -> int:
        """All tasks of an attempt were brought: how many were not done. Where any is left, the job is paused.

        Resumed, it does those and no others. Nothing is left of a job that is over, or in another attempt.
        """
        job = self.get(id)
        if job.state not in UNDER_WAY or job.attempt != attempt:
            return 0
        stages = Plan.from_json(job.plan).stages
        left = sum(job.chunks - len(self._steps.recorded(job.id, stage)) for stage in range(len(stages)))
        if left:
            caller = Caller(f"job:{job.id}")
            self._jobs.move(job.id, JobState.PAUSED, "left-undone")
            self._audit.append([caller.entry("job.left-undone", store=job.store, count=left)])
        else:
            self._jobs.move(job.id, JobState.DONE)
        return left

    def fail(self, id: str, code: str) -> None:
        """A step said that the whole job fails."""
        self._withdraw(self._jobs.move(id, JobState.FAILED, code))

    def _give(self, job: Job, stage: int) -> None:
        recorded = self._steps.recorded(job.id, stage)
        tasks = [Task(job.id, stage, chunk, job.attempt) for chunk in range(job.chunks) if chunk not in recorded]
        most = Plan.from_json(job.plan).concurrency
        self._workflow().give(tasks[:most], job.priority)
        self._given()

    def _move(self, id: str, to: JobState, caller: Caller) -> Job:
        before = self.get(id)
        job = self._jobs.move(id, to)
        if job != before:
            self._audit.append([caller.entry(f"job.{to.value}", store=job.store, count=job.images)])
        return job

    def _withdraw(self, job: Job) -> None:
        self._workflow().withdraw(list(_all_tasks(job)))


def _all_tasks(job: Job) -> Iterator[Task]:
    stages = len(Plan.from_json(job.plan).stages)
    for attempt in range(1, job.attempt + 1):
        for stage in range(stages):
            for chunk in range(job.chunks):
                yield Task(job.id, stage, chunk, attempt)


def _brief(record: ImageRecord) -> tuple[str, str, int]:
    """What chunks are made by: id, what it belongs with, size."""
    return record.id, record.study_uid or record.subject_id, record.blob.size


def _chunks(found: Sequence[tuple[str, str, int]], batch: Batch) -> Iterator[list[str]]:
    """Chunks of images, those that belong together next to each other."""
    chunk: list[str] = []
    size = 0
    for id, _, length in sorted(found, key=lambda brief: brief[1]):
        if chunk and (len(chunk) >= batch.images or size + length > batch.bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(id)
        size += length
    if chunk:
        yield chunk
