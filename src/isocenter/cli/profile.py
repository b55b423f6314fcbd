"""`isocenter profile`: the de-identification profiles there are, what they say, and how two differ."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from isocenter.deid import profile as profiles
from isocenter.deid.rules import difference, explain
from isocenter.deid.table import table
from isocenter.dicom.dictionary import keyword_of

app = typer.Typer(
    help="De-identification profiles: list, show, explain, compare.", no_args_is_help=True, add_completion=False
)

Name = Annotated[str, typer.Argument(help="A shipped profile, or the path of a YAML file.")]


@app.command("list")
def list_() -> None:
    """The profiles that come with Isocenter."""
    shown = Table(title=f"Profiles ({table().edition_line})", title_justify="left")
    shown.add_column("name")
    shown.add_column("what it is for")
    shown.add_column("options")
    for name in profiles.shipped():
        profile = profiles.load(name)
        shown.add_row(name, profile.title, "\n".join(profile.options) or "none")
    Console().print(shown)


@app.command("show")
def show(name: Name) -> None:
    """A profile as YAML, with every default filled in: a start for one of your own."""
    found = profiles.load(name).model_dump(mode="json")
    typer.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command("explain")
def explain_(
    attribute: Annotated[str, typer.Argument(help="A keyword (PatientID) or a tag (0010,0020).")],
    profile: Annotated[str, typer.Option(help="A shipped profile, or the path of a YAML file.")] = "basic",
) -> None:
    """What a profile does with one attribute, and why."""
    shown = Table(show_header=False, title=f"Profile {profile}", title_justify="left")
    for key, value in explain(profiles.load(profile), attribute).items():
        shown.add_row(key, value)
    Console().print(shown)


@app.command("diff")
def diff(one: Name, other: Name) -> None:
    """Attributes that two profiles treat differently. Exit code 1 where there are any."""
    found = difference(profiles.load(one), profiles.load(other))
    shown = Table(title=f"{len(found)} attributes differ", title_justify="left")
    for column in ("attribute", "tag", one, other):
        shown.add_column(column)
    for tag, first, second in found:
        shown.add_row(keyword_of(tag), f"({tag >> 16:04X},{tag & 0xFFFF:04X})", first, second)
    Console().print(shown)
    if found:
        raise typer.Exit(1)
