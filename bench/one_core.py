"""Runs one command on one core and says what it took: `python -m bench.one_core CORE TOLD.json COMMAND...`.

A process of its own, small: the peak memory that the kernel tells of a child begins with its parent's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spent:
    """Seconds of CPU (user and system) and by the clock, peak resident bytes of the largest process, exit code."""

    cpu: float
    wall: float
    peak: int
    code: int
    said: str


def run(command: list[str], folder: Path, core: int) -> Spent:
    """The command, with what it says put into a file of `folder`."""
    told, said = folder / "told.json", folder / "said.txt"
    with said.open("wb") as out:
        own = [sys.executable, "-m", "bench.one_core", str(core), str(told), *command]
        subprocess.run(own, stdout=out, stderr=subprocess.STDOUT, check=True, cwd=Path(__file__).parents[1])
    return Spent(**json.loads(told.read_text()), said=said.read_text("utf-8", "replace"))


def available() -> int:
    """The core to run on: the last of those that this process may use."""
    return max(os.sched_getaffinity(0))


def main(core: str, told: str, *command: str) -> None:
    os.sched_setaffinity(0, {int(core)})
    started = time.perf_counter()
    _, status, usage = os.wait4(subprocess.Popen(command).pid, 0)
    spent = {
        "cpu": usage.ru_utime + usage.ru_stime,
        "wall": time.perf_counter() - started,
        "peak": usage.ru_maxrss * 1024,
        "code": os.waitstatus_to_exitcode(status),
    }
    Path(told).write_text(json.dumps(spent))


if __name__ == "__main__":
    main(*sys.argv[1:])
