"""The ports of jobs and of their steps, in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from isocenter.adapters.memory.database import clean, cursor, position
from isocenter.errors import Conflict, NotFound
from isocenter.jobs import FINAL, Counts, Job, JobState, StepOutcome, Task
from isocenter.records import Page, now

_UNDER_WAY = (JobState.QUEUED, JobState.RUNNING)
_AT_ONCE = 1000


class MemoryJobLedger:
    """The reference job ledger and step ledger; the two look at the same jobs."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}  # in order of arrival; none is ever removed
        self._chunks: dict[str, list[tuple[str, ...]]] = {}
        self._claims: dict[tuple[str, int, int], tuple[Task, str, float]] = {}
        self._recorded: set[tuple[str, int, int]] = set()
        self._outcomes: dict[tuple[str, str, int], StepOutcome] = {}

    def create(self, job: Job, chunks: Sequence[Sequence[str]]) -> Job:
        with self._lock:
            if job.id not in self._jobs:
                self._jobs[job.id] = job
                self._chunks[job.id] = [tuple(images) for images in chunks]
            return self._jobs[job.id]

    def get(self, id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(clean(id))

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        stores: Collection[str] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Job]:
        with self._lock:
            numbered = list(enumerate(self._jobs.values(), start=1))
        before = len(numbered) + 1 if after is None else position("jobs", after)
        found = [
            (number, job)
            for number, job in reversed(numbered)
            if number < before and (not states or job.state in states) and (stores is None or job.store in stores)
        ]
        if limit < 1:
            return Page(())
        page = found[:limit]
        following = cursor("jobs", page[-1][0]) if len(found) > limit else None
        return Page(tuple(job for _, job in page), following)

    def waiting(self) -> int:
        with self._lock:
            return sum(job.images for job in self._jobs.values() if job.state in _UNDER_WAY)

    def move(self, id: str, to: JobState, code: str | None = None) -> Job:
        with self._lock:
            job = self._jobs.get(clean(id))
            if job is None:
                raise NotFound("no job has this id")
            if job.state is to:
                return job
            if job.is_final:
                raise Conflict(f"a job that is {job.state.value} cannot become {to.value}", code="job-is-final")
            again = job.state is JobState.PAUSED and to not in FINAL
            self._jobs[job.id] = replace(
                job,
                state=to,
                changed=now(),
                code=code,
                attempt=job.attempt + again,
                summary=self.counts(job.id) if to in FINAL else None,
            )
            return self._jobs[job.id]

    def forget(self, before: datetime) -> Sequence[str]:
        with self._lock:
            over = [
                job.id
                for job in self._jobs.values()
                if job.is_final and job.id in self._chunks and (job.changed or job.created) < before
            ][:_AT_ONCE]
            for id in over:
                del self._chunks[id]
            gone = set(over)
            self._claims = {key: claim for key, claim in self._claims.items() if key[0] not in gone}
            self._recorded = {key for key in self._recorded if key[0] not in gone}
            self._outcomes = {key: outcome for key, outcome in self._outcomes.items() if key[0] not in gone}
            return over

    def claim(self, task: Task, owner: str, seconds: float) -> Sequence[str] | None:
        with self._lock:
            images, job = self._images(task), self._jobs[task.job]
            if job.state not in _UNDER_WAY or job.attempt != task.attempt or _key(task) in self._recorded:
                return None
            _, holder, until = self._claims.get(_key(task), (task, owner, 0.0))
            moment = time.monotonic()
            if holder != owner and until > moment:
                return None
            self._claims[_key(task)] = (task, owner, moment + seconds)
            return images

    def record(self, task: Task, outcomes: Sequence[StepOutcome]) -> Sequence[StepOutcome]:
        with self._lock:
            self._images(task)
            if _key(task) not in self._recorded:
                self._recorded.add(_key(task))
                for each in outcomes:
                    self._outcomes[task.job, each.step, each.chunk] = each
            kept = (self._outcomes.get((task.job, each.step, task.chunk)) for each in outcomes)
            return [each for each in kept if each is not None]

    def outcomes(self, job: str, *, chunk: int | None = None, faults_only: bool = False) -> Sequence[StepOutcome]:
        with self._lock:
            found = [
                outcome
                for key, outcome in self._outcomes.items()
                if key[0] == clean(job)
                and (chunk is None or outcome.chunk == chunk)
                and (not faults_only or outcome.rejected or outcome.unavailable)
            ]
        return sorted(found, key=lambda outcome: (outcome.step, outcome.chunk))

    def counts(self, job: str) -> Mapping[str, Counts]:
        found: dict[str, Counts] = {}
        for outcome in self.outcomes(job):
            found[outcome.step] = found.get(outcome.step, Counts()) + outcome.counts
        return found

    def recorded(self, job: str, stage: int) -> frozenset[int]:
        with self._lock:
            return frozenset(key[2] for key in self._recorded if key[:2] == (clean(job), stage))

    def _images(self, task: Task) -> tuple[str, ...]:
        chunks = self._chunks.get(clean(task.job), [])
        if not 0 <= task.chunk < len(chunks):
            raise NotFound("no job has this id and chunk")
        return chunks[task.chunk]


def _key(task: Task) -> tuple[str, int, int]:
    return task.job, task.stage, task.chunk
