"""The step ledger port on DynamoDB."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.errors import ConditionFailed
from isocenter.adapters.aws.table import Action, Condition, Delete, Item, Key, Put, Table, Update
from isocenter.adapters.aws.text import clean, expanded, squeezed
from isocenter.errors import NotFound
from isocenter.jobs import Counts, JobState, StepOutcome, Task

_UNDER_WAY = (JobState.QUEUED.value, JobState.RUNNING.value)
_STATE, _ATTEMPT = 10, 11  # where a job's values have them


class DynamoStepLedger:
    """Tasks and outcomes. DynamoDB tells no time: claims run out by the clocks of those who claim, which AWS keeps
    together."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def claim(self, task: Task, owner: str, seconds: float) -> Sequence[str] | None:
        job, chunk = self._chunk(task)
        values = expanded(job["job"])
        if values[_STATE] not in _UNDER_WAY or values[_ATTEMPT] != task.attempt:
            return None
        moment = time.time_ns() // 1000
        told = {":own": owner, ":til": moment + int(seconds * 1_000_000), ":att": task.attempt}
        free = Condition(
            "attribute_not_exists(pk) OR (attribute_not_exists(rcd) AND (own = :own OR til <= :now))", {":now": moment}
        )
        try:
            self._table.write(Update(self._task(task), "SET own = :own, til = :til, att = :att", told, free))
        except ConditionFailed:
            return None
        return tuple(expanded(self._table.unpacked(chunk)))

    def record(self, task: Task, outcomes: Sequence[StepOutcome]) -> Sequence[StepOutcome]:
        self._chunk(task)
        puts = [put for each in outcomes for put in self._puts(task.job, each)]
        first = Condition("attribute_not_exists(rcd)", {})
        actions: list[Action] = [Update(self._task(task), "SET rcd = :one", {":one": 1}, first), *puts]
        try:
            self._table.transact(actions)
        except ConditionFailed:
            over = [key for put in puts for key in self._table.part_keys(put.item)]
            self._table.write_all([Delete(key) for key in over])
            wanted = [self._outcome(task.job, each.step, task.chunk) for each in outcomes]
            there = self._table.get_all(wanted)
            return [self._read(there[key]) for key in wanted if key in there]
        return list(outcomes)

    def outcomes(self, job: str, *, chunk: int | None = None, faults_only: bool = False) -> Sequence[StepOutcome]:
        partition = keys.job(self._table, clean(job))[0]
        if chunk is None and not faults_only:
            items = list(self._table.query(partition, begins="OUT#"))
        else:
            wanted = [
                self._outcome(job, item["stp"], item["chk"])
                for item in self._table.query(partition, begins="CNT#")
                if (chunk is None or item["chk"] == chunk) and (not faults_only or item["rej"] + item["una"])
            ]
            items = list(self._table.get_all(wanted).values())
        return sorted(map(self._read, items), key=lambda outcome: (outcome.step, outcome.chunk))

    def counts(self, job: str) -> Mapping[str, Counts]:
        return counted(self._table, clean(job))

    def recorded(self, job: str, stage: int) -> frozenset[int]:
        partition = keys.job(self._table, clean(job))[0]
        tasks = self._table.query(partition, begins=f"TASK#{stage:06d}#")
        return frozenset(int(item["sk"].rpartition("#")[2]) for item in tasks if "rcd" in item)

    def _chunk(self, task: Task) -> tuple[Item, Item]:
        """The items of a job and of the chunk."""
        job = self._table.get(keys.job(self._table, clean(task.job)))
        chunk = None
        if job is not None and "chs" in job and task.chunk >= 0:
            chunk = self._table.get((f"CHUNKS#{job['chs']}", keys.padded(task.chunk)))
        if job is None or chunk is None:
            raise NotFound("no job has this id and chunk")
        return job, chunk

    def _task(self, task: Task) -> Key:
        return keys.job(self._table, task.job)[0], f"TASK#{task.stage:06d}#{task.chunk:09d}"

    def _outcome(self, job: str, step: str, chunk: int) -> Key:
        return keys.job(self._table, clean(job))[0], f"OUT#{self._table.named(step)}#{chunk:09d}"

    def _puts(self, job: str, outcome: StepOutcome) -> tuple[Put, Put]:
        """The outcome, and its counts apart from it, which are read without it."""
        pk, sk = self._outcome(job, outcome.step, outcome.chunk)
        told: list[Any] = [
            outcome.step, outcome.chunk, outcome.done, outcome.rejected, outcome.unavailable, outcome.produced,
            outcome.findings,
        ]  # fmt: skip
        counts = outcome.counts
        numbers = {"don": counts.done, "rej": counts.rejected, "una": counts.unavailable, "fnd": counts.findings}
        beside = {"pk": pk, "sk": sk.replace("OUT#", "CNT#", 1), "stp": outcome.step, "chk": outcome.chunk, **numbers}
        return Put({"pk": pk, "sk": sk, **self._table.packed(squeezed(told))}), Put(beside)

    def _read(self, item: Item) -> StepOutcome:
        step, chunk, done, rejected, unavailable, produced, findings = expanded(self._table.unpacked(item))
        made = {image: tuple(others) for image, others in produced.items()}
        return StepOutcome(step, chunk, tuple(done), rejected, unavailable, made, findings)


def counted(table: Table, job: str) -> dict[str, Counts]:
    """What the steps of a job came to, by step."""
    found: dict[str, Counts] = {}
    for item in table.query(keys.job(table, job)[0], begins="CNT#"):
        counts = Counts(item["don"], item["rej"], item["una"], item["fnd"])
        found[item["stp"]] = found.get(item["stp"], Counts()) + counts
    return found
