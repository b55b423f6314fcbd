"""`isocenter key`: the secrets of de-identification projects, from which all pseudonyms are made."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from secrets import token_bytes
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from isocenter.bootstrap.backends import open_backends
from isocenter.bootstrap.deidentifying import DEID_KEY
from isocenter.cli.caller import caller
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.errors import BadRequest, NotFound
from isocenter.ports.platform import Platform
from isocenter.settings import load

app = typer.Typer(
    help="Secrets of de-identification projects: new, list, rotate, export, import.",
    no_args_is_help=True,
    add_completion=False,
)

Home = Annotated[Path | None, typer.Option(help="Folder that holds the key store.")]
Project = Annotated[str, typer.Argument(help="The project's name: lower-case letters, digits, hyphens.")]
_LEAST = 32


@app.command("new")
def new(project: Project = "default", home: Home = None) -> None:
    """Make a project's secret. There is no default one."""
    with closing(open_backends(load(home=home))) as backends:
        made = token_bytes(_LEAST)
        if backends.platform.secrets.create(_entry(project), made) != made:
            raise BadRequest(f"the project {project} has a secret already; rotate makes a new one")
        _say(backends.platform, "deid-key.new", f"A secret was made for {project}", made)


@app.command("list")
def list_(home: Home = None) -> None:
    """The projects that have a secret, and the fingerprint that evidence names."""
    shown = Table()
    shown.add_column("project")
    shown.add_column("fingerprint")
    with closing(open_backends(load(home=home))) as backends:
        secrets = backends.platform.secrets
        for name in secrets.names():
            value = secrets.get(name) if name.startswith(DEID_KEY) else None
            if value is not None:
                shown.add_row(name.removeprefix(DEID_KEY), Pseudonyms(value).check())
    Console().print(shown)


@app.command("rotate")
def rotate(project: Project = "default", home: Home = None) -> None:
    """Put a new secret in the place of a project's. What was made before keeps its pseudonyms, and no longer matches.

    The old secret stays under the project's name and its fingerprint, so that its vault can still be read.
    """
    with closing(open_backends(load(home=home))) as backends:
        secrets = backends.platform.secrets
        old = _secret(backends.platform, project)
        secrets.create(_entry(f"{project}.{Pseudonyms(old).check()}"), old)
        made = token_bytes(_LEAST)
        secrets.replace(_entry(project), made)
        _say(backends.platform, "deid-key.rotate", f"{project} has a new secret", made)


@app.command("export")
def export(project: Project = "default", home: Home = None) -> None:
    """The secret as hexadecimal on standard output. Whoever has it can test guesses of who is behind a pseudonym."""
    with closing(open_backends(load(home=home))) as backends:
        value = _secret(backends.platform, project)
        backends.platform.audit.append([caller().entry("deid-key.export")])
    typer.echo(value.hex())


@app.command("import")
def import_(project: Project = "default", home: Home = None) -> None:
    """Take a secret, as export gives it, from standard input: this machine then maps like the other."""
    text = sys.stdin.read().strip()
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) < _LEAST:
        raise BadRequest(f"a secret is at least {_LEAST} bytes as hexadecimal, on standard input")
    with closing(open_backends(load(home=home))) as backends:
        if backends.platform.secrets.create(_entry(project), value) != value:
            raise BadRequest(f"the project {project} has another secret already; import under another name")
        _say(backends.platform, "deid-key.import", f"{project} has its secret", value)


def _entry(project: str) -> str:
    name = project.partition(".")[0]
    if not (name.isascii() and name.replace("-", "").isalnum() and name == name.lower() and len(name) <= 63):
        raise BadRequest("a project's name is lower-case letters, digits and hyphens")
    return DEID_KEY + project


def _secret(platform: Platform, project: str) -> bytes:
    value = platform.secrets.get(_entry(project))
    if value is None:
        raise NotFound(f"there is no project {project}; isocenter key list shows those there are")
    return value


def _say(platform: Platform, action: str, told: str, value: bytes) -> None:
    platform.audit.append([caller().entry(action)])
    print_to = Console(stderr=True)
    print_to.print(f"{told}; its fingerprint is {Pseudonyms(value).check()}.", highlight=False)
