"""Spreads work over all cores: batches to processes that end with their parent, and a bar that says how far it is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from threading import Thread
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")
R = TypeVar("R")


class _Rate(ProgressColumn):
    """Files a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "")


def progress_bar(console: Console) -> Progress:
    """What is done, how many there are, files a second, and the time left."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, _Rate(), TimeRemainingColumn(), console=console, transient=True)


def batches(found: Sequence[T], size: int) -> list[Sequence[T]]:
    """The sources in batches of `size`."""
    return [found[start : start + size] for start in range(0, len(found), size)]


def process_count(jobs: int | None, work: int) -> int:
    """So many processes for this many batches: as asked for, or one for each core this process may use."""
    return max(1, min(jobs or len(os.sched_getaffinity(0)), work))


class Processes:
    """So many processes that `begin(*arguments)` made ready; they start with the first work."""

    def __init__(self, count: int, begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._count = count
        self._pool = ProcessPoolExecutor(
            count, mp_context=get_context("spawn"), initializer=_begin, initargs=(begin, arguments)
        )

    def spread(self, task: Callable[[T], R], work: Iterable[T]) -> Iterator[R]:
        """`task` of each piece of work, in any order; pieces are taken as processes come free."""
        left = iter(work)
        pending = {self._pool.submit(task, piece) for piece in islice(left, 2 * self._count)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            pending |= {self._pool.submit(task, piece) for piece in islice(left, len(done))}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *args: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    begin(*arguments)


def _end_with_parent(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
