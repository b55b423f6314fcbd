"""The worker of one process: takes tasks until it is told to stop, and sees to what others left."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from isocenter.errors import IsocenterError
from isocenter.jobs import JobState
from isocenter.pipeline.jobs import UNDER_WAY, Jobs
from isocenter.pipeline.rounds import Rounds
from isocenter.pipeline.run_task import TaskRunner
from isocenter.ports.job_ledger import JobLedger
from isocenter.ports.workflow import Workers, Workflow
from isocenter.records import now

_ROUND = 5.0  # seconds between looks at what others left
_GIVEN = timedelta(seconds=10)  # a job that is queued longer than this may never have been given
_FORGET_EACH = 720  # rounds
log = structlog.get_logger()


@dataclass
class Worker:
    """Takes tasks in this process; `keep` is how long jobs that are over are kept whole, `beside` what is done too."""

    jobs: Jobs
    ledger: JobLedger
    workflow: Workflow
    workers: Workers
    runner: TaskRunner
    keep: timedelta
    beside: Sequence[Rounds] = ()

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._given: set[str] = set()

    def run(self, *, drain_seconds: float = 30.0) -> None:
        """Work until `stop`; what is under way then is done to its end where that takes no longer than is said."""
        self.workers.start(self.runner.run)
        for each in self.beside:
            each.start()
        for state in UNDER_WAY:
            self._give_all(state)
        rounds = 0
        while not self._stopping.wait(min(_ROUND, self.runner.lease)):
            try:
                self._look(rounds)
            except IsocenterError as error:
                log.warning("what other workers left could not be looked at", code=error.code)
            rounds += 1
        self.runner.drain()
        for each in self.beside:
            each.close()
        self.workers.stop(drain_seconds)
        self.runner.close()

    def stop(self) -> None:
        """May be called from a signal handler."""
        self._stopping.set()

    def _look(self, rounds: int) -> None:
        rescued = self.runner.rescue(self.workflow, 2 * self.runner.lease)
        if rescued:
            log.info("tasks of a lost worker are brought again", tasks=rescued)
        self._give_all(JobState.QUEUED)
        if rounds % _FORGET_EACH == 0:
            self.jobs.forget(self.keep)

    def _give_all(self, state: JobState) -> None:
        """Give what a process that is gone created and did not give."""
        before = now() - _GIVEN if state is JobState.QUEUED else now()
        after: str | None = None
        while True:
            page = self.ledger.jobs(states=(state,), after=after)
            for job in page.items:
                if job.id not in self._given and job.created <= before:
                    self.jobs.carry_on(job)
                    self._given.add(job.id)
            after = page.next
            if after is None:
                return
