"""Places outside: what is read, what is written beside it, and how their addresses are kept."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.errors import BadRequest, Conflict, Forbidden, LimitExceeded, NotFound
from isocenter.pipeline.locations import Allowed, InBucket, OnHost
from isocenter.pipeline.places import PREFIX, Places
from isocenter.ports.blob_store import BlobStore
from isocenter.testing.faults import CountingBlobStore

HERE = InBucket("s3", "images", "in/SMITH JOHN/a.dcm")


def places(store: BlobStore, *, most: int = 1 << 30, body: bytes = b"", key: bytes = b"k" * 64) -> Places:
    def fetch(host: str, port: int, target: str) -> Iterator[bytes]:
        for start in range(0, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]

    allowed = [Allowed.parse("s3://images/in"), Allowed.parse("https://host.example")]
    return Places(allowed, lambda location: store, fetch, lambda: key, most)


def put(store: BlobStore, key: str, data: bytes) -> None:
    writer = store.create(key)
    writer.write(data)
    writer.commit()


def test_an_address_is_sealed_alike_each_time_and_opened_by_its_key_alone() -> None:
    made = places(MemoryBlobStore())
    for location in (HERE, OnHost("host.example", 8443, "/SMITH?x=1")):
        sealed = made.sealed(location)
        assert sealed == made.sealed(location)
        assert sealed.startswith(PREFIX)
        assert "SMITH" not in sealed
        assert made.opened(sealed) == location
        for other in (sealed[:-4], sealed[:-1] + ("A" if sealed[-1] != "A" else "B"), PREFIX, PREFIX + "AAAA", "é"):
            with pytest.raises(BadRequest):
                made.opened(other)
        with pytest.raises(BadRequest):
            places(MemoryBlobStore(), key=b"o" * 64).opened(sealed)
    assert made.sealed(HERE) != made.sealed(HERE.beside("b.dcm"))


def test_an_object_is_read_at_once_where_it_is_small_and_by_ranges_where_it_is_large() -> None:
    store = CountingBlobStore(MemoryBlobStore())
    put(store, HERE.key, b"0123456789")
    source = places(store).read(HERE)
    assert (source.size, source.read(2, 3), source.read(8, 100)) == (10, b"234", b"89")
    assert len(store.reads) == 1
    large = bytes(range(256)) * (80 << 10)
    put(store, "in/large", large)
    found = places(store).read(InBucket("s3", "images", "in/large"))
    assert found.read(1 << 20, 5) == large[1 << 20 : (1 << 20) + 5]
    assert store.reads[1:] == [("in/large", 1 << 20, 5)]


@pytest.mark.parametrize("size", [0, 10, (65 << 20) + 3])
def test_what_is_fetched_is_read_by_position_whatever_its_size(size: int) -> None:
    body = bytes(i & 255 for i in range(1000)) * (size // 1000 + 1)
    source = places(MemoryBlobStore(), body=body[:size]).read(OnHost("host.example", 443, "/a"))
    assert source.size == size
    assert source.read(max(0, size - 7), 100) == body[max(0, size - 7) : size]
    assert source.read(0, 5) == body[: min(5, size)]


def test_what_is_not_allowed_not_there_or_too_large_is_refused() -> None:
    store = MemoryBlobStore()
    put(store, "out/a.dcm", b"x")
    put(store, HERE.key, b"x" * 11)
    with pytest.raises(Forbidden):
        places(store).read(InBucket("s3", "images", "out/a.dcm"))
    with pytest.raises(Forbidden):
        places(store).put(InBucket("s3", "images", "out/b.dcm"), b"x", lambda kept: True)
    with pytest.raises(NotFound):
        places(store).read(HERE.beside("nothing.dcm"))
    with pytest.raises(LimitExceeded):
        places(store, most=10).read(HERE)


def test_a_result_is_written_and_its_equal_again_changes_nothing() -> None:
    store, target = MemoryBlobStore(), HERE.beside("a_annot.dcm")
    for _ in range(2):
        places(store).put(target, b"result", lambda kept: False)
    assert store.read(target.key) == b"result"


def test_an_object_of_another_origin_is_left_as_it_is() -> None:
    store, target = MemoryBlobStore(), HERE.beside("a_annot.dcm")
    put(store, target.key, b"somebody's")
    asked = []

    def may_replace(kept: bytes) -> bool:
        asked.append(kept)
        return False

    with pytest.raises(Conflict) as refused:
        places(store).put(target, b"result", may_replace)
    assert refused.value.code == "result-name-taken"
    assert asked == [b"somebody's"]
    assert store.read(target.key) == b"somebody's"
    places(store).put(target, b"result", lambda kept: kept == b"somebody's")
    assert store.read(target.key) == b"result"


def test_findings_of_the_same_image_by_the_same_algorithm_may_be_replaced() -> None:
    from isocenter.algorithms.base import Made
    from isocenter.pipeline.steps.algorithm import same_origin

    def told(**changes: str) -> bytes:
        return orjson.dumps({"algorithm": "quality", "source_sha256": "00", "version": "1", **changes})

    new = Made("application/json", told(), ".json")
    assert same_origin(told(version="0"), new)
    for other in (told(algorithm="x"), told(source_sha256="11"), b"{}", b"[]", b"null", b"no JSON", b""):
        assert not same_origin(other, new)
    assert not same_origin(b"\x89PNG", Made("image/png", b"\x89PNG other", ".png"))
