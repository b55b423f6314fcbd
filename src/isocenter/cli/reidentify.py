"""`isocenter reidentify`: from pseudonyms back to identities, for those who hold the vault's key; always audited."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from isocenter.bootstrap import open_project
from isocenter.cli.caller import caller
from isocenter.dicom.dictionary import keyword_of
from isocenter.settings import load


def reidentify(
    pseudonyms: Annotated[list[str], typer.Argument(help="Patient IDs, accession numbers or UIDs as released.")],
    home: Annotated[Path | None, typer.Option(help="Folder that holds key store and vault.")] = None,
    project: Annotated[str, typer.Option(help="Whose vault to open.")] = "default",
) -> None:
    """Say who is behind pseudonyms, as JSON lines on standard output. Exit code 1: one is not in the vault."""
    wanted = set(pseudonyms)
    with closing(open_project(load(home=home), project, make=False)) as opened:
        # The entry comes first: nothing is told that was not noted.
        opened.audit.append([caller().entry("deid.reidentify", store=f"project:{project}", count=len(wanted))])
        found = sorted({entry for entry in opened.vault.entries() if entry[2] in wanted})
    for tag, original, pseudonym in found:
        told = {"pseudonym": pseudonym, "attribute": keyword_of(tag), "identity": original}
        typer.echo(json.dumps(told, ensure_ascii=False))
    if wanted - {entry[2] for entry in found}:
        raise typer.Exit(1)
