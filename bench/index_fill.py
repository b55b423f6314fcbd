"""An index of many studies without blobs, written straight into the index port, and kept for the next time."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg

import isocenter.adapters.sql as sql_adapter
from isocenter.bootstrap.backends import open_backends
from isocenter.records import AuditEntry, BlobRef, Details, ImageRecord, Kind, NewImage, now
from isocenter.settings import load
from isocenter.testing.postgres import BINARIES, PostgresServer

SERIES = 2
_BATCH = 2000
_FAMILIES = ("Doe", "Smith", "Müller", "García", "Kowalski", "Nguyen", "Okafor", "Sato")
_GIVEN = ("Jane", "John", "Ana", "Li", "Omar", "Eva", "Max", "Zoë")
_CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
Model = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Shape:
    """So many studies of two series each, with so many instances to a series."""

    studies: int
    per_series: int
    seed: int = 1

    @property
    def instances(self) -> int:
        return self.studies * SERIES * self.per_series

    @property
    def key(self) -> str:
        """Names what is filled: another shape, another schema or another way to fill is another index."""
        digest = hashlib.sha256(Path(__file__).read_bytes())
        for file in sorted(Path(sql_adapter.__file__).parent.rglob("*.py")):
            digest.update(file.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:12]}"

    @property
    def name(self) -> str:
        return f"index-{self.studies}x{self.per_series}-seed{self.seed}"

    def study_uid(self, study: int) -> str:
        return f"2.25.{10**12 + study}"

    def series_uid(self, study: int, series: int) -> str:
        return f"{self.study_uid(study)}.{series + 1}"

    def patient(self, study: int) -> str:
        """Each patient has two studies."""
        return f"PAT{study // 2}"


def sqlite_home(shape: Shape, cache: Path, told: Callable[[str], None]) -> Path:
    """The home folder of a server on SQLite that holds the index."""
    home = cache / shape.key
    if not home.exists():
        told(f"filling {shape.instances:,} instances into SQLite (once)")
        _forget_older(shape, cache)
        made = cache / f"{shape.key}.new"
        shutil.rmtree(made, ignore_errors=True)
        fill(shape, made, None)
        made.rename(home)
    return home


def postgres_url(shape: Shape, cache: Path, server: PostgresServer, scratch: Path, told: Callable[[str], None]) -> str:
    """The address of a new database that holds the index."""
    url, dump = server.url(server.new_database()), cache / f"{shape.key}.dump"
    if dump.exists():
        told(f"restoring {shape.instances:,} instances into PostgreSQL")
        _run("pg_restore", "-j", "2", "-d", url, str(dump))
    else:
        told(f"filling {shape.instances:,} instances into PostgreSQL (once)")
        _forget_older(shape, cache)
        fill(shape, scratch, url)
        made = dump.with_suffix(".new")
        _run("pg_dump", "-Fc", "-Z1", "-f", str(made), "-d", url)
        made.rename(dump)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return url


def _forget_older(shape: Shape, cache: Path) -> None:
    """Remove what was filled for another schema: an index of a million instances takes over a gigabyte."""
    for path in cache.glob(f"{shape.name}-*"):
        if path.name.startswith(shape.key):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def fill(shape: Shape, home: Path, database_url: str | None) -> None:
    """Commit every instance, in a process of its own: what the backends hold is gone afterwards."""
    process = multiprocessing.get_context("spawn").Process(target=_fill, args=(shape, home, database_url))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("the index could not be filled")


def _fill(shape: Shape, home: Path, database_url: str | None) -> None:
    home.mkdir(parents=True, exist_ok=True)
    backends = open_backends(load(home=home, database_url=database_url))
    batch: list[tuple[NewImage, AuditEntry]] = []
    for image in images(shape):
        batch.append((image, AuditEntry("bench", "store", "success", now())))
        if len(batch) == _BATCH:
            backends.platform.index.commit(batch)
            batch = []
    if batch:
        backends.platform.index.commit(batch)
    backends.close()


def images(shape: Shape) -> Iterator[NewImage]:
    """Every instance, the same for the same shape."""
    random, moment = Random(shape.seed), now()
    details = Details(zlib.compress(b'{"meta":{},"model":{},"bulk":{}}'))
    for study in range(shape.studies):
        above = _study(shape, study, random)
        for series in range(SERIES):
            uid = shape.series_uid(study, series)
            of_series = _series(uid, series)
            for number in range(1, shape.per_series + 1):
                instance = f"{uid}.{number}"
                blob = BlobRef(f"raw/{instance}", 526_000, hashlib.sha256(instance.encode()).hexdigest())
                record = ImageRecord(
                    instance, "raw", Kind.DICOM, "application/dicom", shape.patient(study), instance, blob, moment,
                    study_uid=shape.study_uid(study), series_uid=uid, sop_instance_uid=instance,
                    sop_class_uid=_CT_STORAGE, transfer_syntax_uid="1.2.840.10008.1.2.1",
                )  # fmt: skip
                yield NewImage(record, details, above, of_series, _instance(instance, number))


def _study(shape: Shape, study: int, random: Random) -> Model:
    date = f"20{random.randint(10, 25)}{random.randint(1, 12):02d}{random.randint(1, 28):02d}"
    return {
        "00080020": {"vr": "DA", "Value": [date]},
        "00080030": {"vr": "TM", "Value": ["101500"]},
        "00080050": {"vr": "SH", "Value": [f"ACC{study}"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "Referring^Phantom"}]},
        "00081030": {"vr": "LO", "Value": ["CHEST CT WITH CONTRAST"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": f"{random.choice(_FAMILIES)}^{random.choice(_GIVEN)}"}]},
        "00100020": {"vr": "LO", "Value": [shape.patient(study)]},
        "00100030": {"vr": "DA", "Value": ["19600101"]},
        "00100040": {"vr": "CS", "Value": ["F"]},
        "0020000D": {"vr": "UI", "Value": [shape.study_uid(study)]},
        "00200010": {"vr": "SH", "Value": [f"ST{study}"]},
    }


def _series(uid: str, number: int) -> Model:
    return {
        "00080060": {"vr": "CS", "Value": ["CT" if number == 0 else "MR"]},
        "00080070": {"vr": "LO", "Value": ["ACME"]},
        "0008103E": {"vr": "LO", "Value": ["AXIAL"]},
        "0020000E": {"vr": "UI", "Value": [uid]},
        "00200011": {"vr": "IS", "Value": [number + 1]},
    }


def _instance(uid: str, number: int) -> Model:
    return {
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        "00080016": {"vr": "UI", "Value": [_CT_STORAGE]},
        "00080018": {"vr": "UI", "Value": [uid]},
        "00200013": {"vr": "IS", "Value": [number]},
        "00200032": {"vr": "DS", "Value": [-100.0, -100.0, float(number)]},
        "00200037": {"vr": "DS", "Value": [1, 0, 0, 0, 1, 0]},
        "00280002": {"vr": "US", "Value": [1]},
        "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
        "00280010": {"vr": "US", "Value": [512]},
        "00280011": {"vr": "US", "Value": [512]},
        "00280100": {"vr": "US", "Value": [16]},
    }


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run([str(BINARIES / program), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr[-1000:]}")
