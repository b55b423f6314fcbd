"""STOW-RS of metadata and bulk data (PS3.18 10.5.1.2): what comes in so comes out as the files it stands for."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from isocenter.dicom.xml_write import to_xml
from isocenter.testing.instances import ct_slice, us_cine
from isocenter.testing.pixel_samples import bundled_image
from isocenter.testing.server import Answer, Server

JSON, XML = "application/dicom+json", "application/dicom+xml"
OCTETS = "application/octet-stream"
_seeds = itertools.count(80_000)

Bulk = tuple[str, str, bytes]  # Content-Type, Content-Location, bytes


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


def model_of(data: bytes, pixels: str) -> dict[str, Any]:
    """The JSON model that pydicom makes of a file, its pixel data by reference."""
    data_set = pydicom.dcmread(BytesIO(data))
    del data_set.PixelData
    model: dict[str, Any] = data_set.to_json_dict()
    return {**model, "7FE00010": {"vr": "OW", "BulkDataURI": pixels}}


def send(
    server: Server, kind: str, documents: Sequence[bytes], bulk: Sequence[Bulk] = (), *, path: str = "/dicomweb/studies"
) -> Answer:
    parts = [(f"Content-Type: {kind}", document) for document in documents]
    parts += [(f"Content-Type: {media}\r\nContent-Location: {place}", data) for media, place, data in bulk]
    body = b"".join(b"--limit\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    given = {"Content-Type": f'multipart/related; type="{kind}"; boundary=limit'}
    return server.request("POST", path, body + b"--limit--\r\n", given)


def back(server: Server, model: dict[str, Any]) -> bytes:
    study, series, instance = (model[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
    path = f"/dicomweb/studies/{study}/series/{series}/instances/{instance}"
    answer = server.request("GET", path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert answer.status == 200, answer.body
    return answer.body


@pytest.mark.parametrize("kind", [JSON, XML])
def test_instances_of_metadata_and_bulk_data_are_those_they_stand_for(
    server: Server, seed: int, kind: str, tmp_path: Path
) -> None:
    files = [ct_slice(seed, 1, size=64), us_cine(seed, frames=3, rows=700, columns=800)]  # the second is over 1 MiB
    models = [model_of(data, f"bulk/{number}") for number, data in enumerate(files)]
    originals = [pydicom.dcmread(BytesIO(data)) for data in files]
    bulk = [(OCTETS, f"bulk/{number}", each.PixelData) for number, each in enumerate(originals)]
    documents = [json.dumps(models).encode()] if kind == JSON else [to_xml(model) for model in models]
    answer = send(server, kind, documents, bulk)
    assert answer.status == 200, answer.body
    assert len(answer.json()["00081199"]["Value"]) == 2
    for model, original in zip(models, originals, strict=True):
        found = pydicom.dcmread(BytesIO(back(server, model)))
        assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert np.array_equal(found.pixel_array, original.pixel_array)
        for element in original:
            if element.keyword not in ("PixelData", "SpecificCharacterSet"):
                assert found[element.tag].value == element.value, element.keyword
    file = tmp_path / "found.dcm"
    file.write_bytes(back(server, models[0]))
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, check=False, timeout=60)
    assert b"CTImage" in done.stderr
    before = tmp_path / "sent.dcm"
    before.write_bytes(files[0])
    faults = subprocess.run(["dciodvfy", str(before)], capture_output=True, check=False, timeout=60).stderr
    assert done.stderr.count(b"Error") == faults.count(b"Error")


def test_compressed_frames_come_as_a_part_each(server: Server, seed: int) -> None:
    original = pydicom.dcmread(bundled_image("SC_rgb_rle_2frame.dcm"))
    out = BytesIO()
    original.SOPInstanceUID = original.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.{seed}")
    original.save_as(out, enforce_file_format=True)
    model = model_of(out.getvalue(), "http://elsewhere/frames")
    frames = list(generate_frames(original.PixelData, number_of_frames=2))
    bulk = [("image/dicom-rle", "http://elsewhere/frames", frame) for frame in frames]
    answer = send(server, JSON, [json.dumps([model]).encode()], bulk)
    assert answer.status == 200, answer.body
    found = pydicom.dcmread(BytesIO(back(server, model)))
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    assert np.array_equal(found.pixel_array, original.pixel_array)


def test_what_we_tell_is_what_we_take(server: Server, seed: int) -> None:
    """Metadata and bulk data as retrieved, sent to another study's address and then to another store of the server."""
    data = ct_slice(seed, size=32)
    assert server.stow(data).status == 200
    model = model_of(data, "")
    study = model["0020000D"]["Value"][0]
    told = server.request("GET", f"/dicomweb/studies/{study}/metadata").json()[0]
    uri = told["7FE00010"]["BulkDataURI"]
    pixels = server.request("GET", uri.removeprefix(server.url), headers={"Accept": OCTETS}).body
    document, bulk = json.dumps([told]).encode(), [(OCTETS, uri, pixels)]
    wrong = send(server, JSON, [document], bulk, path="/dicomweb/studies/2.25.77")
    assert wrong.status == 409
    assert wrong.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA900]
    answer = send(server, JSON, [document], bulk, path=f"/stores/deidentified/dicomweb/studies/{study}")
    assert answer.status == 200, answer.body
    where = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0].removeprefix(server.url)
    found = server.request("GET", where, headers={"Accept": "application/dicom"}).body
    assert pydicom.dcmread(BytesIO(found)) == pydicom.dcmread(BytesIO(data))


@pytest.mark.parametrize("kind", [JSON, XML])
def test_one_bad_instance_fails_alone(server: Server, seed: int, kind: str) -> None:
    models = [model_of(ct_slice(seed, number, size=16), "pixels") for number in (1, 2, 3)]
    models[1]["7FE00010"]["BulkDataURI"] = "not-sent"
    del models[2]["00080018"]
    pixels = pydicom.dcmread(BytesIO(ct_slice(seed, 1, size=16))).PixelData
    documents = [json.dumps(models).encode()] if kind == JSON else [to_xml(model) for model in models]
    answer = send(server, kind, documents, [(OCTETS, "pixels", pixels)])
    assert answer.status == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert len(answer.json()["0008119A"]["Value"]) == 2
    assert "Content-Location" in answer.headers["Warning"]
    assert "SOPInstanceUID" in answer.headers["Warning"]


def test_inline_values_need_no_parts(server: Server, seed: int) -> None:
    data = ct_slice(seed, size=8)
    model = model_of(data, "")
    pixels = pydicom.dcmread(BytesIO(data)).PixelData
    model["7FE00010"] = {"vr": "OW", "InlineBinary": base64.b64encode(pixels).decode()}
    assert send(server, JSON, [json.dumps([model]).encode()]).status == 200
    assert pydicom.dcmread(BytesIO(back(server, model))).PixelData == pixels


def test_what_is_no_metadata_is_refused_without_being_quoted(server: Server, seed: int) -> None:
    secret = f"SECRET{seed}"
    for kind, document, status in (
        (JSON, secret, 400), (JSON, f'{{"{secret}": 1}}', 400), (JSON, f'["{secret}"]', 409), (JSON, "[]", 400),
        (XML, f"<{secret}>", 409), (XML, f'<!DOCTYPE a [<!ENTITY b "{secret}">]><a>&b;</a>', 409),
        (JSON, '[{"00080018":{"vr":"' + secret + '"}}]', 409),
    ):  # fmt: skip
        answer = send(server, kind, [document.encode()])
        assert answer.status == status, (document, answer.body)
        assert secret not in answer.body.decode() + str(answer.headers)
    assert send(server, JSON, [b"[]"], [(OCTETS, "", b"x")]).json()["code"] == "bulk-data-unnamed"
    assert send(server, "application/pdf", [b"[]"]).status == 415


def test_bulk_data_waits_on_disk_and_leaves_nothing(own_server: Server, seed: int) -> None:
    assert own_server.stow(ct_slice(1, size=16)).status == 200
    own_server.forget_peak()
    before = own_server.memory("VmHWM")
    model = model_of(ct_slice(seed, size=16), "big")
    model["00280010"]["Value"], model["00280011"]["Value"] = [8192], [8192]
    answer = send(own_server, JSON, [json.dumps([model]).encode()], [(OCTETS, "big", bytes(8192 * 8192 * 2))])
    assert answer.status == 200, answer.body
    assert own_server.memory("VmHWM") - before <= 64 << 20
    assert send(own_server, JSON, [b"no"], [(OCTETS, "big", bytes(4 << 20))]).status == 400
    assert own_server.process is not None
    held = [link.readlink() for link in Path(f"/proc/{own_server.process.pid}/fd").iterdir() if link.is_symlink()]
    assert not [each for each in held if "(deleted)" in str(each)]
