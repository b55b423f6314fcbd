"""`isocenter validate`: what is wrong with files, folders, ZIP archives and DICOMDIRs, and what to do about it."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from isocenter.cli.sources import Source, read_chunks, sources
from isocenter.cli.workers import Processes, batches, process_count, progress_bar
from isocenter.dicom.elements import Limits
from isocenter.errors import BadRequest, Malformed, Rejected
from isocenter.pipeline.validation.batch import Entry, Hasher, SeriesReport
from isocenter.pipeline.validation.profile import Profile
from isocenter.pipeline.validation.profile import load as load_profile
from isocenter.pipeline.validation.report import Finding, Report
from isocenter.pipeline.validation.rules import Severity
from isocenter.pipeline.validation.validator import Examined, Validator, refused
from isocenter.pipeline.zip_archives import ZipReader
from isocenter.settings import load

_BATCH = 32
_BEGINS = b'{"type": '  # every line of a report
_FEW_FILES, _FEW_PLACES = 3, 6
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


class FailOn(StrEnum):
    """From what on a file is not valid."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class _Told:
    """What a worker tells of one source."""

    name: str
    examined: Examined


@dataclass(slots=True)
class _Group:
    """One rule over all files."""

    first: Finding
    files: int = 0
    places: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)


def validate(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, ZIP archives, DICOMDIRs; - for standard input.")],
    profile: Annotated[str, typer.Option(help="lenient, standard, strict, or the path of a YAML file.")] = "standard",
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines on standard output: files, series, a summary.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write the same JSON lines here.")] = None,
    series: Annotated[
        bool, typer.Option("--series/--no-series", help="Also what only several files together tell.")
    ] = True,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="From what on a file is not valid; as the profile says without it.")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="List every file with what was found.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; one for each core without it.")] = None,
) -> None:
    """Validate images. Exit code 0: all are valid; 1: some are not, or there were none; 2: the call was wrong."""
    chosen = load_profile(profile)
    if fail_on is not None:
        chosen = Profile.model_validate(chosen.model_dump() | {"fail_on": fail_on.value})
    run = _Run(chosen, show_all=show_all, out=_opened(report), to_stdout=as_json)
    try:
        with progress_bar(Console(stderr=True)) as bar:
            task = bar.add_task("validate", total=None)
            for told in _examined(chosen, paths, jobs, lambda n: bar.update(task, total=n), run):
                run.take(told.name, told.examined, series=series)
                bar.advance(task)
        if series:
            run.take_series()
        run.close()
    finally:
        if run.out is not None:
            run.out.close()
    if run.invalid or run.invalid_groups or not run.files:
        raise typer.Exit(1)


def _opened(report: Path | None) -> IO[str] | None:
    """The report's file, which must not be one that holds anything else: a slip must not cost an image."""
    if report is None:
        return None
    try:
        if report.exists() and report.stat().st_size:
            with report.open("rb") as there:
                if there.read(len(_BEGINS)) != _BEGINS:
                    raise BadRequest("the file of --report holds something that is no report; name another")
        return report.open("w", encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"the file of --report cannot be written ({error.strerror})") from None


def _examined(profile: Profile, paths: list[str], jobs: int | None, total: Any, run: _Run) -> Iterator[_Told]:
    """Every source with what was found, in any order; workers take batches where there are many."""
    found: list[Source] = []
    for item in sources(paths):
        if isinstance(item, Source):
            found.append(item)
        else:
            yield _Told(item[0], Examined(refused(item[1], profile)))
    total(run.files + len(found))
    limits, most = _limits(), load().max_inflated_bytes
    key = Hasher().key
    work = batches(found, _BATCH)
    if len(found) <= _BATCH // 2 or any(source.path == "-" for source in found):
        worker = _Worker(profile, limits, most, key)
        for batch in work:
            yield from worker.take(batch)
        worker.close()
        return
    with Processes(process_count(jobs, len(work)), _open_worker, (profile, limits, most, key)) as processes:
        for told in processes.spread(_in_worker, work):
            yield from told


def _limits() -> Limits:
    settings = load()
    return Limits(
        depth=settings.max_depth,
        elements=settings.max_elements,
        header_bytes=settings.max_header_bytes,
        inflated_bytes=settings.max_inflated_bytes,
    )


class _Worker:
    """Validates in one process."""

    def __init__(self, profile: Profile, limits: Limits, most: int, key: bytes) -> None:
        self._validator = Validator(profile, limits=limits, hasher=Hasher(key))
        self._most = most
        self._archives = ZipReader()

    def take(self, batch: Sequence[Source]) -> list[_Told]:
        told = []
        for source in batch:
            try:
                told.append(_Told(source.name, self._one(source)))
            except OSError as error:
                unreadable = Malformed(f"it cannot be read ({error.strerror})", code="unreadable")
                told.append(_Told(source.name, Examined(refused(unreadable, self._validator.profile))))
            except Rejected as error:
                told.append(_Told(source.name, Examined(refused(error, self._validator.profile))))
        return told

    def _one(self, source: Source) -> Examined:
        if source.path != "-" and source.member is None:
            with open(source.path, "rb") as file:
                number = file.fileno()
                size = os.fstat(number).st_size
                return self._validator.object(lambda offset, length: os.pread(number, length, offset), size)
        examination = self._validator.examination()
        for chunk in read_chunks(source, self._most, self._archives):
            examination.feed(chunk)
            if examination.done:
                break
        return examination.finish()

    def close(self) -> None:
        self._archives.close()


_open: list[_Worker] = []  # the worker of this process; a pool has no other place for it


def _open_worker(profile: Profile, limits: Limits, most: int, key: bytes) -> None:
    worker = _Worker(profile, limits, most, key)
    _open.append(worker)
    atexit.register(worker.close)


def _in_worker(batch: Sequence[Source]) -> list[_Told]:
    return _open[0].take(batch)


class _Run:
    """What a run adds up, and shows."""

    def __init__(self, profile: Profile, *, show_all: bool, out: IO[str] | None, to_stdout: bool) -> None:
        self.out = out
        self.files = 0
        self.invalid = 0
        self.invalid_groups = 0  # series, studies, patients
        self._profile = profile
        self._validator = Validator(profile)
        self._console = Console()
        self._show_all = show_all
        self._to_stdout = to_stdout
        self._groups: dict[str, _Group] = {}
        self._kinds: Counter[str] = Counter()
        self._entries: list[Entry] = []
        self._names: list[str] = []

    def take(self, name: str, examined: Examined, *, series: bool) -> None:
        """One file."""
        report = examined.report
        self.files += 1
        self.invalid += not report.valid
        self._kinds[report.kind] += 1
        self._add(name, report)
        self._write({"type": "file", "file": name} | report.as_json())
        if series and examined.entry is not None:
            self._entries.append(examined.entry)
            self._names.append(name)

    def take_series(self) -> None:
        """What only several files together tell; a series or study goes by the name of its first file."""
        for found in self._validator.batch(self._entries):
            self.invalid_groups += not found.report.valid
            names = sorted(self._names[member] for member in found.members)
            self._add(_name_of(found, names), found.report)
            self._write({"type": found.level, "files": names} | found.report.as_json())

    def _add(self, name: str, report: Report) -> None:
        if self._show_all and report.findings and not self._to_stdout:
            self._console.print(_plain(name), style="bold")
        for rule in dict.fromkeys(finding.rule for finding in report.findings):
            findings = [finding for finding in report.findings if finding.rule == rule]
            group = self._groups.setdefault(rule, _Group(findings[0]))
            group.files += 1
            group.places.update(finding.path for finding in findings if finding.path)
            if len(group.names) < _FEW_FILES:
                group.names.append(name)
        if self._show_all and not self._to_stdout:
            for finding in report.findings:
                self._console.print(_line(finding))

    def _write(self, line: dict[str, Any]) -> None:
        if self.out is not None or self._to_stdout:
            text = json.dumps(line) + "\n"
            if self.out is not None:
                self.out.write(text)
            if self._to_stdout:
                sys.stdout.write(text)

    def close(self) -> None:
        """The table of rules, and the sum."""
        counts = {rule: group.files for rule, group in self._groups.items()}
        totals = {"files": self.files, "not_valid": self.invalid, "groups_not_valid": self.invalid_groups}
        about = {"profile": self._profile.name, "fail_on": str(self._profile.fail_on)}
        self._write({"type": "summary"} | about | totals | {"kinds": dict(self._kinds), "rules": counts})
        if self._to_stdout:
            return
        if self._groups:
            self._console.print(_table(self._groups.values()))
        self._console.print(Text(self._verdict()))

    def _verdict(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._kinds.items()))
        strictness = "errors and warnings" if self._profile.fail_on is Severity.WARNING else "errors"
        if not self.files:
            return "There is nothing to validate."
        told = "all valid" if not self.invalid else f"{self.invalid} not valid"
        if self.invalid_groups:
            told += f", and together {self.invalid_groups} times at fault"
        return f"{self.files} files ({kinds}): {told}. Profile {self._profile.name}, which fails on {strictness}."


def _table(groups: Iterable[_Group]) -> Table:
    """One row for each rule, the gravest and most frequent first."""
    shown = Table(title="What was found", title_justify="left", show_lines=True)
    shown.add_column("rule", overflow="fold", max_width=32)
    shown.add_column("files", justify="right")
    shown.add_column("what it is, where, and what to do", overflow="fold")
    for group in sorted(groups, key=lambda one: (one.first.severity.rank, -one.files)):
        severity = group.first.severity
        about = Text(f"{group.first.says}\n")
        if group.places:
            about.append("at: ", "bold").append(_listed([p for p, _ in group.places.most_common()], _FEW_PLACES) + "\n")
        about.append("do: ", "bold").append(group.first.do)
        if group.first.section:
            about.append(f" ({group.first.section})", "dim")
        about.append("\nin: ", "bold").append(_listed(map(str, map(_plain, group.names)), _FEW_FILES, group.files))
        shown.add_row(
            Text(f"{severity}\n", _COLOURS[severity]).append(group.first.rule, "default"), str(group.files), about
        )
    return shown


def _listed(names: Iterable[str], most: int, total: int | None = None) -> str:
    """The first few, and how many more there are."""
    known = list(names)
    left = (total if total is not None else len(known)) - min(most, len(known))
    return ", ".join(islice(known, most)) + (f" and {left} more" if left > 0 else "")


def _line(finding: Finding) -> Text:
    times = f" ({finding.count} places)" if finding.count > 1 else ""
    place = f" at {finding.path}" if finding.path else ""
    text = Text("  ").append(str(finding.severity), _COLOURS[finding.severity])
    return text.append(f" {finding.rule}{place}{times}: {finding.says}; {finding.do}")


def _name_of(found: SeriesReport, names: Sequence[str]) -> str:
    """How files that are told of together are spoken of: identifiers are contents."""
    if found.level == "instance":
        return " and ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return f"{found.level} of {len(names)} files, the first {names[0]}"


def _plain(name: str) -> Text:
    """A file name as it is, without what would steer a terminal."""
    return Text("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name))
