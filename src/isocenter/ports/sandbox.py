"""Somewhere to run code on untrusted bytes, where a crash or an endless loop costs one answer and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Sandbox(Protocol):
    """Runs pure functions; safe to call from many threads at once."""

    def run(self, task: Callable[[T], R], argument: T, *, seconds: float) -> R:
        """`task(argument)`; `task` is a module's function, and argument and result can be pickled.

        A `Rejected` the task raises comes back as itself, anything else it raises as Unsupported
        (`decode-failed`) with the type's name alone. LimitExceeded (`decode-timeout`, `decode-out-of-memory`) and
        Unsupported (`decode-crashed`) say that the task did not survive; Saturated that no worker came free
        within `seconds`.
        """
        ...

    def close(self) -> None:
        """End all workers; tasks under way fail. May be called again."""
        ...
