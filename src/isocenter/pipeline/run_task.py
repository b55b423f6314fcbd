"""Runs one task: claims it, takes its images through the steps of its stage, records what came of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller
from isocenter.errors import Conflict, Corrupted, IsocenterError, NotFound, Unavailable, traced
from isocenter.jobs import Job, JobState, Result, StepOutcome, Task
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.places import PREFIX, Places
from isocenter.pipeline.plan import Plan, StepPlan
from isocenter.pipeline.steps.base import Answer, Context, Done, Item, Refused, Step, Stopped
from isocenter.ports.platform import Platform
from isocenter.ports.workflow import LeftUndone, Workflow
from isocenter.records import State, now

_PATIENCE = 60.0  # the longest wait between attempts at a database that does not answer
log = structlog.get_logger()

StepsOf = Callable[[StepPlan, Job], Step]
Told = Callable[[str, StepOutcome, float], None]  # what a step is for, what came of a chunk, seconds


@dataclass(slots=True)
class _Claim:
    task: Task
    lost: threading.Event = field(default_factory=threading.Event)


class TaskRunner:
    """Runs tasks in one process; used from several threads at once.

    `owner` is who claims: the same at each start of one place's worker, so that it takes up at once what it left.
    A claim holds for `lease` seconds and is renewed three times in each.
    `slots` tasks are worked on at once; more may wait for their turn, claimed so that no other worker takes them up.
    """

    def __init__(
        self,
        platform: Platform,
        jobs: Jobs,
        steps: StepsOf,
        owner: str,
        *,
        slots: int = 1,
        lease: float = 15.0,
        places: Places | None = None,
        told: Told = lambda use, outcome, seconds: None,
    ) -> None:
        self._platform = platform
        self._ledger = platform.steps
        self._jobs = jobs
        self._steps = steps
        self._owner = owner
        self.lease = lease
        self._places = places
        self.told = told
        self._slots = threading.BoundedSemaphore(slots)
        self._retrieve = Retrieve(platform)
        self._claims: dict[str, _Claim] = {}
        self._lock = threading.Lock()
        self._draining = threading.Event()
        self._closed = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="claims", daemon=True)
        self._renewing.start()

    def drain(self) -> None:
        """Begin nothing more; what waits for its turn is given up, and brought again."""
        self._draining.set()

    def close(self) -> None:
        """Give up what is under way too."""
        self._draining.set()
        with self._lock:
            for claim in self._claims.values():
                claim.lost.set()
        self._closed.set()
        self._renewing.join()

    def run(self, task: Task) -> None:
        """Do a task, or find it done, or not to be done: ends only when the ledger knows. LeftUndone at closing."""
        wait = 1.0
        while not self._draining.is_set():
            try:
                if self._run(task):
                    return
                wait = self.lease / 3  # another holds it: either that one records it, or its time runs out
            except NotFound:
                return  # the job is forgotten
            except Stopped:
                continue  # the claim tells why: by another, by a pause, or because this process closes
            except Unavailable as error:
                log.warning("a task waits for its surroundings", job=task.job, code=error.code)
                wait = min(wait * 2, _PATIENCE)
            self._draining.wait(wait)
        raise LeftUndone

    def _run(self, task: Task) -> bool:
        images = self._ledger.claim(task, self._owner, self.lease)
        job = self._jobs.get(task.job)
        if images is None:
            if task.chunk not in self._ledger.recorded(task.job, task.stage):
                # Paused, cancelled, of an attempt that is over: nothing to do. Held by another: not yet.
                return job.state not in (JobState.QUEUED, JobState.RUNNING) or job.attempt != task.attempt
            self._jobs.after(task)
            return True
        if job.state is JobState.QUEUED:
            with suppress(Conflict):  # it was cancelled this moment
                self._platform.jobs.move(job.id, JobState.RUNNING)
        with self._held(task) as claim, self._slots:
            if claim.lost.is_set() or self._draining.is_set():
                raise Stopped
            stop_code, outcomes, results = _Chunk(self, job, task, claim).through(images)
            self._platform.results.put(results)
            self._ledger.record(task, outcomes)
        if stop_code is not None:
            with suppress(Conflict):  # it ended meanwhile
                self._jobs.fail(task.job, stop_code)
        else:
            self._jobs.after(task)
        return True

    @contextmanager
    def _held(self, task: Task) -> Iterator[_Claim]:
        claim = _Claim(task)
        with self._lock:
            self._claims[task.id] = claim
        try:
            yield claim
        finally:
            with self._lock:
                del self._claims[task.id]

    def _renew(self) -> None:
        while not self._closed.wait(self.lease / 3):
            with self._lock:
                held = list(self._claims.values())
            for claim in held:
                try:
                    if self._ledger.claim(claim.task, self._owner, self.lease) is None:
                        claim.lost.set()
                except NotFound:
                    claim.lost.set()
                except Unavailable:
                    continue  # the next round may reach the ledger in time; who lost the claim records nothing twice

    def rescue(self, workflow: Workflow, seconds: float) -> int:
        """Bring tasks again that a worker took so long ago and that nobody holds; how many there were."""
        left = [task for task in workflow.begun(seconds) if task.id not in self._claims and self._is_free(task)]
        workflow.give_again(left)
        return len(left)

    def _is_free(self, task: Task) -> bool:
        try:
            return self._ledger.claim(task, f"{self._owner}-rescue", 0.0) is not None
        except NotFound:
            return False

    def item(self, image: str) -> Item | IsocenterError:
        if image.startswith(PREFIX) and self._places is not None:
            location = self._places.opened(image)
            return Item(image, partial(self._places.read, location), outside=location)
        record = self._platform.index.get(image)
        if record is None or record.state is not State.CURRENT:
            return NotFound("the image was deleted meanwhile", code="image-deleted")
        return Item.of_record(record, self._retrieve)

    def step(self, plan: StepPlan, job: Job) -> Step:
        return self._steps(plan, job)

    def before(self, task: Task) -> Sequence[StepOutcome]:
        """The outcomes that the chunk has so far."""
        return self._ledger.outcomes(task.job, chunk=task.chunk)


class _Chunk:
    """One chunk on its way through the steps of one stage."""

    def __init__(self, runner: TaskRunner, job: Job, task: Task, claim: _Claim) -> None:
        self._runner = runner
        self._job = job
        self._task = task
        self._lost = claim.lost
        self._plan = Plan.from_json(job.plan)
        self._caller = Caller(f"job:{job.id}")
        self._results: list[Result] = []

    def through(self, images: Sequence[str]) -> tuple[str | None, list[StepOutcome], list[Result]]:
        """The reason for which the whole job stops if it does, an outcome for each step, and what was said."""
        stages = self._plan.stages
        if self._task.stage > 0:
            last = stages[self._task.stage - 1][-1].name
            images = next((each.going_on() for each in self._runner.before(self._task) if each.step == last), ())
        outcomes: list[StepOutcome] = []
        stop_code: str | None = None
        held: dict[str, Item] = {}  # with their bytes, so that steps which follow each other read them once
        for step in stages[self._task.stage]:
            if stop_code is None:
                started = time.perf_counter()
                outcome = self._step(step, images, held)
                self._runner.told(step.use, outcome, time.perf_counter() - started)
            else:
                outcome = StepOutcome(step.name, self._task.chunk, ())
            outcomes.append(outcome)
            if step.on_reject == "stop" and outcome.rejected:
                stop_code = next(iter(outcome.rejected.values()))
            images = outcome.going_on()
        return stop_code, outcomes, self._results

    def _step(self, plan: StepPlan, images: Sequence[str], held: dict[str, Item]) -> StepOutcome:
        answers: dict[str, Answer] = {}
        items: list[Item] = []
        for image in images:
            found = held.get(image) or self._runner.item(image)
            if isinstance(found, IsocenterError):
                answers[image] = Refused(found)
            else:
                held[image] = found
                items.append(found)
        context = Context(self._job, plan.name, self._caller, plan.timeout_seconds, self._lost.is_set)
        waits = plan.retry.waits()
        while items:
            answers |= self._tried(plan, items, context)
            items = [item for item in items if _may_be_tried_again(answers[item.id])]
            wait = next(waits, None)
            if wait is None or not items:
                break
            if self._lost.wait(wait):
                raise Stopped
        return self._outcome(plan, images, answers)

    def _tried(self, plan: StepPlan, items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        if self._lost.is_set():
            raise Stopped
        started = time.perf_counter()
        try:
            return self._runner.step(plan, self._job).run(items, context)
        except (Stopped, Unavailable) as error:
            if isinstance(error, Stopped):
                raise
            return {item.id: Refused(error) for item in items}
        except Exception as error:  # noqa: BLE001  # a bug in one step: its images are told so, and others go on
            log.error(
                "unexpected fault in a step", job=self._job.id, step=plan.name,
                seconds=round(time.perf_counter() - started, 3), **traced(error),
            )  # fmt: skip
            return {item.id: Refused(IsocenterError("unexpected fault", code="unexpected-fault")) for item in items}

    def _outcome(self, plan: StepPlan, images: Sequence[str], answers: Mapping[str, Answer]) -> StepOutcome:
        done: list[str] = []
        rejected: dict[str, str] = {}
        unavailable: dict[str, str] = {}
        produced: dict[str, tuple[str, ...]] = {}
        findings = 0
        moment = now()
        for image in images:
            answer = answers[image]
            for about, kind, document in answer.documents:
                self._results.append(Result(about, self._job.id, plan.name, kind, document, moment))
            if isinstance(answer, Done):
                done.append(image)
                findings += answer.findings
                if answer.produced is not None:
                    produced[image] = answer.produced
            elif isinstance(answer.error, Unavailable | Corrupted):
                unavailable[image] = answer.error.code
            else:
                rejected[image] = answer.error.code
                if plan.on_reject == "go-on":
                    done.append(image)
        return StepOutcome(plan.name, self._task.chunk, tuple(done), rejected, unavailable, produced, findings)


def _may_be_tried_again(answer: Answer) -> bool:
    return isinstance(answer, Refused) and isinstance(answer.error, Unavailable)
