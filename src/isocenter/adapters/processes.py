"""A Sandbox of worker processes with limits on memory and time, killed and replaced when they misbehave."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any, Final, TypeVar, cast

from isocenter import errors
from isocenter.adapters.sandbox_worker import OUT_OF_MEMORY, RAISED, RETURNED, load_answer, load_module
from isocenter.errors import BackendUnavailable, IsocenterError, LimitExceeded, Saturated, Unsupported

T = TypeVar("T")
R = TypeVar("R")

_START_SECONDS: Final = 60.0
_MOST_ANSWER_BYTES: Final = 2**30
# The start of a worker: the path of imports comes as PYTHONPATH, so that both sides find the same tasks.
_COMMAND: Final = "import sys; from isocenter.adapters.sandbox_worker import serve; serve(sys.argv[1:])"


class ProcessSandbox:
    """At most `workers` processes, each allowed `memory_bytes` beyond what it starts with.

    Not multiprocessing: its forkserver and spawn import the parent's `__main__` in each child, which here is the
    whole server, and hand the parent's environment, with all its secrets, to code that reads hostile files.
    `preload` names modules a worker imports at its start; `environment` adds variables to the bare one it gets.
    """

    def __init__(
        self,
        workers: int,
        memory_bytes: int,
        *,
        preload: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if workers < 1 or memory_bytes < 1:
            raise errors.Misconfigured("a sandbox needs at least one worker and some memory")
        self._workers = workers
        self._memory_bytes = memory_bytes
        self._preload = tuple(preload)
        self._environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **(environment or {})}
        self._changed = threading.Condition()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._slots = 0
        self._closed = False

    def run(self, task: Callable[[T], R], argument: T, *, seconds: float) -> R:
        """See ports.sandbox; the wait for a worker and the task itself may each last `seconds`."""
        request = pickle.dumps((task, argument, seconds), protocol=pickle.HIGHEST_PROTOCOL)
        # It is held twice, as it came and unpickled.
        if 2 * len(request) > self._memory_bytes:
            raise _out_of_memory()
        worker = self._take(seconds)
        answer: bytes | None = None
        try:
            if not (worker.load(task.__module__) and worker.send(request)):
                # It died while nothing was asked of it, by the kernel's or an operator's hand: no fault of the task.
                worker = self._replace(worker)
                if not (worker.load(task.__module__) and worker.send(request)):
                    raise BackendUnavailable("a decode worker ended as soon as it started")
            answer = worker.receive(seconds)
        finally:
            self._give_back(worker, healthy=answer is not None and answer[:1] != OUT_OF_MEMORY)
        if answer is None:
            raise self._verdict(worker)
        return cast("R", _result(answer))

    def close(self) -> None:
        with self._changed:
            self._closed = True
            idle, busy = list(self._idle), list(self._busy)
            self._idle.clear()
            self._changed.notify_all()
        for worker in idle:
            worker.kill()
        for worker in busy:
            # Its socket is in use by the thread that waits on it, which closes it on seeing its end.
            worker.end()

    def _take(self, seconds: float) -> _Worker:
        """An idle worker, or a new one while there are fewer than allowed."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._closed:
                if self._idle:
                    # The last one back has the warmest caches.
                    worker = self._idle.pop()
                    self._busy.add(worker)
                    return worker
                if self._slots < self._workers:
                    self._slots += 1
                    break
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise Saturated(f"all {self._workers} decode workers are busy")
            if self._closed:
                raise BackendUnavailable("the sandbox is closed")
        return self._start()

    def _start(self) -> _Worker:
        """Fill a slot already counted."""
        worker: _Worker | None = None
        try:
            worker = _Worker(self._memory_bytes, self._preload, self._environment)
            if worker.receive(_START_SECONDS) is None:
                raise BackendUnavailable("a decode worker did not start")
            with self._changed:
                if self._closed:
                    raise BackendUnavailable("the sandbox is closed")
                self._busy.add(worker)
            return worker
        except BaseException as error:
            if worker is not None:
                worker.kill()
            self._free_slot()
            if isinstance(error, OSError):
                raise BackendUnavailable("a decode worker could not be started") from error
            raise

    def _replace(self, worker: _Worker) -> _Worker:
        worker.kill()
        with self._changed:
            self._busy.discard(worker)
        return self._start()

    def _give_back(self, worker: _Worker, *, healthy: bool) -> None:
        if healthy:
            with self._changed:
                self._busy.discard(worker)
                if not self._closed:
                    self._idle.append(worker)
                    self._changed.notify()
                    return
        worker.kill()
        with self._changed:
            known = worker in self._busy
            self._busy.discard(worker)
        # A worker already replaced, or whose replacement failed to start, no longer has a slot.
        if known:
            self._free_slot()

    def _free_slot(self) -> None:
        with self._changed:
            self._slots -= 1
            self._changed.notify()

    def _verdict(self, worker: _Worker) -> IsocenterError:
        if self._closed:
            return BackendUnavailable("the sandbox was closed")
        if worker.timed_out:
            return LimitExceeded("decoding took longer than allowed", code="decode-timeout")
        return Unsupported("decoding ended its process", code="decode-crashed")


class _Worker:
    """One process and the socket to it."""

    def __init__(self, memory_bytes: int, preload: Sequence[str], environment: Mapping[str, str]) -> None:
        self._connection: Connection[bytes, bytes]
        self._connection, theirs = Pipe()
        self.timed_out = False
        self._loaded: set[str] = set(preload)
        path = os.pathsep.join(entry or "." for entry in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, str(theirs.fileno()), str(memory_bytes), *preload],
                # Its standard input is never written to: that it closes tells the worker that we are gone.
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                # Codecs write to standard error, and what they write quotes the data.
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"PYTHONPATH": path, **environment},
                # Its own session: Ctrl-C in the terminal is the parent's alone to answer.
                start_new_session=True,
            )
        except OSError:
            self._connection.close()
            raise
        finally:
            theirs.close()

    def send(self, request: bytes) -> bool:
        """False where the worker is gone."""
        if self._process.poll() is not None:
            return False
        try:
            self._connection.send_bytes(request)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def load(self, module: str) -> bool:
        """Import a task's module before its clock starts, or imports on a busy machine would look like a time-out."""
        if module not in self._loaded:
            request = pickle.dumps((load_module, module, _START_SECONDS))
            if not self.send(request) or self.receive(_START_SECONDS) is None:
                return False
            self._loaded.add(module)
        return True

    def receive(self, seconds: float) -> bytes | None:
        """The next message; None where the worker ended or, `timed_out`, took too long."""
        try:
            if not self._connection.poll(seconds):
                self.timed_out = True
                return None
            return self._connection.recv_bytes(_MOST_ANSWER_BYTES)
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """End the process and let go of it."""
        self.end()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        with contextlib.suppress(OSError):
            self._connection.close()


def _out_of_memory() -> LimitExceeded:
    return LimitExceeded("decoding needs more memory than allowed", code="decode-out-of-memory")


def _result(answer: bytes) -> Any:
    """What the task returned; raises what it raised."""
    try:
        return _read(answer[:1], memoryview(answer)[1:])
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError):
        raise Unsupported("decoding gave an answer of a kind it may not give", code="decode-failed") from None


def _read(kind: bytes, body: memoryview) -> Any:
    if kind == RETURNED:
        return load_answer(body)
    if kind == OUT_OF_MEMORY:
        raise _out_of_memory()
    name, code, detail = load_answer(body)
    if kind == RAISED:
        found = getattr(errors, name, None)
        if isinstance(found, type) and issubclass(found, IsocenterError):
            raise found(detail, code=code)
    raise Unsupported(f"decoding failed ({name})", code="decode-failed")
