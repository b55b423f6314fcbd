"""`isocenter settings`: what is in force, where it can be set, secrets hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from isocenter.settings import Settings, load


def settings(
    home: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """Print the settings in force. Each is set by ISOCENTER_<NAME> or in isocenter.toml of the home folder."""
    found = load(home=home)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    table = Table(show_lines=False)
    for column in ("setting", "value", "what it is"):
        table.add_column(column)
    for name, field in Settings.model_fields.items():
        table.add_row(name, _shown(getattr(found, name)), field.description or "")
    Console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "(hidden)"
    if isinstance(value, dict):
        return ", ".join(f"{name}=(hidden)" for name in value) or "-"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
