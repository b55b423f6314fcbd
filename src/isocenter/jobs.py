"""Frozen values of durable work that cross rooms: jobs, what their steps did, and what was found in images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset((JobState.DONE, JobState.FAILED, JobState.CANCELLED))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images of a job came through, were kept out by their own fault, or by that of the surroundings."""

    done: int = 0
    rejected: int = 0
    unavailable: int = 0
    findings: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.done + other.done,
            self.rejected + other.rejected,
            self.unavailable + other.unavailable,
            self.findings + other.findings,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """One durable piece of work: a pipeline run over images, which lie apart from it in chunks.

    Nothing in it carries an attribute value. `plan` is the pipeline as it was when the job began, so that an edit of
    the file changes no job under way. `attempt` grows each time the job leaves PAUSED.
    """

    id: str
    pipeline: str
    plan: str  # JSON
    store: str
    images: int
    chunks: int
    created: datetime
    actor: str = "local"
    priority: int = 100  # lower goes first
    retry_of: str | None = None
    state: JobState = JobState.QUEUED
    attempt: int = 1
    changed: datetime | None = None
    code: str | None = None  # why it failed
    summary: Mapping[str, Counts] | None = None  # by step, once it is final

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one step did with one chunk of a job, each image by its internal id.

    `done` went on, each as what `produced` names where the step made others of it. `rejected` maps those that are at
    fault themselves to coded reasons, `unavailable` those that the surroundings failed: they may be tried again.
    """

    step: str
    chunk: int
    done: tuple[str, ...]
    rejected: Mapping[str, str] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    produced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    findings: int = 0

    @property
    def counts(self) -> Counts:
        return Counts(len(self.done), len(self.rejected), len(self.unavailable), self.findings)

    def going_on(self) -> tuple[str, ...]:
        """The images that the next step takes."""
        return tuple(image for done in self.done for image in self.produced.get(done, (done,)))


@dataclass(frozen=True, slots=True)
class Task:
    """One chunk of one stage of a job: the unit that workers take."""

    job: str
    stage: int
    chunk: int
    attempt: int = 1

    @property
    def id(self) -> str:
        return f"{self.job}.{self.attempt}.{self.stage}.{self.chunk}"

    @classmethod
    def parse(cls, id: str) -> Task:
        """The task of this id."""
        job, attempt, stage, chunk = id.rsplit(".", 3)
        return cls(job, int(stage), int(chunk), int(attempt))


@dataclass(frozen=True, slots=True)
class Result:
    """What a step of a job said of an image: `kind` is evidence, findings or validation, `document` JSON."""

    image: str
    job: str
    step: str
    kind: str
    document: bytes
    at: datetime
