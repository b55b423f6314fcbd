"""De-identification from folder to folder on one core, each tool by its own command, start-up taken out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from bench import one_core
from bench.client import WrongAnswer
from bench.corpus import FRAME_BYTES, Corpus, Identity
from bench.deid_tools import Tool
from bench.measure import NO_GOAL, Figures, Goal
from bench.one_core import Spent

SECTION = "De-identify"
FEW = 4  # files of the run that says what starting up takes
LARGE_FRAMES = 255  # 134 MB
_LARGE = 4  # files: one takes less time than start-up varies by
_FEW_LEFT = 16  # files that may be deleted at once
_SLICES = 12  # each takes seconds where text is looked for
_PEAK_MB = 150
_TRIES = 2  # of the short run: the shorter one counts


@dataclass(frozen=True)
class DeidWork:
    """Files to de-identify: how many, how each is made, and whether for profiles that read what stands in pixels."""

    name: str
    title: str
    count: int
    goal: Goal = NO_GOAL
    reads_pixels: bool = False

    def is_for(self, tool: Tool) -> bool:
        return tool.reads_pixels == self.reads_pixels


def works(count: int) -> list[DeidWork]:
    peak = Goal(growth_mb=_PEAK_MB)
    return [
        DeidWork("deid-start", f"start-up: one run over {FEW} files of 39 KB", FEW, peak),
        DeidWork("deid-39k", "CT 128x128 of 39 KB, 100 private attributes", count, replace(peak, per_second=400)),
        DeidWork("deid-534k", "CT 512x512 of 534 KB, 100 private attributes", count, replace(peak, per_second=350)),
        DeidWork("deid-134m", f"enhanced multi-frame of 134 MB, {LARGE_FRAMES} frames", _LARGE,
                 replace(peak, mb_per_second=900)),
        DeidWork("deid-slices", "CT 512x512 of 534 KB, each slice searched for text", _SLICES, reads_pixels=True),
    ]  # fmt: skip


class Folders:
    """The sources of each work, made when they are first asked for, and what a tool wrote, taken away after a look."""

    def __init__(self, corpus: Corpus, cache: Path) -> None:
        self._corpus = corpus
        self._base = cache / "deid"
        self._written = self._base / "written"
        self._runs = 0
        self.clear()
        self.kept = self._base / "kept"
        self.kept.mkdir(parents=True, exist_ok=True)

    def source(self, name: str, count: int) -> Path:
        folder = self._base / f"{name}-{count}"
        if not folder.exists():
            made = folder.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            for number in range(count):
                self._write(name, made / f"{number:05}.dcm", Identity(9, number // 100, number // 100, number))
            made.rename(folder)
        return folder

    def _write(self, name: str, path: Path, identity: Identity) -> None:
        if name == "deid-134m":
            with path.open("wb") as file:
                file.writelines(self._corpus.multi_frame(LARGE_FRAMES).chunks(identity))
            return
        template = self._corpus.private(512 if name in ("deid-534k", "deid-slices") else 128)
        path.write_bytes(template.instance(identity))

    def size(self, name: str, count: int) -> int:
        return sum(path.stat().st_size for path in self.source(name, count).iterdir())

    def run(self, tool: Tool, name: str, count: int, core: int) -> Spent:
        """One run; raises WrongAnswer where not every file came out, or one that says who it was of."""
        self._runs += 1
        destination = self._written / f"out-{self._runs}"
        self._written.mkdir(exist_ok=True)
        spent = one_core.run(tool.command(self.source(name, count), destination, self.kept), self._base, core)
        found = [path for path in destination.rglob("*") if path.is_file() and b"DICM" in _head(path)]
        if len(found) != count:
            raise WrongAnswer(f"{len(found)} of {count} files came out (exit code {spent.code}): {spent.said[-200:]}")
        if any(b"BENCH-" in _head(path) for path in found):
            raise WrongAnswer("Patient ID is left")
        if count <= _FEW_LEFT:
            shutil.rmtree(destination)
        return spent

    def clear(self) -> None:
        """Take away what was written, all at once at the end.

        ext4 gives out no inode that was freed within the last five minutes, and looks for another one after another:
        whoever writes many files soon after many were deleted pays for it, a tenth of the whole and more.
        """
        shutil.rmtree(self._written, ignore_errors=True)


def measure(folders: Folders, tool: Tool, work: DeidWork, turn: int, core: int) -> Figures:
    """CPU and wall of each file without what the tool takes to start; the peak is that of the whole process."""
    blank = Figures(SECTION, work.name, work.title, work.goal, tool.name, turn)
    few = "deid-39k" if work.name in ("deid-start", "deid-134m") else work.name
    try:
        start = min((folders.run(tool, few, FEW, core) for _ in range(_TRIES)), key=lambda spent: spent.cpu)
        if work.name == "deid-start":
            return _figures(blank, start, 1, folders.size(few, FEW))
        whole = folders.run(tool, work.name, work.count, core)
    except WrongAnswer as error:
        return replace(blank, note=f"wrong: {error}" if tool.name.startswith("Isocenter") else f"refused: {error}")
    count = work.count - FEW if few == work.name else work.count
    size = folders.size(work.name, work.count) * count // work.count
    spent = replace(whole, cpu=whole.cpu - start.cpu, wall=whole.wall - start.wall)
    if spent.cpu <= 0 or spent.wall <= 0:
        return replace(blank, note="lost: it took no longer than starting up, so much else went on")
    return _figures(blank, spent, count, size)


def _figures(blank: Figures, spent: Spent, count: int, size: int) -> Figures:
    return replace(
        blank,
        operations=count,
        cpu_ms=1000 * spent.cpu / count,
        wall_ms=1000 * spent.wall / count,
        per_second=count / spent.wall,
        mb_per_second=size / spent.wall / 1e6,
        growth_mb=spent.peak / 1e6,
        bytes=size // count,
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FRAME_BYTES // 16)
