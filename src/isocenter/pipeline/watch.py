"""Watches an inbox: takes in what comes, starts a pipeline on it, and moves it to what is processed or failed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from isocenter.errors import NotFound, Unavailable
from isocenter.pipeline.files import File, Files
from isocenter.ports.inbox import Inbox

_MOST = 500  # files of one batch, and so of one job
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look came to."""

    processed: int = 0
    failed: int = 0
    left: int = 0  # to be tried again: the surroundings were at fault
    job: str | None = None

    def __add__(self, other: Looked) -> Looked:
        return Looked(self.processed + other.processed, self.failed + other.failed, other.left, other.job or self.job)


class Watcher:
    """Takes files in by the one front door. A file is moved only when it is kept and its job has begun, so that
    whatever ends this process, the next one finds it claimed and goes on."""

    def __init__(self, inbox: Inbox, files: Files) -> None:
        self._inbox = inbox
        self._files = files

    def run(self, stopping: threading.Event, seconds: float, told: Callable[[Looked], None]) -> None:
        """Look every so many seconds until told to stop."""
        while not stopping.is_set():
            try:
                looked = self.look()
            except (Unavailable, NotFound) as error:
                log.warning("the inbox cannot be looked at", code=error.code)
            else:
                if looked != Looked():
                    told(looked)
                if looked.processed + looked.failed == _MOST:
                    continue  # there may be more at once
            stopping.wait(seconds)

    def look(self) -> Looked:
        """Take in what lies there whole."""
        claimed = [waiting for waiting in self._inbox.look(_MOST) if self._inbox.claim(waiting)]
        if not claimed:
            return Looked()
        read = self._inbox.read
        ended, job = self._files.take([File(each.size, partial(read, each)) for each in claimed])
        processed = failed = 0
        for waiting, end in zip(claimed, ended, strict=True):
            if end.is_left:
                continue
            if end.code is None:
                self._inbox.processed(waiting)
                processed += 1
            else:
                self._inbox.failed(waiting, end.code)
                failed += 1
        return Looked(processed, failed, len(claimed) - processed - failed, job)
