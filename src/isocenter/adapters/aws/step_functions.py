"""The workflow port on AWS Step Functions: one execution for each attempt of a job, by a machine made of its plan."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from isocenter.adapters.aws import clients
from isocenter.adapters.aws.errors import code_of, meaning, translated
from isocenter.errors import Misconfigured
from isocenter.jobs import Job, Task

EXPRESS: Final = ".express"
_SERVICE: Final = "Step Functions"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NOTHING_TO_STOP = frozenset(("ExecutionDoesNotExist", "StateMachineTypeNotSupported", "InvalidArn"))


class StepFunctionsWorkflow:
    """Starts executions, and keeps nothing. `machines` are ARNs by the name of the pipeline; `<name>.express` is the
    one for jobs of one chunk, where there is one. `job_of` tells of a job.

    The machine brings every task of an attempt, stage by stage, so that what is given later of the same attempt is
    under way already. Which chunk was done the ledger knows: an execution that is begun again passes over it.
    """

    def __init__(self, machines: Mapping[str, str], job_of: Callable[[str], Job | None], **client: Any) -> None:
        self._machines = dict(machines)
        self._job_of = job_of
        self._options = client

    @cached_property
    def _client(self) -> Any:
        config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=20)
        return clients.client("stepfunctions", **{"config": config, **self._options})

    def give(self, tasks: Sequence[Task], priority: int) -> None:
        for job, attempt, first in _attempts(tasks):
            if first > 0 and attempt == 1:
                continue  # the execution that brought the stage before goes on to this one
            found = self._job_of(job)
            if found is None:
                continue  # forgotten
            asked = {
                "stateMachineArn": self._machine(found, attempt),
                "name": _named(job, attempt),
                "input": json.dumps({"job": job, "attempt": attempt, "chunks": list(range(found.chunks))}),
            }
            refused = None
            with translated(_SERVICE):
                try:
                    self._client.start_execution(**asked)
                except ClientError as error:
                    refused = error
            if refused is not None and code_of(refused) != "ExecutionAlreadyExists":
                raise meaning(refused, _SERVICE)

    def give_again(self, tasks: Sequence[Task]) -> None:
        """A machine brings again by itself what a function did not end."""

    def withdraw(self, tasks: Sequence[Task]) -> None:
        for job, attempt, _ in _attempts(tasks):
            found = self._job_of(job)
            if found is None:
                continue
            try:
                execution = _execution(self._machine(found, attempt), _named(job, attempt))
            except Misconfigured:
                continue  # what was never started need not be stopped
            refused = None
            with translated(_SERVICE):
                try:
                    self._client.stop_execution(executionArn=execution, error="Withdrawn")
                except ClientError as error:
                    refused = error
            if refused is not None and code_of(refused) not in _NOTHING_TO_STOP:
                raise meaning(refused, _SERVICE)

    def begun(self, seconds: float) -> Sequence[Task]:
        return ()

    def forget(self, tasks: Sequence[Task]) -> None:
        """Executions are forgotten by the service, after 90 days."""

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    def _machine(self, job: Job, attempt: int) -> str:
        express = self._machines.get(job.pipeline + EXPRESS)
        if job.chunks == 1 and attempt == 1 and express is not None:
            return express
        found = self._machines.get(job.pipeline)
        if found is None:
            raise Misconfigured(
                f"there is no state machine for the pipeline {job.pipeline} (setting state_machines):"
                " `isocenter pipeline asl` prints its definition",
                code="no-state-machine",
            )
        return found


def _attempts(tasks: Sequence[Task]) -> Iterator[tuple[str, int, int]]:
    """Job, attempt and first stage of what belongs to one execution."""
    first: dict[tuple[str, int], int] = {}
    for task in tasks:
        key = task.job, task.attempt
        first[key] = min(task.stage, first.get(key, task.stage))
    for (job, attempt), stage in first.items():
        yield job, attempt, stage


def _named(job: str, attempt: int) -> str:
    """The execution's name, the same each time, so that it is started once."""
    name = f"{job}-{attempt}"
    return name if _NAME.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()


def _execution(machine: str, name: str) -> str:
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
