"""The job ledger port on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Row, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.cursor import cursor, position
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.tables import DatabaseClock, claims, jobs, outcomes
from isocenter.adapters.sql.text import clean, dumped
from isocenter.errors import Conflict, NotFound
from isocenter.records import Job, JobState, Page, StepOutcome, now

_FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


class SqlJobLedger:
    """Jobs, claims and outcomes. Changes to one job go one after the other, by a lock on its row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, job: Job) -> Job:
        values = {
            "id": job.id, "pipeline": job.pipeline, "images": orjson.dumps(job.images).decode(),
            "created": job.created, "state": job.state.value, "changed": job.changed,
        }  # fmt: skip
        with self._database.transaction() as connection:
            connection.execute(insert(jobs).values(values).on_conflict_do_nothing(index_elements=[jobs.c.id]))
            return _job(connection.execute(select(jobs).where(jobs.c.id == job.id)).one())

    def get(self, id: str) -> Job | None:
        with self._database.reading() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == clean(id))).one_or_none()
        return None if row is None else _job(row)

    def jobs(self, *, state: JobState | None = None, after: str | None = None, limit: int = 100) -> Page[Job]:
        chosen = select(jobs).order_by(jobs.c.position.desc()).limit(limit + 1)
        if after is not None:
            chosen = chosen.where(jobs.c.position < position("jobs", after))
        if state is not None:
            chosen = chosen.where(jobs.c.state == state.value)
        if limit < 1:
            return Page(())
        with self._database.reading() as connection:
            rows = connection.execute(chosen).all()
        page = rows[:limit]
        following = cursor("jobs", page[-1].position) if len(rows) > limit else None
        return Page(tuple(_job(row) for row in page), following)

    def move(self, id: str, to: JobState) -> Job:
        with self._database.transaction() as connection:
            job = _locked(connection, id)
            if job.state is to:
                return job
            if job.state in _FINAL and (job.state, to) != (JobState.FAILED, JobState.QUEUED):
                raise Conflict(f"A job that is {job.state.value} cannot become {to.value}.", code="job-is-final")
            changed = now()
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(state=to.value, changed=changed))
        return replace(job, state=to, changed=changed)

    def claim(self, job: str, step: str, chunk: int, owner: str, seconds: float) -> bool:
        with self._database.transaction() as connection:
            kept = _locked(connection, job)
            if _outcome(connection, kept.id, step, chunk) is not None:
                return False
            moment = connection.execute(select(DatabaseClock())).scalar_one()
            wanted = insert(claims).values(
                job=kept.id, step=step, chunk=chunk, owner=owner, until=moment + timedelta(seconds=seconds)
            )
            taken = wanted.on_conflict_do_update(
                index_elements=[claims.c.job, claims.c.step, claims.c.chunk],
                set_={"owner": wanted.excluded.owner, "until": wanted.excluded.until},
                where=or_(claims.c.owner == wanted.excluded.owner, claims.c.until <= moment),
            )
            return connection.execute(taken.returning(claims.c.owner)).one_or_none() is not None

    def record(self, job: str, outcome: StepOutcome) -> StepOutcome:
        values = {
            "step": outcome.step, "chunk": outcome.chunk, "done": orjson.dumps(outcome.done).decode(),
            "failed": dumped(outcome.failed), "findings": outcome.findings,
        }  # fmt: skip
        with self._database.transaction() as connection:
            kept = _locked(connection, job)
            connection.execute(insert(outcomes).values(job=kept.id, **values).on_conflict_do_nothing())
            found = _outcome(connection, kept.id, outcome.step, outcome.chunk)
        assert found is not None
        return found

    def outcomes(self, job: str) -> Sequence[StepOutcome]:
        chosen = select(outcomes).where(outcomes.c.job == clean(job))
        with self._database.reading() as connection:
            found = [_step_outcome(row) for row in connection.execute(chosen)]
        # Sorted here, as PostgreSQL sorts text by its locale.
        return sorted(found, key=lambda outcome: (outcome.step, outcome.chunk))


def _locked(connection: Connection, id: str) -> Job:
    row = connection.execute(select(jobs).where(jobs.c.id == clean(id)).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("No job has this id.")
    return _job(row)


def _outcome(connection: Connection, job: str, step: str, chunk: int) -> StepOutcome | None:
    chosen = select(outcomes).where(outcomes.c.job == job, outcomes.c.step == step, outcomes.c.chunk == chunk)
    row = connection.execute(chosen).one_or_none()
    return None if row is None else _step_outcome(row)


def _job(row: Row[Any]) -> Job:
    images = tuple(orjson.loads(row.images))
    return Job(row.id, row.pipeline, images, row.created, JobState(row.state), row.changed)


def _step_outcome(row: Row[Any]) -> StepOutcome:
    done, failed = tuple(orjson.loads(row.done)), orjson.loads(row.failed)
    return StepOutcome(row.step, row.chunk, done, failed, row.findings)
