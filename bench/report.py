"""The measurements as a table for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from bench.store import Figures

_WORK = {
    "ct": "STOW-RS, one 0.5 MB CT a request",
    "tiny": "STOW-RS, tiny instances, 10 a request",
    "large": "STOW-RS, one 629 MB multi-frame",
}


def write(folder: Path, figures: list[Figures], *, machine: str, day: str, rounds: int) -> None:
    """Write benchmarks.md and benchmarks.json: medians over the turns, least and most beside them."""
    rows = ["| work | clients | server | CPU ms each | instances/s | MB/s | peak memory growth MB |",
            "|---|---|---|---|---|---|---|"]  # fmt: skip
    groups: dict[tuple[str, int, str], list[Figures]] = {}
    for found in figures:
        if found.work in _WORK:
            groups.setdefault((found.work, found.clients, found.server), []).append(found)
    for (work, clients, server), found_all in sorted(groups.items()):
        cpu = [f.cpu_ms for f in found_all]
        rows.append(
            f"| {_WORK[work]} | {clients} | {server} | {median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f})"
            f" | {median(f.per_second for f in found_all):.1f}"
            f" | {median(f.megabytes_per_second for f in found_all):.0f}"
            f" | {median(f.peak_growth_mb for f in found_all):.0f} |"
        )
    text = (
        "# Benchmarks\n\n"
        f"Measured on {day} on {machine}, by `make bench`: {rounds} turns of each server, by turns, each started"
        " fresh; medians, with least and most. CPU is the server's own, user and system time of all its processes,"
        " for each instance. Every store is durable before it is acknowledged: both servers sync. Peers are measured"
        " where they are installed (Debian: `orthanc orthanc-dicomweb`).\n\n" + "\n".join(rows) + "\n"
    )
    (folder / "benchmarks.md").write_text(text, encoding="utf-8")
    (folder / "benchmarks.json").write_text(
        json.dumps([figure.__dict__ for figure in figures], indent=1) + "\n", encoding="utf-8"
    )
