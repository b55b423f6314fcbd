"""A Sandbox that runs its tasks right here: the reference for answers, with no protection at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from isocenter.errors import BackendUnavailable, IsocenterError, LimitExceeded, Unsupported

T = TypeVar("T")
R = TypeVar("R")


class InProcessSandbox:
    """Answers as ProcessSandbox does for tasks that behave; time and memory are not limited."""

    def __init__(self) -> None:
        self._closed = False

    def run(self, task: Callable[[T], R], argument: T, *, seconds: float) -> R:
        if self._closed:
            raise BackendUnavailable("the sandbox is closed")
        try:
            return task(argument)
        except IsocenterError:
            raise
        except MemoryError:
            raise LimitExceeded("the task ran out of memory", code="decode-out-of-memory") from None
        except Exception as error:  # noqa: BLE001 - the port promises one answer for whatever a task raises
            # Only the type's name: a message may quote the data.
            raise Unsupported(f"the task failed ({type(error).__name__})", code="decode-failed") from None

    def close(self) -> None:
        self._closed = True
