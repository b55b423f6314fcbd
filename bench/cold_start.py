"""`python -m bench.cold_start`: how long each function of AWS takes to begin, and what the time goes to.

The packages of `make lambda` are started under AWS's own runtime interface client; init is the time from the start of
the process to the first request for work. What each library costs is read off Python's own account of imports
(`-X importtime`), which slows them down: its figures are parts of a whole, scaled to the time without it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
from rich.console import Console
from rich.table import Table

from isocenter.adapters.aws.table import create_table, dynamodb
from isocenter.testing.aws.host import Environment, Function, Packages
from isocenter.testing.aws_server import aws_server

ROOT = Path(__file__).parents[1]
ROUNDS = 7
GOALS = {"api": 600, "step": 500, "upload_event": 350, "maintenance": None}
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")


def main() -> None:
    """Measure all of them and print two tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--packages", type=Path, default=ROOT / "build" / "lambda", help="what `make lambda` made")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name, world() as environment:
        packages = Packages(Path(name) / "unzipped")
        functions = {each: function(each, given.packages, environment) for each in GOALS}
        inits: dict[str, list[float]] = {each: [] for each in functions}
        for turn in range(given.rounds + 1):  # the first reads the files from the disk
            for each, made in functions.items():
                inits[each] += [init(made, packages)] if turn else [init(made, packages)][:0]
        bare = statistics.median(bare_start(packages, functions["api"]) for _ in range(given.rounds))
        show(inits, bare)
        for each, made in functions.items():
            show_parts(each, parts(made, packages))


@contextmanager
def world() -> Iterator[Mapping[str, str]]:
    """What a function is told by Terraform, on moto's server."""
    with aws_server() as server, tempfile.TemporaryDirectory() as home:
        create_table(dynamodb(**server.options), "table")
        for bucket in ("raw", "deidentified"):
            boto3.client("s3", **server.options).create_bucket(Bucket=bucket)
        arn = "arn:aws:states:us-east-1:123456789012:stateMachine:"
        yield {
            "ISOCENTER_HOME": home,
            "ISOCENTER_DATABASE_URL": "dynamodb://table",
            "ISOCENTER_BLOBS_URL": "s3://raw",
            "ISOCENTER_BLOBS_URLS": json.dumps({"deidentified": "s3://deidentified"}),
            "ISOCENTER_SECRETS_PREFIX": "isocenter/",
            "ISOCENTER_STATE_MACHINES": json.dumps({"validate-deidentify": f"{arn}a"}),
            "ISOCENTER_INCOMING_URL": "s3://raw",
            "ISOCENTER_INCOMING_PIPELINE": "validate-deidentify",
            "ISOCENTER_UPLOAD_LINKS": "presigned",
            "ISOCENTER_AUTH": "keys",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }


def function(name: str, packages: Path, environment: Mapping[str, str]) -> Function:
    """The function of that handler, from the zips."""
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Function(
        name, f"arn:aws:lambda:us-east-1:123456789012:function:{name}", "1", f"isocenter.lambdas.{name}.handler",
        runtime, 30, 1769, (packages / "isocenter.zip").read_bytes(),
        ((packages / "dependencies.zip").read_bytes(),), environment,
    )  # fmt: skip


def init(made: Function, packages: Packages) -> float:
    """Milliseconds until a new environment asks for work."""
    environment = Environment(made, packages)
    try:
        return environment.began_after(60) * 1000
    finally:
        environment.close()


def bare_start(packages: Packages, made: Function) -> float:
    """Milliseconds of a Python with the runtime interface client that runs nothing."""
    return init(Function(**{**vars(made), "handler": "json.dumps", "code": made.code}), packages)


def parts(made: Function, packages: Packages) -> list[tuple[str, float, int]]:
    """(library, milliseconds, modules) of what a handler imports, the dearest first."""
    task, layer = packages.unzipped(made.code), packages.unzipped(made.layers[0]) / "python"
    module = made.handler.rpartition(".")[0]
    command = [getattr(sys, "_base_executable", sys.executable), "-S", "-X", "importtime", "-c", f"import {module}"]
    path = os.pathsep.join(map(str, (task, layer)))
    environment = {**made.environment, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "AWS_REGION": "us-east-1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    found: dict[str, tuple[float, int]] = {}
    for line in done.stderr.splitlines():
        told = _IMPORT.match(line)
        if told is not None:
            top = told[4].partition(".")[0]
            name = "Python itself" if top in sys.stdlib_module_names or top == "encodings" else top
            before = found.get(name, (0.0, 0))
            found[name] = (before[0] + int(told[1]) / 1000, before[1] + 1)
    return sorted(((name, spent, count) for name, (spent, count) in found.items()), key=lambda row: -row[1])


def show(inits: Mapping[str, list[float]], bare: float) -> None:
    table = Table("function", "init ms (median)", "least", "most", "goal", title="Cold start")
    for name, times in inits.items():
        goal = GOALS[name]
        row = [statistics.median(times), min(times), max(times)]
        table.add_row(name, *(f"{each:.0f}" for each in row), "" if goal is None else f"≤ {goal}")
    table.add_row("a runtime that loads nothing", f"{bare:.0f}", "", "", "")
    Console(width=110).print(table)


def show_parts(name: str, found: list[tuple[str, float, int]]) -> None:
    table = Table("library", "ms", "modules", title=f"Imports of {name}: {sum(row[1] for row in found):.0f} ms")
    for library, spent, count in found[:16]:
        table.add_row(library, f"{spent:.1f}", str(count))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
