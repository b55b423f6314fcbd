"""The far side of ProcessSandbox: limits itself, then runs one task at a time until its parent is gone."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import io
import math
import os
import pickle
import resource
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from isocenter.errors import IsocenterError

RETURNED: Final = b"r"
RAISED: Final = b"i"
FAILED: Final = b"f"
OUT_OF_MEMORY: Final = b"m"

# Past the parent's own limit, so that this only counts where the parent died and could not kill.
_GRACE_SECONDS: Final = 5
# What rebuilds an array and the plain containers; nothing here runs code of the sender's choosing.
_SAFE: Final = frozenset(
    {
        *(("builtins", name) for name in ("set", "frozenset", "bytearray", "complex", "slice", "range")),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)


class _AnswerUnpickler(pickle.Unpickler):
    """A worker that a hostile file took over must not take its parent over too."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _SAFE:
            return super().find_class(module, name)
        if module.startswith("isocenter.") and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError("an answer holds an object that answers do not hold")


def load_answer(body: bytes | memoryview) -> Any:
    """Unpickle plain values, arrays and Isocenter's own; raises UnpicklingError for anything else."""
    return _AnswerUnpickler(io.BytesIO(body)).load()


def load_module(name: str) -> None:
    """A task of our own: import a module, so that the tasks in it start at once."""
    importlib.import_module(name)


def serve(arguments: Sequence[str]) -> None:
    """Serve on the socket whose descriptor comes first, within the bytes of memory that come second."""
    descriptor, memory_bytes, *preload = arguments
    _die_with_parent()
    connection: Connection[bytes, bytes] = Connection(int(descriptor))
    for module in preload:
        importlib.import_module(module)
    _limit(int(memory_bytes))
    connection.send_bytes(RETURNED)
    while True:
        try:
            request = connection.recv_bytes()
        except (EOFError, OSError):
            return
        answer = _answer(request)
        connection.send_bytes(answer)
        if answer[:1] == OUT_OF_MEMORY:
            # The heap is full of holes now; the parent starts another.
            return


def _die_with_parent() -> None:
    """Let the kernel end this process when standard input closes, even amid a codec's endless loop.

    A thread that watches would not run while C code holds the interpreter, and PR_SET_PDEATHSIG fires when the
    parent's *thread* ends. SIGIO's default is to terminate; other kernels than Linux may not send it for a pipe,
    where the alarm around each task is what remains.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "O_ASYNC"):
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    # Had the parent died before this, no signal would come: standard input would already be at its end.
    os.set_blocking(0, False)
    try:
        if os.read(0, 1) == b"":
            sys.exit(0)
    except BlockingIOError:
        pass


def _limit(memory_bytes: int) -> None:
    # Libraries map far more than they use, so the allowance counts from what is mapped now.
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        memory_bytes += pages * resource.getpagesize()
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        # A task has no business writing a file.
        (resource.RLIMIT_FSIZE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))


def _answer(request: bytes) -> bytes:
    try:
        task, argument, seconds = pickle.loads(request)
        signal.alarm(math.ceil(seconds) + _GRACE_SECONDS)
        return RETURNED + pickle.dumps(task(argument), protocol=pickle.HIGHEST_PROTOCOL)
    except IsocenterError as error:
        return RAISED + pickle.dumps((type(error).__name__, error.code, error.detail))
    except MemoryError:
        return OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001 - whatever a codec raises, the parent gets the type's name
        return FAILED + pickle.dumps((type(error).__name__, "", ""))
    finally:
        signal.alarm(0)
