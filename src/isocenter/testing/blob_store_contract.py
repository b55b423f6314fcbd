"""What every blob store must do."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.errors import Conflict, NotFound
from isocenter.ports.blob_store import BlobStore
from isocenter.testing.threads import together

LARGE = random.Random(1).randbytes(10_000_000)
LIMIT = 4 << 20  # of a chunk that is "about 1 MiB"


def put(blobs: BlobStore, key: str, *parts: bytes | bytearray | memoryview) -> None:
    writer = blobs.create(key)
    for part in parts:
        writer.write(part)
    writer.commit()


def keys(blobs: BlobStore, prefix: str = "") -> list[str]:
    return sorted(stat.key for stat in blobs.list(prefix))


class BlobStoreContract:
    """Subclass this, and override the fixture `blobs` with an empty store."""

    @pytest.fixture
    def blobs(self) -> BlobStore:
        raise NotImplementedError("override the fixture `blobs`")

    def test_a_blob_comes_back_as_it_went_in(self, blobs: BlobStore) -> None:
        put(blobs, "raw/one", b"a", bytearray(b"b"), memoryview(b"xcdx")[1:3], b"", b"e")
        assert blobs.read("raw/one") == b"abcde"
        assert b"".join(blobs.stream("raw/one")) == b"abcde"

    def test_a_buffer_may_be_used_again_after_it_was_written(self, blobs: BlobStore) -> None:
        writer, buffer = blobs.create("one"), bytearray(b"first")
        writer.write(buffer)
        buffer[:] = b"other"
        writer.write(buffer)
        writer.commit()
        assert blobs.read("one") == b"firstother"

    def test_a_blob_of_no_bytes_is_a_blob(self, blobs: BlobStore) -> None:
        put(blobs, "nothing")
        assert blobs.read("nothing") == b""
        assert list(blobs.stream("nothing")) in ([], [b""])
        assert blobs.stat("nothing").size == 0
        assert keys(blobs) == ["nothing"]

    def test_a_blob_of_ten_megabytes_comes_back_whole_and_in_chunks(self, blobs: BlobStore) -> None:
        put(blobs, "large", *(LARGE[start : start + 300_001] for start in range(0, len(LARGE), 300_001)))
        assert blobs.read("large") == LARGE
        chunks = [bytes(chunk) for chunk in blobs.stream("large")]
        assert b"".join(chunks) == LARGE
        assert 0 < max(len(chunk) for chunk in chunks) <= LIMIT
        assert blobs.stat("large").size == len(LARGE)

    def test_a_blob_written_in_one_piece_comes_back(self, blobs: BlobStore) -> None:
        put(blobs, "large", LARGE)
        assert b"".join(blobs.stream("large", 1_000_000, 5_000_000)) == LARGE[1_000_000:6_000_000]

    @pytest.mark.parametrize(
        ("offset", "length"),
        [
            (0, None),
            (0, 0),
            (0, 4),
            (3, 4),
            (3, None),
            (9, 1),
            (9, 100),
            (0, 100),
            (10, None),
            (10, 5),
            (10, 0),
        ],
    )
    def test_ranges_are_cut_where_the_blob_ends(self, blobs: BlobStore, offset: int, length: int | None) -> None:
        data = b"0123456789"
        put(blobs, "ten", data)
        wanted = data[offset:] if length is None else data[offset : offset + length]
        assert blobs.read("ten", offset, length) == wanted
        assert b"".join(blobs.stream("ten", offset, length)) == wanted

    def test_a_range_past_the_end_is_empty(self, blobs: BlobStore) -> None:
        put(blobs, "ten", b"0123456789")
        assert blobs.read("ten", 11, 5) == blobs.read("ten", 1000) == b""
        assert b"".join(blobs.stream("ten", 11, 5)) == b""

    def test_ranges_of_a_blob_of_no_bytes_are_empty(self, blobs: BlobStore) -> None:
        put(blobs, "nothing")
        assert blobs.read("nothing", 0, 10) == blobs.read("nothing", 5) == b""

    def test_many_read_one_blob_at_once(self, blobs: BlobStore) -> None:
        put(blobs, "large", LARGE)
        starts = [i * 600_000 for i in range(16)]
        parts = together(lambda start: blobs.read("large", start, 1000), starts)
        assert parts == [LARGE[start : start + 1000] for start in starts]

    def test_a_missing_key_is_not_found(self, blobs: BlobStore) -> None:
        put(blobs, "raw/one", b"1")
        for key in ("missing", "raw", "raw/", "raw/on", "raw/one/more"):
            with pytest.raises(NotFound):
                blobs.read(key)
            with pytest.raises(NotFound):
                blobs.read(key, 1, 2)
            with pytest.raises(NotFound):
                blobs.stat(key)
            with pytest.raises(NotFound):
                list(blobs.stream(key))

    def test_nothing_is_visible_before_the_commit(self, blobs: BlobStore) -> None:
        writer = blobs.create("raw/one")
        for size in (3, 10_000_000):
            writer.write(LARGE[:size])
            with pytest.raises(NotFound):
                blobs.read("raw/one")
            with pytest.raises(NotFound):
                blobs.stat("raw/one")
            assert keys(blobs) == keys(blobs, "raw/") == []
        writer.commit()
        assert keys(blobs) == ["raw/one"]

    @pytest.mark.parametrize("size", [0, 5, 10_000_000])
    def test_aborting_leaves_nothing_and_can_be_done_twice(self, blobs: BlobStore, size: int) -> None:
        writer = blobs.create("one")
        writer.write(LARGE[:size])
        writer.abort()
        writer.abort()
        assert keys(blobs) == []
        put(blobs, "one", b"anew")
        assert blobs.read("one") == b"anew"

    def test_aborting_after_the_commit_is_harmless(self, blobs: BlobStore) -> None:
        writer = blobs.create("one")
        writer.write(b"1")
        writer.commit()
        writer.abort()
        assert blobs.read("one") == b"1"

    @pytest.mark.parametrize("size", [0, 5, 10_000_000])
    def test_a_blob_is_never_overwritten(self, blobs: BlobStore, size: int) -> None:
        put(blobs, "one", b"first")
        with pytest.raises(Conflict):
            put(blobs, "one", LARGE[:size])
        assert blobs.read("one") == b"first"
        assert keys(blobs) == ["one"]

    def test_of_two_writers_of_a_key_the_first_to_commit_wins(self, blobs: BlobStore) -> None:
        first, second = blobs.create("one"), blobs.create("one")
        first.write(b"first")
        second.write(b"second")
        second.commit()
        with pytest.raises(Conflict):
            first.commit()
        first.abort()
        assert blobs.read("one") == b"second"
        assert keys(blobs) == ["one"]

    def test_of_many_writers_of_a_key_one_wins(self, blobs: BlobStore) -> None:
        def write(i: int) -> bool:
            try:
                put(blobs, "one", b"%d" % i)
            except Conflict:
                return False
            return True

        won = together(write, range(16))
        assert won.count(True) == 1
        assert blobs.read("one") == b"%d" % won.index(True)

    def test_many_writers_of_many_keys_all_succeed(self, blobs: BlobStore) -> None:
        together(lambda i: put(blobs, f"raw/{i}", b"%d" % i), range(16))
        assert len(keys(blobs, "raw/")) == 16
        assert blobs.read("raw/7") == b"7"

    def test_keys_with_slashes_are_kept_apart(self, blobs: BlobStore) -> None:
        names = ["a", "raw/1/2/3", "raw/1/2/4", "raw/12", "raw-1/2", "deidentified/ab/abcdef0123456789"]
        for name in names:
            put(blobs, name, name.encode())
        assert keys(blobs) == sorted(names)
        assert [blobs.read(name) for name in names] == [name.encode() for name in names]

    def test_blobs_are_listed_by_prefix_with_size_and_time(self, blobs: BlobStore) -> None:
        before = datetime.now(UTC) - timedelta(minutes=5)  # clocks differ, and so do their grains
        for name, data in (("raw/a1", b"1"), ("raw/a2", b"22"), ("raw/b", b"333"), ("other/a1", b"4444")):
            put(blobs, name, data)
        listed = {stat.key: stat for stat in blobs.list("raw/")}
        assert {key: stat.size for key, stat in listed.items()} == {"raw/a1": 1, "raw/a2": 2, "raw/b": 3}
        for stat in listed.values():
            assert before < stat.modified < before + timedelta(minutes=10)
            assert blobs.stat(stat.key).size == stat.size
        assert keys(blobs, "raw/a") == ["raw/a1", "raw/a2"]
        assert keys(blobs, "nothing/") == keys(blobs, "raw/a1/") == []
        assert len(keys(blobs)) == 4

    def test_more_than_a_page_of_blobs_is_listed(self, blobs: BlobStore) -> None:
        for i in range(1100):
            put(blobs, f"many/{i:04}", b"")
        assert keys(blobs, "many/") == [f"many/{i:04}" for i in range(1100)]

    def test_a_blob_can_be_deleted_twice(self, blobs: BlobStore) -> None:
        put(blobs, "raw/one", b"1")
        put(blobs, "raw/two", b"2")
        blobs.delete("raw/one")
        blobs.delete("raw/one")
        blobs.delete("never/there")
        with pytest.raises(NotFound):
            blobs.read("raw/one")
        assert keys(blobs) == ["raw/two"]

    def test_a_deleted_key_may_be_written_anew(self, blobs: BlobStore) -> None:
        put(blobs, "one", b"first")
        blobs.delete("one")
        put(blobs, "one", b"second")
        assert blobs.read("one") == b"second"
