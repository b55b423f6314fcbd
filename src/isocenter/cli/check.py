"""`isocenter fsck`, `scrub` and `restore`: is everything there, is it whole, and back with what was deleted."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from isocenter.archive.check import Check, Report, purge_missing
from isocenter.bootstrap.backends import Backends, deletes_of, open_backends
from isocenter.cli.caller import caller
from isocenter.errors import BadRequest
from isocenter.records import ImageQuery, State, now
from isocenter.settings import Settings, load

HomeOption = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Tell the result as JSON on standard output.")]


def fsck(
    home: HomeOption = None,
    repair: Annotated[
        bool, typer.Option(help="Sweep leftovers, and take images whose bytes are gone out of search.")
    ] = False,
    older_than: Annotated[
        float | None,
        typer.Option(min=0, help="Sweep leftovers older than so many hours, while others are at work."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold rows against blobs. Exit code 0: nothing is damaged; 1: something is missing or altered."""
    settings = load(home=home)
    backends = open_backends(settings)
    with closing(backends):
        check = Check(backends.platform)
        before = _sweep_before(settings, backends, older_than) if repair else None
        with _progress() as progress:
            task = progress.add_task("fsck", total=None)
            report = check.fsck(sweep_before=before, progress=lambda n: progress.update(task, completed=n))
        repaired = purge_missing(backends.platform, report, caller()) if repair and report.missing else 0
    _tell(report, as_json, repaired=repaired, sweeping=repair)
    if report.damaged:
        raise typer.Exit(1)


def _sweep_before(settings: Settings, backends: Backends, older_than: float | None) -> datetime:
    """Up to when leftovers are nobody's: now where we are alone in the home folder, else a day ago."""
    if older_than is not None:
        return now() - timedelta(hours=older_than)
    ours = settings.database_url is None and settings.blobs_url is None
    return backends.home.alone_since if ours and backends.home.alone_since else now() - timedelta(days=1)


def scrub(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Read every stored byte and hold it against its SHA-256. Exit code 1: something is missing or altered."""
    settings = load(home=home)
    backends = open_backends(settings)
    with closing(backends), _progress() as progress:
        task = progress.add_task("scrub", total=None)
        report = Check(backends.platform).scrub(progress=lambda n: progress.update(task, completed=n))
    _tell(report, as_json, repaired=0, sweeping=False)
    if report.damaged:
        raise typer.Exit(1)


def restore(
    ids: Annotated[list[str] | None, typer.Argument(help="Internal ids, as GET /images tells them.")] = None,
    study: Annotated[str | None, typer.Option(help="StudyInstanceUID: everything deleted of it.")] = None,
    subject: Annotated[str | None, typer.Option(help="Subject: everything deleted of theirs.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Only list what can be restored.")] = False,
    home: HomeOption = None,
) -> None:
    """Bring deleted images back within their grace time. Exit code 1: there was nothing to restore."""
    if not ids and study is None and subject is None and not listing:
        raise BadRequest("name internal ids, --study or --subject, or ask with --list")
    settings = load(home=home)
    backends = open_backends(settings)
    console = Console(stderr=True)
    with closing(backends):
        delete = deletes_of(settings, backends.platform)
        wanted = list(ids or ())
        if listing or study is not None or subject is not None:
            query = ImageQuery(study_uid=study, subject_id=subject, states=(State.DELETED,))
            found = delete.matching(query)
            if listing:
                for record in found:
                    typer.echo(f"{record.id}  {record.kind}  deleted {record.changed:%Y-%m-%d %H:%M}")
                raise typer.Exit(0 if found else 1)
            wanted += [record.id for record in found]
        restored = delete.restore(wanted, caller()) if wanted else ()
    console.print(f"{len(restored)} restored", highlight=False)
    if not restored:
        raise typer.Exit(1)


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _tell(report: Report, as_json: bool, *, repaired: int, sweeping: bool) -> None:
    if as_json:
        told = {name: getattr(report, name) for name in Report.__dataclass_fields__}
        typer.echo(json.dumps({**told, "damaged": report.damaged, "repaired": repaired}))
        return
    console = Console(highlight=False)
    console.print(f"{report.images} images checked")
    if report.bytes_read:
        console.print(f"{report.bytes_read} bytes read")
    for ids, what in (
        (report.missing, "stored object is missing"),
        (report.altered, "stored object is altered"),
        (report.missing_details, "metadata is missing"),
    ):
        for id in ids[:20]:
            console.print(f"  [red]{id}[/red]: {what}")
        if len(ids) > 20:
            console.print(f"  and {len(ids) - 20} more")
    left = report.unreferenced - report.swept
    if report.swept:
        console.print(f"{report.swept} leftovers of interrupted uploads swept")
    if left:
        hint = "they may belong to uploads under way" if sweeping else "`isocenter fsck --repair` sweeps them"
        console.print(f"{left} leftovers of interrupted uploads ({report.unreferenced_bytes} bytes); {hint}")
    if repaired:
        console.print(f"{repaired} images without bytes were taken out of search")
    console.print("[red]damaged[/red]" if report.damaged else "[green]clean[/green]")
