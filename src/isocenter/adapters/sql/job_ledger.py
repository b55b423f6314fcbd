"""The job ledger port on SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.cursor import cursor, position
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.step_ledger import summed
from isocenter.adapters.sql.tables import chunks, jobs, outcomes, tasks
from isocenter.adapters.sql.text import clean
from isocenter.errors import Conflict, NotFound
from isocenter.jobs import FINAL, Counts, Job, JobState
from isocenter.records import Page, now

_AT_ONCE = 1000


class SqlJobLedger:
    """Jobs. Changes to one job go one after the other, by a lock on its row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, job: Job, chunks_of: Sequence[Sequence[str]]) -> Job:
        values = {**{name: getattr(job, name) for name in _AS_THEY_ARE}, "state": job.state.value, "summary": None}
        parts = [
            {"job": job.id, "chunk": number, "images": orjson.dumps(list(images)).decode()}
            for number, images in enumerate(chunks_of)
        ]
        with self._database.transaction() as connection:
            fresh = insert(jobs).values(values).on_conflict_do_nothing(index_elements=[jobs.c.id])
            if connection.execute(fresh.returning(jobs.c.id)).one_or_none() is not None and parts:
                connection.execute(insert(chunks), parts)
            return _job(connection.execute(select(jobs).where(jobs.c.id == job.id)).one())

    def get(self, id: str) -> Job | None:
        with self._database.reading() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == clean(id))).one_or_none()
        return None if row is None else _job(row)

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        stores: Collection[str] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Job]:
        chosen = select(jobs).order_by(jobs.c.position.desc()).limit(limit + 1)
        if after is not None:
            chosen = chosen.where(jobs.c.position < position("jobs", after))
        if states:
            chosen = chosen.where(jobs.c.state.in_([state.value for state in states]))
        if stores is not None:
            chosen = chosen.where(jobs.c.store.in_(list(stores)))
        if limit < 1:
            return Page(())
        with self._database.reading() as connection:
            rows = connection.execute(chosen).all()
        page = rows[:limit]
        following = cursor("jobs", page[-1].position) if len(rows) > limit else None
        return Page(tuple(_job(row) for row in page), following)

    def waiting(self) -> int:
        under_way = jobs.c.state.in_([JobState.QUEUED.value, JobState.RUNNING.value])
        with self._database.reading() as connection:
            return int(
                connection.execute(select(func.coalesce(func.sum(jobs.c.images), 0)).where(under_way)).scalar_one()
            )

    def move(self, id: str, to: JobState, code: str | None = None) -> Job:
        with self._database.transaction() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == clean(id)).with_for_update()).one_or_none()
            if row is None:
                raise NotFound("no job has this id")
            job = _job(row)
            if job.state is to:
                return job
            if job.is_final:
                raise Conflict(f"a job that is {job.state.value} cannot become {to.value}", code="job-is-final")
            values: dict[str, Any] = {"state": to.value, "changed": now(), "code": code}
            if to in FINAL:
                summary = {step: asdict(counts) for step, counts in summed(connection, job.id).items()}
                values["summary"] = orjson.dumps(summary).decode()
            elif job.state is JobState.PAUSED:
                values["attempt"] = job.attempt + 1
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(values))
            return _job(connection.execute(select(jobs).where(jobs.c.id == job.id)).one())

    def forget(self, before: datetime) -> Sequence[str]:
        final = [state.value for state in FINAL]
        over = select(jobs.c.id).where(
            jobs.c.state.in_(final), ~jobs.c.forgotten, func.coalesce(jobs.c.changed, jobs.c.created) < before
        )
        with self._database.transaction() as connection:
            ids = list(connection.execute(over.order_by(jobs.c.position).limit(_AT_ONCE)).scalars())
            _forget(connection, ids)
        return ids


def _forget(connection: Connection, ids: Sequence[str]) -> None:
    for table in (outcomes, tasks, chunks):
        connection.execute(delete(table).where(table.c.job.in_(ids)))
    connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(forgotten=True))


_AS_THEY_ARE = (
    "id", "pipeline", "plan", "store", "images", "chunks", "created", "actor", "priority", "retry_of", "attempt",
    "changed", "code",
)  # fmt: skip


def _job(row: Row[Any]) -> Job:
    told = None if row.summary is None else orjson.loads(row.summary)
    summary = None if told is None else {step: Counts(**counts) for step, counts in told.items()}
    return Job(**{name: getattr(row, name) for name in _AS_THEY_ARE}, state=JobState(row.state), summary=summary)
