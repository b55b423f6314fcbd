"""The step ledger port on SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Row, and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.moments import DatabaseClock
from isocenter.adapters.sql.tables import chunks, jobs, outcomes, tasks
from isocenter.adapters.sql.text import clean, dumped
from isocenter.errors import NotFound
from isocenter.jobs import Counts, JobState, StepOutcome, Task

_COUNTS = (outcomes.c.done_count, outcomes.c.rejected_count, outcomes.c.unavailable_count, outcomes.c.findings)
_UNDER_WAY = (JobState.QUEUED.value, JobState.RUNNING.value)


class SqlStepLedger:
    """Tasks and outcomes. Changes to one task go one after the other, by a lock on its row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, task: Task, owner: str, seconds: float) -> Sequence[str] | None:
        with self._database.transaction() as connection:
            images = _images(connection, task)
            state = connection.execute(select(jobs.c.state, jobs.c.attempt).where(jobs.c.id == task.job)).one()
            if state.state not in _UNDER_WAY or state.attempt != task.attempt:
                return None
            moment = connection.execute(select(DatabaseClock())).scalar_one()
            wanted = insert(tasks).values(
                job=task.job, stage=task.stage, chunk=task.chunk, attempt=task.attempt, owner=owner,
                until=moment + timedelta(seconds=seconds), recorded=False,
            )  # fmt: skip
            free = or_(tasks.c.owner == wanted.excluded.owner, tasks.c.until <= moment)
            taken = wanted.on_conflict_do_update(
                index_elements=[tasks.c.job, tasks.c.stage, tasks.c.chunk],
                set_={name: wanted.excluded[name] for name in ("owner", "until", "attempt")},
                where=and_(~tasks.c.recorded, free),
            )
            held = connection.execute(taken.returning(tasks.c.owner)).one_or_none()
        return images if held is not None else None

    def record(self, task: Task, found: Sequence[StepOutcome]) -> Sequence[StepOutcome]:
        with self._database.transaction() as connection:
            _images(connection, task)
            moment = connection.execute(select(DatabaseClock())).scalar_one()
            wanted = insert(tasks).values(
                job=task.job, stage=task.stage, chunk=task.chunk, attempt=task.attempt, owner="", until=moment,
                recorded=True,
            )  # fmt: skip
            taken = wanted.on_conflict_do_update(
                index_elements=[tasks.c.job, tasks.c.stage, tasks.c.chunk], set_={"recorded": True},
                where=~tasks.c.recorded,
            )  # fmt: skip
            if connection.execute(taken.returning(tasks.c.job)).one_or_none() is not None and found:
                connection.execute(insert(outcomes), [_values(task.job, each) for each in found])
            steps = [each.step for each in found]
            kept = connection.execute(
                select(outcomes).where(
                    outcomes.c.job == task.job, outcomes.c.chunk == task.chunk, outcomes.c.step.in_(steps)
                )
            )
            by_step = {row.step: _outcome(row) for row in kept}
        return [by_step[step] for step in steps if step in by_step]

    def outcomes(self, job: str, *, chunk: int | None = None, faults_only: bool = False) -> Sequence[StepOutcome]:
        chosen = select(outcomes).where(outcomes.c.job == clean(job))
        if chunk is not None:
            chosen = chosen.where(outcomes.c.chunk == chunk)
        if faults_only:
            chosen = chosen.where(outcomes.c.rejected_count + outcomes.c.unavailable_count > 0)
        with self._database.reading() as connection:
            found = [_outcome(row) for row in connection.execute(chosen)]
        # Sorted here, as PostgreSQL sorts text by its locale.
        return sorted(found, key=lambda outcome: (outcome.step, outcome.chunk))

    def counts(self, job: str) -> Mapping[str, Counts]:
        with self._database.reading() as connection:
            return summed(connection, clean(job))

    def recorded(self, job: str, stage: int) -> frozenset[int]:
        chosen = select(tasks.c.chunk).where(tasks.c.job == clean(job), tasks.c.stage == stage, tasks.c.recorded)
        with self._database.reading() as connection:
            return frozenset(connection.execute(chosen).scalars())


def summed(connection: Connection, job: str) -> dict[str, Counts]:
    """What the steps of a job came to, by step."""
    chosen = select(outcomes.c.step, *(func.sum(column) for column in _COUNTS)).group_by(outcomes.c.step)
    rows = connection.execute(chosen.where(outcomes.c.job == job))
    return {row[0]: Counts(*(int(number) for number in row[1:])) for row in rows}


def _images(connection: Connection, task: Task) -> tuple[str, ...]:
    chosen = select(chunks.c.images).where(chunks.c.job == clean(task.job), chunks.c.chunk == task.chunk)
    row = connection.execute(chosen).one_or_none()
    if row is None:
        raise NotFound("no job has this id and chunk")
    return tuple(orjson.loads(row.images))


def _values(job: str, outcome: StepOutcome) -> dict[str, Any]:
    counts = outcome.counts
    return {
        "job": job, "step": outcome.step, "chunk": outcome.chunk, "done": orjson.dumps(outcome.done).decode(),
        "rejected": dumped(outcome.rejected), "unavailable": dumped(outcome.unavailable),
        "produced": dumped(outcome.produced), "done_count": counts.done, "rejected_count": counts.rejected,
        "unavailable_count": counts.unavailable, "findings": counts.findings,
    }  # fmt: skip


def _outcome(row: Row[Any]) -> StepOutcome:
    made = {image: tuple(others) for image, others in orjson.loads(row.produced).items()}
    return StepOutcome(
        row.step, row.chunk, tuple(orjson.loads(row.done)), orjson.loads(row.rejected), orjson.loads(row.unavailable),
        made, row.findings,
    )  # fmt: skip
