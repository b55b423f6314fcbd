"""`isocenter ingest`: files, folders, ZIP archives, DICOMDIRs and standard input into the archive, on all cores."""

from __future__ import annotations

import atexit
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from isocenter.archive.store import Placement
from isocenter.bootstrap.backends import ingest_of, open_backends
from isocenter.cli.caller import caller
from isocenter.cli.sources import Source, read_chunks, sources
from isocenter.cli.workers import Processes, batches, process_count, progress_bar
from isocenter.errors import BadRequest, Malformed, Rejected
from isocenter.pipeline.zip_archives import ZipReader
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
    with progress_bar(console) as progress:
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
        for batch in batches(found, _BATCH):
            yield from worker.take(batch)
        worker.close()
        return
    work = batches(found, _BATCH)
    count = process_count(jobs, len(work))
    with Processes(count, _open_worker, (settings, placement, subject)) as processes:
        for told in processes.spread(_in_worker, work):
            yield from told


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
    worker = _Worker(settings, placement, subject)
    _open.append(worker)
    atexit.register(worker.close)


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
