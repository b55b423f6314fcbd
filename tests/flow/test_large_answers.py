"""Answers too large for the way out, as on AWS Lambda: given by an address of the bucket, byte for byte the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
import requests

from isocenter.testing.instances import ct_slice
from isocenter.testing.s3 import S3Server, s3_server
from isocenter.testing.server import Server, running

MOST = 1 << 16


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[Server]:
    settings = {
        "ISOCENTER_BLOBS_URL": s3.new_bucket(),
        "ISOCENTER_BLOBS_OPTIONS": json.dumps(s3.options),
        "ISOCENTER_MAX_ANSWER_BYTES": str(MOST),
    }
    with running(tmp_path_factory.mktemp("large") / "home", **settings) as started:
        yield started


@pytest.fixture(scope="module")
def kept(server: Server) -> dict[str, bytes]:
    """A large and a small instance of one study, by their ids."""
    images = {size: ct_slice(71, size, size=size) for size in (32, 512)}
    found = {}
    for size, data in images.items():
        path = f"/images?subject_id=s71&image_id={size}"
        answer = server.request("POST", path, data, {"Content-Type": "application/dicom"})
        assert answer.status in (200, 201), answer.body
        found[server.request("GET", f"/images?subject_id=s71&image_id={size}").json()["images"][0]["id"]] = data
    return found


def test_a_large_answer_comes_from_the_bucket_and_a_small_one_from_the_server(
    server: Server, kept: dict[str, bytes]
) -> None:
    for id, data in kept.items():
        plain = requests.get(f"{server.url}/dicom-image/{id}", allow_redirects=False, timeout=60)
        assert plain.status_code == (307 if len(data) > MOST else 200)
        followed = requests.get(f"{server.url}/dicom-image/{id}", timeout=60)
        assert followed.content == data
        assert followed.headers["content-type"] == "application/dicom"
        if len(data) > MOST:
            assert plain.headers["cache-control"] == "no-store"
            assert "etag" not in plain.headers
            assert not followed.url.startswith(server.url)
            assert "X-Amz-Signature" in followed.url


def test_ranges_multipart_and_zip_go_the_same_way(server: Server, kept: dict[str, bytes]) -> None:
    id, data = max(kept.items(), key=lambda pair: len(pair[1]))
    piece = requests.get(f"{server.url}/dicom-image/{id}", headers={"Range": "bytes=100000-100099"}, timeout=60)
    assert (piece.status_code, piece.content) == (206, data[100000:100100])
    study = server.request("GET", "/dicomweb/studies").json()[0]["0020000D"]["Value"][0]
    whole = requests.get(f"{server.url}/dicomweb/studies/{study}", timeout=60)
    assert whole.headers["content-type"].startswith("multipart/related")
    assert all(each in whole.content for each in kept.values())
    zipped = requests.get(f"{server.url}/dicomweb/studies/{study}", headers={"Accept": "application/zip"}, timeout=60)
    assert len(ZipFile(BytesIO(zipped.content)).namelist()) >= 2
    command = ["curl", "-sSfL", f"{server.url}/dicom-image/{id}"]
    assert subprocess.run(command, check=True, capture_output=True, timeout=60).stdout == data


def test_head_tells_the_length_and_writes_nothing(server: Server, kept: dict[str, bytes]) -> None:
    id, data = max(kept.items(), key=lambda pair: len(pair[1]))
    told = requests.head(f"{server.url}/dicom-image/{id}", timeout=60)
    assert (told.status_code, told.headers["content-length"]) == (200, str(len(data)))
    assert server.run("fsck").returncode == 0
    assert "X-Amz" not in server.log.read_text()


def test_a_folder_cannot_do_it_and_says_so_at_start(tmp_path: Path) -> None:
    server = Server(tmp_path / "home", {"ISOCENTER_MAX_ANSWER_BYTES": str(MOST)})
    told = server.run("serve", "--port", "0")
    assert told.returncode == 2
    assert b"max_answer_bytes" in told.stderr
