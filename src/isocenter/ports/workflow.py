"""The port to what runs tasks durably."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from isocenter.jobs import Task


class Workflow(Protocol):
    """Brings tasks to workers. A task may be brought more than once: the claim says who does it.

    A task that was given is not lost by a crash of whoever gave it or took it.
    """

    def give(self, tasks: Sequence[Task], priority: int) -> None:
        """Queue tasks, those of a lower `priority` first; one that was given before is not queued again."""

    def give_again(self, tasks: Sequence[Task]) -> None:
        """Queue tasks again that a worker took and did not end; those that ended or are unknown stay as they are."""

    def withdraw(self, tasks: Sequence[Task]) -> None:
        """Take tasks that nobody has begun out of the queue; the others are not touched."""

    def begun(self, seconds: float) -> Sequence[Task]:
        """Tasks that a worker took at least so long ago and has not ended, whether the worker lives or not."""

    def forget(self, tasks: Sequence[Task]) -> None:
        """Keep nothing more about these tasks, which are over."""

    def close(self) -> None:
        """Give back connections. What was given stays given."""


class LeftUndone(BaseException):
    """Raised where a task is given up because its process ends: it is not over, and is brought again."""


class Workers(Protocol):
    """The threads of one process that take tasks."""

    def start(self, run: Callable[[Task], None]) -> None:
        """Begin to take tasks, each in a thread. `run` ends a task by returning; it raises nothing but LeftUndone."""

    def stop(self, seconds: float) -> None:
        """Take no more, and wait so long for what is under way; what is not over then is brought again later."""
