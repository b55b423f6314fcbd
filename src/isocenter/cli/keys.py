"""`isocenter keys`: make, list and revoke the API keys that callers hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from isocenter.bootstrap.backends import open_backends
from isocenter.cli.caller import caller
from isocenter.errors import BadRequest
from isocenter.records import ApiKey, now
from isocenter.settings import Settings, load
from isocenter.web.auth import REVOKED_WITHIN, Scope, new_key

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, add_completion=False)

Home = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]
_MOST_LABEL = 100


class KeyState(StrEnum):
    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


@app.command("new")
def new(
    label: Annotated[str, typer.Option(help="What the key is for, as it will stand in the list.")],
    scope: Annotated[
        list[str],
        typer.Option(help="What it may do: images:read, or images:read@raw for one store. May be repeated."),
    ],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is good for.")] = 90,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="Good until it is revoked.")] = False,
    home: Home = None,
) -> None:
    """Make a key. It stands alone on standard output, once; only its hash is kept."""
    settings = load(home=home)
    scopes = valid_scopes(scope, settings)
    if not label.isprintable() or not 0 < len(label.strip()) <= _MOST_LABEL:
        raise BadRequest(f"a label is printable text of {_MOST_LABEL} characters at most")
    key, text = new_key(label, scopes, expires=None if never_expires else now() + timedelta(days=days))
    backends = open_backends(settings)
    try:
        backends.platform.api_keys.add(key, caller().entry("key.new"))
    finally:
        backends.close()
    typer.echo(text)
    console = Console(stderr=True)
    console.print(f"Key {key.id} may {', '.join(sorted(key.scopes))}; it expires {_day(key.expires)}.", highlight=False)
    console.print("Send it as Authorization: Bearer <key>. It is not shown again.", highlight=False)
    if settings.auth in ("none", "oidc"):
        told = f"[yellow]The setting auth is {settings.auth}: keys count with keys or keys+oidc only.[/yellow]"
        console.print(told)
    _warn_identity(console, key, settings)


def _warn_identity(console: Console, key: ApiKey, settings: Settings) -> None:
    reads = any(grant.partition("@")[0] == Scope.READ for grant in key.scopes)
    identified = any(grant.partition("@")[0] == Scope.IDENTIFIED for grant in key.scopes)
    if reads and not identified and settings.identified_stores:
        stores = ", ".join(settings.identified_stores)
        console.print(f"It cannot read {stores}: where identity is held that takes identified:read besides.")


def valid_scopes(given: Sequence[str], settings: Settings) -> frozenset[str]:
    """The scopes as grants; BadRequest that lists what there is where one is unknown."""
    scopes = [str(scope) for scope in Scope]
    for each in given:
        scope, at, store = each.partition("@")
        if scope not in scopes:
            raise BadRequest(f"there is no such scope; there are {', '.join(scopes)}", code="unknown-scope")
        if at and store not in settings.stores:
            raise BadRequest(f"there is no such store; there are {', '.join(settings.stores)}", code="unknown-store")
    return frozenset(given)


@app.command("ls")
def ls(as_json: Annotated[bool, typer.Option("--json", help="As JSON lines.")] = False, home: Home = None) -> None:
    """List the keys, oldest first; never their secrets."""
    backends = open_backends(load(home=home))
    try:
        keys = backends.platform.api_keys.all()
    finally:
        backends.close()
    if as_json:
        for key in keys:
            typer.echo(json.dumps(_shown(key)))
        return
    table = Table("id", "label", "scopes", "created", "expires", "state")
    for key in keys:
        scopes = " ".join(sorted(key.scopes))
        table.add_row(key.id, _plain(key.label), scopes, _day(key.created), _day(key.expires), state_of(key))
    Console().print(table)


@app.command("revoke")
def revoke(
    id: Annotated[str, typer.Argument(help="The key's id, as `isocenter keys ls` lists it.")],
    home: Home = None,
) -> None:
    """Revoke a key for good. A running server takes up to 5 seconds to refuse it."""
    backends = open_backends(load(home=home))
    try:
        key = backends.platform.api_keys.revoke(id, caller().entry("key.revoke"))
    finally:
        backends.close()
    told = f"Key {key.id} is revoked; servers that run refuse it within {REVOKED_WITHIN:.0f} seconds."
    Console(stderr=True).print(told, highlight=False)


def state_of(key: ApiKey) -> KeyState:
    if key.revoked is not None:
        return KeyState.REVOKED
    return KeyState.EXPIRED if key.expires is not None and key.expires <= now() else KeyState.VALID


def _shown(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "label": key.label,
        "scopes": sorted(key.scopes),
        "created": key.created.isoformat(),
        "expires": key.expires.isoformat() if key.expires else None,
        "revoked": key.revoked.isoformat() if key.revoked else None,
        "state": str(state_of(key)),
    }


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d}"


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
