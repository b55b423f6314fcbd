"""`isocenter deliver`: images given out by links, or sent to a destination of the settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Column, Table

from isocenter.archive.deliver import DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS, Deliver, Terms
from isocenter.bootstrap.backends import open_backends
from isocenter.bootstrap.delivering import deliver_of, destination_of, send_of
from isocenter.cli.caller import caller
from isocenter.cli.workers import progress_bar
from isocenter.errors import BadRequest, IsocenterError, NotFound
from isocenter.pipeline.outputs import outputs_of
from isocenter.ports.platform import Platform
from isocenter.records import Delivery, ImageQuery, ImageRecord, State, now
from isocenter.settings import Settings, load

app = typer.Typer(help="Give images out: by links, or to a destination.", no_args_is_help=True, add_completion=False)

Home = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]
Images = Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Internal ids.")]
Study = Annotated[str | None, typer.Option(help="All images of this study (Study Instance UID).")]
Series = Annotated[str | None, typer.Option(help="Of the study only this series.")]
Subject = Annotated[str | None, typer.Option(help="All images of this subject.")]
Job = Annotated[str | None, typer.Option(help="What came of this job.")]
Store = Annotated[str | None, typer.Option(help="Where they lie; the default store without it.")]
_BATCH = 64


@contextmanager
def _opened(home: Path | None) -> Iterator[tuple[Settings, Platform, Deliver]]:
    settings = load(home=home)
    backends = open_backends(settings)
    with closing(backends):
        yield settings, backends.platform, deliver_of(settings, backends.platform)


@app.command("links")
def links(
    images: Images = None,
    study: Study = None,
    series: Series = None,
    subject: Subject = None,
    job: Job = None,
    store: Store = None,
    seconds: Annotated[
        int, typer.Option(min=LEAST_SECONDS, max=MOST_SECONDS, help="How long they live.")
    ] = DEFAULT_SECONDS,
    zipped: Annotated[bool, typer.Option("--zip", help="One link, to a ZIP archive with DICOMDIR.")] = False,
    original: Annotated[bool, typer.Option("--original", help="Preambles as they came, not zeros.")] = False,
    base_url: Annotated[str | None, typer.Option(help="Address of the server as receivers know it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON lines.")] = False,
    home: Home = None,
) -> None:
    """Make links that need no credentials. They stand alone on standard output; whoever has one has the image."""
    with _opened(home) as (settings, platform, deliver):
        place, chosen = _chosen(settings, platform, deliver, images, study, series, subject, job, store)
        made, missing = deliver.create(place, chosen, Terms(seconds, zipped, original), caller())
        base = (base_url or f"http://{settings.host}:{settings.port}").rstrip("/")
        after: int | None = 0
        while after is not None:
            page = deliver.links(made, after)
            for link in page.items:
                url = link.url or f"{base}{link.path}"
                told = {"image_id": link.image_id, "url": url, "file_name": link.file_name, "size": link.size}
                typer.echo(orjson.dumps(told | {"sha256": link.sha256}) if as_json else url)
            missing += page.missing
            after = page.next
    console = Console(stderr=True)
    console.print(
        f"Delivery {made.id}: {made.images} images until {made.expires:%Y-%m-%d %H:%M:%S} UTC", highlight=False
    )
    if missing:
        console.print(f"{len(missing)} images are not there: {', '.join(missing[:10])}", highlight=False)
        raise typer.Exit(1)


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most that are shown.")] = 20, home: Home = None
) -> None:
    """Deliveries, newest first, until a day after their end."""
    table = Table(Column("delivery", no_wrap=True), "store", "images", "by", "until", "state")
    with _opened(home) as (_, _, deliver):
        page = deliver.page(None, None, limit)
    for each in page.items:
        until = f"{each.expires:%Y-%m-%d %H:%M:%S}"
        table.add_row(each.id, each.store, str(each.images), each.actor, until, _state(each))
    Console().print(table)
    if page.next is not None:
        Console(stderr=True).print(f"There are more than these {limit}; ask with --limit.", highlight=False)


@app.command("revoke")
def revoke(id: Annotated[str, typer.Argument(help="A delivery's id.")], home: Home = None) -> None:
    """Stop a delivery's links at once. Links of an object store cannot be stopped."""
    with _opened(home) as (settings, _, deliver):
        made = deliver.revoke(id, settings.stores, caller())
    if made.presigned:
        Console(stderr=True).print("[yellow]Its links of the object store work until they expire.[/yellow]")


@app.command("to")
def to(
    destination: Annotated[str, typer.Argument(help="A name in the setting destinations.")],
    images: Images = None,
    study: Study = None,
    series: Series = None,
    subject: Subject = None,
    job: Job = None,
    store: Store = None,
    home: Home = None,
) -> None:
    """Send images to a destination. Exit code 1 where some did not arrive; sending again sends nothing twice."""
    console = Console(stderr=True)
    with _opened(home) as (settings, platform, deliver):
        if destination not in settings.destinations:
            raise BadRequest("the setting destinations names no such destination", code="no-such-destination")
        place, chosen = _chosen(settings, platform, deliver, images, study, series, subject, job, store)
        records = [record for id in chosen if (record := _current(platform, id, place)) is not None]
        faults = Counter({"image-not-there": len(chosen) - len(records)})
        send = send_of(settings, platform)
        with closing(destination_of(settings, destination)) as there, progress_bar(console) as bar:
            task = bar.add_task(destination, total=len(records))
            for batch in _batches(records):
                said = send.send(batch, there, caller())
                faults.update(error.code for error in said.values() if isinstance(error, IsocenterError))
                bar.advance(task, len(batch))
    console.print(f"{len(chosen) - faults.total()} of {len(chosen)} images are at {destination}", highlight=False)
    for code, count in sorted(faults.items()):
        if count:
            console.print(f"  {count}  {code}", highlight=False)
    if faults.total():
        raise typer.Exit(1)


def _chosen(
    settings: Settings,
    platform: Platform,
    deliver: Deliver,
    images: list[str] | None,
    study: str | None,
    series: str | None,
    subject: str | None,
    job: str | None,
    store: str | None,
) -> tuple[str, list[str]]:
    """The store, and the images in it that were named in one of the ways there are."""
    if sum(map(bool, (images, study, subject, job))) != 1 or (series and not study):
        raise BadRequest("name images by their ids, or by one of --study (and --series), --subject, --job")
    place = store or settings.default_store
    if job is not None:
        known = platform.jobs.get(job)
        if known is None:
            raise NotFound("there is no job with this id")
        records = [record for id in outputs_of(platform, known) if (record := platform.index.get(id)) is not None]
        place = store or (records[0].store if records else place)
        return place, [record.id for record in records if record.store == place]
    if images:
        return place, list(dict.fromkeys(images))
    found = deliver.matching(ImageQuery((place,), subject_id=subject, study_uid=study, series_uid=series))
    if not found:
        raise NotFound("no image is as was asked for", code="no-images")
    return place, found


def _current(platform: Platform, id: str, store: str) -> ImageRecord | None:
    record = platform.index.get(id)
    return record if record is not None and record.store == store and record.state is State.CURRENT else None


def _batches(records: list[ImageRecord]) -> Iterator[list[ImageRecord]]:
    for start in range(0, len(records), _BATCH):
        yield records[start : start + _BATCH]


def _state(delivery: Delivery) -> str:
    if delivery.revoked is not None:
        return "revoked"
    return "open" if delivery.expires > now() else "over"
