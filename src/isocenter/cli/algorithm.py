"""`isocenter algorithm`: what algorithms there are, runs of them on files at hand, and a start for one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from isocenter.algorithms.base import Made, Output
from isocenter.algorithms.registry import Registry
from isocenter.algorithms.template import files_of
from isocenter.archive.recognise import HEAD, DicomInspector, PictureInspector, inspector_for
from isocenter.bootstrap.analysing import open_analysis
from isocenter.deid.source import InFile
from isocenter.dicom.elements import Limits
from isocenter.errors import BadRequest, Conflict, Malformed, Rejected
from isocenter.picture import HEAD_BYTES, recognise
from isocenter.pipeline.analyse import Analysis, Checked
from isocenter.records import Kind
from isocenter.settings import load

app = typer.Typer(
    help="Algorithms: list, show, run on files, begin a new one.", no_args_is_help=True, add_completion=False
)

Name = Annotated[str, typer.Argument(help="An algorithm's name.")]
Home = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]
_ENDS = (".nii.gz", ".nii", ".dcm", ".dicom", ".ima", ".jpg", ".jpeg", ".png", ".gif")


@app.command("list")
def list_() -> None:
    """The algorithms there are: those built in, and those of installed packages."""
    table = Table()
    table.add_column("name", no_wrap=True)
    for column in ("version", "takes", "gives", "package", "what it does"):
        table.add_column(column)
    known = Registry.standard()
    for name in known.names():
        package, fault = known.entry(name).package, known.fault(name)
        if fault is not None:
            table.add_row(escape(name), "", "", "", escape(package), f"[red]broken:[/red] {escape(fault)}")
            continue
        found = known.get(name)
        takes, gives = ", ".join(found.takes), ", ".join(found.gives)
        table.add_row(name, escape(found.version), takes, gives, escape(package), escape(found.description))
    Console().print(table)


@app.command("show")
def show(
    name: Name,
    schema: Annotated[bool, typer.Option("--schema", help="Only the JSON Schema of its parameters.")] = False,
) -> None:
    """An algorithm's parameters, as a table and as JSON Schema."""
    known = Registry.standard()
    found, described = known.get(name), known.schema(name)
    if not schema:
        console = Console()
        console.print(f"[bold]{name}[/bold] {escape(found.version)}: {escape(found.description)}", highlight=False)
        console.print(f"takes {', '.join(found.takes)}; gives {', '.join(found.gives)}", highlight=False)
        table = Table("parameter", "type", "default", "what it is")
        for parameter, about in described.get("properties", {}).items():
            default = orjson.dumps(about["default"]).decode() if "default" in about else "required"
            table.add_row(parameter, _type(about), default, escape(about.get("description", "")))
        console.print(table)
    typer.echo(orjson.dumps(described, option=orjson.OPT_INDENT_2).decode())


@app.command("run")
def run(
    name: Name,
    files: Annotated[list[Path], typer.Argument(help="Images.", exists=True, dir_okay=False)],
    out: Annotated[Path | None, typer.Option(help="Folder for what is made; beside each file without it.")] = None,
    parameters: Annotated[str, typer.Option(help="JSON object.")] = "{}",
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each file on standard output.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Of findings in DICOM, a structured report and a presentation state too.")
    ] = False,
    series: Annotated[bool, typer.Option("--series", help="The files are one series, taken as a volume.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Whether what is there already may go.")] = False,
    home: Home = None,
) -> None:
    """Run an algorithm on files. What it makes lies beside them, named after them. Exit code 1 if one was refused."""
    analysis, close = open_analysis(load(home=home))
    refused = 0
    with ExitStack() as held:
        held.callback(close)
        checked = analysis.check(name, _parameters(parameters))
        for group in [files] if series else [[file] for file in files]:
            try:
                output = _worked(analysis, checked, group, series=series, report=report)
                made = _kept(output, group[0], checked.suffix, out, overwrite=overwrite)
                _tell(group[0], checked, output, made, json=json)
            except Rejected as error:
                refused += 1
                Console(stderr=True).print(
                    f"[red]{escape(str(group[0]))}:[/red] {escape(error.detail)}", highlight=False
                )
    if refused:
        raise typer.Exit(1)


@app.command("new")
def new(
    name: Name, out: Annotated[Path | None, typer.Option(help="Folder to make; one of that name without it.")] = None
) -> None:
    """Begin a package with an algorithm, its entry point and its own passing test."""
    folder = out or Path(name)
    files = files_of(name)
    if folder.exists() and any(folder.iterdir()):
        raise BadRequest(f"{folder} is not empty")
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
    Console(stderr=True).print(f"{folder}: `pytest {folder}` runs its tests, `pip install {folder}` makes it known")


def _worked(analysis: Analysis, checked: Checked, files: Sequence[Path], *, series: bool, report: bool) -> Output:
    with ExitStack() as held:
        sources = [held.enter_context(InFile(file)) for file in files]
        if series:
            return analysis.run_series(checked, sources)
        kind = _kind(sources[0])
        output = analysis.run(checked, sources[0], kind)
        if report and kind is Kind.DICOM and output.findings:
            output = output + analysis.report(checked, sources[0], output)
        return output


def _kind(source: InFile) -> Kind:
    inspector = inspector_for(source.read(0, HEAD), Limits())
    if isinstance(inspector, DicomInspector):
        return Kind.DICOM
    if not isinstance(inspector, PictureInspector):
        return Kind.NIFTI
    picture = recognise(source.read(0, HEAD_BYTES))
    if picture is None:
        raise Malformed("neither DICOM nor NIfTI nor JPEG, PNG or GIF")
    return Kind(picture.kind)


def _kept(output: Output, file: Path, suffix: str, out: Path | None, *, overwrite: bool) -> list[Path]:
    """Write what was made; nothing where one of it is there already with other contents."""
    folder = file.parent if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    stem = next((file.name[: -len(end)] for end in _ENDS if file.name.lower().endswith(end)), file.name) or file.name
    places = [(folder / f"{stem}{suffix}{made.suffix}", made) for made in output.made]
    for place, made in places:
        if place.exists() and not overwrite and place.read_bytes() != made.data:
            raise Conflict(f"{place.name} is there already; --overwrite writes it anew")
    return list(_written(places))


def _written(places: Sequence[tuple[Path, Made]]) -> Iterator[Path]:
    for place, made in places:
        half = place.with_name(f".{place.name}.part")
        half.write_bytes(made.data)
        os.replace(half, place)
        yield place


def _tell(file: Path, checked: Checked, output: Output, made: Sequence[Path], *, json: bool) -> None:
    findings = [finding.as_json() for finding in output.findings]
    if json:
        told = {"file": str(file), "algorithm": checked.algorithm, "version": checked.version}
        typer.echo(orjson.dumps({**told, "findings": findings, "made": [str(place) for place in made]}).decode())
        return
    console = Console()
    table = Table("frame", "label", "confidence", "box", "values", title=escape(str(file)), title_justify="left")
    for found in findings:
        box = " ".join(f"{side:g}" for side in found.get("box", ()))
        values = ", ".join(f"{name} {value:.6g}" for name, value in found.get("values", {}).items())
        table.add_row(str(found["frame"]), escape(found["label"]), f"{found['confidence']:.2f}", box, values)
    if findings:
        console.print(table)
    for place in made:
        console.print(f"made {escape(str(place))}", highlight=False)


def _parameters(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRequest("--parameters is no JSON") from None
    if not isinstance(found, dict):
        raise BadRequest("--parameters is a JSON object: '{\"name\": value}'")
    return found


def _type(about: dict[str, Any]) -> str:
    kinds = [each.get("type", "") for each in about.get("anyOf", [about])]
    return " or ".join(kind for kind in kinds if kind != "null")
