"""The report folder of a batch: evidence as it comes, so that a run that was cut short goes on, and its manifest."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from isocenter.deid.manifest import signed
from isocenter.errors import Misconfigured
from isocenter.pipeline.deidentify import Outcome

EVIDENCE, MANIFEST, PAGE = "evidence.jsonl", "manifest.json", "report.html"
_DONE = ("released", "duplicate")


@dataclass(frozen=True, slots=True)
class Stamp:
    """By what a source is known again: its keyed name, and size and time of change in a keyed form.

    A file's time of change may be the day on which an image was taken.
    """

    name: str
    version: str = ""


class Log:
    """Appends outcomes; one run at a time writes to a report."""

    def __init__(self, folder: Path, profile_sha256: str, key: str) -> None:
        self.folder = folder
        self._made_by = (profile_sha256, key)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Misconfigured("the report folder cannot be made or written to (--report)") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured("another run is writing to this report folder (--report)") from None
        self._path = folder / EVIDENCE
        self._mend()
        self._file = open(self._path, "ab")  # noqa: SIM115  closed by `close`

    def _mend(self) -> None:
        """A run that was killed may have left half a line: its source is done anew."""
        if not self._path.exists():
            return
        with open(self._path, "rb+") as file:
            size = file.seek(0, os.SEEK_END)
            tail = min(size, 1 << 20)
            file.seek(size - tail)
            end = file.read(tail).rfind(b"\n") + 1
            file.truncate(size - tail + end)

    def done(self) -> set[Stamp]:
        """Sources that need not be gone through again under this profile and key."""
        return {
            Stamp(line["source"], line["version"])
            for line in read_lines(self._path)
            if line["outcome"] in _DONE
            and (line["evidence"].get("profile_sha256"), line["evidence"].get("key")) == self._made_by
        }

    def add(self, outcome: Outcome, stamp: Stamp) -> None:
        """Note one outcome."""
        line: dict[str, Any] = {
            "source": stamp.name,
            "version": stamp.version,
            "outcome": outcome.kind,
            "code": outcome.code,
            "detail": outcome.detail,
            "key": outcome.key,
            "evidence": outcome.evidence,
        }
        self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def settle(self) -> None:
        """Make what was noted durable."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self, about: dict[str, Any], seed: bytes) -> dict[str, Any]:
        """Write the signed manifest over all evidence in the folder."""
        self.settle()
        manifest = signed({**about, **summary(self._path)}, seed)
        temporary = self.folder / f".{MANIFEST}"
        temporary.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        temporary.replace(self.folder / MANIFEST)
        return manifest

    def close(self) -> None:
        self._file.close()
        os.close(self._lock)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of an evidence file."""
    if path.exists():
        with open(path, "rb") as file:
            for line in file:
                yield orjson.loads(line)


def latest(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of each source, without its evidence: what counts where a run was repeated."""
    return {line["source"]: {k: v for k, v in line.items() if k != "evidence"} for line in read_lines(path)}


def summary(path: Path) -> dict[str, Any]:
    """Totals over an evidence file, and its checksum."""
    last = latest(path)
    outcomes = Counter(line["outcome"] for line in last.values())
    codes = Counter(line["code"] for line in last.values() if line["code"])
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {
        "totals": dict(sorted(outcomes.items())),
        "reasons": dict(sorted(codes.items())),
        "evidence": {"file": EVIDENCE, "sha256": digest.hexdigest(), "sources": len(last)},
    }
