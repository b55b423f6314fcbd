"""The same searches on a small and on a large index, on SQLite and on PostgreSQL; Isocenter only."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.client import Request
from bench.index_fill import Shape, postgres_url, sqlite_home
from bench.measure import NO_GOAL, Goal, Work
from bench.search import INSTANCES_GOAL, JSON, LIMIT, PATIENT_GOAL, STUDIES_GOAL, listing
from bench.servers import Isocenter, Server
from isocenter.testing.postgres import BINARIES, postgres_server

SECTION = "Search at scale"
QUICK = (Shape(400, 10), Shape(2000, 10))
FULL = (Shape(400, 50), Shape(10_000, 50))


def works(shape: Shape) -> list[Work]:
    """The searches on an index of this shape; it is part of their names."""
    size = f"of {shape.studies:,} studies, {shape.instances:,} instances"

    def work(name: str, title: str, path: Callable[[int], str], count: int, goal: Goal, *tags: str) -> Work:
        expect = listing(count, *tags)
        return Work(
            f"index-{name}-{shape.studies}", SECTION, f"{title}, {size}", lambda n: Request(path(n), JSON), expect, goal
        )

    def study(number: int) -> int:
        """Studies all over the index, one after another."""
        return number * 7919 % shape.studies

    return [
        work(
            "studies", f"studies, limit {LIMIT}",
            lambda n: f"/studies?limit={LIMIT}", LIMIT, STUDIES_GOAL, "0020000D",
        ),
        work(
            "patient", "studies of one Patient ID",
            lambda n: f"/studies?PatientID={shape.patient(study(n))}", 2, PATIENT_GOAL, "0020000D", "00100020",
        ),
        work(
            "name", f"studies by PatientName=Doe*, limit {LIMIT}",
            lambda n: f"/studies?PatientName=Doe*&limit={LIMIT}", LIMIT, NO_GOAL, "0020000D", "00100010",
        ),
        work(
            "instances", f"{shape.per_series} instances of a series",
            lambda n: f"/studies/{shape.study_uid(study(n))}/series/{shape.series_uid(study(n), n % 2)}/instances",
            shape.per_series, INSTANCES_GOAL, "00080018",
        ),
    ]  # fmt: skip


@contextmanager
def servers(
    shapes: tuple[Shape, ...], cache: Path, told: Callable[[str], None]
) -> Iterator[list[tuple[Server, Shape]]]:
    """Isocenter on each database with each index, all up at once."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isocenter-bench-homes-")))
        found: list[tuple[Server, Shape]] = []

        def started(home: Path, name: str, shape: Shape, *more: int) -> None:
            server = Isocenter(home, name=name, more_processes=more)
            stack.callback(server.stop)
            found.append((server, shape))

        for shape in shapes:
            started(sqlite_home(shape, cache, told), "Isocenter on SQLite", shape)
        if (BINARIES / "initdb").exists():
            postgres = stack.enter_context(postgres_server())
            leader = int((postgres.folder / "data" / "postmaster.pid").read_text().split()[0])
            for shape in shapes:
                home = scratch / f"{shape.studies}"
                home.mkdir()
                url = postgres_url(shape, cache, postgres, home, told)
                (home / "isocenter.toml").write_text(f'database_url = "{url}"\n')
                started(home, "Isocenter on PostgreSQL", shape, leader)
        yield found
