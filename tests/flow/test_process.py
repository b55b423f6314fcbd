"""System A and more: an algorithm on the image at a URL, the result beside it, on a real server and moto's S3."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import obstore
import pydicom
import pytest
from obstore.store import S3Store

from isocenter.testing.canary import Canary
from isocenter.testing.instances import ct_slice, png_picture
from isocenter.testing.s3 import S3Server, s3_server
from isocenter.testing.server import Server, running


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    found = Canary()
    yield found
    found.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    return s3.new_bucket().removeprefix("s3://")


@pytest.fixture(scope="module")
def objects(s3: S3Server, bucket: str) -> S3Store:
    options: Any = {name: value for name, value in s3.options.items() if name != "allow_http"}
    return S3Store(bucket, config=options, client_options={"allow_http": True})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, s3: S3Server, bucket: str, canary: Canary) -> Iterator[Server]:
    places = [f"s3://{bucket}/in", "https://localhost", f"https://localhost:{canary.port}", "https://127.0.0.1"]
    settings = {
        "ISOCENTER_PROCESS_URLS": json.dumps(places),
        "ISOCENTER_BLOBS_OPTIONS": json.dumps(s3.options),
        "ISOCENTER_WORKER_IDLE_SECONDS": "300",
    }
    with running(tmp_path_factory.mktemp("process") / "home", **settings) as started:
        yield started


def process(server: Server, url: str, algorithm: str = "three-circles", **more: Any) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    if "key" in more:
        headers["Idempotency-Key"] = more.pop("key")
    body = json.dumps({"url": url, "algorithm": algorithm, **more}).encode()
    answer = server.request("POST", "/process", body, headers)
    return answer.status, answer.json()


def read(objects: S3Store, key: str) -> bytes:
    return bytes(obstore.get(objects, key).bytes())


def test_three_circles_lie_beside_their_image_and_the_image_is_as_it_was(
    server: Server, objects: S3Store, bucket: str, s3: S3Server
) -> None:
    source = ct_slice(1, 1, size=64)
    obstore.put(objects, "in/JOHN SMITH/scan.dcm", source)
    status, told = process(server, f"s3://{bucket}/in/JOHN SMITH/scan.dcm")
    assert status == 400  # a space is written as it is in no URL
    obstore.put(objects, "in/smith/scan.dcm", source)
    status, told = process(server, f"s3://{bucket}/in/smith/scan.dcm")
    assert status == 200, told
    assert told["url"] == f"s3://{bucket}/in/smith/scan_annot.dcm"
    assert (told["state"], told["algorithm"], told["image_id"]) == ("done", "three-circles", None)
    assert read(objects, "in/smith/scan.dcm") == source
    made = read(objects, "in/smith/scan_annot.dcm")
    image = pydicom.dcmread(io.BytesIO(made))
    before = pydicom.dcmread(io.BytesIO(source))
    assert (image.PhotometricInterpretation, image.Rows, image.Columns) == ("RGB", 64, 64)
    assert image.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert image.SOPInstanceUID != before.SOPInstanceUID
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
    # The same by the store's own kind of address, and again: nothing changes.
    for url in (f"{s3.endpoint}/{bucket}/in/smith/scan.dcm", f"s3://{bucket}/in/smith/scan.dcm"):
        status, again = process(server, url)
        assert (status, again["url"]) == (200, told["url"])
        assert read(objects, "in/smith/scan_annot.dcm") == made
    log = server.log.read_text()
    assert "smith" not in log
    assert before.SOPInstanceUID not in log


def test_a_result_of_ours_is_replaced_and_anything_else_left(server: Server, objects: S3Store, bucket: str) -> None:
    obstore.put(objects, "in/r/a.dcm", ct_slice(2, 1, size=64))
    assert process(server, f"s3://{bucket}/in/r/a.dcm")[0] == 200
    first = read(objects, "in/r/a_annot.dcm")
    assert process(server, f"s3://{bucket}/in/r/a.dcm", parameters={"line_width": 5})[0] == 200
    second = read(objects, "in/r/a_annot.dcm")
    assert second != first
    for there in (b"a file of somebody", ct_slice(3, 1, size=16)):
        obstore.put(objects, "in/r/a_annot.dcm", there)
        status, problem = process(server, f"s3://{bucket}/in/r/a.dcm")
        assert (status, problem["code"]) == (409, "result-name-taken")
        assert read(objects, "in/r/a_annot.dcm") == there


def test_an_algorithm_that_only_finds_leaves_its_findings_beside(server: Server, objects: S3Store, bucket: str) -> None:
    obstore.put(objects, "in/q/picture.png", png_picture(1))
    status, told = process(server, f"s3://{bucket}/in/q/picture.png", "quality")
    assert status == 200, told
    assert told["url"] == f"s3://{bucket}/in/q/picture_quality.json"
    beside = json.loads(read(objects, "in/q/picture_quality.json"))
    assert beside["findings"] == told["findings"] != []


def test_an_image_that_is_kept_here_has_its_result_kept_beside_it(server: Server) -> None:
    kept = server.post_form(ct_slice(5, 1, size=64)).json()["file_id"]
    status, told = process(server, f"isocenter:{kept}")
    assert status == 200, told
    assert told["url"] is None
    made = server.request("GET", f"/dicom-image/{told['image_id']}").body
    assert pydicom.dcmread(io.BytesIO(made)).PhotometricInterpretation == "RGB"
    assert server.request("GET", f"/dicom-image/{told['image_id']}/png").status == 200
    status, told = process(server, f"isocenter:{kept}", "to-jpeg")
    assert status == 200, told
    assert told["made"][0]["media_type"] == "image/jpeg"
    results = server.request("GET", f"/jobs/{told['job']}/results?image={kept}").json()["results"]
    assert [one["kind"] for one in results] == ["findings"]
    assert process(server, "isocenter:" + "a" * 26)[0] == 404


def test_findings_of_dicom_lie_beside_as_a_report_and_as_what_shows_them(
    server: Server, objects: S3Store, bucket: str
) -> None:
    obstore.put(objects, "in/labels/ct.dcm", ct_slice(9, 1, size=128))
    status, told = process(server, f"s3://{bucket}/in/labels/ct.dcm", "labels")
    assert status == 200, told
    folder = f"s3://{bucket}/in/labels/ct_labels"
    assert [one["url"] for one in told["made"]] == [f"{folder}.json", f"{folder}_sr.dcm", f"{folder}_pr.dcm"]
    source = pydicom.dcmread(io.BytesIO(read(objects, "in/labels/ct.dcm")))
    for name, sop_class in (("sr", "1.2.840.10008.5.1.4.1.1.88.33"), ("pr", "1.2.840.10008.5.1.4.1.1.11.1")):
        made = pydicom.dcmread(io.BytesIO(read(objects, f"in/labels/ct_labels_{name}.dcm")))
        assert (made.SOPClassUID, made.StudyInstanceUID) == (sop_class, source.StudyInstanceUID)
        assert source.SOPInstanceUID in str(made)
    # Found anew with other parameters, or again, the reports take the place of those before.
    assert process(server, f"s3://{bucket}/in/labels/ct.dcm", "labels")[0] == 200
    kept = server.post_form(ct_slice(9, 2, size=128)).json()["file_id"]
    status, told = process(server, f"isocenter:{kept}", "labels")
    assert status == 200, told
    assert len([one for one in told["made"] if one["image_id"]]) == 2


def test_the_same_key_is_the_same_job(server: Server, objects: S3Store, bucket: str) -> None:
    obstore.put(objects, "in/k/a.dcm", ct_slice(6, 1, size=64))
    told = [process(server, f"s3://{bucket}/in/k/a.dcm", key="one")[1] for _ in range(2)]
    assert told[0]["job"] == told[1]["job"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [(b"no image at all", 422, "not-an-image"), (b"", 422, "not-an-image"), (None, 404, "no-such-object")],
)
def test_what_is_no_image_is_said(
    server: Server, objects: S3Store, bucket: str, data: bytes | None, status: int, code: str
) -> None:
    key = f"in/none/{status}-{len(data or b'')}"
    if data is not None:
        obstore.put(objects, key, data)
    found, problem = process(server, f"s3://{bucket}/{key}")
    assert (found, problem["code"]) == (status, code)
    assert problem["job"]


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ({"url": "s3://another-bucket/a"}, 403),
        ({"url": "https://host.example/a"}, 403),
        ({"url": "file:///etc/passwd"}, 400),
        ({"url": "isocenter:x", "algorithm": "nothing"}, 404),
        ({"url": "isocenter:" + "a" * 26, "parameters": {"no-such": 1}}, 400),
        ({"url": "isocenter:" + "a" * 26, "parameters": {"line_width": "wide"}}, 400),
        ({"url": ""}, 400),
    ],
)
def test_what_cannot_be_done_is_said_before_a_job_begins(server: Server, what: Any, status: int) -> None:
    found, problem = process(server, **what)
    assert found == status, problem
    assert "job" not in problem


def test_no_address_of_this_machine_is_reached(server: Server, canary: Canary) -> None:
    for url in (f"https://localhost:{canary.port}/a", "https://127.0.0.1/a", "https://localhost/a"):
        status, problem = process(server, url)
        assert (status, problem["code"]) == (403, "address-not-public")
    assert canary.connections == 0


def test_what_takes_longer_is_a_job_to_follow(
    tmp_path_factory: pytest.TempPathFactory, s3: S3Server, bucket: str, objects: S3Store
) -> None:
    obstore.put(objects, "in/slow/a.dcm", ct_slice(8, 1, size=64))
    settings = {
        "ISOCENTER_PROCESS_URLS": json.dumps([f"s3://{bucket}"]),
        "ISOCENTER_BLOBS_OPTIONS": json.dumps(s3.options),
        "ISOCENTER_PROCESS_SECONDS": "0",
    }
    with running(tmp_path_factory.mktemp("slow") / "home", **settings) as server:
        status, told = process(server, f"s3://{bucket}/in/slow/a.dcm")
        assert (status, told["state"], told["url"]) == (202, "queued", None)
        end = time.monotonic() + 60
        while (found := server.request("GET", f"/process/{told['job']}").json())["state"] != "done":
            assert time.monotonic() < end
            time.sleep(0.1)
        assert found["url"] == f"s3://{bucket}/in/slow/a_annot.dcm"
        assert server.request("GET", "/process/nothing").status == 404


def test_every_algorithm_is_listed_with_its_parameters(server: Server) -> None:
    listed = server.request("GET", "/algorithms").json()["algorithms"]
    by_name = {one["name"]: one for one in listed}
    assert {"three-circles", "to-png", "quality"} <= by_name.keys()
    assert "line_width" in by_name["three-circles"]["parameters"]["properties"]
