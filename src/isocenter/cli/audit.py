"""`isocenter audit`: hold the audit log's chain against its key, and write its entries for other systems."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from isocenter.archive import audit as trail
from isocenter.archive.audit_export import FORMATS
from isocenter.bootstrap.backends import open_backends
from isocenter.cli.caller import caller
from isocenter.errors import BadRequest, Misconfigured
from isocenter.ports.audit_log import AuditLog
from isocenter.settings import load

app = typer.Typer(help="Verify and export the audit log.", no_args_is_help=True, add_completion=False)

Home = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]
_ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})\Z")


class Format(StrEnum):
    JSONL = "jsonl"
    FHIR = "fhir"
    DICOM = "dicom"


@app.command("verify")
def verify(
    anchor: Annotated[
        str | None,
        typer.Option(help="N:DIGEST as an earlier verify printed it; a log put back to an older copy lacks it."),
    ] = None,
    home: Home = None,
) -> None:
    """Recompute the whole chain. Exit code 0: intact; 1: altered or cut off, and where."""
    known = _anchor(anchor)
    backends = open_backends(load(home=home))
    try:
        verdict = trail.verify(backends.platform.audit, backends.audit_key, known)
        if verdict.intact:  # appending to a broken log would seal it anew
            backends.platform.audit.append([caller().entry("audit.verify", count=max(1, verdict.entries))])
    finally:
        backends.close()
    console = Console(stderr=True)
    if verdict.intact:
        console.print(f"intact: {verdict.entries} entries", highlight=False)
        if verdict.entries:
            typer.echo(f"{verdict.entries}:{verdict.digest}")
        return
    if verdict.broken_at is not None:
        told = f"entry {verdict.broken_at} is not what was written; the {verdict.entries} before it hold"
    else:
        told = f"the end is missing: {verdict.entries} entries hold, more were written"
    console.print(f"[red]broken:[/red] {told}", highlight=False)
    raise typer.Exit(1)


def _anchor(text: str | None) -> trail.Anchor | None:
    if text is None:
        return None
    found = _ANCHOR.match(text)
    if found is None:
        raise BadRequest("an anchor is N:DIGEST, as `isocenter audit verify` prints it")
    return trail.Anchor(int(found[1]), found[2])


@app.command("export")
def export(
    format: Annotated[Format, typer.Option(help="JSON lines, FHIR R4, or DICOM audit messages.")] = Format.JSONL,
    after: Annotated[int, typer.Option(min=0, help="Begin behind this sequence.")] = 0,
    output: Annotated[Path | None, typer.Option(help="File to write; standard output without it.")] = None,
    home: Home = None,
) -> None:
    """Write the entries, one to a line, in order. The export is itself audited."""
    backends = open_backends(load(home=home))
    try:
        if output is None:
            count = _write(backends.platform.audit, format, after, sys.stdout)
        else:
            try:
                with output.open("w", encoding="utf-8", newline="\n") as file:
                    count = _write(backends.platform.audit, format, after, file)
            except OSError as error:
                raise Misconfigured("the output file cannot be written", code="output-unusable") from error
        backends.platform.audit.append([caller().entry("audit.export", count=max(1, count))])
    finally:
        backends.close()
    Console(stderr=True).print(f"{count} entries", highlight=False)


def _write(log: AuditLog, format: Format, after: int, out: TextIO) -> int:
    line, count = FORMATS[format], 0
    for entry in trail.entries(log, after):
        out.write(line(entry) + "\n")
        count += 1
    return count
