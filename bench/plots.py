"""A picture for each section: bars of CPU time for each operation, the servers side by side, the goal as a mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.report import SECTIONS, Row, plot_name

_COLOURS = {
    "Isocenter": "#1f6fb2",
    "Isocenter on SQLite": "#1f6fb2",
    "Isocenter on PostgreSQL": "#2a9d8f",
    "Orthanc": "#e08a2e",
    "Isocenter basic": "#1f6fb2",
    "Isocenter longitudinal": "#2a9d8f",
    "Isocenter tcia": "#5aa9a0",
    "gdcmanon": "#e08a2e",
    "dicognito": "#8a6fb0",
    "dicom-anonymizer": "#c0504d",
    "deid": "#7f7f7f",
}
_OTHER = "#8a6fb0"
_BAR = 0.38


def draw(folder: Path, found: Sequence[Row]) -> None:
    """One PNG for each section that has figures of CPU."""
    for section in SECTIONS:
        here = [row for row in found if row.section == section and row.cpu_ms is not None]
        if here:
            file = folder / plot_name(section)
            file.parent.mkdir(parents=True, exist_ok=True)
            _draw(file, section, here)


def _draw(file: Path, section: str, found: list[Row]) -> None:
    works = list(dict.fromkeys(row.title for row in found))
    servers = list(dict.fromkeys(row.server for row in found))
    figure = Figure(figsize=(9, 1.4 + 0.3 * len(works) * (1 + len(servers))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for at, server in enumerate(servers):
        mine = [row for row in found if row.server == server]
        places = [works.index(row.title) + (at - (len(servers) - 1) / 2) * _BAR for row in mine]
        values = [row.cpu_ms or 0.0 for row in mine]
        bars = axes.barh(places, values, _BAR * 0.92, label=server, color=_COLOURS.get(server, _OTHER))
        axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize=8)
    goals = {row.title: row.goal.cpu_ms for row in found if row.goal.cpu_ms is not None}
    if goals:
        half = _BAR * len(servers) / 2 + 0.06
        places = [float(works.index(title)) for title in goals]
        low, high = [place - half for place in places], [place + half for place in places]
        axes.vlines(list(goals.values()), low, high, color="black", linewidth=2, label="goal")
    axes.set_yticks(range(len(works)), works, fontsize=8)
    axes.invert_yaxis()
    seen = [row.cpu_ms or 0.0 for row in found]
    wide = max(seen) > 30 * min(seen) > 0
    if wide:
        axes.set_xscale("log")
        axes.set_xlim(left=10 ** math.floor(math.log10(min((*seen, *goals.values())))))
    axes.margins(x=0.12)
    axes.set_xlabel(f"server CPU for each operation, ms{', logarithmic' * wide}; less is better")
    axes.set_title(section)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(file, dpi=110)
