"""Bulk ingest: every object of a manifest once, whatever is brought again; what is wrong is told by line and code."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest

from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.errors import BackendUnavailable, BadRequest, Forbidden, Malformed, NotFound, Unavailable
from isocenter.pipeline.bulk import BATCH, Bulk, Counted
from isocenter.pipeline.files import Ended, File
from isocenter.pipeline.locations import Allowed, InBucket
from isocenter.pipeline.places import Places
from isocenter.ports.blob_store import BlobStore

MANIFEST = "s3://images/lists/all.csv"


class Taking:
    """Stands for the front door: keeps what it read, refuses what begins so, and fails as often as it is told."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.away = 0

    def take(self, files: Sequence[File]) -> tuple[list[Ended], str | None]:
        ended = []
        for file in files:
            data = b"".join(file.read())
            assert len(data) == file.size
            if self.away:
                self.away -= 1
                ended.append(Ended(is_left=True))
            elif data.startswith(b"bad"):
                ended.append(Ended("not-an-image"))
            else:
                self.taken.append(data)
                ended.append(Ended())
        return ended, None


class World:
    def __init__(self) -> None:
        self.bucket, self.state, self.taking = MemoryBlobStore(), MemoryBlobStore(), Taking()
        self.allowed = [Allowed.parse("s3://images")]
        self.bulk = Bulk(self.state, self.places(), self.taking)  # type: ignore[arg-type]  # stands for Files

    def places(self) -> Places:
        def fetch(host: str, port: int, target: str) -> Iterator[bytes]:
            raise AssertionError

        def buckets(location: InBucket) -> BlobStore:
            assert location.bucket in ("images", "others")
            return self.bucket

        return Places(self.allowed, buckets, fetch, lambda: b"k" * 64, 1 << 30)

    def put(self, key: str, data: bytes) -> None:
        self.bucket.delete(key)
        writer = self.bucket.create(key)
        writer.write(data)
        writer.commit()

    def prepared(self, manifest: str | bytes) -> tuple[str, list[dict[str, int]]]:
        self.put("lists/all.csv", manifest.encode() if isinstance(manifest, str) else manifest)
        told = self.bulk.prepare(MANIFEST)
        return told["bulk"], orjson.loads(self.state.read(told["batches"]))

    def through(self, bulk: str, batches: list[dict[str, int]]) -> Counted:
        for batch in batches:
            self.bulk.take(bulk, batch["at"], batch["size"])
        return self.bulk.end(bulk)


@pytest.fixture
def world() -> World:
    return World()


def test_every_object_is_taken_in_once_and_refusals_are_told_by_line(world: World) -> None:
    keys = [f"in/DOE JANE+{number}, ü.dcm" for number in range(3 * BATCH + 7)]
    for number, key in enumerate(keys):
        world.put(key, b"bad" if number in (0, 60) else f"image {number}".encode())
    world.bucket.delete(keys[BATCH])
    bulk, batches = world.prepared("\n".join(f"s3://images/{key}" for key in keys) + "\n\n")
    assert [batch["objects"] for batch in batches] == [BATCH, BATCH, BATCH, 7]
    assert all(one["at"] + one["size"] == next_one["at"] for one, next_one in pairwise(batches))
    assert world.bulk.end(bulk) == Counted(0, 0, len(keys))
    for _ in range(2):  # the same again takes nothing in a second time
        assert world.through(bulk, batches) == Counted(len(keys) - 3, 3, 0)
        assert len(world.taking.taken) == len(set(world.taking.taken)) == len(keys) - 3
    report = world.state.read(f"{bulk}/report.csv").decode()
    assert report == f"line,code\n1,not-an-image\n{BATCH + 1},no-such-object\n61,not-an-image\n"
    assert world.prepared("\n".join(f"s3://images/{key}" for key in keys))[0] != bulk  # another version of it
    told = str([stat.key for stat in world.state.list()]) + str(batches)
    assert "DOE" not in told


def test_a_batch_that_the_surroundings_fail_is_brought_again_and_counts_as_left(world: World) -> None:
    for number in range(2 * BATCH):
        world.put(f"in/{number}", f"{number}".encode())
    bulk, batches = world.prepared("\n".join(f"s3://images/in/{number}" for number in range(2 * BATCH)))
    world.taking.away = 1
    with pytest.raises(Unavailable):
        world.bulk.take(bulk, batches[0]["at"], batches[0]["size"])
    world.bulk.take(bulk, batches[1]["at"], batches[1]["size"])
    assert world.bulk.end(bulk) == Counted(BATCH, 0, BATCH)
    assert world.bulk.take(bulk, batches[0]["at"], batches[0]["size"]) == Counted(BATCH, 0, 0)
    assert world.bulk.end(bulk) == Counted(2 * BATCH, 0, 0)
    assert b"left" not in world.state.read(f"{bulk}/report.csv")


def test_a_store_that_does_not_answer_is_not_an_object_that_is_not_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("in/1", b"1")
    bulk, (batch,) = world.prepared("s3://images/in/1")
    answering = world.bucket.stat

    def away(key: str) -> Any:
        raise BackendUnavailable("away")

    monkeypatch.setattr(world.bucket, "stat", away)
    with pytest.raises(Unavailable):
        world.bulk.take(bulk, batch["at"], batch["size"])
    monkeypatch.setattr(world.bucket, "stat", answering)
    assert world.bulk.take(bulk, batch["at"], batch["size"]) == Counted(1, 0, 0)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lists_of_s3_inventory_are_read_with_their_encoded_keys(world: World, packed: bool, ending: str) -> None:
    world.put("in/a b+c,d.dcm", b"1")
    world.put("in/e.dcm", b"2")
    rows = ['"images","in/a%20b%2Bc%2Cd.dcm","1024","2026-01-01T00:00:00.000Z"', "images,in/e.dcm", ""]
    data = ending.join(rows).encode()
    bulk, batches = world.prepared(gzip.compress(data) if packed else data)
    assert world.through(bulk, batches) == Counted(2, 0, 0)
    assert sorted(world.taking.taken) == [b"1", b"2"]


def test_a_long_gzip_manifest_is_read_in_pieces(world: World) -> None:
    lines = b"".join(b"s3://images/in/%d\n" % number for number in range(200_000))
    _, batches = world.prepared(gzip.compress(lines))
    assert sum(batch["objects"] for batch in batches) == 200_000


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        ("", "empty-manifest"),
        ("\n \n", "empty-manifest"),
        ("s3://images/in/1\nDOE^JANE", "bad-manifest"),
        ("s3://images/", "bad-manifest"),
        ("s3://images/folder/", "bad-manifest"),
        ("https://images/in/1", "bad-manifest"),
        ("IMAGES,in/1", "bad-manifest"),
        ("images,%ff", "bad-manifest"),
        ("s3://images/" + "k" * 1025, "bad-manifest"),
        ("k" * 2_000_000, "bad-manifest"),
        (b"\xff\xfe\x00", "bad-manifest"),
        (b"\x1f\x8bno gzip", "bad-manifest"),
        (gzip.compress(b"s3://images/in/1\n" * 9999)[:-20], "bad-manifest"),
        (gzip.compress(b"x" * 50_000_000), "bad-manifest"),
    ],
    ids=range(14),
)
def test_a_manifest_that_is_none_is_refused_by_line_without_its_contents(
    world: World, manifest: str | bytes, code: str
) -> None:
    with pytest.raises(Malformed) as caught:
        world.prepared(manifest)
    assert caught.value.code == code
    assert "DOE" not in str(caught.value)
    assert list(world.state.list()) == []


def test_places_that_are_not_allowed_are_neither_read_nor_taken_from(world: World) -> None:
    with pytest.raises(Forbidden):
        world.bulk.prepare("s3://others/all.csv")
    with pytest.raises(Forbidden):
        world.prepared("s3://images/in/1\ns3://others/in/1")
    for wrong in ("images/all.csv", "isocenter:" + "a" * 26, "https://host.example/all.csv"):
        with pytest.raises(BadRequest):
            world.bulk.prepare(wrong)
    with pytest.raises(NotFound):
        world.bulk.prepare("s3://images/nowhere.csv")
    world.put("in/1", b"1")
    bulk, batches = world.prepared("s3://images/in/1")
    world.allowed[:] = [Allowed.parse("s3://others")]  # the list became shorter since
    assert world.through(bulk, batches) == Counted(0, 1, 0)
    assert world.state.read(f"{bulk}/report.csv") == b"line,code\n1,place-not-allowed\n"


def test_a_preparation_that_was_cut_short_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put("in/1", b"1")
    create: Callable[[str], Any] = world.state.create

    def dying(key: str) -> Any:
        if key.endswith("batches.json"):
            raise BackendUnavailable("away")
        return create(key)

    monkeypatch.setattr(world.state, "create", dying)
    with pytest.raises(BackendUnavailable):
        world.prepared("s3://images/in/1")
    monkeypatch.setattr(world.state, "create", create)
    told = world.bulk.prepare(MANIFEST)
    assert world.through(told["bulk"], orjson.loads(world.state.read(told["batches"]))) == Counted(1, 0, 0)
