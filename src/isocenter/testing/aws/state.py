"""What the harness saw, and the faults it is asked to make."""

from __future__ import annotations

import random
import threading
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Faults:
    """What goes wrong on purpose: how often an event is brought, in any order, and the share of calls that fail.

    `failing` are shares of invocations by the name of a function, or by what its name ends with.
    """

    event_copies: int = 1
    shuffled: bool = False
    failing: dict[str, float] = field(default_factory=dict)
    seed: int = 1


@dataclass(frozen=True)
class Report:
    """One invocation, as CloudWatch's REPORT line tells of it."""

    function: str
    milliseconds: float
    init_milliseconds: float | None
    megabytes: int
    error: str | None


class Seen:
    """Lists that tests look at in the end: the first three are to be empty."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.errors: list[str] = []
        self.denied: list[str] = []
        self.lacking: list[str] = []
        self.reports: list[Report] = []
        self.injected = 0
        self.faults = Faults()
        self._random = random.Random(1)

    def error(self, what: str) -> None:
        with self._lock:
            self.errors.append(what)

    def deny(self, role: str, action: str, resource: str) -> None:
        with self._lock:
            self.denied.append(f"{role} {action} {resource}")

    def lack(self, what: str) -> None:
        with self._lock:
            self.lacking.append(what)

    def report(self, report: Report) -> None:
        with self._lock:
            self.reports.append(report)

    def ask(self, faults: Faults) -> None:
        with self._lock:
            self.faults, self._random, self.injected = faults, random.Random(faults.seed), 0

    def fails(self, function: str) -> str | None:
        """Whether this invocation is one of those that are to fail: before it did anything, or after it did all."""
        share = max((share for name, share in self.faults.failing.items() if function.endswith(name)), default=0.0)
        with self._lock:
            if share <= 0 or self._random.random() >= share:
                return None
            self.injected += 1
            return "before" if self.injected % 2 else "after"

    def forget(self) -> None:
        with self._lock:
            for each in (self.errors, self.denied, self.lacking, self.reports):
                each.clear()

    def told(self) -> dict[str, Any]:
        with self._lock:
            return {
                "errors": list(self.errors),
                "denied": list(self.denied),
                "lacking": list(self.lacking),
                "reports": [asdict(report) for report in self.reports],
                "injected": self.injected,
            }


SEEN = Seen()
