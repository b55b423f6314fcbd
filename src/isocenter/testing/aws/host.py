"""Runs the packages of Lambda functions under AWS's own runtime interface client, without containers.

Environments are used again while they are idle, and ended when a function takes too long, as on Lambda. Nothing but the
standard library, the packages and the client is on the path: what a package lacks, the function lacks.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path
from typing import Final

from isocenter.testing.aws.runtime_api import Invocation, RuntimeApi
from isocenter.testing.aws.state import SEEN, Report

MOST_UNZIPPED: Final = 262_144_000
MOST_ANSWERED: Final = 6_291_556
MOST_AT_ONCE: Final = 3  # environments of one function; more only wait for each other on a small machine
_RUNTIME: Final = ("awslambdaric", "simplejson", "snapshot-restore-py")


@dataclass(frozen=True)
class Function:
    """What is needed to run a version of a function."""

    name: str
    arn: str
    version: str
    handler: str
    runtime: str
    timeout: float
    memory: int
    code: bytes
    layers: tuple[bytes, ...]
    environment: Mapping[str, str]

    @property
    def key(self) -> str:
        """The same for as long as an environment can be used again."""
        told = json.dumps([self.arn, self.version, self.handler, self.timeout, sorted(self.environment.items())])
        return hashlib.sha256(told.encode() + hashlib.sha256(self.code).digest()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What an invocation came to."""

    id: str
    result: bytes
    error: str | None
    log: list[str]


_INJECTED: Final = Outcome(
    "", b'{"errorType":"Lambda.ServiceException","errorMessage":"injected"}', "Lambda.ServiceException", []
)


class Packages:
    """Unzipped packages, each once; functions only read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._known: dict[int, Path] = {}
        self.runtime = folder / "runtime"
        self.runtime.mkdir(parents=True)
        for name in _RUNTIME:
            for file in files(name) or ():
                top = (
                    Path(str(file.locate())).parents[len(file.parts) - 2]
                    if len(file.parts) > 1
                    else Path(str(file.locate()))
                )
                place = self.runtime / top.name
                if not place.exists() and not top.name.endswith((".dist-info", "bin", "__pycache__")):
                    place.symlink_to(top)

    def unzipped(self, package: bytes) -> Path:
        with self._lock:
            known = self._known.get(id(package))
            if known is None:
                known = self.folder / hashlib.sha256(package).hexdigest()[:32]
                if not known.exists():
                    with zipfile.ZipFile(io.BytesIO(package)) as zipped:
                        zipped.extractall(known)
                self._known[id(package)] = known
            return known

    def size(self, package: bytes) -> int:
        """Bytes of it, unzipped."""
        with zipfile.ZipFile(io.BytesIO(package)) as zipped:
            return sum(entry.file_size for entry in zipped.infolist())


class Environment:
    """One execution environment: a process with the runtime in it, and a private folder for its temporary files."""

    def __init__(self, function: Function, packages: Packages) -> None:
        if function.runtime != f"python{sys.version_info.major}.{sys.version_info.minor}":
            raise RuntimeError(
                f"the package is for {function.runtime}; the harness runs on Python {sys.version.split()[0]}"
            )
        self.function = function
        self.used = False
        self.log: list[str] = []
        self._private = Path(tempfile.mkdtemp(prefix="function-"))
        self._api = RuntimeApi()
        task = packages.unzipped(function.code)
        layers = [packages.unzipped(layer) / "python" for layer in function.layers]
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            # -S: no site-packages of whoever runs the tests
            [getattr(sys, "_base_executable", sys.executable), "-S", "-m", "awslambdaric", function.handler],
            env=self._variables(task, layers, packages.runtime), cwd=task, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _variables(self, task: Path, layers: list[Path], runtime: Path) -> dict[str, str]:
        function = self.function
        region = function.arn.split(":")[3]
        # /tmp is each environment's own on Lambda; here it is a folder.
        given = {
            name: f"{self._private}{text.removeprefix('/tmp')}" if text.startswith("/tmp/") else text
            for name, text in function.environment.items()
        }
        return {
            "PATH": "/usr/bin:/bin", "LANG": "en_US.UTF-8", "TZ": ":UTC",
            "HOME": str(self._private), "TMPDIR": str(self._private),
            "LAMBDA_TASK_ROOT": str(task), "LAMBDA_RUNTIME_DIR": str(runtime),
            "PYTHONPATH": os.pathsep.join(map(str, (task, *layers, runtime))), "PYTHONDONTWRITEBYTECODE": "1",
            "_HANDLER": function.handler, "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}", "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": region, "AWS_DEFAULT_REGION": region, **given,
        }  # fmt: skip

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line.decode("utf-8", "replace").rstrip("\n").replace("\r", "\n"))
        self._process.wait()
        self._api.ready.set()
        current = self._api.current
        if current is not None and not current.done.is_set():
            current.fail("Runtime.ExitError", f"Runtime exited with {self._process.returncode}")

    @property
    def lives(self) -> bool:
        return self._process.poll() is None and self._api.init_error is None

    def began_after(self, seconds: float) -> float:
        """Seconds from the start of the process until it asked for work; RuntimeError where it does not come to it."""
        self._api.ready.wait(seconds)
        if not self._api.ready_at:
            raise RuntimeError("\n".join(self.log[-20:]) or "the function does not begin")
        return self._api.ready_at - self._began

    def invoke(self, payload: bytes) -> Outcome:
        function = self.function
        first, self.used = not self.used, True
        if not first:
            self.log = []
        invocation = Invocation(payload, function.arn, 0)
        self._api.ready.wait(10 + function.timeout)
        if not self.lives:
            failed = (
                self._api.init_error
                or b'{"errorType":"Runtime.ExitError","errorMessage":"the function does not begin"}'
            )
            return Outcome(invocation.id, failed, "Runtime.ExitError", self.log)
        began = time.perf_counter()
        invocation.deadline = time.time() + function.timeout
        self.log.append(f"START RequestId: {invocation.id} Version: {function.version}")
        self._api.give(invocation)
        if not invocation.done.wait(function.timeout):
            invocation.fail("Sandbox.Timedout", f"Task timed out after {function.timeout:.2f} seconds")
            self.kill()
        elif len(invocation.result) > MOST_ANSWERED:
            invocation.fail("Function.ResponseSizeTooLarge", f"Response payload size exceeded {MOST_ANSWERED} bytes")
        milliseconds = (time.perf_counter() - began) * 1000
        init = (self._api.ready_at - self._began) * 1000 if first else None
        time.sleep(0.005)  # the last lines are on their way
        report = Report(function.name, round(milliseconds, 2), init and round(init, 2), self._peak(), invocation.error)
        SEEN.report(report)
        told = f"Duration: {milliseconds:.2f} ms\tBilled Duration: {int(milliseconds) + 1} ms"
        used = f"Memory Size: {function.memory} MB\tMax Memory Used: {report.megabytes} MB"
        begun = "" if init is None else f"\tInit Duration: {init:.2f} ms"
        self.log += [f"END RequestId: {invocation.id}", f"REPORT RequestId: {invocation.id}\t{told}\t{used}{begun}"]
        return Outcome(invocation.id, invocation.result, invocation.error, list(self.log))

    def _peak(self) -> int:
        with suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) // 1024
        return 0

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self._process.wait(10)
        self._reader.join(5)
        self._api.close()
        shutil.rmtree(self._private, ignore_errors=True)


class Host:
    """All environments there are."""

    def __init__(self, folder: Path | None = None, most_at_once: int = MOST_AT_ONCE) -> None:
        self._folder = folder or Path(tempfile.mkdtemp(prefix="functions-"))
        self._packages = Packages(self._folder)
        self._lock = threading.Lock()
        self._idle: dict[str, list[Environment]] = defaultdict(list)
        self._slots: dict[str, threading.BoundedSemaphore] = {}
        self._live: set[Environment] = set()
        self._most = most_at_once

    def invoke(self, function: Function, payload: bytes) -> Outcome:
        """Wait for a free environment, or make one, and run the function in it."""
        fails = SEEN.fails(function.name)
        if fails == "after":
            self._run(function, payload)
        return self._run(function, payload) if fails is None else _INJECTED

    def _run(self, function: Function, payload: bytes) -> Outcome:
        with self._lock:
            slot = self._slots.setdefault(function.name, threading.BoundedSemaphore(self._most))
        with slot:
            environment = self._taken(function)
            outcome = environment.invoke(payload)
            with self._lock:
                if environment.lives and outcome.error != "Sandbox.Timedout":
                    self._idle[function.key].append(environment)
                    return outcome
                self._live.discard(environment)
            environment.close()
            return outcome

    def _taken(self, function: Function) -> Environment:
        with self._lock:
            if self._idle[function.key]:
                return self._idle[function.key].pop()
        unzipped = sum(self._packages.size(each) for each in (function.code, *function.layers))
        if unzipped > MOST_UNZIPPED:
            raise RuntimeError(f"unzipped the function is {unzipped} bytes; Lambda takes {MOST_UNZIPPED}")
        environment = Environment(function, self._packages)
        with self._lock:
            self._live.add(environment)
        return environment

    def close(self) -> None:
        with self._lock:
            live, self._live = list(self._live), set()
        for environment in live:
            environment.close()
        shutil.rmtree(self._folder, ignore_errors=True)
