"""Outputs that become durable together: bytes before names, names before anything is told, whatever goes wrong."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from isocenter.adapters.blobs.folder import INCOMING, FolderBlobStore
from isocenter.deid.evidence import Evidence
from isocenter.deid.source import InMemory
from isocenter.errors import BackendUnavailable, Conflict, StorageFull
from isocenter.pipeline.deidentify import Deidentify
from isocenter.testing.instances import ct_slice, uid

LARGE = bytes(range(256)) * 4096 * 3 + b"end"


@pytest.fixture(params=["nameless", "named", "buffered"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FolderBlobStore:
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    if request.param == "buffered":
        monkeypatch.delattr(os, "O_DIRECT")
    return FolderBlobStore(tmp_path / "out")


def keys(store: FolderBlobStore) -> list[str]:
    return sorted(stat.key for stat in store.list())


def test_nothing_can_be_read_before_all_is_settled(store: FolderBlobStore) -> None:
    batch = store.together()
    for key, data in (("a/one", b"first"), ("b/two", LARGE), ("a/three", b"")):
        writer = batch.create(key)
        writer.write(data[:7])
        writer.write(memoryview(data)[7:])
        writer.commit()
    assert keys(store) == []
    assert batch.settle() == [None, None, None]
    assert store.read("a/one") == b"first"
    assert store.read("b/two") == LARGE
    assert keys(store) == ["a/one", "a/three", "b/two"]
    assert list((store.root / INCOMING).iterdir()) == []
    assert batch.settle() == []


def test_bytes_are_synced_before_names_and_folders_after_them_once(
    store: FolderBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    fsync, link = os.fsync, os.link

    def synced(file: int) -> None:
        done.append(("sync", "folder" if os.path.isdir(f"/proc/self/fd/{file}") else "file"))
        fsync(file)

    def linked(source: str, target: str, **options: Any) -> None:
        done.append(("name", os.path.basename(target)))
        link(source, target, **options)

    store.folder_of(store.path("a/any"))
    batch = store.together()
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    for number in range(3):
        writer = batch.create(f"a/{number}")
        writer.write(b"bytes")
        writer.commit()
    batch.settle()
    assert done == [("sync", "file")] * 3 + [("name", str(number)) for number in range(3)] + [("sync", "folder")]


def test_what_is_there_stays_and_the_others_are_released(store: FolderBlobStore) -> None:
    first = store.create("a/there")
    first.write(b"before")
    first.commit()
    batch = store.together()
    for key in ("a/there", "a/new", "a/new"):
        writer = batch.create(key)
        writer.write(b"now")
        writer.commit()
    kinds = [None if error is None else type(error) for error in batch.settle()]
    assert kinds == [Conflict, None, Conflict]
    assert store.read("a/there") == b"before"
    assert store.read("a/new") == b"now"
    assert list((store.root / INCOMING).iterdir()) == []


def test_one_that_is_given_up_leaves_nothing(store: FolderBlobStore) -> None:
    batch = store.together()
    given_up, other = batch.create("a/up"), batch.create("a/other")
    given_up.write(LARGE)
    other.write(b"other")
    given_up.abort()
    other.commit()
    assert batch.settle() == [None]
    assert keys(store) == ["a/other"]
    assert list((store.root / INCOMING).iterdir()) == []


def test_a_full_disk_is_told_of_the_file_it_befell(store: FolderBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = store.together()
    good, bad = batch.create("a/good"), batch.create("a/bad")
    good.write(b"good")
    good.commit()
    batch.wait()
    fsync = os.fsync
    place = os.fstat(bad._file).st_ino

    def full(file: int) -> None:
        if os.fstat(file).st_ino == place:
            raise OSError(errno.ENOSPC, "full")
        fsync(file)

    bad.write(b"bad")
    bad.commit()
    monkeypatch.setattr(os, "fsync", full)
    none, error = batch.settle()
    assert none is None
    assert isinstance(error, StorageFull)
    assert keys(store) == ["a/good"]


def test_what_a_crash_left_is_swept_by_a_later_run_only(store: FolderBlobStore) -> None:
    old, young = store.incoming / "old", store.incoming / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    store.together()
    assert list(store.incoming.iterdir()) == [young]


def layout(evidence: Evidence, name: str) -> str:
    return f"{evidence.patient}/{evidence.sop_instance_uid}.dcm"


def test_outcomes_are_told_of_what_was_settled(deidentifier: Any, tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path / "out")
    run = Deidentify(deidentifier(), store, layout)
    slices = [ct_slice(number=number) for number in (1, 2, 1)]
    taken = [run.take(str(place), InMemory(data), None) for place, data in enumerate([*slices, b"nonsense" * 20])]
    assert keys(store) == []
    told = run.settled(taken)
    assert [outcome.kind for outcome in told] == ["released", "released", "duplicate", "quarantined"]
    other = run.take("other", InMemory(ct_slice(number=1, InstitutionName="x", SOPInstanceUID=uid(1, 2))), None)
    again = run.take("again", InMemory(slices[0]), None)
    assert [outcome.kind for outcome in run.settled([other, again])] == ["released", "duplicate"]
    assert len(keys(store)) == 3


def test_nothing_is_told_as_released_that_could_not_be_settled(
    deidentifier: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderBlobStore(tmp_path / "out")
    run = Deidentify(deidentifier(), store, layout)
    taken = [run.take("one", InMemory(ct_slice(number=1)), None)]

    def broken(file: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    (outcome,) = run.settled(taken)
    assert outcome.kind == "failed"
    assert outcome.code == BackendUnavailable("").code
    assert outcome.evidence == {}
