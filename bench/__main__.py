"""`make bench`: runs the measurements and writes docs/benchmarks.md and docs/benchmarks.json."""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

from bench.report import write
from bench.servers import Isocenter, Orthanc, Server
from bench.store import Figures, store_large, store_many

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3, help="turns of each server and work")
    arguments.add_argument("--count", type=int, default=400, help="CT instances a turn")
    arguments.add_argument("--only", help="work to do: ct, tiny or large")
    chosen = arguments.parse_args()
    kinds: list[type[Server]] = [Isocenter, *([Orthanc] if Orthanc.is_here() else [])]
    figures: list[Figures] = []
    for turn in range(chosen.rounds):
        for kind in kinds if turn % 2 == 0 else reversed(kinds):
            figures += _turn(kind, turn, chosen.count, chosen.only)
    machine = f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    day = time.strftime("%Y-%m-%d")
    write(DOCS, figures, machine=machine, day=day, rounds=chosen.rounds)
    print(json.dumps([f.__dict__ for f in figures], indent=1))


def _turn(kind: type[Server], turn: int, count: int, only: str | None) -> list[Figures]:
    found: list[Figures] = []
    server = kind()
    try:
        if only in (None, "ct"):
            store_many(server, "warm-up", turn * 100, 50, clients=4)
            for clients in (1, 4, 16):
                found.append(store_many(server, "ct", turn * 100 + clients, count, clients=clients))
        if only in (None, "tiny"):
            found.append(store_many(server, "tiny", turn * 100 + 50, count, clients=1, per_request=10))
        if only in (None, "large"):
            found.append(store_large(server, turn * 100 + 60))
    finally:
        server.stop()
    return found


if __name__ == "__main__":
    main()
