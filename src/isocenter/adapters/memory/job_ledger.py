"""The job ledger port in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from isocenter.adapters.memory.database import clean, cursor, position
from isocenter.errors import Conflict, NotFound
from isocenter.records import Job, JobState, Page, StepOutcome, now

_FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


class MemoryJobLedger:
    """The reference job ledger."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}  # in order of arrival; none is ever removed
        self._claims: dict[tuple[str, str, int], tuple[str, float]] = {}
        self._outcomes: dict[tuple[str, str, int], StepOutcome] = {}

    def create(self, job: Job) -> Job:
        with self._lock:
            return self._jobs.setdefault(job.id, job)

    def get(self, id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(clean(id))

    def jobs(self, *, state: JobState | None = None, after: str | None = None, limit: int = 100) -> Page[Job]:
        with self._lock:
            numbered = list(enumerate(self._jobs.values(), start=1))
        before = len(numbered) + 1 if after is None else position("jobs", after)
        found = [
            (number, job)
            for number, job in reversed(numbered)
            if number < before and (state is None or job.state is state)
        ]
        if limit < 1:
            return Page(())
        page = found[:limit]
        following = cursor("jobs", page[-1][0]) if len(found) > limit else None
        return Page(tuple(job for _, job in page), following)

    def move(self, id: str, to: JobState) -> Job:
        with self._lock:
            job = self._kept(id)
            if job.state is to:
                return job
            if job.state in _FINAL and (job.state, to) != (JobState.FAILED, JobState.QUEUED):
                raise Conflict(f"A job that is {job.state.value} cannot become {to.value}.", code="job-is-final")
            self._jobs[job.id] = replace(job, state=to, changed=now())
            return self._jobs[job.id]

    def claim(self, job: str, step: str, chunk: int, owner: str, seconds: float) -> bool:
        with self._lock:
            key = (self._kept(job).id, step, chunk)
            if key in self._outcomes:
                return False
            holder, until = self._claims.get(key, (owner, 0.0))
            moment = time.monotonic()
            if holder != owner and until > moment:
                return False
            self._claims[key] = (owner, moment + seconds)
            return True

    def record(self, job: str, outcome: StepOutcome) -> StepOutcome:
        with self._lock:
            key = (self._kept(job).id, outcome.step, outcome.chunk)
            return self._outcomes.setdefault(key, outcome)

    def outcomes(self, job: str) -> Sequence[StepOutcome]:
        with self._lock:
            found = [outcome for key, outcome in self._outcomes.items() if key[0] == clean(job)]
        return sorted(found, key=lambda outcome: (outcome.step, outcome.chunk))

    def _kept(self, id: str) -> Job:
        job = self._jobs.get(clean(id))
        if job is None:
            raise NotFound("No job has this id.")
        return job
