"""`isocenter pipeline`: what pipelines there are, and runs of them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from isocenter.bootstrap.backends import open_backends
from isocenter.bootstrap.jobs import jobs_of, plans_of
from isocenter.cli.caller import caller
from isocenter.cli.jobs import follow
from isocenter.errors import BadRequest, Misconfigured
from isocenter.pipeline import graph as drawn
from isocenter.pipeline import states
from isocenter.pipeline.plan import Plan, plan_of
from isocenter.records import ImageQuery
from isocenter.settings import load

app = typer.Typer(help="List, check, draw and run pipelines.", no_args_is_help=True, add_completion=False)

Home = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]
Name = Annotated[str, typer.Argument(help="A pipeline's name, or the path of a YAML file.")]


def _plan(name: str, home: Path | None) -> Plan:
    if not name.endswith((".yaml", ".yml")):
        return plans_of(load(home=home)).load(name)
    try:
        return plan_of(Path(name).read_text("utf-8"), name)
    except (OSError, UnicodeDecodeError):
        raise BadRequest(f"{name} cannot be read as text") from None


@app.command("list")
def list_(home: Home = None) -> None:
    """The pipelines there are: those shipped, and those in the folder `pipelines` of the home."""
    table = Table("name", "store", "steps", "what it does")
    plans = plans_of(load(home=home))
    for name in plans.names():
        try:
            plan = plans.load(name)
        except Misconfigured as error:
            table.add_row(name, "", "", f"[red]wrong:[/red] {error.detail}")
            continue
        table.add_row(name, plan.store, " > ".join(step.name for step in plan.steps), plan.description)
    Console().print(table)


@app.command("show")
def show(name: Name, home: Home = None) -> None:
    """A pipeline as JSON, everything it leaves to defaults filled in."""
    typer.echo(orjson.dumps(_plan(name, home).model_dump(by_alias=True), option=orjson.OPT_INDENT_2))


@app.command("check")
def check(name: Name, home: Home = None) -> None:
    """Whether a pipeline is right, and if not what is wrong where. Exit code 2 where it is not."""
    plan = _plan(name, home)
    settings = load(home=home)
    missing = sorted(plan.stores - set(settings.stores))
    if missing:
        raise Misconfigured(f"{plan.name}: the settings know no store {', '.join(missing)}")
    Console(stderr=True).print(
        f"{plan.name} is right: {len(plan.steps)} steps in {len(plan.stages)} stages", highlight=False
    )


@app.command("graph")
def graph(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output without it.")] = None,
    home: Home = None,
) -> None:
    """Draw a pipeline as SVG."""
    picture = drawn.svg(_plan(name, home))
    if out is None:
        typer.echo(picture)
    else:
        out.write_text(picture, "utf-8")


@app.command("asl")
def asl(
    name: Name,
    express: Annotated[
        bool, typer.Option("--express", help="For jobs of one chunk, paid by the time they take.")
    ] = False,
    home: Home = None,
) -> None:
    """The Step Functions definition (Amazon States Language) that runs the same pipeline on AWS."""
    made = (states.express_asl if express else states.asl)(_plan(name, home))
    typer.echo(orjson.dumps(made, option=orjson.OPT_INDENT_2))


@app.command("run")
def run(
    name: Name,
    images: Annotated[list[str] | None, typer.Argument(help="Internal ids; all there are without any.")] = None,
    study: Annotated[str | None, typer.Option(help="Only of this StudyInstanceUID.")] = None,
    series: Annotated[str | None, typer.Option(help="Only of this SeriesInstanceUID.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only of this subject.")] = None,
    priority: Annotated[int, typer.Option(min=1, max=1000, help="Lower goes first.")] = 100,
    watch: Annotated[bool, typer.Option("--watch", help="Show how far it is until it is over.")] = False,
    home: Home = None,
) -> None:
    """Start a job. It is done by `isocenter serve`, or by `isocenter worker`; its id stands on standard output."""
    plan, settings = _plan(name, home), load(home=home)
    backends = open_backends(settings)
    with closing(backends), closing(jobs_of(settings, backends.platform)) as jobs:
        if images:
            job = jobs.start_with(plan, images, caller(), priority=priority)
        else:
            query = ImageQuery((plan.store,), subject_id=subject, study_uid=study, series_uid=series)
            job = jobs.start(plan, query, caller(), priority=priority)
        typer.echo(job.id)
        if watch:
            follow(jobs, job.id)
