"""`isocenter jobs`: how far they are, why something was kept out, and how to steer them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from isocenter.bootstrap.backends import open_backends
from isocenter.bootstrap.jobs import jobs_of
from isocenter.cli.caller import caller
from isocenter.cli.workers import progress_bar
from isocenter.errors import Conflict
from isocenter.jobs import FINAL, Job, JobState
from isocenter.pipeline.jobs import Jobs
from isocenter.ports.job_ledger import JobLedger
from isocenter.settings import load

app = typer.Typer(help="List, watch and steer jobs.", no_args_is_help=True, add_completion=False)

Home = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]
Id = Annotated[str, typer.Argument(help="A job's id.")]
_LOOK = 0.5  # seconds
_SHOWN = 20


@contextmanager
def _opened(home: Path | None) -> Iterator[tuple[Jobs, JobLedger]]:
    settings = load(home=home)
    backends = open_backends(settings)
    with closing(backends), closing(jobs_of(settings, backends.platform)) as jobs:
        yield jobs, backends.platform.jobs


@app.command("ls")
def ls(
    state: Annotated[JobState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most that are shown.")] = 20,
    home: Home = None,
) -> None:
    """Jobs, newest first."""
    table = Table(Column("job", no_wrap=True), "pipeline", "state", "images", "done", "kept out", "findings", "since")
    with _opened(home) as (jobs, ledger):
        page = ledger.jobs(states=() if state is None else (state,), limit=limit)
        for job in page.items:
            far = jobs.progress(job.id)
            kept_out = far.rejected + far.unavailable
            table.add_row(
                job.id, job.pipeline, _state(job), str(job.images), str(far.finished), str(kept_out or ""),
                str(far.findings or ""), _ago(job.created),
            )  # fmt: skip
    Console().print(table)
    if page.next is not None:
        Console(stderr=True).print(f"There are more than these {limit}; ask with --limit.", highlight=False)


@app.command("show")
def show(
    id: Id,
    json: Annotated[bool, typer.Option("--json", help="As JSON, with every image that was kept out.")] = False,
    home: Home = None,
) -> None:
    """How far a job is, step by step, and what was kept out for which reason."""
    with _opened(home) as (jobs, _):
        far = jobs.progress(id)
        faults = list(jobs.faults(id))
    if json:
        told = far.as_json() | {"faults": [asdict(fault) for fault in faults]}
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    console = Console()
    console.print(f"{far.job.pipeline}, {_state(far.job)}: {far.finished} of {far.job.images} images", highlight=False)
    table = Table("step", "passed", "rejected", "unavailable", "findings")
    for name, counts in far.steps.items():
        table.add_row(name, str(counts.done), str(counts.rejected), str(counts.unavailable), str(counts.findings))
    console.print(table)
    for fault in faults[:_SHOWN]:
        again = ", may be tried again" if fault.retriable else ""
        console.print(f"  {fault.image}  {fault.step}: {fault.code}{again}", highlight=False)
    if len(faults) > _SHOWN:
        console.print(f"  and {len(faults) - _SHOWN} more; --json shows all", highlight=False)


@app.command("watch")
def watch(id: Id, home: Home = None) -> None:
    """Show how far a job is until it is over. Exit code 1 where something was kept out or it failed."""
    with _opened(home) as (jobs, _):
        follow(jobs, id)


def follow(jobs: Jobs, id: str) -> None:
    """A live bar until a job is over."""
    console = Console(stderr=True)
    far = jobs.progress(id)
    with progress_bar(console) as bar:
        task = bar.add_task(far.job.pipeline, total=far.job.images)
        while not far.job.is_final:
            bar.update(task, completed=far.finished, description=f"{far.job.pipeline} {far.job.state.value}")
            time.sleep(_LOOK)
            far = jobs.progress(id)
    kept_out = far.rejected + far.unavailable
    console.print(
        f"{far.job.state.value}: {far.finished} of {far.job.images} images"
        + (f", {kept_out} kept out (isocenter jobs show {id})" if kept_out else ""),
        highlight=False,
    )
    if kept_out or far.job.state is not JobState.DONE:
        raise typer.Exit(1)


@app.command("cancel")
def cancel(id: Id, home: Home = None) -> None:
    """End a job. What was done stays done."""
    with _opened(home) as (jobs, _):
        _said(jobs.cancel(id, caller()))


@app.command("pause")
def pause(id: Id, home: Home = None) -> None:
    """Let a job begin nothing more until it is resumed."""
    with _opened(home) as (jobs, _):
        _said(jobs.pause(id, caller()))


@app.command("resume")
def resume(id: Id, home: Home = None) -> None:
    """Go on with a job that was paused."""
    with _opened(home) as (jobs, _):
        _said(jobs.resume(id, caller()))


@app.command("retry")
def retry(id: Id, home: Home = None) -> None:
    """Run a job's pipeline again over the images that were kept out, and no others; the new job's id is printed."""
    with _opened(home) as (jobs, _):
        typer.echo(jobs.retry(id, caller()).id)


@app.command("redrive")
def redrive(home: Home = None) -> None:
    """Try again, for every job that is over, the images that the surroundings failed; prints the new jobs' ids."""
    with _opened(home) as (jobs, ledger):
        after: str | None = None
        while True:
            page = ledger.jobs(states=FINAL, after=after)
            for job in page.items:
                if job.summary is not None and any(counts.unavailable for counts in job.summary.values()):
                    _redriven(jobs, job)
            after = page.next
            if after is None:
                return


def _redriven(jobs: Jobs, job: Job) -> None:
    try:
        typer.echo(jobs.retry(job.id, caller(), retriable_only=True).id)
    except Conflict as error:
        Console(stderr=True).print(f"{job.id}: {escape(error.detail)}", highlight=False)


def _state(job: Job) -> str:
    return job.state.value if job.code is None else f"{job.state.value} ({job.code})"


def _said(job: Job) -> None:
    Console(stderr=True).print(f"{job.id} is {job.state.value}", highlight=False)


def _ago(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, word in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} s"
