"""`isocenter ingest`: files, folders, ZIP archives, DICOMDIRs and standard input into the archive, on all cores."""

from __future__ import annotations

import atexit
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from isocenter.archive.store import Placement
from isocenter.bootstrap import ingest_of, open_backends
from isocenter.cli.caller import caller
from isocenter.cli.sources import Source, read_chunks, sources
from isocenter.cli.zip_archives import ZipReader
from isocenter.errors import BadRequest, Malformed, Rejected
from isocenter.records import Receipt
from isocenter.settings import Settings, load

_BATCH = 32
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one source, as a worker process tells it."""

    source: str
    outcome: str
    code: str | None = None
    detail: str | None = None
    id: str | None = None
    warnings: tuple[str, ...] = ()


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, ZIP archives, DICOMDIRs; - for standard input.")],
    home: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
    store: Annotated[str | None, typer.Option(help="Archive to put them in; the first one without it.")] = None,
    subject: Annotated[str | None, typer.Option(help="Subject of NIfTI volumes and pictures.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; one for each core without it.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write what became of each file here, as JSON lines.")] = None,
) -> None:
    """Take images in. Exit code 0: all are kept; 1: some were rejected; 3: some could not be kept now."""
    settings = load(home=home)
    if store is not None and store not in settings.stores:
        raise BadRequest(f"there is no store of that name; there are {', '.join(settings.stores)}")
    placement = Placement(store or settings.default_store)
    console = Console(stderr=True)
    told: Counter[str] = Counter()
    refused: list[Told] = []
    out = report.open("w", encoding="utf-8") if report else None
    with _progress(console) as progress:
        task = progress.add_task("ingest", total=None)
        for result in _run(settings, placement, subject, paths, jobs, lambda n: progress.update(task, total=n)):
            progress.advance(task)
            told[result.outcome] += 1
            if result.outcome in ("rejected", "failed") and len(refused) < 10_000:
                refused.append(result)
            if out is not None:
                out.write(json.dumps({name: getattr(result, name) for name in Told.__slots__}) + "\n")
    if out is not None:
        out.close()
    _close(console, told, refused)
    if told["failed"]:
        raise typer.Exit(3)
    if told["rejected"] or not told.total():
        raise typer.Exit(1)


class _Rate(ProgressColumn):
    """Files a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "")


def _progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, _Rate(), TimeRemainingColumn(), console=console, transient=True)


def _run(
    settings: Settings,
    placement: Placement,
    subject: str | None,
    paths: list[str],
    jobs: int | None,
    total: Callable[[int], None],
) -> Iterator[Told]:
    """Hand batches of sources to worker processes and pass on what became of each."""
    found: list[Source] = []
    for item in sources(paths):
        if isinstance(item, Source):
            found.append(item)
        else:
            yield Told(item[0], "rejected", item[1].code, item[1].detail)
    total(len(found))
    if len(found) <= _BATCH // 2 or any(source.path == "-" for source in found):
        worker = _Worker(settings, placement, subject)
        for start in range(0, len(found), _BATCH):
            yield from worker.take(found[start : start + _BATCH])
        worker.close()
        return
    count = min(jobs or os.cpu_count() or 1, -(-len(found) // _BATCH))
    batches = iter([found[start : start + _BATCH] for start in range(0, len(found), _BATCH)])
    with ProcessPoolExecutor(
        count,
        mp_context=get_context("spawn"),
        initializer=_open_worker,
        initargs=(settings, placement, subject),
    ) as pool:
        pending = {pool.submit(_in_worker, batch) for batch in islice(batches, 2 * count)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
            pending |= {pool.submit(_in_worker, batch) for batch in islice(batches, len(done))}


class _Worker:
    """The front door in one process."""

    def __init__(self, settings: Settings, placement: Placement, subject: str | None) -> None:
        self._backends = open_backends(settings)
        self._ingest = ingest_of(settings, self._backends.platform)
        self._most = settings.max_inflated_bytes
        self._placement = placement
        self._subject = subject
        self._caller = caller()
        self._archives = ZipReader()  # batches come in order, so each archive is opened once in a worker

    def take(self, batch: Sequence[Source]) -> list[Told]:
        """Ingest a batch of sources: committed together, each with its own answer."""
        receipts = self._ingest.batch(self._caller)
        for source in batch:
            intake = receipts.begin(source.name, self._placement_of())
            try:
                for chunk in read_chunks(source, self._most, self._archives):
                    intake.write(chunk)
                    if intake.failure is not None:
                        break
            except OSError as error:
                intake.fail(Malformed(f"it cannot be read ({error.strerror})", code="unreadable"))
            except Rejected as error:
                intake.fail(error)
            intake.finish()
        return [_told(receipt) for receipt in receipts.close()]

    def _placement_of(self) -> Placement:
        # DICOM says itself whom it is of.
        return replace(self._placement, other_subject_id=self._subject)

    def close(self) -> None:
        self._archives.close()
        self._backends.close()


_open: list[_Worker] = []  # the worker of this process; a pool has no other place for it


def _open_worker(settings: Settings, placement: Placement, subject: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    worker = _Worker(settings, placement, subject)
    _open.append(worker)
    atexit.register(worker.close)


def _end_with_parent(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _in_worker(batch: Sequence[Source]) -> list[Told]:
    return _open[0].take(batch)


def _told(receipt: Receipt) -> Told:
    error, record = receipt.error, receipt.record
    return Told(
        receipt.source,
        receipt.outcome,
        error.code if error else None,
        error.detail if error else None,
        record.id if record else None,
        receipt.warnings,
    )


def _close(console: Console, told: Counter[str], refused: list[Told]) -> None:
    """The closing table: how many of each outcome, and the first of what was refused with why."""
    table = Table(title=f"{told.total()} files", title_justify="left")
    table.add_column("outcome")
    table.add_column("files", justify="right")
    for outcome in ("stored", "duplicate", "replaced", "rejected", "failed"):
        if told[outcome]:
            table.add_row(outcome, str(told[outcome]))
    console.print(table)
    for result in refused[:_SHOWN]:
        console.print(f"  {result.source}: {result.detail} [{result.code}]", markup=False, highlight=False)
    if len(refused) > _SHOWN:
        console.print(f"  and {len(refused) - _SHOWN} more; --report FILE lists every one", highlight=False)
