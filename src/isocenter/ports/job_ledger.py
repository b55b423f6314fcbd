"""The port to what is known about jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from isocenter.jobs import Job, JobState
from isocenter.records import Page


class JobLedger(Protocol):
    """Jobs; nothing here carries an attribute value."""

    def create(self, job: Job, chunks: Sequence[Sequence[str]]) -> Job:
        """Keep a job and the ids of its images, chunk by chunk; the same id again returns the job that is kept."""

    def get(self, id: str) -> Job | None: ...

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        stores: Collection[str] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Job]:
        """Jobs newest first: those in one of `states` (any where it is empty) that work on one of `stores`."""

    def waiting(self) -> int:
        """How many images the jobs that are QUEUED or RUNNING have in all."""

    def move(self, id: str, to: JobState, code: str | None = None) -> Job:
        """Change a job's state; where it is in it already, nothing changes.

        DONE, FAILED and CANCELLED are final: another state raises Conflict. A job that becomes final gets its summary
        from the outcomes in the same transaction. One that leaves PAUSED for a state not final begins a new attempt.
        """

    def forget(self, before: datetime) -> Sequence[str]:
        """Forget chunks, claims and outcomes of jobs that became final before this moment; their summary stays.

        Returns the ids of at most 1000 jobs that had any.
        """
