"""The destination contract on every kind that keeps images: folder, buckets, another gateway, Orthanc."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from isocenter.adapters.blobs.folder import FolderBlobStore
from isocenter.adapters.blobs.objects import ObjectBlobStore
from isocenter.adapters.destinations.calling import Remote
from isocenter.adapters.destinations.stored import StoredDestination
from isocenter.adapters.destinations.stow import StowPeer, _only_part
from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.errors import BackendUnavailable, Conflict, NotFound, Unsupported
from isocenter.ports.blob_store import BlobStore
from isocenter.records import Parcel
from isocenter.testing.destination_contract import DestinationContract, DestinationRooms, new_parcels
from isocenter.testing.s3 import s3_server
from isocenter.testing.server import Server, free_port, running

_DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


def stored_rooms(blobs: BlobStore) -> DestinationRooms:
    def kept(parcel: Parcel) -> bytes | None:
        with suppress(NotFound):
            return blobs.read(parcel.path)
        return None

    return DestinationRooms(StoredDestination("there", blobs), kept)


def peer_rooms(root: str) -> DestinationRooms:
    remote = Remote(root)

    def kept(parcel: Parcel) -> bytes | None:
        assert parcel.uids is not None
        path = "/studies/{}/series/{}/instances/{}".format(*parcel.uids)
        accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        return _only_part(answer) if (answer := remote.call("GET", path, accept)).status == 200 else None

    return DestinationRooms(StowPeer("peer", remote, root, verify=True, most_images=3), kept)


class TestMemory(DestinationContract):
    @pytest.fixture
    def rooms(self) -> DestinationRooms:
        return stored_rooms(MemoryBlobStore())


class TestFolder(DestinationContract):
    @pytest.fixture
    def rooms(self, tmp_path: Path) -> DestinationRooms:
        return stored_rooms(FolderBlobStore(tmp_path / "out"))


@pytest.fixture(scope="module")
def bucket() -> Iterator[BlobStore]:
    with s3_server() as s3:
        yield ObjectBlobStore(s3.new_bucket(), s3.options)


class TestBucket(DestinationContract):
    @pytest.fixture
    def rooms(self, bucket: BlobStore) -> DestinationRooms:
        return stored_rooms(bucket)


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("peer") / "home") as server:
        yield server


class TestGateway(DestinationContract):
    @pytest.fixture
    def rooms(self, peer: Server) -> DestinationRooms:
        return peer_rooms(f"{peer.url}/dicomweb")

    def test_a_duplicate_is_looked_at_without_being_asked_to(self, peer: Server) -> None:
        root = f"{peer.url}/dicomweb"
        (parcel,) = new_parcels(1)
        plain = StowPeer("peer", Remote(root), root)
        assert plain.put([parcel]) == plain.put([parcel]) == {parcel.id: root}

    def test_what_is_not_dicom_is_not_sent(self, rooms: DestinationRooms) -> None:
        picture = Parcel("p", "raw/p.png", "image/png", 1, None, lambda: iter((b"x",)))
        assert isinstance(rooms.destination.put([picture])["p"], Unsupported)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("Orthanc") is None or not Path(_DICOMWEB).exists():
        pytest.skip("Orthanc is not installed")
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    settings = {
        "HttpPort": port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomServerEnabled": False,
        "StorageDirectory": str(folder), "IndexDirectory": str(folder), "Plugins": [_DICOMWEB],
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    command = ["Orthanc", str(folder / "orthanc.json")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/dicom-web"
    finally:
        process.terminate()
        process.wait(timeout=30)


class TestOrthanc(DestinationContract):
    @pytest.fixture
    def rooms(self, orthanc: str) -> DestinationRooms:
        return peer_rooms(orthanc)


def test_a_peer_that_is_not_there_is_unavailable_for_every_image() -> None:
    root = f"http://127.0.0.1:{free_port()}"
    parcels = new_parcels(2)
    said = StowPeer("peer", Remote(root, seconds=2), root).put(parcels)
    assert {type(error) for error in said.values()} == {BackendUnavailable}
    assert len(said) == 2


def test_a_folder_never_follows_a_path_that_leads_out(tmp_path: Path) -> None:
    (parcel,) = new_parcels(1)
    destination = StoredDestination("there", FolderBlobStore(tmp_path / "out"))
    for path in ("../x.dcm", "a/../../x.dcm", "/x.dcm"):
        odd = Parcel(parcel.id, path, parcel.media_type, parcel.size, parcel.sha256, parcel.chunks)
        assert not isinstance(destination.put([odd])[parcel.id], str | Conflict)
    assert [path.name for path in tmp_path.rglob("x.dcm")] == []
