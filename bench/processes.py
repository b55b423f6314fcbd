"""What the kernel says of a server's processes: their CPU time to the nanosecond, and their memory."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


class Processes:
    """A process and everything it started: its session where it leads one, and its descendants."""

    def __init__(self, *roots: int) -> None:
        self._roots = frozenset(roots)

    def pids(self) -> frozenset[int]:
        found = set(self._roots)
        rows = list(_all())
        sessions = {pid for pid, _, session in rows if pid in self._roots and session == pid}
        found |= {pid for pid, _, session in rows if session in sessions}
        size = 0
        while len(found) != size:
            size = len(found)
            found |= {pid for pid, parent, _ in rows if parent in found}
        return frozenset(found)

    def cpu_seconds(self) -> float:
        """User and system time so far, that of threads and children which have ended included."""
        return sum(map(_cpu, self.pids()))

    def resident(self) -> int:
        """Resident bytes of all of them; what they share counts more than once."""
        return sum(_status(pid, "VmRSS") for pid in self.pids())

    def peak(self) -> int:
        """The sum of their peaks since `forget_peak`."""
        return sum(_status(pid, "VmHWM") for pid in self.pids())

    def forget_peak(self) -> None:
        for pid in self.pids():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def settle(self, quiet: float = 0.55, most: float = 5.0) -> None:
        """Wait until they rest: what a server puts off until after its answers counts as well."""
        end, since, last = time.monotonic() + most, time.monotonic(), self.cpu_seconds()
        while time.monotonic() < min(end, since + quiet):
            time.sleep(0.05)
            used = self.cpu_seconds()
            if used - last > 0.005:
                since = time.monotonic()
            last = used


def _all() -> list[tuple[int, int, int]]:
    """(pid, parent, session) of every process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                found.append((int(entry.name), int(fields[1]), int(fields[3])))
    return found


def _cpu(pid: int) -> float:
    """The CPU clock of a process (clock_getcpuclockid(3)), and the children it has waited for."""
    with suppress(OSError):
        own = time.clock_gettime((~pid << 3) | 2)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return own + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _status(pid: int, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0
