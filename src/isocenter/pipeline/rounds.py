"""Something that is done again and again beside the rest of a process."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from isocenter.errors import IsocenterError

log = structlog.get_logger()


class Rounds:
    """A thread that does something every so many seconds; what fails is tried again in the next round.

    `last` is done at the end, when no round is under way any more.
    """

    def __init__(
        self, name: str, seconds: float, task: Callable[[], object], last: Callable[[], None] = lambda: None
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._task = task
        self._last = last
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._last()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._task()
            except IsocenterError as error:
                log.warning("a round failed", round=self._name, code=error.code)
            self._closing.wait(self._seconds)
