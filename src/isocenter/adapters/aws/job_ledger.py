"""The job ledger port on DynamoDB."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final
from uuid import uuid4

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.cursor import cursor, position
from isocenter.adapters.aws.errors import ConditionFailed
from isocenter.adapters.aws.reading import parts
from isocenter.adapters.aws.rows import from_micros, micros_or_none, moment_or_none, to_micros
from isocenter.adapters.aws.step_ledger import counted
from isocenter.adapters.aws.table import ABSENT, Action, Delete, Item, Put, Table, Update, unchanged
from isocenter.adapters.aws.text import clean, expanded, squeezed
from isocenter.errors import Conflict, NotFound
from isocenter.jobs import FINAL, Counts, Job, JobState
from isocenter.records import Page, now

UNDER_WAY: Final = (JobState.QUEUED, JobState.RUNNING)
_OPEN: Final = frozenset(JobState) - FINAL
_AT_ONCE = 1000


class DynamoJobLedger:
    """Jobs; changes to one go one after the other, by its revision."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, job: Job, chunks: Sequence[Sequence[str]]) -> Job:
        at = keys.job(self._table, job.id)
        known = self._table.get(at)
        if known is not None:
            return _job(known)
        # Written first, in a partition that nobody knows before the job is there.
        written = self._write_chunks(name := uuid4().hex, chunks)
        place = self._table.next_number(keys.JOBS_HEAD)
        item = {"pk": at[0], "sk": at[1], "rev": 1, "pos": place, "job": squeezed(_values(job)), "chs": name}
        listed = keys.JOBS_OVER if job.is_final else keys.JOBS_OPEN
        actions: list[Action] = [
            Put(item, ABSENT),
            *(Put({"pk": pk, "sk": keys.padded(place), "id": job.id}) for pk in (keys.JOBS, listed)),
        ]
        if job.state in UNDER_WAY:
            actions.append(_more_waiting(job.images))
        try:
            self._table.transact(actions)
        except ConditionFailed:
            self._table.write_all(written)
            return _job(self._known(job.id))
        return job

    def get(self, id: str) -> Job | None:
        item = self._table.get(keys.job(self._table, clean(id)))
        return None if item is None else _job(item)

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        stores: Collection[str] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Job]:
        high = None if after is None else keys.padded(position("jobs", after) - 1)
        if limit < 1:
            return Page(())
        partition = keys.JOBS_OPEN if states and _OPEN.issuperset(states) else keys.JOBS
        listed = self._table.query(partition, high=high, descending=True, page=min(limit + 1, 1000))
        wanted = (
            (place, job)
            for place, job in self._read(listed)
            if (not states or job.state in states) and (stores is None or job.store in stores)
        )
        found = list(islice(wanted, limit + 1))
        following = cursor("jobs", found[limit - 1][0]) if len(found) > limit else None
        return Page(tuple(job for _, job in found[:limit]), following)

    def waiting(self) -> int:
        head = self._table.get(keys.JOBS_HEAD)
        return 0 if head is None else int(head.get("wai", 0))

    def move(self, id: str, to: JobState, code: str | None = None) -> Job:
        return self._table.retried(partial(self._move, id, to, code))

    def forget(self, before: datetime) -> Sequence[str]:
        over: list[str] = []
        for _, job in self._read(self._table.query(keys.JOBS_OVER)):
            if (job.changed or job.created) < before and self._table.retried(partial(self._forget, job.id)):
                over.append(job.id)
            if len(over) == _AT_ONCE:
                break
        return over

    def _move(self, id: str, to: JobState, code: str | None) -> Job:
        item = self._known(id)
        job = _job(item)
        if job.state is to:
            return job
        if job.is_final:
            raise Conflict(f"a job that is {job.state.value} cannot become {to.value}", code="job-is-final")
        again = job.state is JobState.PAUSED and to not in FINAL
        moved = replace(
            job,
            state=to,
            changed=from_micros(to_micros(now())),
            code=code,
            attempt=job.attempt + again,
            summary=counted(self._table, job.id) if to in FINAL else None,
        )
        actions: list[Action] = [
            Put({**item, "rev": item["rev"] + 1, "job": squeezed(_values(moved))}, unchanged(item))
        ]
        if moved.is_final:
            place = keys.padded(item["pos"])
            actions += [Delete((keys.JOBS_OPEN, place)), Put({"pk": keys.JOBS_OVER, "sk": place, "id": job.id})]
        more = job.images * ((to in UNDER_WAY) - (job.state in UNDER_WAY))
        if more:
            actions.append(_more_waiting(more))
        self._table.transact(actions)
        return moved

    def _forget(self, id: str) -> bool:
        """Forget what a job had; False where somebody else did."""
        item = self._known(id)
        if "chs" not in item:
            return False
        for partition in (f"CHUNKS#{item['chs']}", item["pk"]):
            for some in parts(self._table.query(partition, only="part, parts"), 25):
                gone = [each for each in some if each["sk"] != item["sk"]]
                beside = [key for each in gone for key in self._table.part_keys(each)]
                self._table.write_all([Delete(key) for key in (*beside, *((each["pk"], each["sk"]) for each in gone))])
        left = {name: value for name, value in item.items() if name != "chs"}
        over = Delete((keys.JOBS_OVER, keys.padded(item["pos"])))
        self._table.transact([Put({**left, "rev": item["rev"] + 1}, unchanged(item)), over])
        return True

    def _write_chunks(self, name: str, chunks: Sequence[Sequence[str]]) -> list[Delete]:
        """Keep the images of each chunk; how they are deleted again."""
        written: list[Delete] = []
        for some in parts(enumerate(chunks), 25):
            puts = []
            for number, images in some:
                item = {"pk": f"CHUNKS#{name}", "sk": keys.padded(number)}
                item |= self._table.packed(squeezed(list(images)))
                puts.append(Put(item))
                beside = self._table.part_keys(item)
                written += [Delete(key) for key in (*beside, (item["pk"], item["sk"]))]
            self._table.write_all(puts)
        return written

    def _known(self, id: str) -> Item:
        item = self._table.get(keys.job(self._table, clean(id)))
        if item is None:
            raise NotFound("no job has this id")
        return item

    def _read(self, listed: Iterator[Item]) -> Iterator[tuple[int, Job]]:
        for some in parts(listed, 100):
            wanted = {each["sk"]: keys.job(self._table, each["id"]) for each in some}
            there = self._table.get_all(wanted.values())
            yield from ((int(place), _job(there[key])) for place, key in wanted.items() if key in there)


def _more_waiting(images: int) -> Update:
    return Update(keys.JOBS_HEAD, "ADD wai :more", {":more": images})


def _values(job: Job) -> list[Any]:
    summary = None if job.summary is None else {step: asdict(counts) for step, counts in job.summary.items()}
    return [
        job.id, job.pipeline, job.plan, job.store, job.images, job.chunks, to_micros(job.created), job.actor,
        job.priority, job.retry_of, job.state.value, job.attempt, micros_or_none(job.changed), job.code, summary,
    ]  # fmt: skip


def _job(item: Item) -> Job:
    (
        id, pipeline, plan, store, images, chunks, created, actor, priority, retry_of, state, attempt, changed, code,
        told,
    ) = expanded(item["job"])  # fmt: skip
    summary = None if told is None else {step: Counts(**counts) for step, counts in told.items()}
    return Job(
        id, pipeline, plan, store, images, chunks, from_micros(created), actor, priority, retry_of, JobState(state),
        attempt, moment_or_none(changed), code, summary,
    )  # fmt: skip
