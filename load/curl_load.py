#!/usr/bin/env python3
"""Loads a running Isocenter by real curl: uploads, searches, retrievals and algorithms, by more and more clients.

    load/curl_load.py http://127.0.0.1:8042 --ramp 1,4,16 --requests 200

An API key or token is read from ISOCENTER_LOAD_KEY, or from the file that ISOCENTER_LOAD_KEY_FILE names; it reaches
curl by a pipe and stands on no command line. Nothing of what is sent or answered is printed. Images are made up, each
with UIDs of its own, and lie under subjects that begin with `load-`. Exit code 1: more failed than --errors allows.
"""

# ruff: noqa: T201, TID251 - a script by itself: it prints, and knows no settings
from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MIX = "stow=2,images=2,search=3,retrieve=3,process=1"
KINDS = ("stow", "images", "search", "retrieve", "process")
_LINE = "%{http_code} %{time_total} %{size_upload} %{size_download}"


def element(group: int, number: int, vr: str, value: bytes) -> bytes:
    """One element, explicit VR little endian (PS3.5 7.1.2)."""
    value += (b"\0" if vr in ("UI", "OB", "OW") else b" ") * (len(value) % 2)
    if vr in ("OB", "OW"):
        return struct.pack("<HH2s2xI", group, number, vr.encode(), len(value)) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value


def new_uid() -> bytes:
    return f"2.25.{uuid.uuid4().int}".encode()


def picture(side: int) -> bytes:
    """A secondary capture of 8 bits in a study of its own, of a patient that there is not (PS3.10)."""
    sop_class, instance = b"1.2.840.10008.5.1.4.1.1.7", new_uid()
    meta = element(2, 1, "OB", b"\0\1") + element(2, 2, "UI", sop_class) + element(2, 3, "UI", instance)
    meta += element(2, 0x10, "UI", b"1.2.840.10008.1.2.1") + element(2, 0x12, "UI", b"2.25.1")
    data = element(8, 0x16, "UI", sop_class) + element(8, 0x18, "UI", instance)
    data += element(8, 0x60, "CS", b"OT") + element(8, 0x64, "CS", b"SYN")
    data += element(0x10, 0x10, "PN", b"Load^Test") + element(0x10, 0x20, "LO", b"load-" + instance[-8:])
    data += element(0x20, 0xD, "UI", new_uid()) + element(0x20, 0xE, "UI", new_uid())
    data += element(0x28, 2, "US", struct.pack("<H", 1)) + element(0x28, 4, "CS", b"MONOCHROME2")
    data += element(0x28, 0x10, "US", struct.pack("<H", side)) + element(0x28, 0x11, "US", struct.pack("<H", side))
    for number, value in ((0x100, 8), (0x101, 8), (0x102, 7), (0x103, 0)):
        data += element(0x28, number, "US", struct.pack("<H", value))
    data += element(0x7FE0, 0x10, "OB", os.urandom(side * side))
    return bytes(128) + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + data


@dataclass(frozen=True)
class Ask:
    """One request: a kind, and its lines of a curl configuration."""

    kind: str
    lines: tuple[str, ...]


@dataclass
class Seen:
    """What came of the requests of one kind."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0

    @property
    def failed(self) -> int:
        return sum(many for status, many in self.statuses.items() if not status.startswith("2"))


class Load:
    """Makes requests and has curl send them."""

    def __init__(self, curl: str, url: str, folder: Path, key: str | None, side: int) -> None:
        self.curl, self.url, self.folder, self.side = curl, url.rstrip("/"), folder, side
        self.head = () if key is None else (f"header = {quoted(f'Authorization: Bearer {key}')}",)
        self.subject = f"load-{uuid.uuid4().hex[:12]}"
        self.kept: list[str] = []  # image ids under the subject that were stored before
        self.id = ""

    def begin(self) -> None:
        """One image, by which what is to be retrieved and worked on is known. Raises where that fails."""
        self.kept.append("first")
        ask = self._images("first")
        answer = self.folder / "answer"
        lines = [*self.head, *ask.lines, f"output = {quoted(str(answer))}", 'write-out = "%{http_code}"']
        command = [self.curl, "--silent", "--config", "-"]
        done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
        if not done.stdout.startswith("2"):
            raise SystemExit(f"the first image was not kept: {done.stdout or 'no answer'} (curl {done.returncode})")
        self.id = json.loads(answer.read_text())["id"]

    def asks(self, mix: Sequence[str], many: int) -> Iterator[Ask]:
        """So many requests, the kinds in turn as the mix has them."""
        made = {"stow": self._stow, "search": self._search, "retrieve": self._retrieve, "process": self._process}
        for number in range(many):
            kind = mix[number % len(mix)]
            yield self._images(uuid.uuid4().hex) if kind == "images" else made[kind](number)

    def _image(self) -> Path:
        path = self.folder / uuid.uuid4().hex
        path.write_bytes(picture(self.side))
        return path

    def _images(self, image_id: str) -> Ask:
        path = f"/images?subject_id={self.subject}&image_id={image_id}"
        return Ask("images", (self._at(path), *self._body(self._image(), "application/dicom")))

    def _stow(self, number: int) -> Ask:
        path = self._image()
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        path.write_bytes(head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode())
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        return Ask("stow", (self._at("/dicomweb/studies"), *self._body(path, kind)))

    def _search(self, number: int) -> Ask:
        paths = ("/dicomweb/studies?limit=25", f"/images?subject_id={self.subject}", "/dicomweb/instances?limit=25")
        return Ask("search", (self._at(paths[number % len(paths)]),))

    def _retrieve(self, number: int) -> Ask:
        image = self.kept[number % len(self.kept)]
        paths = (
            f"/images/content?subject_id={self.subject}&image_id={image}",
            f"/dicom-image/{self.id}",
            f"/dicom-image/{self.id}/png",
        )
        return Ask("retrieve", (self._at(paths[number % len(paths)]), "location"))

    def _process(self, number: int) -> Ask:
        path = self.folder / f"{uuid.uuid4().hex}.json"
        path.write_text(json.dumps({"url": f"isocenter:{self.id}", "algorithm": "three-circles"}))
        return Ask("process", (self._at("/process"), *self._body(path, "application/json")))

    def _at(self, path: str) -> str:
        return f"url = {quoted(self.url + path)}"

    def _body(self, path: Path, media_type: str) -> tuple[str, ...]:
        return (f"data-binary = {quoted('@' + str(path))}", f"header = {quoted(f'Content-Type: {media_type}')}")

    def run(self, asks: Sequence[Ask], clients: int, seconds: float) -> dict[str, Seen]:
        """Send them by so many clients at once."""
        parts = []
        for ask in asks:
            told = quoted(f"{ask.kind} {_LINE}\\n")
            always = (f"max-time = {seconds}", f'output = "{os.devnull}"', f"write-out = {told}", "silent")
            parts.append("\n".join((*self.head, *ask.lines, *always)))
        command = [self.curl, "--parallel", "--parallel-max", str(clients), "--no-progress-meter", "--config", "-"]
        done = subprocess.run(command, input="\nnext\n".join(parts), capture_output=True, text=True, check=False)
        seen: dict[str, Seen] = {}
        for line in done.stdout.splitlines():
            kind, status, took, sent, received = line.split()
            one = seen.setdefault(kind, Seen())
            one.seconds.append(float(took))
            one.statuses[status] += 1
            one.sent += int(sent)
            one.received += int(received)
        for ask in asks:  # of what curl tells nothing came nothing
            seen.setdefault(ask.kind, Seen())
        for kind, many in Counter(ask.kind for ask in asks).items():
            missing = many - sum(seen[kind].statuses.values())
            if missing:
                seen[kind].statuses["000"] += missing
        return seen


def quoted(text: str) -> str:
    """As a curl configuration has it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\\\\n", "\\n") + '"'


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def told(clients: int, took: float, seen: dict[str, Seen]) -> dict[str, object]:
    """One step of the ramp in numbers."""
    kinds = {}
    for kind in sorted(seen, key=KINDS.index):
        one = seen[kind]
        times = {
            f"p{round(share * 100)}_ms": round(percentile(one.seconds, share) * 1000, 1) for share in (0.5, 0.9, 0.99)
        }
        kinds[kind] = {
            "requests": sum(one.statuses.values()), "failed": one.failed,
            "statuses": dict(sorted(one.statuses.items())),
            **times, "longest_ms": round(max(one.seconds, default=0) * 1000, 1),
            "sent_a_second": round(one.sent / took), "received_a_second": round(one.received / took),
        }  # fmt: skip
    many = sum(sum(one.statuses.values()) for one in seen.values())
    return {"clients": clients, "requests": many, "a_second": round(many / took, 1), "kinds": kinds}


def shown(step: dict[str, object]) -> str:
    lines = [f"{step['clients']} clients: {step['requests']} requests, {step['a_second']} a second"]
    kinds = step["kinds"]
    assert isinstance(kinds, dict)
    for kind, one in kinds.items():
        statuses = " ".join(f"{status}:{many}" for status, many in one["statuses"].items())
        lines.append(
            f"  {kind:<9} p50 {one['p50_ms']:8.1f}  p90 {one['p90_ms']:8.1f}  p99 {one['p99_ms']:8.1f} ms"
            f"  in {one['sent_a_second'] / 1e6:6.2f}  out {one['received_a_second'] / 1e6:6.2f} MB/s  {statuses}"
        )
    return "\n".join(lines)


def mix_of(text: str) -> list[str]:
    """The kinds as often as they are to come, spread over a round."""
    weights = {}
    for part in text.split(","):
        kind, _, weight = part.partition("=")
        if kind not in KINDS or not weight.isdigit():
            raise argparse.ArgumentTypeError(f"kinds are {', '.join(KINDS)}, each with a whole number")
        weights[kind] = int(weight)
    places = [((number + 0.5) / weight, kind) for kind, weight in weights.items() for number in range(weight)]
    if not places:
        raise argparse.ArgumentTypeError("at least one kind, at least once")
    return [kind for _, kind in sorted(places)]


def key_of(environment: dict[str, str]) -> str | None:
    if "ISOCENTER_LOAD_KEY_FILE" in environment:
        return Path(environment["ISOCENTER_LOAD_KEY_FILE"]).read_text("utf-8").strip()
    return environment.get("ISOCENTER_LOAD_KEY") or None


def main() -> int:
    """Run the ramp; 0, or 1 where too much failed."""
    options = argparse.ArgumentParser(description="Load a running Isocenter by curl.")
    options.add_argument("url", help="where it answers")
    options.add_argument("--ramp", default="1,4,16", help="clients at once, step by step")
    options.add_argument("--requests", type=int, default=100, help="requests of each step")
    options.add_argument("--mix", type=mix_of, default=mix_of(MIX), help=f"kinds and how often each comes: {MIX}")
    options.add_argument("--side", type=int, default=256, help="rows and columns of an image, a byte each")
    options.add_argument("--errors", type=float, default=0.01, help="share of requests that may fail")
    options.add_argument("--timeout", type=float, default=60, help="longest wait for an answer, in seconds")
    options.add_argument("--json", action="store_true", help="each step as one line of JSON")
    given = options.parse_args()
    curl = shutil.which("curl")
    if curl is None:
        sys.exit("curl is not installed")
    failed = many = 0
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        load = Load(curl, given.url, Path(folder), key_of(dict(os.environ)), given.side)
        load.begin()
        for clients in map(int, given.ramp.split(",")):
            asks = list(load.asks(given.mix, given.requests))
            began = time.perf_counter()
            seen = load.run(asks, clients, given.timeout)
            step = told(clients, time.perf_counter() - began, seen)
            print(json.dumps(step) if given.json else shown(step), flush=True)
            failed += sum(one.failed for one in seen.values())
            many += len(asks)
    print(f"{failed} of {many} failed", file=sys.stderr)
    return 1 if failed > given.errors * many else 0


if __name__ == "__main__":
    sys.exit(main())
