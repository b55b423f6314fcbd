"""Upload sessions whose parts go straight into S3, to addresses that bind what is sent."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from isocenter.testing.instances import ct_slice, jpeg_picture, nifti_volume
from isocenter.testing.s3 import s3_server
from isocenter.testing.server import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_server() as s3:
        settings = {
            "ISOCENTER_BLOBS_URL": s3.new_bucket(),
            "ISOCENTER_BLOBS_OPTIONS": json.dumps(s3.options),
            "ISOCENTER_UPLOAD_LINKS": "presigned",
        }
        with running(tmp_path_factory.mktemp("presigned") / "home", **settings) as started:
            yield started


def begun(server: Server, files: dict[str, bytes], **more: Any) -> Any:
    announced = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}
        for name, data in files.items()
    ]
    answer = server.request(
        "POST", "/uploads", json.dumps({"files": announced}).encode(), {"Content-Type": "application/json"}
    )
    assert answer.status == 201, answer.body
    return answer.json()


def sent(path: Path, part: Any, *, headers: dict[str, str] | None = None) -> int:
    """The status with which S3 answers curl."""
    given = part["headers"] if headers is None else headers
    options = [option for name, value in given.items() for option in ("-H", f"{name}: {value}")]
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-T", path, *options, part["url"]]
    return int(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)


def signature(url: str, headers: dict[str, str], size: int, secret: str) -> str:
    """Signature Version 4 of a presigned PUT, by the book: AWS's description, not botocore."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    asked.pop("X-Amz-Signature")
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(asked.items()))
    bound = {**headers, "content-length": str(size), "host": parts.netloc}
    names = asked["X-Amz-SignedHeaders"].split(";")
    assert names == sorted(bound)
    canonical = "".join(f"{name}:{bound[name]}\n" for name in names)
    request = "\n".join(("PUT", parts.path, query, canonical, ";".join(names), "UNSIGNED-PAYLOAD"))
    scope = asked["X-Amz-Credential"].partition("/")[2]
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", asked["X-Amz-Date"], scope, digest))
    key = ("AWS4" + secret).encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def test_files_go_into_the_bucket_past_the_server_and_are_taken_in(server: Server, tmp_path: Path) -> None:
    files = {"scan.dcm": ct_slice(61, 1, size=64), "photo.jpg": jpeg_picture(61), "volume.nii": nifti_volume(61)}
    upload = begun(server, files, subject_id="s61")
    for file, (name, data) in zip(upload["files"], files.items(), strict=True):
        (part,) = file["parts"]
        assert not part["url"].startswith(server.url)
        (tmp_path / name).write_bytes(data)
        assert sent(tmp_path / name, part) == 200
    done = server.request("POST", f"/uploads/{upload['id']}/complete").json()
    assert [receipt["outcome"] for receipt in done["receipts"]] == ["stored"] * 3, done
    for receipt, data in zip(done["receipts"], files.values(), strict=True):
        assert server.request("GET", f"/dicom-image/{receipt['image_id']}").body == data


def test_an_address_binds_size_type_checksum_and_newness_by_signature(server: Server, tmp_path: Path) -> None:
    data = ct_slice(62, 1, size=64)
    path = tmp_path / "one"
    path.write_bytes(data)
    (part,) = begun(server, {"one": data}, media_type="application/dicom")["files"][0]["parts"]
    assert set(part["headers"]) == {"if-none-match", "content-type", "x-amz-checksum-sha256"}
    made = dict(parse_qsl(urlsplit(part["url"]).query))["X-Amz-Signature"]
    assert signature(part["url"], part["headers"], len(data), "test") == made
    assert signature(part["url"], part["headers"], len(data) + 1, "test") != made
    assert signature(part["url"], part["headers"] | {"if-none-match": ""}, len(data), "test") != made
    assert sent(path, part) == 200
    assert sent(path, part) == 412  # what is there is not overwritten, not even by itself


def test_other_bytes_are_found_out_at_the_end_and_spoil_no_other_file(server: Server, tmp_path: Path) -> None:
    good, announced = ct_slice(63, 1, size=64), ct_slice(63, 2, size=64)
    upload = begun(server, {"good": good, "changed": announced})
    changed = bytearray(announced)
    changed[-1] ^= 1
    for file, data in zip(upload["files"], (good, bytes(changed)), strict=True):
        path = tmp_path / file["name"]
        path.write_bytes(data)
        # The S3 of these tests does not compare the checksum it is given, as S3 itself does: so it is left out here.
        headers = {"if-none-match": "*"}
        assert sent(path, file["parts"][0], headers=headers) == 200
    done = server.request("POST", f"/uploads/{upload['id']}/complete").json()
    assert [receipt["code"] for receipt in done["receipts"]] == [None, "checksum-mismatch"]


def test_a_large_file_goes_in_parts_and_is_resumed(server: Server, tmp_path: Path) -> None:
    data = ct_slice(64, 1, size=64)
    data += b"\xfc\xff\xfc\xffOB\0\0" + (66 << 20).to_bytes(4, "little") + bytes(66 << 20)
    upload = begun(server, {"large": data})
    first, second = upload["files"][0]["parts"]
    for part in (second, first):
        (tmp_path / "part").write_bytes(data[part["offset"] : part["offset"] + part["size"]])
        assert set(part["headers"]) == {"if-none-match"}
        early = server.request("POST", f"/uploads/{upload['id']}/complete")
        assert (early.status, early.json()["code"]) == (409, "upload-incomplete")
        assert sent(tmp_path / "part", part) == 200
        told = server.request("GET", f"/uploads/{upload['id']}").json()["files"][0]["parts"]
        assert told[part["part"]]["received"]
        assert told[part["part"]]["url"] is None
    done = server.request("POST", f"/uploads/{upload['id']}/complete").json()
    assert done["receipts"][0]["outcome"] == "stored", done
    assert server.request("GET", f"/uploads/{upload['id']}").json()["files"][0]["parts"][0]["received"]
    assert "X-Amz" not in server.log.read_text()


def test_a_store_that_is_not_s3_says_that_it_takes_none(tmp_path: Path) -> None:
    """Where the setting cannot hold, the folder's own signed routes are what is given."""
    with running(tmp_path / "home", ISOCENTER_UPLOAD_LINKS="presigned") as started:
        (part,) = begun(started, {"one": b"12345"})["files"][0]["parts"]
        assert part["url"].startswith(f"{started.url}/uploaded/")
        assert part["headers"] == {}
