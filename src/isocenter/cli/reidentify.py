"""`isocenter reidentify`: from pseudonyms back to identities, for those who hold the vault's key; always audited."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from isocenter.bootstrap.backends import open_backends
from isocenter.bootstrap.deidentifying import open_project
from isocenter.cli.caller import caller
from isocenter.deid.encrypted import restored
from isocenter.dicom.dictionary import keyword_of
from isocenter.errors import BadRequest
from isocenter.settings import Settings, load


def reidentify(
    pseudonyms: Annotated[
        list[str], typer.Argument(help="Patient IDs, accession numbers or UIDs as released; with --private-key a file.")
    ],
    home: Annotated[Path | None, typer.Option(help="Folder that holds key store and vault.")] = None,
    project: Annotated[str, typer.Option(help="Whose vault to open.")] = "default",
    private_key: Annotated[Path | None, typer.Option(help="The recipient's RSA key (PEM): restores a file.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="The recipient's certificate (PEM).")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the restored file goes.")] = None,
) -> None:
    """Say who is behind pseudonyms, as JSON lines on standard output. Exit code 1: one is not in the vault.

    With --private-key, --certificate and --out: put back what a released file holds encrypted for that key.
    """
    if private_key is not None or certificate is not None or out is not None:
        _restore(pseudonyms, load(home=home), private_key, certificate, out)
        return
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


def _restore(
    files: list[str], settings: Settings, private_key: Path | None, certificate: Path | None, out: Path | None
) -> None:
    if private_key is None or certificate is None or out is None or len(files) != 1:
        raise BadRequest("restoring takes one file, --private-key, --certificate and --out")
    try:
        data, pem, key = Path(files[0]).read_bytes(), certificate.read_bytes(), private_key.read_bytes()
    except OSError as error:
        raise BadRequest(f"one of the files cannot be read ({error.strerror})") from None
    with closing(open_backends(settings)) as backends:
        backends.platform.audit.append([caller().entry("deid.restore")])
    found = restored(data, pem, key)
    try:
        with open(out, "xb") as file:
            file.write(found)
    except FileExistsError:
        raise BadRequest("the file for the result is there already; name a new one (--out)") from None
