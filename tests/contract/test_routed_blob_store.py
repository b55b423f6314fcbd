"""The blob store contract on a store made of two, and what goes where."""

from __future__ import annotations

import pytest

from isocenter.adapters.blobs.routed import RoutedBlobStore
from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.errors import Misconfigured
from isocenter.testing.blob_store_contract import BlobStoreContract


class TestRoutedBlobStore(BlobStoreContract):
    @pytest.fixture
    def blobs(self) -> RoutedBlobStore:
        return RoutedBlobStore(MemoryBlobStore(), {"raw": MemoryBlobStore(), "a": MemoryBlobStore()})


def put(store: RoutedBlobStore | MemoryBlobStore, key: str) -> None:
    writer = store.create(key)
    writer.write(key.encode())
    writer.commit()


def test_each_key_lies_where_its_store_does_and_lists_are_whole() -> None:
    rest, raw, other = MemoryBlobStore(), MemoryBlobStore(), MemoryBlobStore()
    routed = RoutedBlobStore(rest, {"raw": raw, "rawer": other})
    keys = ["raw/a/1", "rawer/a/1", "deidentified/a/1", "uploads/x/manifest", "raw"]
    for key in keys:
        put(routed, key)
    assert [stat.key for stat in raw.list()] == ["raw/a/1"]
    assert [stat.key for stat in other.list()] == ["rawer/a/1"]
    put(rest, "raw/of-before")  # lies where it is not looked for, and so is not shown
    assert sorted(stat.key for stat in routed.list()) == sorted(keys)
    assert sorted(stat.key for stat in routed.list("raw")) == ["raw", "raw/a/1", "rawer/a/1"]
    assert [stat.key for stat in routed.list("raw/")] == ["raw/a/1"]
    routed.delete("raw/a/1")
    assert not list(raw.list())


def test_where_a_store_cannot_sign_it_says_so() -> None:
    routed = RoutedBlobStore(MemoryBlobStore(), {})
    with pytest.raises(Misconfigured):
        routed.signed_url("raw/1", 60)
    with pytest.raises(Misconfigured):
        routed.signed_put("raw/1", 1, 60, media_type=None, sha256=None)
