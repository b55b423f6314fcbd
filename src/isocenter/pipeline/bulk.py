"""Objects by the million, as a manifest names them: cut into batches that many take in at once, and counted at the end.

What travels is the bulk's id and where a batch's lines stand in its copy of the manifest; keys may name patients.
"""

from __future__ import annotations

import csv
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import unquote_plus

import orjson
import structlog

from isocenter.errors import BadRequest, Conflict, Forbidden, Malformed, NotFound, Unavailable
from isocenter.pipeline.files import Ended, File, Files
from isocenter.pipeline.locations import InBucket, parsed
from isocenter.pipeline.places import Places, written
from isocenter.ports.blob_store import BlobStore

BATCH = 25  # objects; an Express execution has five minutes, and what is tried again is the whole of them
_LINE = 4096  # bytes of the longest
_LINES, _BATCHES, _DONE, _REPORT = "manifest", "batches.json", "done/", "report.csv"
_GZIP = b"\x1f\x8b"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Counted:
    """What a bulk came to; `left` objects were kept out by the surroundings, or nobody came to them."""

    taken: int
    refused: int
    left: int


class Bulk:
    """One bulk ingest. `store` keeps its copy of the manifest and what came of each batch below its id."""

    def __init__(self, store: BlobStore, places: Places, files: Files) -> None:
        self._store = store
        self._places = places
        self._files = files

    def prepare(self, manifest: str) -> dict[str, Any]:
        """Copy the manifest, cut into batches. Named by the manifest's place and version: the same again is the same.

        A line is s3://bucket/key, or bucket,key as in CSV files of S3 Inventory, whose keys are percent-encoded; the
        whole may be gzip. BadRequest, Forbidden, NotFound; Malformed names the line.
        """
        location = parsed(manifest)
        if not isinstance(location, InBucket):
            raise BadRequest("a manifest is an object: s3://bucket/key")
        self._places.require(location)
        source = self._places.buckets(location)
        stat = source.stat(location.key)
        version = f"{location.url}\0{stat.size}\0{stat.modified.isoformat()}"
        id = hashlib.sha256(version.encode()).hexdigest()[:26]
        try:
            batches = orjson.loads(self._store.read(f"{id}/{_BATCHES}"))
        except NotFound:
            batches = self._copied(f"{id}/{_LINES}", _lines(source.stream(location.key)))
            _kept(self._store, f"{id}/{_BATCHES}", orjson.dumps(batches))
        objects = sum(batch["objects"] for batch in batches)
        log.info("a bulk is prepared", bulk=id, objects=objects, batches=len(batches))
        return {"bulk": id, "batches": f"{id}/{_BATCHES}", "objects": objects}

    def _copied(self, key: str, lines: Iterable[InBucket]) -> list[dict[str, int]]:
        """Write the objects anew, each a line of JSON; where the batches lie in it."""
        batches: list[dict[str, int]] = []
        at = 0
        self._store.delete(key)  # of a preparation that did not come to its end
        writer = self._store.create(key)
        try:
            rest = iter(lines)
            while some := list(islice(rest, BATCH)):
                for location in some:
                    self._places.require(location)
                data = b"".join(orjson.dumps([each.scheme, each.bucket, each.key]) + b"\n" for each in some)
                writer.write(data)
                batches.append({"at": at, "size": len(data), "objects": len(some)})
                at += len(data)
            if not batches:
                raise Malformed("the manifest names no object", code="empty-manifest")
            writer.commit()
        except BaseException:  # whatever it was: nothing half written is left, and it goes on up
            writer.abort()
            raise
        return batches

    def take(self, bulk: str, at: int, size: int) -> Counted:
        """Take one batch in, once. Unavailable where the surroundings kept some of it out: the batch is brought again,
        and what was taken in of it is taken in no second time."""
        for stat in self._store.list(f"{bulk}/{_DONE}{at}."):
            return _counted(stat.key)
        lines = self._store.read(f"{bulk}/{_LINES}", at, size).splitlines()
        ended = self._ended([InBucket(*orjson.loads(line)) for line in lines])
        if any(each.is_left for each in ended):
            raise Unavailable("some of the batch could not be taken in now; it is brought again")
        refused = [[number, each.code] for number, each in enumerate(ended) if each.code is not None]
        counted = Counted(len(ended) - len(refused), len(refused), 0)
        # What it came to stands in the key, so that counting a million objects takes a listing and not their reading.
        _kept(self._store, f"{bulk}/{_DONE}{at}.{counted.taken}.{counted.refused}", orjson.dumps(refused))
        return counted

    def _ended(self, locations: Sequence[InBucket]) -> list[Ended]:
        """What came of each object, those that are not there or not allowed among them."""
        found: dict[int, Ended] = {}
        files: dict[int, File] = {}
        for number, location in enumerate(locations):
            try:
                self._places.require(location)  # the list may have become shorter since
                store = self._places.buckets(location)
                size = store.stat(location.key).size
            except NotFound:
                found[number] = Ended("no-such-object")
            except Forbidden as error:
                found[number] = Ended(error.code)
            except Unavailable:
                found[number] = Ended(is_left=True)
            else:
                files[number] = File(size, partial(store.stream, location.key))
        ended, _ = self._files.take(list(files.values()))
        found |= zip(files, ended, strict=True)
        return [found[number] for number in range(len(locations))]

    def end(self, bulk: str) -> Counted:
        """Count what came of all batches, and write the report: line of the copied manifest, code of the refusal."""
        done = {int(_ending(stat.key)[0]): stat.key for stat in self._store.list(f"{bulk}/{_DONE}")}
        taken = refused = left = line = 0
        report = ["line,code\n"]
        for batch in orjson.loads(self._store.read(f"{bulk}/{_BATCHES}")):
            key = done.get(batch["at"])
            if key is None:
                left += batch["objects"]
            else:
                counted = _counted(key)
                taken += counted.taken
                refused += counted.refused
                if counted.refused:
                    told = orjson.loads(self._store.read(key))
                    report += [f"{line + number + 1},{code}\n" for number, code in told]
            line += batch["objects"]
        self._store.delete(f"{bulk}/{_REPORT}")
        _kept(self._store, f"{bulk}/{_REPORT}", "".join(report).encode())
        log.info("a bulk is counted", bulk=bulk, taken=taken, refused=refused, left=left)
        return Counted(taken, refused, left)


def _ending(key: str) -> list[str]:
    """Where a batch begins, how many were taken and how many refused."""
    return key.rpartition("/")[2].split(".")


def _counted(key: str) -> Counted:
    _, taken, refused = map(int, _ending(key))
    return Counted(taken, refused, 0)


def _lines(chunks: Iterator[bytes]) -> Iterator[InBucket]:
    """The objects of a manifest; empty lines are passed over."""
    for number, line in enumerate(_split(_inflated(chunks)), 1):
        if not line.strip():
            continue
        try:
            yield _location(line.decode("utf-8").strip("\r"))
        except (ValueError, BadRequest):
            raise Malformed(
                f"line {number} of the manifest is neither s3://bucket/key nor bucket,key", code="bad-manifest"
            ) from None


def _location(line: str) -> InBucket:
    if line.startswith("s3://"):
        bucket, _, key = line.removeprefix("s3://").partition("/")
    else:
        bucket, key = next(csv.reader([line]))[:2]
        key = unquote_plus(key, errors="strict")
    if not key or len(key.encode()) > 1024 or key.endswith("/"):
        raise ValueError
    found = parsed(f"s3://{bucket}/key")  # its rules for buckets
    assert isinstance(found, InBucket)
    return InBucket("s3", found.bucket, key)


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    if not first.startswith(_GZIP):
        yield first
        yield from chunks
        return
    inflater = zlib.decompressobj(wbits=31)
    data = first
    try:
        while data:
            while data:
                yield inflater.decompress(data, 1 << 20)
                data = inflater.unconsumed_tail
            data = next(chunks, b"")
    except zlib.error:
        raise Malformed("the manifest begins as gzip and is none", code="bad-manifest") from None
    if not inflater.eof:
        raise Malformed("the manifest ends before its gzip stream does", code="bad-manifest")


def _split(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > _LINE:
            raise Malformed(f"a line of the manifest is longer than {_LINE} bytes", code="bad-manifest")
    yield rest


def _kept(store: BlobStore, key: str, data: bytes) -> None:
    """The same was kept before where there is one of this key."""
    with suppress(Conflict):
        written(store, key, data)
