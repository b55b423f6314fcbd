"""De-identification in a worker process: what it is told to do, and what it tells."""

from __future__ import annotations

import atexit
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from isocenter.bootstrap.backends import folder_store, object_store
from isocenter.bootstrap.deidentifying import deidentifier_of
from isocenter.cli.deid_log import Stamp
from isocenter.cli.memory import calm_collector
from isocenter.cli.sources import Source, read_chunks
from isocenter.deid.evidence import Evidence
from isocenter.deid.identifiers import Known
from isocenter.deid.profile import Profile
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.source import InFile, InMemory, Readable
from isocenter.errors import NotFound, Rejected, Unavailable
from isocenter.pipeline.deidentify import Deidentify, Outcome
from isocenter.pipeline.places import StoredBlob
from isocenter.pipeline.zip_archives import ZipReader
from isocenter.ports.blob_store import BlobStore
from isocenter.settings import Settings

_GLANCE = 64 << 10  # for a first look no more than the header of a larger file is read
_AT_ONCE = 4 << 20
_IN_MEMORY = 64 << 20  # a larger member of a ZIP archive goes through a file that has no name


@dataclass(frozen=True, slots=True)
class Found:
    """A source and by what it is known again."""

    source: Source
    stamp: Stamp

    @classmethod
    def of(cls, source: Source, names: Pseudonyms) -> Found:
        """The source with its stamp, keyed so that evidence says neither path nor time."""
        if source.key is not None:
            return cls(source, Stamp(names.path(source.name), names.path(f"{source.size}")))
        path = source.path if source.path == "-" else os.path.abspath(source.path)
        version = ""
        with suppress(OSError):
            about = os.stat(path)
            version = names.path(f"{about.st_size} {about.st_mtime_ns}")
        member = "" if source.member is None else f"\0{source.member}"
        return cls(source, Stamp(names.path(path + member), version))


@dataclass(frozen=True)
class Job:
    """What all workers of a run have in common."""

    settings: Settings
    profile: Profile
    secret: bytes
    destination: str | None
    layout: str
    roots: tuple[str, ...] = ()
    certificate: bytes | None = None
    vault: bool = True

    @cached_property
    def profile_sha256(self) -> str:
        return hashlib.sha256(self.profile.model_dump_json().encode()).hexdigest()

    @cached_property
    def key(self) -> str:
        return Pseudonyms(self.secret).check()


@dataclass(frozen=True, slots=True)
class Looked:
    """What a first look found: study and SOP Instance UID of each source, and what is known of each study."""

    uids: dict[str, tuple[str, str]] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """Sources to de-identify, what is known of their studies, and which share their SOP Instance UID with another."""

    batch: Sequence[Found]
    known: dict[str, Known]
    alike: frozenset[str] = frozenset()


class Worker:
    """De-identifies in one process."""

    def __init__(self, job: Job) -> None:
        self._job = job
        deidentifier, self._close = deidentifier_of(job.settings, job.profile, job.secret, job.certificate)
        self._names = Pseudonyms(job.secret)
        self._paths: dict[str, Source] = {}
        self._alike: frozenset[str] = frozenset()
        layout = self._by_pseudonym if job.layout == "pseudonym" else self._mirrored
        self._run = Deidentify(deidentifier, destination_of(job), layout)
        self._archives = ZipReader()
        self._buckets: dict[str, BlobStore] = {}
        calm_collector()

    def look(self, batch: Sequence[Found]) -> Looked:
        """The studies of some sources. What cannot be read is found out again, and told, when its turn comes."""
        looked = Looked()
        for found in batch:
            with suppress(Rejected, Unavailable, NotFound, OSError), self._opened(found.source, _GLANCE) as source:
                study, instance, known = self._run.deidentifier.known_in(source)
                looked.uids[found.stamp.name] = study, instance
                looked.known[study] = looked.known.get(study, Known()) | known
        return looked

    def deidentify(self, work: Work) -> list[Outcome]:
        """What became of each source, in their order."""
        outcomes = []
        self._alike = work.alike
        for found in work.batch:
            name = found.stamp.name
            self._paths[name] = found.source
            try:
                with self._opened(found.source) as source:
                    outcomes.append(self._run.take(name, source, work.known.get(name)))
            except Rejected as error:
                outcomes.append(Outcome(name, "quarantined", error.code, error.detail))
            except (Unavailable, NotFound) as error:
                outcomes.append(Outcome(name, "failed", error.code, error.detail))
            except OSError as error:
                detail = f"it cannot be read ({error.strerror})"
                outcomes.append(Outcome(name, "failed", "unreadable", detail))
            self._paths.pop(name, None)
        return self._run.settled(outcomes)

    def _opened(self, source: Source, whole_below: int = _AT_ONCE) -> _Opened:
        if source.key is not None:
            return _Opened(StoredBlob(self._bucket(source.path), source.key, source.size))
        if source.member is None and source.path != "-":
            return _Opened(InFile(source.path, whole_below=whole_below))
        return _Opened(*_spooled(read_chunks(source, self._job.settings.max_inflated_bytes, self._archives)))

    def _bucket(self, url: str) -> BlobStore:
        if url not in self._buckets:
            self._buckets[url] = object_store(self._job.settings, url)
        return self._buckets[url]

    def _by_pseudonym(self, evidence: Evidence, name: str) -> str:
        """Patient, study, series, instance; sources that claim to be one instance keep apart by their own names."""
        parts = (evidence.patient, evidence.study_instance_uid or "study", evidence.series_instance_uid or "series")
        own = f"{evidence.sop_instance_uid}.{name}" if name in self._alike else evidence.sop_instance_uid
        return "/".join((*parts, f"{own}.dcm"))

    def _mirrored(self, evidence: Evidence, name: str) -> str:
        """The source's folders below what was named on the command line, each name a pseudonym."""
        source = self._paths[name]
        if source.key is not None:
            parts = [self._names.path(part) for part in source.key.split("/")[:-1]]
            return "/".join((*parts, f"{name}.dcm"))
        path = os.path.abspath(source.path)
        root = next((root for root in self._job.roots if path.startswith(root + os.sep)), os.path.dirname(path))
        folders = os.path.dirname(os.path.relpath(path, root))
        parts = [self._names.path(part) for part in folders.split(os.sep) if part]
        return "/".join((*parts, f"{name}.dcm"))

    def close(self) -> None:
        self._archives.close()
        self._close()


class _Opened:
    """A source while it is read."""

    def __init__(self, source: Any, file: IO[bytes] | None = None) -> None:
        self._source = source
        self._file = file

    def __enter__(self) -> Readable:
        readable: Readable = self._source
        return readable

    def __exit__(self, *args: object) -> None:
        if isinstance(self._source, InFile):
            self._source.close()
        if self._file is not None:
            self._file.close()


class _InSpool:
    """A file without a name, read by position."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, offset)


def _spooled(chunks: Any) -> tuple[Any, IO[bytes] | None]:
    held: list[bytes] = []
    size = 0
    file: IO[bytes] | None = None
    for chunk in chunks:
        size += len(chunk)
        if file is None and size > _IN_MEMORY:
            file = TemporaryFile()  # noqa: SIM115  closed with the source
            file.writelines(held)
            held = []
        if file is None:
            held.append(chunk)
        else:
            file.write(chunk)
    if file is None:
        return InMemory(b"".join(held)), None
    file.flush()
    return _InSpool(file, size), file


def destination_of(job: Job) -> BlobStore | None:
    """Where outputs go; None for a dry run."""
    if job.destination is None:
        return None
    if "://" in job.destination:
        return object_store(job.settings, job.destination)
    return folder_store(Path(job.destination))


_open: list[Worker] = []  # the worker of this process; a pool has no other place for it


def begin(job: Job) -> None:
    """Make the worker of this process."""
    worker = Worker(job)
    _open.append(worker)
    atexit.register(worker.close)


def look_batch(batch: Sequence[Found]) -> Looked:
    return _open[0].look(batch)


def deidentify_batch(work: Work) -> tuple[Work, list[Outcome]]:
    return work, _open[0].deidentify(work)
