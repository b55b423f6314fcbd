"""The URI Service of PS3.18 9 and the requests of its Annex B."""

from __future__ import annotations

import itertools
import json
import zlib
from io import BytesIO
from urllib.parse import urlencode

import imagecodecs
import numpy as np
import pydicom
import pytest

from isocenter.testing.instances import ct_slice, uid, us_cine
from isocenter.testing.server import Answer, Server

_seeds = itertools.count(15_000)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


def wado(server: Server, seed: int, kind: str = "CT", **given: object) -> Answer:
    named = {"studyUID": uid(seed, "study"), "seriesUID": uid(seed, kind), "objectUID": uid(seed, kind, 1)}
    return server.request("GET", f"/wado?{urlencode({'requestType': 'WADO', **named, **given})}")


def test_an_image_comes_as_jpeg_and_as_its_region(server: Server, seed: int) -> None:
    assert server.stow(ct_slice(seed, 6)).status == 200
    named = {"objectUID": uid(seed, "CT", 6)}
    whole = wado(server, seed, **named)
    assert whole.headers["content-type"] == "image/jpeg"
    assert imagecodecs.jpeg8_decode(whole.body).shape == (256, 256)
    png = imagecodecs.png_decode(wado(server, seed, contentType="image/png", **named).body)
    part = wado(server, seed, contentType="image/png", region="0.25,0.5,0.75,1", **named)
    assert np.array_equal(imagecodecs.png_decode(part.body), png[128:, 64:192])
    small = wado(server, seed, contentType="image/png;q=0.5, image/jp2;q=0.1", rows=64, columns=200, **named)
    assert imagecodecs.png_decode(small.body).shape == (64, 64)
    dark = imagecodecs.png_decode(
        wado(server, seed, contentType="image/png", windowCenter=3000, windowWidth=1, **named).body
    )
    assert dark.max() == 0


def test_frames_and_files_come_by_their_names(server: Server, seed: int) -> None:
    data = us_cine(seed, frames=3)
    assert server.stow(data).status == 200
    pixels = pydicom.dcmread(BytesIO(data)).pixel_array
    second = wado(server, seed, "US", contentType="image/png", frameNumber=2)
    assert np.array_equal(imagecodecs.png_decode(second.body), pixels[1])
    assert wado(server, seed, "US", frameNumber=4).status == 404
    assert wado(server, seed, "US", contentType="application/dicom").body == data
    assert wado(server, seed, "US", contentType="application/dicom", transferSyntax="*").body == data
    made = wado(server, seed, "US", contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.5")
    back = pydicom.dcmread(BytesIO(made.body))
    assert back.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    assert np.array_equal(back.pixel_array, pixels)


def test_what_cannot_be_done_is_refused(server: Server, seed: int) -> None:
    assert server.stow(ct_slice(seed)).status == 200
    assert wado(server, seed, anonymize="yes", contentType="application/dicom").status == 406
    assert wado(server, seed, windowCenter=40).status == 400
    assert wado(server, seed, contentType="text/html").status == 406
    assert wado(server, seed, transferSyntax="1.2.3", contentType="application/dicom").status == 406
    assert wado(server, seed, studyUID="1.2.3").status == 404
    assert wado(server, seed, requestType="WADO2").status in (400, 422)
    assert "detail" in json.loads(wado(server, seed, windowCenter=40).body)
