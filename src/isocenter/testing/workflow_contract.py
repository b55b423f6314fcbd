"""What every workflow must do, together with its workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from isocenter.jobs import Task
from isocenter.ports.workflow import LeftUndone, Workers, Workflow

_SOON = 20.0  # seconds, on a machine that does other things too


class Taken:
    """Remembers tasks as they are brought; the ones named `left` are left undone, until `left` is emptied."""

    def __init__(self, *left: Task) -> None:
        self.left = set(left)
        self.order: list[Task] = []
        self._lock = threading.Lock()

    def __call__(self, task: Task) -> None:
        with self._lock:
            self.order.append(task)
        if task in self.left:
            raise LeftUndone

    def wait_for(self, count: int) -> list[Task]:
        end = time.monotonic() + _SOON
        while len(self.order) < count and time.monotonic() < end:
            time.sleep(0.02)
        return list(self.order)


def tasks(count: int, job: str = "job") -> list[Task]:
    return [Task(job, 0, chunk) for chunk in range(count)]


class WorkflowContract:
    """Subclass this, and override the fixtures `workflow` with an empty one and `workers` with its workers."""

    @pytest.fixture
    def workflow(self) -> Workflow:
        raise NotImplementedError("override the fixture `workflow`")

    @pytest.fixture
    def new_workers(self, workflow: Workflow) -> Callable[[], Workers]:
        raise NotImplementedError("override the fixture `new_workers`; they have one slot")

    @contextmanager
    def working(self, new_workers: Callable[[], Workers], run: Callable[[Task], None]) -> Iterator[None]:
        workers = new_workers()
        workers.start(run)
        try:
            yield
        finally:
            workers.stop(5)

    def test_what_is_given_is_brought_once(self, workflow: Workflow, new_workers: Callable[[], Workers]) -> None:
        taken, given = Taken(), tasks(20)
        workflow.give(given[:15], 100)
        with self.working(new_workers, taken):
            workflow.give(given, 100)
            found = taken.wait_for(20)
            time.sleep(0.5)
        assert sorted(found, key=lambda task: task.chunk) == given
        assert len(taken.order) == 20

    def test_a_task_carries_all_its_words(self, workflow: Workflow, new_workers: Callable[[], Workers]) -> None:
        taken, task = Taken(), Task("some-job.with.dots", 3, 70_000, 4)
        assert Task.parse(task.id) == task
        with self.working(new_workers, taken):
            workflow.give([task], 1)
            assert taken.wait_for(1) == [task]

    def test_a_lower_priority_goes_first(self, workflow: Workflow, new_workers: Callable[[], Workers]) -> None:
        taken = Taken()
        for job, priority in (("late", 500), ("soon", 50), ("middle", 100)):
            workflow.give(tasks(2, job), priority)
        with self.working(new_workers, taken):
            found = taken.wait_for(6)
        # Those that are begun in the same moment may change places.
        assert [task.job for task in found[:2]] == ["soon", "soon"] or found[0].job == "soon"
        assert sorted(task.job for task in found[:2] + found[-2:])[:2] == ["late", "late"]

    def test_what_is_withdrawn_is_not_brought(self, workflow: Workflow, new_workers: Callable[[], Workers]) -> None:
        taken, given = Taken(), tasks(4)
        workflow.give(given, 100)
        workflow.withdraw([*given[:2], *tasks(1, "unknown")])
        with self.working(new_workers, taken):
            taken.wait_for(2)
            time.sleep(0.5)
        assert sorted(taken.order, key=lambda task: task.chunk) == given[2:]

    def test_what_is_left_undone_is_brought_when_it_is_given_again(
        self, workflow: Workflow, new_workers: Callable[[], Workers]
    ) -> None:
        given = tasks(3)
        taken = Taken(given[1])
        with self.working(new_workers, taken):
            workflow.give(given, 100)
            taken.wait_for(3)
            end = time.monotonic() + _SOON
            while list(workflow.begun(0.0)) != [given[1]] and time.monotonic() < end:
                time.sleep(0.05)
            assert list(workflow.begun(0.0)) == [given[1]]
            assert list(workflow.begun(60.0)) == []
            taken.left.clear()
            workflow.give_again([*given, *tasks(1, "unknown")])
            found = taken.wait_for(4)
            time.sleep(0.5)
        assert found[3:] == [given[1]]
        assert len(taken.order) == 4
        assert list(workflow.begun(0.0)) == []

    def test_what_is_forgotten_can_be_given_anew(self, workflow: Workflow, new_workers: Callable[[], Workers]) -> None:
        taken, given = Taken(), tasks(2)
        with self.working(new_workers, taken):
            workflow.give(given, 100)
            taken.wait_for(2)
            time.sleep(0.5)  # what came back from `run` has still to be noted
            workflow.forget(given)
            workflow.give(given[:1], 100)
            assert taken.wait_for(3)[2:] == given[:1]
