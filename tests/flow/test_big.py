"""One instance of 600 MB: what it takes to store it, and to ask for one attribute of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isocenter.adapters.blobs.folder import FolderBlobStore
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom import tag_path
from isocenter.dicom.elements import Limits
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.testing.elements import EXPLICIT, description, identity, meta, native
from isocenter.testing.faults import CountingBlobStore
from isocenter.testing.instances import ct_slice
from isocenter.testing.server import Server

FRAMES = 1200
FRAME = 512 * 512 * 2
UID = "2.25.600"


def head() -> bytes:
    module = description(512, 512, frames=str(FRAMES))
    return meta(EXPLICIT, UID) + identity(UID) + module + native(b"", length=FRAMES * FRAME)


def pieces() -> Iterator[bytes]:
    """A multi-frame instance of 629 MB, made while it is sent."""
    yield head()
    for number in range(FRAMES):
        yield number.to_bytes(4, "big") * (FRAME // 4)


def body(boundary: str) -> Iterator[bytes]:
    yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    yield from pieces()
    yield f"\r\n--{boundary}--\r\n".encode()


def test_storing_600_megabytes_takes_little_memory(own_server: Server) -> None:
    for seed in range(3):
        own_server.stow(ct_slice(seed))
    own_server.forget_peak()
    before = own_server.memory("VmHWM")
    kind = 'multipart/related; type="application/dicom"; boundary=big'
    answer = own_server.request("POST", "/dicomweb/studies", body("big"), {"Content-Type": kind}, seconds=300)
    assert answer.status == 200
    grown = own_server.memory("VmHWM") - before
    print(f"peak grew by {grown >> 20} MB")
    assert grown <= 64 << 20, f"{grown >> 20} MB"
    address = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0].removeprefix(own_server.url)
    accept = {"Accept": "application/octet-stream"}
    for frame in (1, 600, FRAMES):
        back = own_server.request("GET", f"{address}/frames/{frame}", headers=accept).body
        assert back == (frame - 1).to_bytes(4, "big") * (FRAME // 4)
    own_server.forget_peak()
    before = own_server.memory("VmHWM")
    sizes = own_server.drained(address, {"Accept": "application/dicom; transfer-syntax=*"})
    assert sizes == len(head()) + FRAMES * FRAME
    grown = own_server.memory("VmHWM") - before
    print(f"peak grew by {grown >> 20} MB")
    assert grown <= 64 << 20, f"{grown >> 20} MB"


@pytest.mark.parametrize("tag", ["PatientName", "(0028,0008)", "(0002,0010)", "StudyInstanceUID"])
def test_an_attribute_of_600_megabytes_reads_next_to_nothing(
    tmp_path: Path, make_platform: Callable[..., Platform], tag: str
) -> None:
    blobs = CountingBlobStore(FolderBlobStore(tmp_path))
    platform = make_platform(blobs=blobs)
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    intake = batch.begin("big", Placement("raw"))
    for piece in pieces():
        intake.write(piece)
    intake.finish()
    (receipt,) = batch.close()
    assert receipt.record is not None
    assert receipt.record.blob.size == len(head()) + FRAMES * FRAME
    blobs.bytes_read = 0
    found = Retrieve(platform).attribute(receipt.record, tag_path.parse(tag))
    assert found["Value"]
    assert blobs.bytes_read <= 256 << 10
    platform.blobs.delete(receipt.record.blob.key)
