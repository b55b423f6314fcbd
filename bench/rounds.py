"""The order of measurements: the servers by turns, so that what else the machine does falls on all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench import deid, index_scale, one_core, render, retrieve, search, store
from bench.client import WrongAnswer
from bench.corpus import Corpus, Identity
from bench.deid_tools import Tool
from bench.index_fill import Shape
from bench.loading import ALL_TINY, Archive, Sizes, load
from bench.measure import NO_GOAL, Checked, Figures, Work, measure
from bench.progress import Steps
from bench.servers import Kind, Server

T = TypeVar("T")
_RUNS = 100  # numbers of runs to a turn


@dataclass(frozen=True)
class Bench:
    """What to measure, on which servers, how often and how long."""

    kinds: Sequence[Kind]
    corpus: Corpus
    cache: Path
    sizes: Sizes
    shapes: tuple[Shape, ...]
    rounds: int
    seconds: float  # for each read work in each turn
    count: int  # instances for each STOW work in each turn
    only: Sequence[str]
    tools: Sequence[Tool] = ()

    def chosen(self, name: str, section: str = "") -> bool:
        """By name, by the beginning of a name up to a hyphen, or by section."""
        return not self.only or any(
            word == name or name.startswith(f"{word}-") or word.lower() == section.lower() for word in self.only
        )

    def store_names(self) -> list[str]:
        names = [plan.name for plan in store.plans(self.corpus, 0, 1)] + [store.LARGE]
        return [name for name in names if self.chosen(name, store.SECTION)]

    def read_works(self, archive: Archive) -> list[Work]:
        works = [*search.works(archive), *retrieve.works(archive), *render.works(archive)]
        return [work for work in works if self.chosen(work.name, work.section)]

    def deid_works(self) -> list[deid.DeidWork]:
        works = deid.works(self.count) if self.tools else []
        return [work for work in works if self.chosen(work.name, deid.SECTION)]

    def index_works(self, shape: Shape) -> list[Work]:
        return [work for work in index_scale.works(shape) if self.chosen(work.name, work.section)]

    def names(self) -> list[str]:
        """Every work there is, in order."""
        archive = Archive(self.corpus, self.sizes, 0)
        index = [work.name for shape in self.shapes for work in self.index_works(shape)]
        all_tiny = [ALL_TINY] if self.chosen(ALL_TINY, store.SECTION) else []
        return [*self.store_names(), *all_tiny, *(work.name for work in self.read_works(archive)), *index,
                *(work.name for work in self.deid_works())]  # fmt: skip

    def run(self, steps: Steps) -> list[Figures]:
        found = self.stores(steps)
        found += self.reads(steps)
        found += self.searches_at_scale(steps)
        return found + self.deidentified(steps)

    def stores(self, steps: Steps) -> list[Figures]:
        """STOW into servers started fresh for each turn."""
        found: list[Figures] = []
        names = self.store_names()
        for turn in range(self.rounds if names else 0):
            for kind in _by_turns(self.kinds, turn):
                server = kind.start()
                try:
                    found += self._stores(steps, server, kind.first_run + turn * _RUNS, turn, names)
                finally:
                    server.stop()
        return found

    def _stores(self, steps: Steps, server: Server, run: int, turn: int, names: list[str]) -> list[Figures]:
        found: list[Figures] = []
        plans = store.plans(self.corpus, run, self.count)
        warming = replace(plans[1], identities=store.identities(run, 50))
        store.send(server, warming)
        tasks: list[tuple[str, str, Callable[[], Figures]]] = [
            (plan.name, plan.title, partial(store.store, server, plan, turn)) for plan in plans
        ]
        large, identity = self.corpus.multi_frame(self.sizes.frames), Identity(run + 60, 1, 1, 1)
        tasks.append((store.LARGE, "one large multi-frame", partial(store.store_large, server, large, identity, turn)))
        for name, title, task in tasks:
            if name in names:
                steps.say(f"round {turn + 1} of {self.rounds}, {server.name}: {name}")
                try:
                    found.append(task())
                except (WrongAnswer, OSError) as error:
                    blank = Figures(store.SECTION, name, title, NO_GOAL, server.name, turn)
                    found.append(replace(blank, note=f"wrong: {error}"))
                steps.done()
        return found

    def reads(self, steps: Steps) -> list[Figures]:
        """Servers loaded once and kept up; each work goes round among them."""
        wanted = [work.name for work in self.read_works(Archive(self.corpus, self.sizes, 0))]
        wanted += [ALL_TINY] if self.chosen(ALL_TINY, store.SECTION) else []
        if not wanted:
            return []
        with ExitStack() as stack:
            found: list[Figures] = []
            up: list[tuple[Server, list[Work]]] = []
            for kind in self.kinds:
                server = kind.start()
                stack.callback(server.stop)
                archive = Archive(self.corpus, self.sizes, kind.first_run + self.rounds * _RUNS)
                found += load(server, archive, wanted, partial(steps.sent, kind.name))
                steps.done()
                up.append((server, self.read_works(archive)))
            return [*(f for f in found if f.work in wanted), *self._alternate(steps, up)]

    def searches_at_scale(self, steps: Steps) -> list[Figures]:
        shapes = tuple(shape for shape in self.shapes if self.index_works(shape))
        if not shapes or not any(kind.name == "Isocenter" for kind in self.kinds):
            return []
        with index_scale.servers(shapes, self.cache, steps.say) as up:
            found: list[Figures] = []
            for shape in shapes:
                here = [(server, self.index_works(shape)) for server, its in up if its == shape]
                found += self._alternate(steps, here)
            return found

    def deidentified(self, steps: Steps) -> list[Figures]:
        """Each work by each tool in turn, on the last core there is."""
        works, core = self.deid_works(), one_core.available()
        found: list[Figures] = []
        folders = deid.Folders(self.corpus, self.cache) if works else None
        for turn in range(self.rounds if folders is not None else 0):
            for work in works:
                for tool in _by_turns([tool for tool in self.tools if work.is_for(tool)], turn):
                    steps.say(f"round {turn + 1} of {self.rounds}, {tool.name}: {work.name}")
                    assert folders is not None
                    found.append(deid.measure(folders, tool, work, turn, core))
                    steps.done()
        if folders is not None:
            folders.clear()
        return found

    def _alternate(self, steps: Steps, up: list[tuple[Server, list[Work]]]) -> list[Figures]:
        found: list[Figures] = []
        checked = Checked()
        for turn in range(self.rounds):
            for number in range(len(up[0][1]) if up else 0):
                for server, works in _by_turns(up, turn):
                    steps.say(f"round {turn + 1} of {self.rounds}, {server.name}: {works[number].name}")
                    found.append(measure(server, works[number], turn, checked, self.seconds))
                    steps.done()
        return found

    def steps(self) -> int:
        """How many steps `run` will take, about."""
        archive = Archive(self.corpus, self.sizes, 0)
        reads = len(self.read_works(archive))
        index = 2 * sum(len(self.index_works(shape)) for shape in self.shapes)
        each = self.rounds * (len(self.store_names()) + reads) + (1 if reads else 0)
        deidentified = sum(work.is_for(tool) for work in self.deid_works() for tool in self.tools)
        return each * len(self.kinds) + self.rounds * (index + deidentified)


def _by_turns(things: Sequence[T], turn: int) -> Sequence[T]:
    return things if turn % 2 == 0 else things[::-1]
