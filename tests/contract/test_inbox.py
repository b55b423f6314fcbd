"""The inbox contract on a folder and on a bucket (in memory, and moto's S3)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from isocenter.adapters.blobs.objects import ObjectBlobStore
from isocenter.adapters.inboxes.bucket import CLAIMED, BucketInbox
from isocenter.adapters.inboxes.folder import FolderInbox
from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.ports.blob_store import BlobStore
from isocenter.records import BlobStat, now
from isocenter.testing.inbox_contract import InboxContract
from isocenter.testing.s3 import S3Server, s3_server


class TestFolderInbox(InboxContract):
    @pytest.fixture
    def opened(self) -> list[FolderInbox]:
        return []

    @pytest.fixture
    def open_inbox(self, tmp_path: Path, opened: list[FolderInbox]) -> Callable[[], FolderInbox]:
        def made() -> FolderInbox:
            opened.append(FolderInbox(tmp_path))
            return opened[-1]

        return made

    @pytest.fixture
    def leave(self, tmp_path: Path) -> Callable[[str, bytes], None]:
        def left(name: str, data: bytes) -> None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)

        return left

    @pytest.fixture
    def lying(self, tmp_path: Path) -> Callable[[], dict[str, bytes]]:
        def told() -> dict[str, bytes]:
            return {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

        return told

    @pytest.fixture
    def expire(self, opened: list[FolderInbox]) -> Callable[[], None]:
        def ended() -> None:
            for inbox in opened:
                for file in inbox._own.values():
                    os.close(file)  # as the end of its process does
                inbox._own.clear()

        return ended

    def test_a_file_that_grows_is_not_taken(self, tmp_path: Path) -> None:
        inbox, path = FolderInbox(tmp_path), tmp_path / "a.dcm"
        for size in range(3):
            path.write_bytes(b"x" * size)
            assert inbox.look(10) == []
        assert [waiting.size for waiting in inbox.look(10)] == [2]

    def test_hidden_and_partial_files_links_and_our_own_folders_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "sub" / ".hidden").mkdir(parents=True)
        for name in (".a", "b.part", "c.TMP", "sub/.hidden/d", "processed/e", "failed/f", "sub/processed/g"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        os.symlink("/etc/hostname", tmp_path / "link")
        inbox = FolderInbox(tmp_path)
        inbox.look(10)
        assert [waiting.name for waiting in inbox.look(10)] == ["sub/processed/g"]


class _OnStore(InboxContract):
    @pytest.fixture
    def moment(self) -> list[datetime]:
        return [now()]

    @pytest.fixture
    def open_inbox(self, store: BlobStore, moment: list[datetime]) -> Callable[[], BucketInbox]:
        return lambda: BucketInbox(store, clock=lambda: moment[0])

    @pytest.fixture
    def leave(self, store: BlobStore) -> Callable[[str, bytes], None]:
        def left(name: str, data: bytes) -> None:
            writer = store.create(name)
            writer.write(data)
            writer.commit()

        return left

    @pytest.fixture
    def lying(self, store: BlobStore) -> Callable[[], dict[str, bytes]]:
        def told() -> dict[str, bytes]:
            keys = [stat.key for stat in store.list()]
            return {key: store.read(key) for key in keys if not key.startswith(CLAIMED)}

        return told

    @pytest.fixture
    def expire(self, moment: list[datetime]) -> Callable[[], None]:
        def later() -> None:
            moment[0] += timedelta(hours=1)

        return later


class TestBucketInboxInMemory(_OnStore):
    @pytest.fixture
    def store(self) -> BlobStore:
        return MemoryBlobStore()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


class TestBucketInboxOnS3(_OnStore):
    @pytest.fixture
    def store(self, s3: S3Server) -> BlobStore:
        return ObjectBlobStore(f"{s3.new_bucket()}/inbox", s3.options)


def test_an_inbox_of_names_lists_nothing_and_sees_those_alone() -> None:
    class Counted(MemoryBlobStore):
        listed: list[str]

        def list(self, prefix: str = "") -> Iterator[BlobStat]:
            self.listed.append(prefix)
            return super().list(prefix)

    store = Counted()
    store.listed = []
    for name in ("incoming/a b+c.dcm", "incoming/other.dcm", "incoming/bad"):
        writer = store.create(name)
        writer.write(b"data")
        writer.commit()
    named = ["incoming/a b+c.dcm", "incoming/gone.dcm", "incoming/a b+c.dcm", "incoming/bad"]
    inbox = BucketInbox(store, names=named, failed="quarantine/")
    good, bad = sorted(inbox.look(100), key=lambda waiting: waiting.name)
    assert (good.name, bad.name) == ("incoming/a b+c.dcm", "incoming/bad")
    assert inbox.claim(good)
    assert inbox.claim(bad)
    told_meanwhile = BucketInbox(store, names=named)
    assert not any(map(told_meanwhile.claim, told_meanwhile.look(100)))
    assert len(store.listed) == 4  # each looks once whether it is claimed
    inbox.processed(good)
    inbox.failed(bad, "not-an-image")
    assert len(store.listed) == 4
    assert all(prefix.startswith(CLAIMED) for prefix in store.listed)
    assert sorted(stat.key for stat in MemoryBlobStore.list(store)) == [
        "incoming/other.dcm",
        "processed/incoming/a b+c.dcm",
        "quarantine/incoming/bad",
        "quarantine/incoming/bad.reason.txt",
    ]
