"""The workflow port on DBOS: every task is one durable workflow on one queue."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import sqlalchemy.exc
from dbos import DBOS, DBOSClient
from dbos._serialization import DBOSPortableJSONSerializer  # its place until DBOS exports it

from isocenter.errors import BackendUnavailable
from isocenter.jobs import Task

_QUEUE, _WORKFLOW, _APPLICATION = "tasks", "run_task", "isocenter"
# Work that was given by one version of Isocenter is done by any: what travels are a task's four words.
_VERSION = "1"
_POLL_SECONDS = 0.1
_AHEAD = 2  # tasks taken while all slots are busy, so that a slot never waits for the next look at the queue
_AT_ONCE = 500


class DbosWorkflow:
    """Gives tasks, and keeps nothing but their ids; `url` is SQLAlchemy's, of SQLite or PostgreSQL."""

    def __init__(self, url: str) -> None:
        _quiet()
        with _translated():
            DBOS.migrate(url)
            self._client = DBOSClient(
                system_database_url=url,
                serializer=DBOSPortableJSONSerializer(),
                application_name=_APPLICATION,
                retry_connection_errors=False,
            )

    def give(self, tasks: Sequence[Task], priority: int) -> None:
        with _translated():
            for task in tasks:
                self._client.enqueue(
                    {
                        "workflow_name": _WORKFLOW,
                        "queue_name": _QUEUE,
                        "workflow_id": task.id,
                        "app_version": _VERSION,
                        "priority": max(1, priority),
                    },
                    task.job,
                    task.stage,
                    task.chunk,
                    task.attempt,
                )

    def give_again(self, tasks: Sequence[Task]) -> None:
        for ids in _some(tasks):
            with _translated():
                found = self._client.list_workflows(
                    workflow_ids=ids, status="PENDING", load_input=False, load_output=False
                )
                if found:
                    self._client.resume_workflows([one.workflow_id for one in found], queue_name=_QUEUE)

    def withdraw(self, tasks: Sequence[Task]) -> None:
        for ids in _some(tasks):
            with _translated():
                found = self._client.list_workflows(
                    workflow_ids=ids, status="ENQUEUED", load_input=False, load_output=False
                )
                if found:
                    self._client.cancel_workflows([one.workflow_id for one in found])

    def begun(self, seconds: float) -> Sequence[Task]:
        before = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
        with _translated():
            found = self._client.list_workflows(
                status="PENDING", dequeued_before=before, load_input=False, load_output=False
            )
        return [Task.parse(one.workflow_id) for one in found]

    def forget(self, tasks: Sequence[Task]) -> None:
        for ids in _some(tasks):
            with _translated():
                self._client.delete_workflows(ids)

    def close(self) -> None:
        self._client.destroy()


class DbosWorkers:
    """Takes tasks in this process, of which DBOS allows one such object at a time.

    `executor` names the process: where it names the one before it too, as on a laptop, what that left is taken up at
    start. `slots` are how many tasks are worked on at once.
    """

    def __init__(self, url: str, *, executor: str | None = None, slots: int = 1) -> None:
        self._url = url
        self._executor = executor or f"{os.getpid()}-{time.time_ns()}"
        self._slots = slots

    def start(self, run: Callable[[Task], None]) -> None:
        _quiet()

        @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
        def run_task(job: str, stage: int, chunk: int, attempt: int) -> None:
            run(Task(job, stage, chunk, attempt))

        DBOS(
            config={
                "name": _APPLICATION,
                "system_database_url": self._url,
                "executor_id": self._executor,
                "application_version": _VERSION,
                "log_level": "ERROR",
                "serializer": DBOSPortableJSONSerializer(),
                "use_listen_notify": False,
                "scheduler_polling_interval_sec": 10.0,  # nothing is scheduled by DBOS
            }
        )
        with _translated():
            DBOS.launch()
            DBOS.register_queue(
                _QUEUE,
                worker_concurrency=self._slots + _AHEAD,
                polling_interval_sec=_POLL_SECONDS,
                on_conflict="always_update",
            )

    def stop(self, seconds: float) -> None:
        DBOS.destroy(workflow_completion_timeout_sec=int(seconds), destroy_registry=True)


def _some(tasks: Sequence[Task]) -> Iterator[list[str]]:
    for start in range(0, len(tasks), _AT_ONCE):
        yield [task.id for task in tasks[start : start + _AT_ONCE]]


def _quiet() -> None:
    logging.getLogger("dbos").setLevel(logging.ERROR)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        error.hide_parameters = True
        with suppress(AttributeError):
            error.params = None
        raise BackendUnavailable("the database of the jobs does not answer", code="queue-unavailable") from error
