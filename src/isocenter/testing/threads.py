"""Running the same thing in many threads that start together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def together(function: Callable[[A], T], arguments: Iterable[A]) -> list[T]:
    """What `function` returns for each argument, each in a thread of its own, all let go at once."""
    each = list(arguments)
    start = threading.Barrier(len(each))

    def run(argument: A) -> T:
        start.wait(timeout=30)
        return function(argument)

    with ThreadPoolExecutor(len(each)) as pool:
        return list(pool.map(run, each))
