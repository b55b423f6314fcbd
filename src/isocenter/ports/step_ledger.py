"""The port to who works on which part of a job, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from isocenter.jobs import Counts, StepOutcome, Task


class StepLedger(Protocol):
    """Claims on tasks and the outcomes of steps. A step belongs to one stage; its outcomes are kept by chunk."""

    def claim(self, task: Task, owner: str, seconds: float) -> Sequence[str] | None:
        """Take a task for `seconds`, and get the images of its chunk as the job began with them.

        Also for the owner itself again and after the time ran out. None while another holds it and once it is
        recorded. An unknown job or chunk raises NotFound.
        """

    def record(self, task: Task, outcomes: Sequence[StepOutcome]) -> Sequence[StepOutcome]:
        """Keep the outcomes of all steps of a task; those recorded first win and are returned."""

    def outcomes(self, job: str, *, chunk: int | None = None, faults_only: bool = False) -> Sequence[StepOutcome]:
        """Outcomes of a job by step and chunk: of one chunk, or with rejected or unavailable images only."""

    def counts(self, job: str) -> Mapping[str, Counts]:
        """What the steps of a job came to so far, by step."""

    def recorded(self, job: str, stage: int) -> frozenset[int]:
        """The chunks of a stage that are recorded."""
