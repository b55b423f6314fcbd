"""`make bench`: runs the measurements and writes docs/benchmarks.md, docs/benchmarks.json and docs/benchmarks/*.png."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from bench import index_scale, plots, report
from bench.corpus import Corpus
from bench.deid_tools import tools
from bench.loading import QUICK, Sizes
from bench.progress import Steps
from bench.rounds import Bench
from bench.servers import kinds

_DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    console, chosen = Console(), _arguments()
    if not console.is_terminal:
        console = Console(width=150)
    bench = _bench(chosen)
    if chosen.list:
        console.print("\n".join(bench.names()), highlight=False)
        return
    if not bench.names() or not (bench.kinds or bench.deid_works()):
        console.print(f"[red]nothing to measure:[/red] no server, or no work named {' '.join(chosen.only)}; see --list")
        sys.exit(2)
    steps = Steps(console, bench.steps())
    busy = os.getloadavg()[1]
    started = time.perf_counter()
    try:
        figures = bench.run(steps)
    finally:
        steps.end()
    rows = report.rows(figures)
    report.show(console, rows)
    partial = chosen.quick or chosen.only or chosen.url
    folder: Path = chosen.out or (chosen.cache / "last" if partial else _DOCS)
    plots.draw(folder, rows)
    versions = (*(kind.version for kind in bench.kinds), *_tools(bench), f"Python {platform.python_version()}")
    report.write(
        folder, rows, machine=_machine(), versions=versions, day=time.strftime("%Y-%m-%d"), how=_how(bench, busy)
    )  # fmt: skip
    console.print(f"{time.perf_counter() - started:.0f} s; written to {folder / 'benchmarks.md'}", highlight=False)
    wrong = [row for row in rows if row.is_wrong]
    for row in wrong:
        console.print(f"[red]{row.server}, {row.work}:[/red] {row.note}", highlight=False)
    sys.exit(1 if wrong else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of everything, smaller, not for docs")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="works, their beginnings, or sections")
    parser.add_argument("--list", action="store_true", help="name the works and end")
    parser.add_argument("--servers", nargs="*", default=["isocenter", "orthanc"], choices=["isocenter", "orthanc"])
    parser.add_argument("--url", help="base URL of a DICOMweb server that runs already; it keeps what it is sent")
    parser.add_argument("--pid", type=int, help="its process, for CPU and memory")
    parser.add_argument("--name", default="Other", help="what to call it")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="sent with every request")
    parser.add_argument("--peers", type=Path, help="folder of programs with other tools to de-identify")
    parser.add_argument("--rounds", type=int, help="turns of each server (3)")
    parser.add_argument("--seconds", type=float, help="for each read work in a turn (1.0)")
    parser.add_argument("--count", type=int, help="instances for each STOW work in a turn (400)")
    parser.add_argument("--seed", type=int, default=1, help="of the images")
    cache = Path(tempfile.gettempdir()) / "isocenter-bench"
    parser.add_argument("--cache", type=Path, default=cache, help="keeps what was made for the next time (%(default)s)")
    parser.add_argument("--out", type=Path, help="folder to write to (docs; with --quick, --only or --url CACHE/last)")
    return parser.parse_args()


def _bench(chosen: argparse.Namespace) -> Bench:
    quick = chosen.quick
    headers = dict(header.split(":", 1) for header in chosen.header)
    return Bench(
        kinds=kinds(chosen.servers, chosen.url, chosen.pid, chosen.name, headers),
        corpus=Corpus(chosen.cache / "corpus", chosen.seed),
        cache=chosen.cache,
        sizes=QUICK if quick else Sizes(),
        shapes=index_scale.QUICK if quick else index_scale.FULL,
        rounds=chosen.rounds or (1 if quick else 3),
        seconds=chosen.seconds or (0.25 if quick else 1.0),
        count=chosen.count or (64 if quick else 400),
        only=chosen.only,
        tools=tools(chosen.servers, chosen.peers),
    )


def _tools(bench: Bench) -> list[str]:
    return [tool.version for tool in bench.tools if tool.version and bench.deid_works()]


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.release()}"


def _how(bench: Bench, busy: float) -> str:
    return (
        "`make bench` measures this anew; `python -m bench --help` says how to choose works and servers, also one that"
        f" runs already. The servers take turns, {bench.rounds} in all: medians, CPU with least and most. Before STOW"
        " each server is started fresh for each turn; for everything else each is loaded once with the same images"
        f" and asked for {bench.seconds:g} s a turn by one client on this machine, which shares the cores with it. CPU"
        " is user and system time of all the server's processes, until they rest again after the last answer; memory"
        " is the growth of their peak over what they held before. Each answer is read and compared with what was"
        " sent when it first comes, and after that its status and size are checked. Goals are Isocenter's own. Peers"
        " are measured where they are installed (Debian: `orthanc orthanc-dicomweb libgdcm-tools`). Walls drift"
        f" from run to run more than CPU does, and both grow where the machine has other things to do: before this run"
        f" {busy:.1f} processes were at work on its {os.cpu_count()} cores, on average over five minutes."
    )


if __name__ == "__main__":
    main()
