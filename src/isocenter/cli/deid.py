"""`isocenter deid`: files, folders, ZIP archives, DICOMDIRs and buckets in; de-identified instances and proof out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from isocenter import __version__
from isocenter.bootstrap.backends import left_tidy, object_store
from isocenter.bootstrap.deidentifying import Project, open_project
from isocenter.cli.caller import caller
from isocenter.cli.deid_log import Log, Stamp
from isocenter.cli.deid_page import write_page
from isocenter.cli.deid_worker import (
    Found,
    Job,
    Looked,
    Work,
    Worker,
    begin,
    deidentify_batch,
    destination_of,
    look_batch,
)
from isocenter.cli.sources import Source, sources
from isocenter.cli.workers import Processes, batches, process_count, progress_bar
from isocenter.deid import profile as profiles
from isocenter.deid.encrypted import recipient as checked_recipient
from isocenter.deid.identifiers import Known
from isocenter.deid.rules import WORDS, Action
from isocenter.deid.table import table
from isocenter.errors import BadRequest, Rejected
from isocenter.pipeline.deidentify import Outcome
from isocenter.settings import load

_BATCH = 32
_FEW = 16  # so many files are done before another process has started
_SHOWN = 20


class Layout(StrEnum):
    """How outputs lie in the destination."""

    PSEUDONYM = "pseudonym"  # patient/study/series/instance.dcm
    MIRROR = "mirror"  # the source's folders, each name a pseudonym


@dataclass(slots=True)
class _Run:
    """What a run counts."""

    told: Counter[str]
    refused: list[tuple[str, Outcome]]
    actions: Counter[tuple[str, str, str]]
    skipped: int = 0


def deid(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Sources (files, folders, ZIP archives, DICOMDIRs, s3://bucket/prefix), then the destination."
        ),
    ],
    profile: Annotated[
        str, typer.Option(help="A shipped profile or the path of a YAML file; see isocenter profile list.")
    ],
    home: Annotated[Path | None, typer.Option(help="Folder that holds the key store.")] = None,
    project: Annotated[str, typer.Option(help="Whose secret makes the pseudonyms.")] = "default",
    report: Annotated[Path | None, typer.Option(help="Folder for evidence; DEST.report without it.")] = None,
    layout: Annotated[Layout, typer.Option(help="Folders by pseudonym, or as the source has them.")] = Layout.PSEUDONYM,
    recipient: Annotated[
        Path | None, typer.Option(help="Certificate (PEM) for whom what is taken out is put in, encrypted.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; one for each core without it.")] = None,
    vault: Annotated[
        bool, typer.Option("--vault/--no-vault", help="Keep who is behind which pseudonym, encrypted.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; say per attribute what would be done.")
    ] = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Only so many of the sources, picked by key.")] = None,
) -> None:
    """De-identify. Exit code 0: all are released; 1: some were kept back; 3: some could not be read or written now."""
    if len(paths) < 2 and not dry_run:
        raise BadRequest("name at least one source, and the destination last")
    origins, destination = (paths, None) if dry_run and len(paths) == 1 else (paths[:-1], paths[-1])
    console = Console(stderr=True)
    settings = load(home=home)
    chosen = profiles.load(profile)
    certificate = None if recipient is None else _certificate(recipient)
    with closing(open_project(settings, project)) as opened:
        if opened.is_new:
            console.print(
                f"A new secret was made for the project {project!r} and is kept in {settings.home}. Whoever maps alike"
                " needs it: isocenter key export",
                highlight=False,
            )
        roots = tuple(str(Path(origin).resolve()) for origin in origins if "://" not in origin)
        target = None if dry_run else destination
        job = Job(settings, chosen, opened.secret, target, layout.value, roots, certificate, vault)
        run = _Run(Counter(), [], Counter())
        if dry_run:
            _go(console, job, origins, None, run, jobs, sample, opened)
            _show_actions(run)
            _close(console, run, None)
        else:
            _keep_apart(origins, destination or "")
            _batch(console, job, origins, _report_folder(report, destination), run, jobs, sample, opened)
    if run.told["failed"]:
        raise typer.Exit(3)
    if run.told["quarantined"] or not (run.told.total() or run.skipped):
        raise typer.Exit(1)


def _batch(
    console: Console,
    job: Job,
    origins: list[str],
    place: Path,
    run: _Run,
    jobs: int | None,
    sample: int | None,
    opened: Project,
) -> None:
    """A run that writes: its evidence as it goes, manifest and page at its end."""
    with closing(Log(place, job.profile_sha256, job.key)) as log:
        _go(console, job, origins, log, run, jobs, sample, opened)
        store = f"project:{opened.name}"
        opened.audit.append([caller().entry("deid.run", store=store, count=run.told.total())])
        manifest = log.finish(_about(job, opened.name), opened.signing_key)
        destination = destination_of(job)
        if destination is not None:
            write_page(place, manifest, destination)
        if job.destination is not None and "://" not in job.destination:
            left_tidy(Path(job.destination))
    _close(console, run, place)


def _go(console: Console, job: Job, origins: list[str], log: Log | None, run: _Run, jobs: int | None,
        sample: int | None, opened: Project) -> None:  # fmt: skip
    """Find the sources, look at all of them once for what identifies their studies, and de-identify."""
    found: list[Found] = []
    for item in _origins(job, origins):
        if isinstance(item, Source):
            found.append(Found.of(item, opened.pseudonyms))
        else:
            outcome = Outcome(opened.pseudonyms.path(item[0]), "quarantined", item[1].code, item[1].detail)
            _note(run, log, item[0], outcome, Stamp(outcome.source))
    if sample is not None:
        found = sorted(found, key=lambda one: one.stamp.name)[:sample]
    done = log.done() if log is not None else set()
    left = [one for one in found if one.stamp not in done]
    run.skipped = len(found) - len(left)
    if not left:
        return
    with progress_bar(console) as bar, _Crew(job, jobs, len(left)) as crew:
        looking = bar.add_task("look", total=len(found))
        uids: dict[str, tuple[str, str]] = {}
        known: dict[str, Known] = {}
        # All of them, those done before too: what a study knows must not depend on how often it was begun.
        for looked in crew.look(batches(found, _BATCH)):
            uids |= looked.uids
            for study, learned in looked.known.items():
                known[study] = known.get(study, Known()) | learned
            bar.advance(looking, _BATCH)
        bar.remove_task(looking)
        working = bar.add_task("de-identify", total=len(left))
        times = Counter(instance for _, instance in uids.values())
        work = (_work(batch, uids, known, times) for batch in batches(left, _BATCH))
        for piece, outcomes in crew.deidentify(work):
            for one, outcome in zip(piece.batch, outcomes, strict=True):
                _note(run, log, one.source.name, outcome, one.stamp)
                if log is not None and job.vault:
                    opened.vault.add(outcome.identity)
            if log is not None:
                opened.vault.settle()
                log.settle()
            bar.advance(working, len(outcomes))


def _origins(job: Job, origins: list[str]) -> Iterator[Source | tuple[str, Rejected]]:
    for origin in origins:
        if "://" not in origin:
            yield from sources([origin])
            continue
        for stat in object_store(job.settings, origin).list():
            yield Source(origin, name=f"{origin.rstrip('/')}/{stat.key}", key=stat.key, size=stat.size)


def _work(
    batch: Sequence[Found], uids: dict[str, tuple[str, str]], known: dict[str, Known], times: Counter[str]
) -> Work:
    names = [one.stamp.name for one in batch if one.stamp.name in uids]
    learned = {name: known[uids[name][0]] for name in names if uids[name][0] in known}
    return Work(batch, learned, frozenset(name for name in names if times[uids[name][1]] > 1))


class _Crew:
    """Workers: this process for a few sources or one core, else one process for each core."""

    def __init__(self, job: Job, jobs: int | None, sources: int) -> None:
        count = 1 if sources <= _FEW else process_count(jobs, -(-sources // _BATCH))
        self._worker = Worker(job) if count == 1 else None
        self._processes = Processes(count, begin, (job,)) if count > 1 else None

    def look(self, work: list[Sequence[Found]]) -> Iterator[Looked]:
        if self._processes is not None:
            return self._processes.spread(look_batch, work)
        assert self._worker is not None
        return map(self._worker.look, work)

    def deidentify(self, work: Iterable[Work]) -> Iterator[tuple[Work, list[Outcome]]]:
        if self._processes is not None:
            return self._processes.spread(deidentify_batch, work)
        worker = self._worker
        assert worker is not None
        return ((piece, worker.deidentify(piece)) for piece in work)

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *args: object) -> None:
        if self._processes is not None:
            self._processes.__exit__(*args)
        if self._worker is not None:
            self._worker.close()


def _note(run: _Run, log: Log | None, name: str, outcome: Outcome, stamp: Stamp) -> None:
    run.told[outcome.kind] += 1
    if outcome.kind in ("quarantined", "failed") and len(run.refused) < _SHOWN:
        run.refused.append((name, outcome))
    if log is None:
        for done in outcome.evidence.get("actions", ()):
            for attribute, count in done["attributes"].items():
                run.actions[attribute, done["action"], done["rule"]] += count
    else:
        log.add(outcome, stamp)


def _certificate(path: Path) -> bytes:
    try:
        found = path.read_bytes()
    except OSError:
        raise BadRequest("the recipient's certificate cannot be read") from None
    checked_recipient(found)
    return found


def _report_folder(report: Path | None, destination: str | None) -> Path:
    if report is not None:
        return report
    name = (destination or "deid").rstrip("/")
    return Path(f"{name}.report" if "://" not in name else f"{name.rsplit('/', 1)[-1]}.report")


def _keep_apart(origins: list[str], destination: str) -> None:
    """A destination in a source, or the other way round, would take outputs for inputs or lie among them."""
    if "://" in destination:
        return
    place = Path(destination).resolve()
    if place.exists() and not place.is_dir():
        raise BadRequest("the destination is a file; name a folder")
    for origin in origins:
        if origin == "-" or "://" in origin:
            continue
        path = Path(origin).resolve()
        if path == place or path in place.parents or place in path.parents:
            raise BadRequest("the destination lies in a source, or a source in it; name a folder apart from them")


def _about(job: Job, project: str) -> dict[str, object]:
    return {
        "software": f"isocenter {__version__}",
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": job.profile.model_dump(mode="json"),
        "profile_sha256": job.profile_sha256,
        "edition": table().edition_line,
        "project": project,
        "key": job.key,
    }


def _close(console: Console, run: _Run, place: Path | None) -> None:
    """The closing table, and the first of what was kept back with why."""
    shown = Table(title=f"{run.told.total()} files", title_justify="left")
    shown.add_column("outcome")
    shown.add_column("files", justify="right")
    for kind in ("released", "duplicate", "quarantined", "failed"):
        if run.told[kind]:
            shown.add_row(kind, str(run.told[kind]))
    if run.skipped:
        shown.add_row("done before", str(run.skipped))
    console.print(shown)
    for name, outcome in run.refused:
        console.print(f"  {name}: {outcome.detail} [{outcome.code}]", markup=False, highlight=False)
    more = run.told["quarantined"] + run.told["failed"] - len(run.refused)
    if more > 0:
        console.print(f"  and {more} more: see the report", highlight=False)
    if place is not None:
        console.print(f"Evidence and signed manifest: {place}; check them with isocenter verify", highlight=False)


def _show_actions(run: _Run) -> None:
    """What would happen, by attribute: how often, and by which rule."""
    shown = Table(title="What would be done", title_justify="left")
    for column in ("attribute", "action", "rule"):
        shown.add_column(column)
    shown.add_column("times", justify="right")
    for (attribute, action, rule), count in sorted(run.actions.items()):
        shown.add_row(attribute, WORDS[Action(action)], rule, str(count))
    Console().print(shown)
