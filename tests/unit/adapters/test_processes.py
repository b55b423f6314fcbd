"""What only a Sandbox of processes can promise."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isocenter.adapters.processes import ProcessSandbox
from isocenter.adapters.sandbox_worker import load_answer
from isocenter.errors import BackendUnavailable, IsocenterError, LimitExceeded, Saturated, Unsupported
from isocenter.testing.sandbox_contract import (
    allocate,
    double,
    kill_itself,
    loop_forever,
    process_id,
    visible_environment,
)


@pytest.fixture
def sandbox() -> Iterator[ProcessSandbox]:
    made = ProcessSandbox(1, 2**28)
    yield made
    made.close()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until_busy(sandbox: ProcessSandbox) -> None:
    """Until the thread that was started has its worker, however loaded the machine is."""
    deadline = time.monotonic() + 30
    while not sandbox._busy and time.monotonic() < deadline:
        time.sleep(0.01)


def _gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _alive(pid)


@pytest.mark.parametrize(
    ("task", "argument", "kind", "code"),
    [
        (kill_itself, 0, Unsupported, "decode-crashed"),
        (loop_forever, 0, LimitExceeded, "decode-timeout"),
        (allocate, 10 * 2**30, LimitExceeded, "decode-out-of-memory"),
    ],
)
def test_a_task_that_breaks_its_worker_is_answered_and_the_worker_replaced(
    sandbox: ProcessSandbox, task: Callable[[int], int], argument: int, kind: type[IsocenterError], code: str
) -> None:
    sandbox.run(double, 1, seconds=30)
    for _ in range(3):
        with pytest.raises(kind) as caught:
            sandbox.run(task, argument, seconds=0.5)
        assert caught.value.code == code
    assert sandbox.run(double, 4, seconds=30) == 8


def test_the_memory_allowance_counts_from_what_a_worker_starts_with(sandbox: ProcessSandbox) -> None:
    assert sandbox.run(allocate, 2**27, seconds=30) == 2**27


def test_an_argument_larger_than_the_memory_is_refused_before_it_is_sent(sandbox: ProcessSandbox) -> None:
    with pytest.raises(LimitExceeded) as caught:
        sandbox.run(len, bytes(2**27 + 1), seconds=30)
    assert caught.value.code == "decode-out-of-memory"


def test_a_worker_killed_while_idle_is_replaced_without_the_caller_noticing(sandbox: ProcessSandbox) -> None:
    pid = sandbox.run(process_id, 0, seconds=30)
    os.kill(pid, signal.SIGKILL)
    assert _gone(pid)
    assert sandbox.run(process_id, 0, seconds=30) != pid


def test_a_worker_serves_task_after_task(sandbox: ProcessSandbox) -> None:
    assert len({sandbox.run(process_id, 0, seconds=30) for _ in range(20)}) == 1


def test_callers_who_find_no_free_worker_in_time_are_told_to_wait(sandbox: ProcessSandbox) -> None:
    sandbox.run(double, 1, seconds=30)
    outcome: list[str] = []

    def occupy() -> None:
        with pytest.raises(LimitExceeded) as caught:
            sandbox.run(loop_forever, 0, seconds=2)
        outcome.append(caught.value.code)

    thread = threading.Thread(target=occupy)
    thread.start()
    until_busy(sandbox)
    with pytest.raises(Saturated):
        sandbox.run(double, 1, seconds=0.2)
    assert sandbox.run(double, 3, seconds=30) == 6
    thread.join()
    assert outcome == ["decode-timeout"]


def test_closing_ends_a_task_under_way(sandbox: ProcessSandbox) -> None:
    pid = sandbox.run(process_id, 0, seconds=30)
    caught: list[BaseException] = []

    def occupy() -> None:
        try:
            sandbox.run(loop_forever, 0, seconds=60)
        except IsocenterError as error:
            caught.append(error)

    thread = threading.Thread(target=occupy)
    thread.start()
    until_busy(sandbox)
    sandbox.close()
    thread.join(10)
    assert [type(error) for error in caught] == [BackendUnavailable]
    assert _gone(pid)


def test_threads_and_crashes_together_lose_no_worker() -> None:
    sandbox = ProcessSandbox(2, 2**28)
    codes: list[str] = []

    def work(number: int) -> None:
        for turn in range(4):
            if (number + turn) % 3 == 0:
                try:
                    sandbox.run(kill_itself, 0, seconds=60)
                except Unsupported as error:
                    codes.append(error.code)
            else:
                codes.append(str(sandbox.run(double, number, seconds=60) == 2 * number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == ["True"] * 16 + ["decode-crashed"] * 8
    assert sandbox.run(double, 5, seconds=30) == 10
    sandbox.close()


def test_a_worker_sees_nothing_of_our_environment(sandbox: ProcessSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    seen = sandbox.run(visible_environment, 0, seconds=30)
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert "PYTHONPATH" in seen


_PARENT = """
import pathlib, sys, threading, time
from isocenter.adapters.processes import ProcessSandbox
from isocenter.testing.sandbox_contract import loop_forever, process_id
sandbox = ProcessSandbox(2, 2**28)
threading.Thread(target=sandbox.run, args=(loop_forever, 0), kwargs={"seconds": 600}, daemon=True).start()
workers = []
while len(workers) < 2:  # one loops for ever, one waits for work
    sandbox.run(process_id, 0, seconds=30)
    tasks = pathlib.Path("/proc/self/task").iterdir()
    workers = [pid for task in tasks for pid in (task / "children").read_text().split()]
print(*workers, flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_workers_idle_and_busy_end_with_their_parent(sent: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as parent:
        try:
            assert parent.stdout is not None
            workers = [int(pid) for pid in parent.stdout.readline().split()]
            assert len(set(workers)) == 2
            parent.send_signal(sent)
            _, errors = parent.communicate(timeout=30)
        finally:
            parent.kill()
    assert all(_gone(pid) for pid in workers)
    assert "sandbox_worker" not in errors


def test_a_module_that_cannot_be_preloaded_is_our_fault_not_the_datas() -> None:
    sandbox = ProcessSandbox(1, 2**28, preload=("isocenter.no_such_module",))
    with pytest.raises(BackendUnavailable):
        sandbox.run(double, 1, seconds=30)
    with pytest.raises(BackendUnavailable):
        sandbox.run(double, 1, seconds=30)
    sandbox.close()


@pytest.mark.parametrize(
    "answer",
    [b"cos\nsystem\n(S'true'\ntR.", b"cisocenter.adapters.processes\nsubprocess\n.", b"\x80\x04\x95"],
)
def test_an_answer_cannot_make_the_parent_run_code(answer: bytes) -> None:
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        load_answer(answer)


def test_the_time_a_tasks_module_takes_to_import_is_not_the_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1)\ndef answer(_):\n    return 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    task: Callable[[int], int] = importlib.import_module("slow_to_import").answer
    sandbox = ProcessSandbox(1, 2**28)
    assert sandbox.run(task, 0, seconds=0.5) == 42
    sandbox.close()
