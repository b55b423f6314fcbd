"""The workflow port in memory: for tests, and for work that may be forgotten when the process ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from isocenter.jobs import Task
from isocenter.ports.workflow import LeftUndone


class MemoryWorkflow:
    """The reference workflow, and its workers."""

    def __init__(self, *, slots: int = 1) -> None:
        self._changed = threading.Condition()
        self._slots = slots
        self._queue: list[tuple[int, int, Task]] = []
        self._given: dict[str, int] = {}  # priority by task id
        self._begun: dict[str, tuple[Task, float]] = {}
        self._ended: set[str] = set()
        self._count = 0
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def give(self, tasks: Sequence[Task], priority: int) -> None:
        with self._changed:
            for task in tasks:
                if task.id not in self._given:
                    self._given[task.id] = priority
                    self._put(task)

    def give_again(self, tasks: Sequence[Task]) -> None:
        with self._changed:
            for task in tasks:
                if self._begun.pop(task.id, None) is not None:
                    self._put(task)

    def _put(self, task: Task) -> None:
        self._count += 1
        self._queue.append((self._given[task.id], self._count, task))
        self._queue.sort(key=lambda entry: entry[:2])
        self._changed.notify()

    def withdraw(self, tasks: Sequence[Task]) -> None:
        gone = {task.id for task in tasks}
        with self._changed:
            self._queue = [entry for entry in self._queue if entry[2].id not in gone]

    def begun(self, seconds: float) -> Sequence[Task]:
        before = time.monotonic() - seconds
        with self._changed:
            return [task for task, since in self._begun.values() if since <= before]

    def forget(self, tasks: Sequence[Task]) -> None:
        with self._changed:
            for task in tasks:
                self._given.pop(task.id, None)
                self._begun.pop(task.id, None)
                self._ended.discard(task.id)

    def close(self) -> None:
        """Nothing is held."""

    def start(self, run: Callable[[Task], None]) -> None:
        self._stopping = False
        for number in range(self._slots):
            thread = threading.Thread(target=self._work, args=(run,), name=f"task-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, seconds: float) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._threads = []

    def _work(self, run: Callable[[Task], None]) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                task = self._queue.pop(0)[2]
                self._begun[task.id] = (task, time.monotonic())
            try:
                run(task)
            except LeftUndone:
                continue
            with self._changed:
                self._begun.pop(task.id, None)
                self._ended.add(task.id)
