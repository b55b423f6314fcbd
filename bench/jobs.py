"""`python -m bench.jobs`: what a pipeline costs beside a plain script, and how soon an upload is de-identified."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement
from isocenter.bootstrap.backends import ingest_of, open_backends
from isocenter.bootstrap.jobs import jobs_of
from isocenter.deid.engine import Deidentifier
from isocenter.deid.identifiers import Known
from isocenter.deid.profile import load
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.source import InMemory
from isocenter.dicom.instance import Metadata
from isocenter.pipeline.plan import Plans
from isocenter.pipeline.validation.validator import Validator
from isocenter.records import ImageQuery
from isocenter.settings import Settings
from isocenter.testing.instances import ct_slice
from isocenter.testing.postgres import PostgresServer, postgres_server
from isocenter.testing.server import Server, running

PIPELINE = "validate-deidentify"
IMAGES, TURNS, BATCH = 2000, 3, 64
SIZES = (10, 50, 250)  # MB
_LOOK = 0.2  # seconds: each look at a job is three queries, which the workers would pay for


@dataclass(frozen=True)
class Way:
    """One way of doing the work: by a plain script (no workers), or by worker processes of so many slots."""

    name: str
    workers: int = 0
    slots: int = 1
    postgres: bool = False


WAYS = (
    Way("plain script"),
    Way("worker, 1 slot", 1),
    Way("worker, 2 slots", 1, slots=2),
    Way("plain script, PostgreSQL", postgres=True),
    Way("1 worker, PostgreSQL", 1, postgres=True),
    Way("2 workers, PostgreSQL", 2, postgres=True),
)


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="isocenter-bench-") as name, postgres_server() as postgres:
        folder = Path(name)
        source = _images(folder / "in")
        rates: dict[str, list[float]] = {}
        for turn in range(TURNS):
            for number, way in enumerate(WAYS):
                # Deleted at the end, all at once: see bench/deid.py.
                home = folder / f"home-{turn}-{number}"
                settings = _settings(home, postgres if way.postgres else None)
                command = _command(settings, "ingest", "--home", str(home), str(source))
                subprocess.run(command, capture_output=True, check=True)
                rates.setdefault(way.name, []).append(_worked(settings, way) if way.workers else _plain(settings))
                console.print(f"turn {turn + 1}, {way.name}: {rates[way.name][-1]:.0f} images/s", highlight=False)
        _show(console, rates)
        latency = Table("upload", "size", "seconds until de-identified")
        for size in SIZES:
            latency.add_row("STOW-RS, then a job", f"{size} MB", f"{_latency(folder, size):.2f}")
        console.print(latency)


def _settings(home: Path, postgres: PostgresServer | None) -> Settings:
    if postgres is None:
        return Settings(home=home)
    url = postgres.url(postgres.new_database()).replace("postgresql:", "postgresql+psycopg:")
    return Settings(home=home, database_url=SecretStr(url))


def _command(settings: Settings, *words: str) -> list[str]:
    url = settings.database_url
    given = [] if url is None else ["/usr/bin/env", f"ISOCENTER_DATABASE_URL={url.get_secret_value()}"]
    return [*given, str(Path(sys.executable).with_name("isocenter")), *words]


def _show(console: Console, rates: dict[str, list[float]]) -> None:
    table = Table("how", "images/s (median)", "beside the plain script")
    for what, found in rates.items():
        rate = statistics.median(found)
        plain = statistics.median(rates["plain script, PostgreSQL" if "PostgreSQL" in what else "plain script"])
        table.add_row(what, f"{rate:.0f}", f"{(plain / rate - 1) * 100:+.0f} % time")
    console.print(table)


def _images(folder: Path) -> Path:
    folder.mkdir()
    for number in range(IMAGES):
        (folder / f"{number}.dcm").write_bytes(ct_slice(number // 50, number % 50 + 1, size=256, slices=50))
    return folder


def _plain(settings: Settings) -> float:
    """The same validation, de-identification and storing, one image after another, without jobs."""
    backends = open_backends(settings)
    with closing(backends):
        platform = backends.platform
        ingest, retrieve = ingest_of(settings, platform), Retrieve(platform)
        deidentifier = Deidentifier(load("basic"), Pseudonyms(b"k" * 32))
        validator = Validator("lenient")
        known: dict[str | None, Known] = {}
        records: list[Any] = []
        started, after = time.perf_counter(), None
        while True:
            page = platform.index.images(ImageQuery(("raw",), after=after, limit=1000))
            records += page.items
            after = page.next
            if after is None:
                break
        for start in range(0, len(records), BATCH):
            batch = ingest.batch(Caller())
            for record in records[start : start + BATCH]:
                if record.study_uid not in known:
                    found = Known()
                    study = platform.index.images(ImageQuery(("raw",), study_uid=record.study_uid, limit=500)).items
                    for details in platform.index.details([each.id for each in study]).values():
                        found |= deidentifier.known_in_model(Metadata.from_bytes(details.metadata).model)
                    known[record.study_uid] = found
                source = InMemory(b"".join(retrieve.original(record).chunks))
                validator.object(source.read, source.size)
                released = deidentifier.deidentify(source, known[record.study_uid])
                intake = batch.begin(record.id, Placement("deidentified", dicom_only=True))
                released.write(intake.write)
                intake.finish()
            batch.close()
        return len(records) / (time.perf_counter() - started)


@contextmanager
def _working(settings: Settings, way: Way) -> Iterator[None]:
    command = _command(settings, "worker", "--home", str(settings.home), "--slots", str(way.slots))
    workers = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(way.workers)]
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


def _worked(settings: Settings, way: Way) -> float:
    """From when the first tenth is done to the end: what workers sustain, their start left out."""
    backends = open_backends(settings)
    with closing(backends), closing(jobs_of(settings, backends.platform)) as jobs:
        job = jobs.start(Plans().load(PIPELINE), ImageQuery(), Caller())
        with _working(settings, way):
            begun: tuple[float, int] | None = None
            while True:
                far, moment = jobs.progress(job.id), time.perf_counter()
                if begun is None and far.finished >= far.job.images // 10:
                    begun = moment, far.finished
                if far.job.is_final:
                    assert begun is not None
                    return (far.finished - begun[1]) / (moment - begun[0])
                time.sleep(_LOOK)


def _latency(folder: Path, megabytes: int) -> float:
    """From the first byte of the upload to the end of the job, the worker being at work already; the best of three."""
    rows = int((megabytes * 1_000_000 / 2) ** 0.5)
    with running(folder / f"latency-{megabytes}", ISOCENTER_WORKER_IDLE_SECONDS="600") as server:
        _done(server, ct_slice(1, 1, size=64))
        return min(_done(server, ct_slice(number, 1, size=rows)) for number in (2, 3, 4))


def _done(server: Server, data: bytes) -> float:
    started = time.perf_counter()
    file_id = server.request("POST", "/dicom-image", data, {"Content-Type": "application/dicom"}).json()["file_id"]
    body = json.dumps({"images": [file_id]}).encode()
    job = server.request("POST", f"/pipelines/{PIPELINE}/runs", body, {"Content-Type": "application/json"}).json()
    while (now := server.request("GET", f"/jobs/{job['id']}").json())["state"] not in ("done", "failed"):
        time.sleep(0.02)
    assert (now["state"], now["rejected"], now["unavailable"]) == ("done", 0, 0), now
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
