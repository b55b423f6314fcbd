"""`isocenter`: the verbs, each loaded when it is called, and how their errors end."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command

from isocenter import __version__
from isocenter.errors import IsocenterError, Unavailable

# Each verb, and where its function or, of several, its Typer lies. What all of them load together takes a second.
VERBS = {
    "serve": "serve:serve",
    "ingest": "ingest:ingest",
    "validate": "validate:validate",
    "deid": "deid:deid",
    "verify": "verify:verify",
    "reidentify": "reidentify:reidentify",
    "fsck": "check:fsck",
    "scrub": "check:scrub",
    "reindex": "reindex:reindex",
    "restore": "check:restore",
    "watch": "watch:watch",
    "worker": "worker:worker",
    "settings": "show_settings:settings",
    "profile": "profile:app",
    "key": "key:app",
    "keys": "keys:app",
    "pipeline": "pipeline:app",
    "jobs": "jobs:app",
    "algorithm": "algorithm:app",
    "deliver": "deliver:app",
    "webhooks": "webhooks:app",
    "audit": "audit:app",
    "cost": "cost:cost",
}


class Verbs(TyperGroup):
    """The group of all verbs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        place = VERBS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        found = getattr(import_module(f"isocenter.cli.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
            alone.command(cmd_name)(found)
            found = alone
        command = get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="isocenter",
    cls=Verbs,
    help="A medical-imaging gateway: DICOM, NIfTI and pictures in; found, shown and given back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"isocenter {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say the version and end."),
) -> None:
    """Options of every verb."""


def main() -> None:
    """Run a verb. Exit code 1: something was found or refused; 2: the call was wrong; 3: try again later."""
    console = Console(stderr=True)
    try:
        app()
    except Unavailable as error:
        console.print(f"[red]not now:[/red] {escape(error.detail)}", highlight=False)
        sys.exit(3)
    except IsocenterError as error:
        console.print(f"[red]no:[/red] {escape(error.detail)}", highlight=False)
        sys.exit(2)
    except ValidationError as error:
        for fault in error.errors():
            name = ".".join(str(part) for part in fault["loc"])
            console.print(f"[red]setting {name}:[/red] {fault['msg']}", highlight=False)
        sys.exit(2)
