"""The measurements as a page for people, as JSON, and as a table in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.measure import Figures, Goal

SECTIONS = {
    "Store": "STOW-RS; every server syncs what it keeps before it answers. CPU is for each instance.",
    "Search": "QIDO-RS, counts of series and instances included.",
    "Search at scale": "The same searches on two sizes of index, filled through the index port without blobs."
    " PostgreSQL's own CPU time is in the figures; it runs without fsync, which searches do not need.",
    "Retrieve": "WADO-RS. The multi-frame is an Enhanced CT with a functional group for each frame.",
    "Render": "Rendered resources by PS3.18.",
    "Transcode": "An instance asked for in another transfer syntax.",
    "De-identify": "From folder to folder by each tool's own command, on one core, start-up taken out. Isocenter writes"
    " evidence, searches what it writes and syncs each file; its memory here, as the others', is the peak of the whole"
    " process. The others keep no such record, and what each takes out is its own.",
}
_COLUMNS = ("work", "server", "CPU ms each", "wall ms", "a second", "MB/s", "memory growth MB", "goal")


@dataclass(frozen=True)
class Row:
    """One work on one server: all its turns."""

    turns: tuple[Figures, ...]

    @property
    def section(self) -> str:
        return self.turns[0].section

    @property
    def work(self) -> str:
        return self.turns[0].work

    @property
    def title(self) -> str:
        return self.turns[0].title

    @property
    def server(self) -> str:
        return self.turns[0].server

    @property
    def goal(self) -> Goal:
        return self.turns[0].goal

    @property
    def note(self) -> str:
        return next((turn.note for turn in self.turns if turn.note), "")

    @property
    def is_wrong(self) -> bool:
        """A peer may refuse what it cannot do; nobody may answer something else, and we say properly what we lack."""
        ours = self.server.startswith("Isocenter")
        return self.note.startswith("wrong") or (ours and self.note.startswith("refused"))

    def values(self, take: Callable[[Figures], float | None]) -> list[float]:
        return [value for turn in self.turns if not turn.note and (value := take(turn)) is not None]

    def middle(self, take: Callable[[Figures], float | None]) -> float | None:
        values = self.values(take)
        return median(values) if values else None

    @property
    def cpu_ms(self) -> float | None:
        return self.middle(lambda f: f.cpu_ms)

    def verdict(self) -> str:
        """The goal and whether the medians reach it; goals are Isocenter's own."""
        goal = self.goal
        if not str(goal) or not self.server.startswith("Isocenter"):
            return ""
        most = (
            (goal.cpu_ms, self.cpu_ms),
            (goal.first_byte_ms, self.middle(lambda f: f.first_byte_ms)),
            (goal.growth_mb, self.middle(lambda f: f.growth_mb)),
        )
        least = (
            (goal.mb_per_second, self.middle(lambda f: f.mb_per_second)),
            (goal.per_second, self.middle(lambda f: f.per_second)),
        )
        if self.note:
            return str(goal)
        met = all(limit is None or (value is not None and value <= limit) for limit, value in most)
        met = met and all(limit is None or (value is not None and value >= limit) for limit, value in least)
        return f"{goal}: {'met' if met else 'missed'}"

    def cells(self) -> tuple[str, ...]:
        """The columns of a table."""
        if self.note:
            return (self.title, self.server, self.note.partition(":")[0], "", "", "", "", self.verdict())
        cpu = self.values(lambda f: f.cpu_ms)
        spread = f"{_number(median(cpu))} ({_number(min(cpu))} to {_number(max(cpu))})" if cpu else "not known"
        wall = _number(self.middle(lambda f: f.wall_ms))
        first = self.middle(lambda f: f.first_byte_ms)
        if self.goal.first_byte_ms is not None and first is not None:
            wall += f", first byte {_number(first)}"
        rate, speed = self.middle(lambda f: f.per_second), self.middle(lambda f: f.mb_per_second)
        growth = self.middle(lambda f: f.growth_mb)
        return (
            self.title, self.server, spread, wall, _number(rate), _number(speed),
            "" if growth is None else f"{growth:.0f}", self.verdict(),
        )  # fmt: skip


def rows(figures: Iterable[Figures]) -> list[Row]:
    """Figures of the same work and server together, in the order of the sections and of the works."""
    groups: dict[tuple[str, str], list[Figures]] = {}
    for found in sorted(figures, key=lambda f: list(SECTIONS).index(f.section)):
        groups.setdefault((found.work, found.server), []).append(found)
    works, servers = (list(dict.fromkeys(names)) for names in zip(*groups, strict=True)) if groups else ([], [])
    made = [Row(tuple(turns)) for turns in groups.values()]
    return sorted(made, key=lambda row: (works.index(row.work), servers.index(row.server)))


def write(folder: Path, found: Sequence[Row], *, machine: str, versions: Sequence[str], day: str, how: str) -> None:
    """Write benchmarks.md and benchmarks.json; the plots are named by their sections."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Benchmarks",
        "",
        f"Measured on {day} on {machine}. {', '.join(versions)}.",
        "",
        how,
    ]
    for section, told in SECTIONS.items():
        here = [row for row in found if row.section == section]
        if not here:
            continue
        lines += ["", f"## {section}", "", told, "", f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
        lines += [f"| {' | '.join(row.cells())} |" for row in here]
        if (folder / plot_name(section)).exists():
            lines += ["", f"![{section}: CPU for each operation]({plot_name(section)})"]
    (folder / "benchmarks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    body = {
        "day": day, "machine": machine, "versions": list(versions),
        "figures": [turn.as_json() for row in found for turn in row.turns],
    }  # fmt: skip
    (folder / "benchmarks.json").write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def plot_name(section: str) -> str:
    return f"benchmarks/{section.lower().replace(' ', '-')}.png"


def show(console: Console, found: Sequence[Row]) -> None:
    for section in SECTIONS:
        here = [row for row in found if row.section == section]
        if here:
            table = Table(*_COLUMNS, title=section)
            for row in here:
                table.add_row(row.work, *row.cells()[1:])
            console.print(table)


def _number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
