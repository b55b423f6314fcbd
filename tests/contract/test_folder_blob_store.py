"""The blob store contract on a folder, written past the page cache and through it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isocenter.adapters.blobs.folder import FolderBlobStore
from isocenter.errors import BackendUnavailable, Conflict, NotFound, StorageFull
from isocenter.testing.blob_store_contract import BlobStoreContract, keys, put


class TestFolderBlobStore(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> FolderBlobStore:
        return FolderBlobStore(tmp_path / "blobs")


class TestFolderBlobStoreWithoutDirectWrites(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderBlobStore:
        monkeypatch.delattr(os, "O_DIRECT")
        return FolderBlobStore(tmp_path / "blobs")


class TestFolderBlobStoreWithoutNamelessFiles(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderBlobStore:
        monkeypatch.delattr(os, "O_TMPFILE")
        return FolderBlobStore(tmp_path / "blobs")


class TestFolderBlobStoreWithNeither(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderBlobStore:
        monkeypatch.delattr(os, "O_DIRECT")
        monkeypatch.delattr(os, "O_TMPFILE")
        return FolderBlobStore(tmp_path / "blobs")


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Files without a name until they are committed, and files in `incoming`."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    return str(request.param)


class _Syncs:
    """Stands in for os.fsync and notes what was synced, in order, by inode: a file is renamed in between."""

    def __init__(self) -> None:
        self.inodes: list[int] = []
        self._fsync = os.fsync

    def __call__(self, file: int) -> None:
        self.inodes.append(os.fstat(file).st_ino)
        self._fsync(file)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> _Syncs:
    found = _Syncs()
    monkeypatch.setattr(os, "fsync", found)
    return found


def inodes(*paths: Path) -> list[int]:
    return [path.stat().st_ino for path in paths]


def test_file_and_folders_are_synced_before_a_blob_is_acknowledged(tmp_path: Path, syncs: _Syncs, way: str) -> None:
    blobs = FolderBlobStore(tmp_path)
    syncs.inodes.clear()
    put(blobs, "raw/a/one", b"1" * 5000)
    raw = tmp_path / "raw"
    assert sorted(syncs.inodes[:2]) == sorted(inodes(tmp_path, raw))  # `raw` and `a` are new in them
    assert syncs.inodes[2:] == inodes(raw / "a/one", raw / "a")


def test_folders_that_another_process_made_are_synced_too(tmp_path: Path, syncs: _Syncs) -> None:
    put(FolderBlobStore(tmp_path), "raw/a/one", b"1")
    again = FolderBlobStore(tmp_path)
    syncs.inodes.clear()
    put(again, "raw/a/two", b"2")
    assert set(inodes(tmp_path, tmp_path / "raw")) <= set(syncs.inodes[:2])


def test_in_a_known_folder_a_blob_takes_two_syncs(tmp_path: Path, syncs: _Syncs, way: str) -> None:
    blobs = FolderBlobStore(tmp_path)
    put(blobs, "raw/a/one", b"1")
    syncs.inodes.clear()
    put(blobs, "raw/a/two", b"2")
    assert syncs.inodes == inodes(tmp_path / "raw/a/two", tmp_path / "raw/a")


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_001])
def test_direct_writes_keep_every_length(tmp_path: Path, way: str, size: int) -> None:
    data = os.urandom(size)
    blobs = FolderBlobStore(tmp_path)
    for number, step in enumerate((size or 1, 1000, 4096, 70_001)):
        put(blobs, f"raw/{number}", *(data[at : at + step] for at in range(0, size, step)))
        assert blobs.read(f"raw/{number}") == data


@pytest.mark.parametrize("named", [False, True])
def test_a_crash_before_the_name_leaves_an_incoming_file_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    if named:
        monkeypatch.delattr(os, "O_TMPFILE")
    blobs = FolderBlobStore(tmp_path)
    writer = blobs.create("raw/one")
    writer.write(b"1" * 10_000)

    def crash(*_: object, **__: object) -> None:
        raise OSError(5, "crash")

    monkeypatch.setattr(os, "link", crash)
    with pytest.raises(BackendUnavailable):
        writer.commit()
    again = FolderBlobStore(tmp_path)
    with pytest.raises(NotFound):
        again.read("raw/one")
    assert keys(again) == []
    left = keys(again, "incoming/")
    assert len(left) == int(named)
    for key in left:  # as fsck does
        again.delete(key)
    assert keys(again, "incoming/") == []
    writer.abort()


def test_a_crash_between_name_and_sync_leaves_the_blob_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    blobs = FolderBlobStore(tmp_path)
    put(blobs, "raw/zero", b"0")
    data = os.urandom(10_000)
    writer = blobs.create("raw/one")
    writer.write(data)

    def crash(*_: object) -> None:
        raise OSError(5, "crash")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(BackendUnavailable):
            writer.commit()
    assert FolderBlobStore(tmp_path).read("raw/one") == data
    writer.abort()


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FolderBlobStore(tmp_path)
    writer = blobs.create("raw/one")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFull) as caught:
        writer.write(b"1" * 10_000)
        writer.commit()
    assert str(tmp_path) not in caught.value.detail
    writer.abort()
    assert keys(blobs, "incoming/") == []


@pytest.mark.parametrize("key", ["../out", "raw/../../out", "/etc/passwd", "raw//one", "raw/.", "", "in/../x", "a\0b"])
def test_a_key_never_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    blobs = FolderBlobStore(tmp_path / "blobs")
    for use in (blobs.create, blobs.read, blobs.stat):
        with pytest.raises(NotFound):
            use(key)
    with pytest.raises(NotFound):
        list(blobs.stream(key))
    blobs.delete(key)


def test_two_processes_of_one_key_cannot_both_win(tmp_path: Path) -> None:
    first, second = FolderBlobStore(tmp_path).create("raw/one"), FolderBlobStore(tmp_path).create("raw/one")
    first.write(b"1")
    second.write(b"2")
    first.commit()
    with pytest.raises(Conflict):
        second.commit()
    second.abort()
    assert keys(FolderBlobStore(tmp_path), "incoming/") == []


def test_files_are_the_owner_s_alone(tmp_path: Path) -> None:
    put(FolderBlobStore(tmp_path / "blobs"), "raw/one", b"1")
    for path in (tmp_path / "blobs").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
