"""`isocenter webhooks`: who is told of events, and what did not get through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from isocenter.bootstrap.backends import open_backends
from isocenter.bootstrap.notifying import notifier_of, webhooks_of
from isocenter.cli.caller import caller
from isocenter.pipeline.webhooks import WebhookDesk
from isocenter.ports.platform import Platform
from isocenter.records import EVENTS
from isocenter.settings import Settings, load

app = typer.Typer(help="Have listeners told of events.", no_args_is_help=True, add_completion=False)

Home = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]
Id = Annotated[str, typer.Argument(help="A webhook's id, as `isocenter webhooks ls` lists it.")]
_PAGE = 1000


@contextmanager
def _opened(home: Path | None) -> Iterator[tuple[Settings, Platform, WebhookDesk]]:
    settings = load(home=home)
    backends = open_backends(settings)
    with closing(backends):
        yield settings, backends.platform, webhooks_of(settings, backends.platform)


@app.command("add")
def add(
    url: Annotated[str, typer.Argument(help="Where events are POSTed to: https, or of the setting webhook_urls.")],
    event: Annotated[list[str], typer.Option(help=f"{', '.join(EVENTS)}. May be repeated.")],
    store: Annotated[str | None, typer.Option(help="Events of this store only.")] = None,
    home: Home = None,
) -> None:
    """Have a listener told from now on. The secret that signs stands alone on standard output, once."""
    with _opened(home) as (_, _, desk):
        made, secret = desk.add(url, event, store, caller())
    typer.echo(secret)
    console = Console(stderr=True)
    console.print(f"Webhook {made.id} is told of {', '.join(sorted(made.events))}.", highlight=False)
    console.print("The secret above signs what is sent. It is not shown again.", highlight=False)


@app.command("ls")
def ls(as_json: Annotated[bool, typer.Option("--json", help="As JSON lines.")] = False, home: Home = None) -> None:
    """Webhooks, oldest first; never their secrets."""
    with _opened(home) as (_, platform, desk):
        standings, last = desk.all(), platform.events.last()
    if as_json:
        for each in standings:
            of = each.subscription
            told = {"id": of.id, "url": of.url, "events": sorted(of.events), "store": of.store, "cursor": each.cursor}
            typer.echo(orjson.dumps(told | {"waiting": each.waiting, "due": each.due, "dead": each.dead}))
        return
    table = Table(Column("webhook", no_wrap=True), "url", "events", "store", "behind", "tried again", "dead")
    for each in standings:
        of = each.subscription
        counts = (str(count or "") for count in (max(0, last - each.cursor), each.waiting, each.dead))
        table.add_row(of.id, escape(of.url), " ".join(sorted(of.events)), of.store or "all", *counts)
    Console().print(table)


@app.command("rm")
def rm(id: Id, home: Home = None) -> None:
    """Tell a listener nothing more, and forget its dead letters."""
    with _opened(home) as (_, _, desk):
        desk.remove(id, caller())


@app.command("test")
def ping(id: Id, home: Home = None) -> None:
    """Send an event `ping` and say what came back. Exit code 1 where it was not taken."""
    with _opened(home) as (settings, platform, desk):
        said = notifier_of(settings, platform).ping(desk.get(id).subscription)
    status = "" if said.status is None else f"it answers {said.status}"
    told = status if said.code is None else ", ".join(filter(None, (status, said.code)))
    Console(stderr=True).print(told, highlight=False)
    if said.code is not None:
        raise typer.Exit(1)


@app.command("dead")
def dead(
    id: Annotated[str | None, typer.Argument(help="A webhook's id; of all without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON lines.")] = False,
    home: Home = None,
) -> None:
    """Dead letters: events that did not get through and are not tried any more."""
    table = Table(Column("webhook", no_wrap=True), "event", "reason", "attempts", "when")
    with _opened(home) as (_, _, desk):
        for webhook in [id] if id is not None else [each.subscription.id for each in desk.all()]:
            after = 0
            while letters := desk.dead(webhook, after, _PAGE):
                after = letters[-1].sequence
                for each in letters:
                    told = {"webhook": webhook, "sequence": each.sequence, "code": each.code}
                    if as_json:
                        typer.echo(orjson.dumps(told | {"attempts": each.attempts, "at": each.at}))
                    when = f"{each.at:%Y-%m-%d %H:%M:%S}"
                    table.add_row(webhook, str(each.sequence), each.code, str(each.attempts), when)
    if not as_json:
        Console().print(table)


@app.command("redrive")
def redrive(id: Id, home: Home = None) -> None:
    """Have every dead letter of a webhook tried again, as if for the first time."""
    with _opened(home) as (_, _, desk):
        count = desk.redrive(id, caller())
    Console(stderr=True).print(f"{count} events are tried again", highlight=False)
