"""`isocenter watch`: takes in what is left in a folder or a bucket, and starts a pipeline on it."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from isocenter.bootstrap.backends import folder_inbox, ingest_of, object_inbox, open_backends
from isocenter.bootstrap.jobs import jobs_of, plans_of
from isocenter.cli.caller import caller
from isocenter.errors import BadRequest
from isocenter.pipeline.files import Files
from isocenter.pipeline.watch import Looked, Watcher
from isocenter.settings import load


def watch(
    place: Annotated[str, typer.Argument(help="A folder, or s3://, gs://, az:// with a bucket and prefix.")],
    pipeline: Annotated[str | None, typer.Option(help="Run over what was taken in.")] = None,
    store: Annotated[str | None, typer.Option(help="Where images go; the pipeline's store without it.")] = None,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Take what is there now, and end.")] = False,
    home: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
) -> None:
    """Take in what comes until stopped. What was taken in is moved to `processed`, what is no image to `failed`.

    A file is taken when two looks in a row see it unchanged. Exit code 1 with --once: something failed.
    """
    settings, console = load(home=home), Console(stderr=True)
    plan = None if pipeline is None else plans_of(settings).load(pipeline)
    chosen = store or (plan.store if plan is not None else settings.default_store)
    if plan is not None and plan.store != chosen:
        raise BadRequest(f"the pipeline begins at the store {plan.store}, not at {chosen}")
    if chosen not in settings.stores:
        raise BadRequest(f"the settings know no store {chosen}")
    inbox = object_inbox(settings, place) if "://" in place else folder_inbox(Path(place))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def told(looked: Looked) -> None:
        more = f", {looked.left} to be tried again" if looked.left else ""
        job = f", job {looked.job}" if looked.job else ""
        console.print(f"{looked.processed} taken in, {looked.failed} failed{more}{job}", highlight=False)

    backends = open_backends(settings)
    with closing(backends), closing(jobs_of(settings, backends.platform)) as jobs:
        ingest = ingest_of(settings, backends.platform)
        most = settings.max_inflated_bytes
        watcher = Watcher(inbox, Files(ingest, jobs, chosen, plan, caller(), most_inflated=most))
        if not once:
            console.print("watching; Ctrl-C ends it", highlight=False)
            watcher.run(stopping, every, told)
            return
        looked = watcher.look()
        stopping.wait(every)  # a folder's files are whole when two looks see them alike
        looked += watcher.look()
        told(looked)
        if looked.failed or looked.left:
            raise typer.Exit(1)
