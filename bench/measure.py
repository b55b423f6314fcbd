"""One measurement: a piece of work done for a while on one server, its answers checked, and what it took."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.client import Answer, Client, Request, WrongAnswer
from bench.servers import Server

NOT_OFFERED = frozenset((404, 405, 406, 415, 501))
"""Statuses by which a server says that it does not do this at all."""


@dataclass(frozen=True)
class Goal:
    """What is to be reached: at most so much CPU, time and memory, at least so many MB/s."""

    cpu_ms: float | None = None
    first_byte_ms: float | None = None
    mb_per_second: float | None = None
    growth_mb: float | None = None
    per_second: float | None = None

    def __str__(self) -> str:
        parts = (
            ("≤ {:g} ms CPU", self.cpu_ms), ("≥ {:g} a second", self.per_second), ("≥ {:g} MB/s", self.mb_per_second),
            ("first byte ≤ {:g} ms", self.first_byte_ms), ("memory ≤ {:g} MB", self.growth_mb),
        )  # fmt: skip
        return ", ".join(form.format(value) for form, value in parts if value is not None)

    def as_json(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}


NO_GOAL = Goal()


@dataclass(frozen=True)
class Work:
    """Something to ask a server for: request number n, and what its answer must be."""

    name: str
    section: str
    title: str
    request: Callable[[int], Request]
    expect: Callable[[Answer, int], None]
    goal: Goal = NO_GOAL
    slow: bool = False  # done once a turn, however long a turn is
    tolerance: float = 0.002  # how much the size of answers may vary


@dataclass(frozen=True)
class Figures:
    """What one turn of one server at one work took. CPU is the server's, user and system, of all its processes."""

    section: str
    work: str
    title: str
    goal: Goal
    server: str
    turn: int
    operations: int = 0
    cpu_ms: float | None = None
    wall_ms: float | None = None
    per_second: float | None = None
    mb_per_second: float | None = None
    first_byte_ms: float | None = None
    growth_mb: float | None = None
    bytes: int | None = None
    note: str = ""  # why there are no figures

    def as_json(self) -> dict[str, Any]:
        plain = {**asdict(self), "goal": self.goal.as_json()}
        rounded = {n: round(v, 4) if isinstance(v, float) else v for n, v in plain.items()}
        return {name: value for name, value in rounded.items() if value not in (None, "", {})}


class Meter:
    """CPU seconds and growth of memory of a server between beginning and end."""

    def __init__(self, server: Server) -> None:
        self._processes = server.processes
        self.cpu_seconds: float | None = None
        self.growth_mb: float | None = None
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        processes = self._processes
        if processes is not None:
            processes.forget_peak()
            resident, used = processes.resident(), processes.cpu_seconds()
        started = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - started
        if processes is not None:
            processes.settle()
            self.cpu_seconds = processes.cpu_seconds() - used
            self.growth_mb = max(0.0, (processes.peak() - resident) / 1e6)

    def figures(self, blank: Figures, count: int, size: int) -> Figures:
        """What `count` operations with `size` bytes in all took."""
        return replace(
            blank,
            operations=count,
            cpu_ms=None if self.cpu_seconds is None else 1000 * self.cpu_seconds / count,
            wall_ms=1000 * self.seconds / count,
            per_second=count / self.seconds,
            mb_per_second=size / self.seconds / 1e6,
            growth_mb=self.growth_mb,
            bytes=size // count,
        )


class Checked:
    """What each server's answer to each work was when it was looked at in full: its size and time."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Answer] = {}

    def first(self, server: Server, work: Work, client: Client) -> str:
        """Look at one answer in full, once; the note of a work that the server does not do."""
        key = (server.name, work.name)
        if key in self._seen:
            return ""
        answer = client.get(work.request(0), keep=True)
        if answer.status in NOT_OFFERED:
            return f"not offered ({answer.status})"
        if answer.status != 200:
            return f"refused ({answer.status})"
        try:
            work.expect(answer, 0)
        except WrongAnswer:
            raise
        except Exception as error:  # whatever a reader says of an answer that cannot be read
            raise WrongAnswer(f"the answer cannot be read: {error}") from error
        self._seen[key] = replace(answer, body=b"")
        return ""

    def is_fast(self, server: Server, work: Work) -> bool:
        return self._seen[server.name, work.name].seconds < 0.2

    def again(self, server: Server, work: Work, answer: Answer) -> None:
        """The status and about the size must be those of the answer that was right."""
        size = self._seen[server.name, work.name].size
        if answer.status != 200 or abs(answer.size - size) > max(64, size * work.tolerance):
            raise WrongAnswer(f"status {answer.status} with {answer.size} bytes instead of {size}")


def measure(server: Server, work: Work, turn: int, checked: Checked, seconds: float) -> Figures:
    """Do a work again and again for about so many seconds, at least once."""
    blank = Figures(work.section, work.name, work.title, work.goal, server.name, turn)
    client, meter, answers = Client(server.address), Meter(server), list[Answer]()
    try:
        note = checked.first(server, work, client)
        if note:
            return replace(blank, note=note)
        for number in range(3 if checked.is_fast(server, work) else 0):
            checked.again(server, work, client.get(work.request(number)))
        with meter.running():
            end = time.perf_counter() + seconds
            while not answers or (time.perf_counter() < end and not work.slow):
                answers.append(client.get(work.request(len(answers))))
        for answer in answers:
            checked.again(server, work, answer)
    except (WrongAnswer, OSError, http.client.HTTPException) as error:
        return replace(blank, note=f"wrong: {error}")
    finally:
        client.close()
    first = 1000 * sum(answer.first_byte for answer in answers) / len(answers)
    return replace(meter.figures(blank, len(answers), sum(answer.size for answer in answers)), first_byte_ms=first)
