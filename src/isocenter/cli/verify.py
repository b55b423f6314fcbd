"""`isocenter verify`: holds the evidence of a de-identified batch against its signature and its files."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from isocenter.bootstrap.backends import folder_store, object_store, open_backends
from isocenter.bootstrap.deidentifying import SIGNING_KEY
from isocenter.cli.deid_log import EVIDENCE, MANIFEST, read_lines, summary
from isocenter.deid.manifest import fingerprint, is_genuine, public_key_of
from isocenter.errors import BadRequest, NotFound
from isocenter.ports.blob_store import BlobStore
from isocenter.settings import load

UNKNOWN_KEY = 4  # the exit code


def verify(
    report: Annotated[Path, typer.Argument(help="The report folder of isocenter deid.")],
    destination: Annotated[str | None, typer.Argument(help="Where the outputs lie; REPORT without .report.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder whose signing key it should be.")] = None,
    public_key: Annotated[str | None, typer.Option(help="The signing key it should be, as hexadecimal.")] = None,
) -> None:
    """Check signature, evidence and every output's checksum.

    Exit code 0: all fits and the key is the one expected; 1: something does not fit; 4: all fits, but nobody said
    whose signature it should be, so anyone may have made it.
    """
    settings = load(home=home)
    manifest = _manifest(report)
    if public_key is None and (settings.home / "lock").exists():
        with closing(open_backends(settings)) as backends:
            seed = backends.platform.secrets.get(SIGNING_KEY)
            public_key = public_key_of(seed) if seed is not None else None
    place = destination or str(report).removesuffix("/").removesuffix(".report")
    if "://" not in place and not Path(place).is_dir():
        raise BadRequest("the outputs are not there; name their folder after the report")
    store = object_store(settings, place) if "://" in place else folder_store(Path(place), read_only=True)
    faults = [*_faults_of_manifest(report, manifest, public_key), *_faults_of_outputs(report, store)]
    console = Console(stderr=True)
    for fault in faults[:50]:
        console.print(f"  {fault}", markup=False, highlight=False)
    if len(faults) > 50:
        console.print(f"  and {len(faults) - 50} more", highlight=False)
    if faults:
        console.print("[red]The evidence does not fit.[/red]")
        raise typer.Exit(1)
    signer = fingerprint(manifest["public_key"])
    released, profile = manifest["totals"].get("released", 0), manifest["profile"]["name"]
    if public_key is None:
        console.print(
            f"Files and evidence fit one another: {released} released, profile {profile}. Who made them was NOT"
            f" checked: no signing key is known here. It says it was signed by {signer}; ask whoever made it for the"
            " whole key and give it with --public-key.",
            highlight=False,
        )
        raise typer.Exit(UNKNOWN_KEY)
    console.print(
        f"All fits: {released} released, profile {profile}, signed by {signer} (the key that was expected).",
        highlight=False,
    )


def _manifest(report: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads((report / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise NotFound(f"there is no {MANIFEST} in that folder: the run did not end; run it again") from None
    except (OSError, ValueError):
        raise BadRequest(f"{MANIFEST} cannot be read") from None
    if not isinstance(found, dict):
        raise BadRequest(f"{MANIFEST} is no manifest")
    return found


def _faults_of_manifest(report: Path, manifest: dict[str, Any], public_key: str | None) -> list[str]:
    faults = []
    if not is_genuine(manifest):
        faults.append("manifest.json: its signature does not fit its content")
    elif public_key is not None and manifest["public_key"] != public_key:
        faults.append("manifest.json: signed by another key than expected")
    try:
        now = summary(report / EVIDENCE)
    except (OSError, ValueError, KeyError):
        return [*faults, "evidence.jsonl: cannot be read"]
    if any(manifest.get(name) != now[name] for name in ("evidence", "totals", "reasons")):
        faults.append("evidence.jsonl: changed since the manifest was signed")
    return faults


def _faults_of_outputs(report: Path, store: BlobStore) -> list[str]:
    """Every output is there with the bytes of its evidence, and nothing else is."""
    faults = []
    expected: dict[str, str] = {}
    try:
        for line in read_lines(report / EVIDENCE):
            if line["outcome"] in ("released", "duplicate"):
                expected[line["key"]] = line["evidence"]["output"]["sha256"]
    except (ValueError, KeyError, TypeError):
        return []  # told already
    for key, sha256 in expected.items():
        digest = hashlib.sha256()
        try:
            for chunk in store.stream(key):
                digest.update(chunk)
        except NotFound:
            faults.append(f"{key}: is not there")
            continue
        if digest.hexdigest() != sha256:
            faults.append(f"{key}: its bytes are not those of its evidence")
    faults += [f"{stat.key}: nobody has evidence of it" for stat in store.list() if stat.key not in expected]
    return faults
