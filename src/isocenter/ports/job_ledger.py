"""The port to what is known about jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from isocenter.records import Job, JobState, Page, StepOutcome


class JobLedger(Protocol):
    """Jobs, the claims on their steps and the outcomes; nothing here carries an attribute value."""

    def create(self, job: Job) -> Job:
        """Keep a job; the same id again returns the one that is kept."""

    def get(self, id: str) -> Job | None: ...

    def jobs(self, *, state: JobState | None = None, after: str | None = None, limit: int = 100) -> Page[Job]:
        """Jobs, newest first."""

    def move(self, id: str, to: JobState) -> Job:
        """Change a job's state. DONE, FAILED and CANCELLED are final but for FAILED to QUEUED; else Conflict."""

    def claim(self, job: str, step: str, chunk: int, owner: str, seconds: float) -> bool:
        """Take a chunk of a step for `seconds`; True also for the owner itself again and after the time ran out.

        False while another holds it and once its outcome is recorded.
        """

    def record(self, job: str, outcome: StepOutcome) -> StepOutcome:
        """Keep the outcome of (job, step, chunk); the first one wins and is returned."""

    def outcomes(self, job: str) -> Sequence[StepOutcome]:
        """All outcomes of a job by step and chunk."""
