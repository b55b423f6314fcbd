"""Keeps one `isocenter worker` process at work while there is work, and none while there is none."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from isocenter.errors import IsocenterError

_ROUND = 5.0  # seconds between looks at whether there is work that nobody does
_ENDING = 30.0
log = structlog.get_logger()


class WorkerLock:
    """Held by the one worker that a home folder has on its machine."""

    def __init__(self, home: Path) -> None:
        self._path = home / "worker.lock"
        self._file: int | None = None

    def take(self) -> bool:
        """False where another process holds it."""
        file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._file = file
        return True

    def free(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class WorkerProcess:
    """Starts the home's worker when `wake` is called or `has_work` says so, and again where it ended before its work.

    The worker ends by itself when it has been idle for a while, and when this process does, however that ends.
    """

    def __init__(self, home: Path, has_work: Callable[[], bool]) -> None:
        self._home = home
        self._has_work = has_work
        self._woken = threading.Event()
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="worker-process", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        """End the worker; what it has under way it does to its end, or leaves to the next."""
        self._closing = True
        self._woken.set()
        self._thread.join()
        if self._process is not None and self._process.poll() is None:
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDING)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def _watch(self) -> None:
        while not self._closing:
            woken = self._woken.wait(_ROUND)
            self._woken.clear()
            if self._closing or (self._process is not None and self._process.poll() is None):
                continue
            with suppress(IsocenterError):  # the next round asks again
                if woken or self._has_work():
                    self._start()

    def _start(self) -> None:
        lock = WorkerLock(self._home)
        if not lock.take():
            return  # another server process has started it, or somebody by hand
        lock.free()
        command = [sys.executable, "-c", "from isocenter.cli.main import main; main()", "worker", "--with-parent"]
        # The settings come with the environment; the home may have been named on the command line.
        command += ["--home", str(self._home.resolve())]
        log.info("the worker starts")
        # Standard error is this process's, standard input a pipe whose end says that this process is gone.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
