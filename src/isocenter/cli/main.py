"""`isocenter`: the verbs, and how their errors end."""

from __future__ import annotations

import sys

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from isocenter import __version__
from isocenter.cli import (
    algorithm,
    audit,
    check,
    deid,
    deliver,
    ingest,
    jobs,
    key,
    keys,
    pipeline,
    profile,
    reidentify,
    reindex,
    serve,
    show_settings,
    validate,
    verify,
    watch,
    worker,
)
from isocenter.errors import IsocenterError, Unavailable

app = typer.Typer(
    name="isocenter",
    help="A medical-imaging gateway: DICOM, NIfTI and pictures in; found, shown and given back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.serve)
app.command("ingest")(ingest.ingest)
app.command("validate")(validate.validate)
app.command("deid")(deid.deid)
app.command("verify")(verify.verify)
app.command("reidentify")(reidentify.reidentify)
app.command("fsck")(check.fsck)
app.command("scrub")(check.scrub)
app.command("reindex")(reindex.reindex)
app.command("restore")(check.restore)
app.command("watch")(watch.watch)
app.command("worker")(worker.worker)
app.command("settings")(show_settings.settings)
app.add_typer(profile.app, name="profile")
app.add_typer(key.app, name="key")
app.add_typer(keys.app, name="keys")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(jobs.app, name="jobs")
app.add_typer(algorithm.app, name="algorithm")
app.add_typer(deliver.app, name="deliver")
app.add_typer(audit.app, name="audit")


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
