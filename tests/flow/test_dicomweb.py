"""DICOMweb as real clients use it: dicomweb-client, DCMTK's dcmdump, nibabel."""

from __future__ import annotations

import itertools
import json
import subprocess
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from requests.exceptions import HTTPError

from isocenter.testing.elements import EXPLICIT, IMPLICIT, description, identity, implicit, instance, native
from isocenter.testing.instances import ct_slice, nifti_volume, sample_study, uid, us_cine
from isocenter.testing.pixel_samples import bundled_image
from isocenter.testing.server import Server

_seeds = itertools.count(5000)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


@pytest.fixture
def client(server: Server) -> DICOMwebClient:
    return DICOMwebClient(url=f"{server.url}/dicomweb")


@pytest.fixture
def study(client: DICOMwebClient, seed: int) -> dict[str, bytes]:
    """A stored sample study: bytes by SOP Instance UID."""
    files = [data for _, data in sample_study(seed)]
    found = {}
    for data in files:
        found[str(pydicom.dcmread(BytesIO(data), stop_before_pixels=True).SOPInstanceUID)] = data
    answer = client.store_instances([pydicom.dcmread(BytesIO(data)) for data in files])
    assert len(answer.ReferencedSOPSequence) == 14
    assert "FailedSOPSequence" not in answer
    return found


def bytes_of(data_set: pydicom.Dataset) -> bytes:
    return bytes(data_set.PixelData)


def dumped(data: bytes, tmp_path: Path) -> str:
    path = tmp_path / "dump.dcm"
    path.write_bytes(data)
    done = subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "replace")


def test_a_study_stored_by_dicomweb_client_comes_back_whole(
    client: DICOMwebClient, study: dict[str, bytes], seed: int
) -> None:
    back = client.retrieve_study(uid(seed, "study"))
    assert {str(data_set.SOPInstanceUID) for data_set in back} == set(study)
    for data_set in back:
        assert data_set == pydicom.dcmread(BytesIO(study[str(data_set.SOPInstanceUID)]))
    series = client.retrieve_series(uid(seed, "study"), uid(seed, "CT"))
    assert len(series) == 12


def test_what_is_stored_as_bytes_comes_back_byte_for_byte(server: Server, seed: int, tmp_path: Path) -> None:
    data = ct_slice(seed)
    assert server.stow(data).status == 200
    path = f"/dicomweb/studies/{uid(seed, 'study')}/series/{uid(seed, 'CT')}/instances/{uid(seed, 'CT', 1)}"
    back = server.request("GET", path, headers={"Accept": "application/dicom"})
    assert back.body == data
    assert "ComputedTomography" not in dumped(back.body, tmp_path)
    assert "Phantom^Öl" in dumped(back.body, tmp_path)


def test_metadata_describes_every_instance_and_search_finds_it(
    client: DICOMwebClient, study: dict[str, bytes], seed: int
) -> None:
    metadata = client.retrieve_study_metadata(uid(seed, "study"))
    assert {model["00080018"]["Value"][0] for model in metadata} == set(study)
    for model in metadata:
        read = pydicom.Dataset.from_json({tag: value for tag, value in model.items() if "BulkDataURI" not in value})
        original = pydicom.dcmread(BytesIO(study[model["00080018"]["Value"][0]]), stop_before_pixels=True)
        assert read.PatientName == original.PatientName
        assert read.Rows == original.Rows
    found = client.search_for_studies(search_filters={"StudyInstanceUID": uid(seed, "study")})
    assert found[0]["00201206"]["Value"] == [3]
    assert found[0]["00201208"]["Value"] == [14]
    assert sorted(found[0]["00080061"]["Value"]) == ["CR", "CT", "US"]
    series = client.search_for_series(uid(seed, "study"))
    assert {model["00080060"]["Value"][0]: model["00201209"]["Value"][0] for model in series} == {
        "CT": 12, "CR": 1, "US": 1,
    }  # fmt: skip
    assert len(client.search_for_instances(uid(seed, "study"), uid(seed, "CT"))) == 12


def test_frames_are_those_of_the_file(client: DICOMwebClient, seed: int) -> None:
    data = us_cine(seed, frames=4)
    client.store_instances([pydicom.dcmread(BytesIO(data))])
    pixels = bytes_of(pydicom.dcmread(BytesIO(data)))
    one = len(pixels) // 4
    ids = (uid(seed, "study"), uid(seed, "US"), uid(seed, "US", 1))
    frames = client.retrieve_instance_frames(*ids, frame_numbers=[3, 1])
    assert list(map(bytes, frames)) == [pixels[2 * one : 3 * one], pixels[:one]]
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance_frames(*ids, frame_numbers=[5])


@pytest.mark.parametrize("name", ["SC_rgb_rle_2frame.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_compressed_frames_come_as_they_are_stored(server: Server, name: str) -> None:
    data = bundled_image(name).read_bytes()
    assert server.stow(data).status == 200
    original = pydicom.dcmread(BytesIO(data))
    wanted = pydicom.encaps.generate_frames(original.PixelData, number_of_frames=int(original.get("NumberOfFrames", 1)))
    path = (
        f"/dicomweb/studies/{original.StudyInstanceUID}/series/{original.SeriesInstanceUID}"
        f"/instances/{original.SOPInstanceUID}/frames/"
    )
    for number, frame in enumerate(wanted, 1):
        headers = {"Accept": "application/octet-stream; transfer-syntax=*"}
        assert server.request("GET", f"{path}{number}", headers=headers).body == frame


def test_bulk_data_is_found_where_the_metadata_says(server: Server, seed: int) -> None:
    data = ct_slice(seed, size=64)
    assert server.stow(data).status == 200
    path = f"/dicomweb/studies/{uid(seed, 'study')}/metadata"
    model = server.request("GET", path).json()[0]
    where = model["7FE00010"]["BulkDataURI"]
    assert where.startswith(server.url)
    back = server.request("GET", where.removeprefix(server.url), headers={"Accept": "application/octet-stream"})
    assert back.body == bytes_of(pydicom.dcmread(BytesIO(data)))


def test_a_deleted_instance_is_gone_and_the_others_stay(
    client: DICOMwebClient, study: dict[str, bytes], seed: int
) -> None:
    client.delete_instance(uid(seed, "study"), uid(seed, "CT"), uid(seed, "CT", 3))
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance(uid(seed, "study"), uid(seed, "CT"), uid(seed, "CT", 3))
    assert len(client.search_for_instances(uid(seed, "study"))) == 13
    client.delete_study(uid(seed, "study"))
    assert client.search_for_studies(search_filters={"StudyInstanceUID": uid(seed, "study")}) == []


def test_an_instance_of_another_study_is_refused_at_the_address_of_one(server: Server, seed: int) -> None:
    answer = server.stow(ct_slice(seed, size=16), path="/dicomweb/studies/2.25.1234567")
    assert answer.status == 409
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA900]


def test_some_good_and_some_bad_parts_are_told_apart(server: Server, seed: int) -> None:
    good = [ct_slice(seed, number, size=16) for number in (1, 2)]
    answer = server.stow(good[0], b"junk", good[1], good[0][:300])
    assert answer.status == 202
    assert len(answer.json()["00081199"]["Value"]) == 2
    assert len(answer.json()["0008119A"]["Value"]) == 2


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_bare_data_set_comes_back_as_a_file_that_dcmdump_reads(
    server: Server, tmp_path: Path, seed: int, syntax: str
) -> None:
    name = f"2.25.{seed}"
    body = identity(name) + description() + native(bytes(32))
    if syntax == IMPLICIT:
        ids = (
            (0x00080016, "1.2.840.10008.5.1.4.1.1.2"),
            (0x00080018, name),
            (0x0020000D, "2.25.1"),
            (0x0020000E, "2.25.2"),
        )
        body = b"".join(implicit(tag, value + "\0" * (len(value) % 2)) for tag, value in ids)
    assert server.stow(body).status == 200
    found = server.request("GET", f"/dicomweb/instances?SOPInstanceUID={name}").json()[0]
    path = found["00081190"]["Value"][0].removeprefix(server.url)
    back = server.request("GET", path, headers={"Accept": "application/dicom"}).body
    assert back.endswith(body)
    assert back[:132] == bytes(128) + b"DICM"
    assert f"[{name}]" in dumped(back, tmp_path)
    assert str(pydicom.dcmread(BytesIO(back)).file_meta.TransferSyntaxUID) == syntax


def test_a_program_in_the_preamble_never_leaves_by_dicomweb(server: Server, seed: int) -> None:
    name = f"2.25.{seed}"
    data = instance(name, description(), native(bytes(32)), preamble=b"MZ".ljust(128, b"\x90"))
    assert server.stow(data).status == 200
    found = server.request("GET", f"/dicomweb/instances?SOPInstanceUID={name}").json()[0]
    path = found["00081190"]["Value"][0].removeprefix(server.url)
    for accept in ("application/dicom", 'multipart/related; type="application/dicom"'):
        body = server.request("GET", path, headers={"Accept": accept}).body
        assert b"\x90" * 10 not in body
        assert bytes(128) + data[128:] in body


def test_a_nifti_volume_comes_back_as_nibabel_wrote_it(server: Server, seed: int) -> None:
    data = nifti_volume(seed)
    path = f"/images?subject_id=nifti-{seed}&image_id=1"
    assert server.request("POST", path, data).status == 201
    content = f"/images/content?subject_id=nifti-{seed}&image_id=1"
    back = server.request("GET", content, headers={"Accept": "application/octet-stream"}).body
    read: Any = nibabel.Nifti1Image
    volume, original = read.from_bytes(back), read.from_bytes(data)
    assert np.array_equal(np.asanyarray(volume.dataobj), np.asanyarray(original.dataobj))
    assert np.array_equal(volume.affine, original.affine)


def test_every_answer_to_a_search_is_json_that_pydicom_reads(
    server: Server, study: dict[str, bytes], seed: int
) -> None:
    for level in ("studies", "series", "instances"):
        answer = server.request("GET", f"/dicomweb/{level}?StudyInstanceUID={uid(seed, 'study')}")
        assert answer.headers["Content-Type"] == "application/dicom+json"
        for model in json.loads(answer.body):
            assert str(pydicom.Dataset.from_json(model).StudyInstanceUID) == uid(seed, "study")
