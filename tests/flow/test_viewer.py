"""What OHIF v3 and Cornerstone ask, request by request as they make them, and read as they read the answers."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image

from isocenter.testing.elements import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    HTJ2K,
    IMPLICIT,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
)
from isocenter.testing.instances import cr_image, ct_slice, sample_study, uid, us_cine
from isocenter.testing.mixtures import transcoded
from isocenter.testing.server import Answer, Server, running

JSON = "application/dicom+json"
# Of initWADOImageLoader, as `omitQuotationForMultipartRequest` says; the last is what a list of it becomes in an XHR.
DEFAULT_ACCEPTS = (
    "multipart/related; type=application/octet-stream; transfer-syntax=*",
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    'multipart/related,type="application/octet-stream",transfer-syntax=*',
)
# `requestTransferSyntaxUID` and typeForTS of generateAcceptHeader.
ASKED_SYNTAXES = {
    EXPLICIT: "application/octet-stream",
    IMPLICIT: "application/octet-stream",
    JPEG_LOSSLESS: "image/jpeg",
    RLE: "image/dicom-rle",
    JPEG_LS: "image/jls",
    JPEG_2000: "image/jp2",
}
STORED = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, RLE, JPEG_2000, HTJ2K, JPEG_LS)
# What Cornerstone takes a part for whose Content-Type names no transfer syntax.
BY_TYPE = {"image/jls": JPEG_LS, "image/jp2": JPEG_2000, "image/jphc": HTJ2K}
ORIGIN = "https://viewer.example"
_seeds = itertools.count(120_000)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


def read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data))


def stored(server: Server, *files: bytes) -> None:
    answer = server.stow(*files)
    assert answer.status == 200, answer.body


def get(server: Server, address: str, accept: str | None = "*/*", **headers: str) -> Answer:
    """A GET as a browser makes it: `*/*` where the page's code sets no Accept."""
    given = {"Origin": server.url, **headers} | ({} if accept is None else {"Accept": accept})
    return server.request("GET", address.removeprefix(server.url), headers=given)


def models(server: Server, path: str, **parameters: object) -> list[dict[str, Any]]:
    """A search or metadata as dicomweb-client of JavaScript asks for it."""
    query = urlencode(parameters, quote_via=quote)
    answer = get(server, f"/dicomweb/{path}?{query}" if query else f"/dicomweb/{path}", JSON)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == JSON
    found: list[dict[str, Any]] = json.loads(answer.body)
    return found


def values(found: list[dict[str, Any]], tag: str) -> list[Any]:
    return [model[tag]["Value"][0] for model in found]


def instance_path(seed: int, modality: str = "CT", number: int = 1) -> str:
    series = f"/dicomweb/studies/{uid(seed, 'study')}/series/{uid(seed, modality)}"
    return f"{series}/instances/{uid(seed, modality, number)}"


# As Cornerstone reads frames ------------------------------------------------------------------------------------


def extract_multipart(answer: Answer) -> tuple[str, bytes]:
    """Content type and bytes of the first part, found as cornerstone's extractMultipart finds them."""
    stated = answer.headers["Content-Type"]
    if "multipart" not in stated:
        return stated, answer.body
    token = answer.body.index(b"\r\n\r\n")
    lines = answer.body[:token].decode().split("\r\n")
    boundary = next(line for line in lines if line.startswith("--"))
    end = answer.body.index(boundary.encode(), token + 4)
    content_type = next(line[13:].strip() for line in lines if line.startswith("Content-Type:"))
    return content_type, answer.body[token + 4 : end - 2]


def transfer_syntax(content_type: str) -> str:
    """Cornerstone's getTransferSyntaxForContentType."""
    parameters = dict(
        each.strip().replace('"', "").split("=", 1) for each in content_type.split(";")[1:] if "=" in each
    )
    return parameters.get("transfer-syntax") or BY_TYPE.get(content_type, IMPLICIT)


def decoded(answer: Answer, metadata: Mapping[str, Any]) -> Any:
    """The pixels of a frame by the metadata that a viewer has of it."""
    assert answer.status == 200, answer.body
    content_type, frame = extract_multipart(answer)
    rows, columns, samples, bits = (
        metadata[tag]["Value"][0] for tag in ("00280010", "00280011", "00280002", "00280100")
    )
    shape = (rows, columns, samples) if samples > 1 else (rows, columns)
    syntax = transfer_syntax(content_type)
    if syntax in (IMPLICIT, EXPLICIT):
        size = rows * columns * samples * bits // 8
        assert len(frame) in (size, size + size % 2)
        return np.frombuffer(frame[:size], f"<u{bits // 8}").reshape(shape)
    if syntax == RLE:
        file = pydicom.Dataset.from_json({tag: each for tag, each in metadata.items() if "BulkDataURI" not in each})
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = pydicom.uid.UID(RLE)
        file.add_new(0x7FE00010, "OB", pydicom.encaps.encapsulate([frame]))
        file.NumberOfFrames = 1
        return file.pixel_array
    decoders = {
        JPEG_LOSSLESS: imagecodecs.ljpeg_decode,
        JPEG_LS: imagecodecs.jpegls_decode,
        JPEG_2000: imagecodecs.jpeg2k_decode,
        HTJ2K: imagecodecs.htj2k_decode,
    }
    return np.asarray(decoders[syntax](frame)).reshape(shape)


# The list of studies --------------------------------------------------------------------------------------------


def study_list(**given: str) -> dict[str, object]:
    """What OHIF's mapParams makes of the filters of its list."""

    def wild(name: str) -> dict[str, str]:
        return {name: f"*{given[name]}*"} if name in given else {}

    return {
        **wild("PatientName"), **({"00100020": f"*{given['PatientID']}*"} if "PatientID" in given else {}),
        **wild("AccessionNumber"), **wild("StudyDescription"),
        **{name: given[name] for name in ("ModalitiesInStudy", "StudyDate", "StudyInstanceUID") if name in given},
        "limit": given.get("limit", "101"), "offset": given.get("offset", "0"), "fuzzymatching": "false",
        "includefield": "00081030,00080060,00080090,00100030",
    }  # fmt: skip


def test_the_list_of_studies_by_each_filter(server: Server, seed: int) -> None:
    for number, (name, day) in enumerate((("Roe^Ann", "20240101"), ("Roe^Bo", "20240201"), ("Poe^Ed", "20240301"))):
        changes: dict[str, Any] = {"PatientName": name, "StudyDate": day, "PatientID": f"V{seed}-{number}"}
        stored(server, ct_slice(seed + number, size=16, **changes))
    studies = [uid(seed + number, "study") for number in range(3)]

    def found(**given: str) -> list[str]:
        return values(models(server, "studies", **study_list(**{"PatientID": f"V{seed}", **given})), "0020000D")

    assert found() == studies
    assert found(PatientName="ROE") == studies[:2]
    assert found(PatientID=f"{seed}-1") == studies[1:2]
    assert found(AccessionNumber=f"A{seed + 2}") == studies[2:]
    assert found(StudyDescription="hanto") == studies
    assert found(ModalitiesInStudy="CT") == studies
    assert found(ModalitiesInStudy="MR\\CT") == studies
    assert found(StudyDate="20240115-20240215") == studies[1:2]
    assert found(StudyDate="19700102-20240115") == studies[:1]
    # Several studies are opened by their UIDs, which OHIF puts a backslash between.
    assert found(StudyInstanceUID="\\".join(studies[1:])) == studies[1:]
    assert found(limit="2") == studies[:2]
    assert found(limit="2", offset="2") == studies[2:]
    assert found(PatientName="Nobody") == []
    fuzzy = {**study_list(PatientID=f"V{seed}"), "PatientName": "ann", "fuzzymatching": "true"}
    assert values(models(server, "studies", **fuzzy), "0020000D") == studies[:1]
    (row,) = models(server, "studies", **study_list(StudyInstanceUID=studies[0]))
    for tag, value in (
        ("00080020", "20240101"), ("00080050", f"A{seed}"), ("00080061", "CT"), ("00081030", "Phantom"),
        ("00100010", {"Alphabetic": "Roe^Ann"}), ("00100020", f"V{seed}-0"), ("00100030", "19700101"),
        ("00201206", 1), ("00201208", 1),
    ):  # fmt: skip
        assert row[tag]["Value"] == [value]


def test_a_study_is_opened(server: Server, seed: int) -> None:
    """Series by search, then for each its metadata, then each of its instances' first frame."""
    files = {str(read(data).SOPInstanceUID): read(data) for _, data in sample_study(seed)}
    stored(server, *(data for _, data in sample_study(seed)))
    study = uid(seed, "study")
    series = models(server, f"studies/{study}/series", includefield="0008103E,00080021")
    assert sorted(values(series, "00080060")) == ["CR", "CT", "US"]
    assert all("0008103E" in each and "00080021" in each for each in series)
    (only,) = models(server, f"studies/{study}/series", SeriesInstanceUID=uid(seed, "CT"))
    assert only["00201209"]["Value"] == [12]
    seen = set()
    for one in values(series, "0020000E"):
        for metadata in models(server, f"studies/{study}/series/{one}/metadata"):
            instance = metadata["00080018"]["Value"][0]
            path = f"/dicomweb/studies/{study}/series/{one}/instances/{instance}/frames/1"
            found = decoded(get(server, path, DEFAULT_ACCEPTS[0]), metadata)
            whole = files[instance].pixel_array
            assert np.array_equal(found, whole[0] if "NumberOfFrames" in files[instance] else whole)
            seen.add(instance)
    assert seen == set(files)


# Frames ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", STORED)
def test_frames_decode_as_cornerstone_decodes_them(server: Server, seed: int, own: str) -> None:
    original = ct_slice(seed, size=32)
    stored(server, transcoded(original, own))
    wanted = read(original).pixel_array
    frame = f"{instance_path(seed)}/frames/1"
    (metadata,) = models(server, instance_path(seed).removeprefix("/dicomweb/") + "/metadata")
    kept = EXPLICIT if own in (IMPLICIT, BIG_ENDIAN, DEFLATED) else own
    for accept in (*DEFAULT_ACCEPTS, "*/*"):
        answer = get(server, frame, accept)
        assert transfer_syntax(extract_multipart(answer)[0]) == kept
        assert np.array_equal(decoded(answer, metadata), wanted)
    for syntax, kind in ASKED_SYNTAXES.items():
        for stated in (f'"{kind}"', kind):
            answer = get(server, frame, f"multipart/related; type={stated}; transfer-syntax={syntax}")
            assert transfer_syntax(extract_multipart(answer)[0]) == (EXPLICIT if syntax == IMPLICIT else syntax)
            assert np.array_equal(decoded(answer, metadata), wanted)
    # What static-wado and HTJ2K set-ups put into `acceptHeader`.
    for accept, syntax in (
        ('multipart/related; type="image/jls"', JPEG_LS),
        (f'multipart/related; type="image/jls"; transfer-syntax={JPEG_LS}', JPEG_LS),
        (f'multipart/related; type="image/jphc"; transfer-syntax={HTJ2K}', HTJ2K),
        (f"multipart/related; type=image/jphc; transfer-syntax={HTJ2K}", HTJ2K),
        ('multipart/related; type="image/jphc"', HTJ2K),
        ("image/jphc", HTJ2K),
        ("image/jls, image/jphc;q=0.5", JPEG_LS),
        ("application/octet-stream", EXPLICIT),
    ):
        answer = get(server, frame, accept)
        assert transfer_syntax(extract_multipart(answer)[0]) == syntax, accept
        assert answer.headers["Content-Type"].startswith("multipart/related") == accept.startswith("multipart")
        assert np.array_equal(decoded(answer, metadata), wanted)


def test_every_frame_of_a_cine(server: Server, seed: int) -> None:
    data = us_cine(seed, frames=4, rows=25, columns=33)  # an odd number of bytes
    stored(server, data)
    wanted = read(data).pixel_array
    path = instance_path(seed, "US")
    (metadata,) = models(server, path.removeprefix("/dicomweb/") + "/metadata")
    assert metadata["00280008"]["Value"] == [4]
    for accept in (DEFAULT_ACCEPTS[0], f'multipart/related; type="image/jls"; transfer-syntax={JPEG_LS}'):
        for number in range(1, 5):
            answer = get(server, f"{path}/frames/{number}", accept)
            assert np.array_equal(decoded(answer, metadata), wanted[number - 1])
    assert get(server, f"{path}/frames/5", DEFAULT_ACCEPTS[0]).status == 404


def test_a_frame_asked_for_in_ranges_comes_whole(server: Server, seed: int) -> None:
    """Cornerstone's rangeRequest takes an answer without Content-Range for all there is."""
    data = ct_slice(seed, size=64)
    stored(server, data)
    (metadata,) = models(server, instance_path(seed).removeprefix("/dicomweb/") + "/metadata")
    for accept in (f'multipart/related; type="image/jphc"; transfer-syntax={HTJ2K}', DEFAULT_ACCEPTS[0]):
        answer = get(server, f"{instance_path(seed)}/frames/1", accept, Range="bytes=0-63999")
        assert "Content-Range" not in answer.headers
        assert np.array_equal(decoded(answer, metadata), read(data).pixel_array)


# Thumbnails, pictures and bulk data -----------------------------------------------------------------------------


def test_thumbnails_and_pictures_by_address_alone(server: Server, seed: int) -> None:
    """An <img> sends its own Accept; the address says what is wanted."""
    stored(server, cr_image(seed, rows=300, columns=200), us_cine(seed, frames=3, rows=24, columns=32))
    image = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    study = f"/dicomweb/studies/{uid(seed, 'study')}"
    places = (study, f"{study}/series/{uid(seed, 'CR')}", instance_path(seed, "CR"), instance_path(seed, "US"))
    for place in places:
        for accept in (image, "*/*", None):
            answer = get(server, f"{place}/thumbnail?accept=image/jpeg", accept)
            assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
            assert max(Image.open(BytesIO(answer.body)).size) <= 128
    for place in places:
        answer = get(server, f"{place}/thumbnail?viewport=256%2C256", "image/jpeg")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
        assert max(Image.open(BytesIO(answer.body)).size) <= 256
    asked = {"limit": "1", "includefield": "00080018"}  # where a series has no thumbnail, that of its first instance
    found_instances = models(server, f"{places[1].removeprefix('/dicomweb/')}/instances", **asked)
    assert values(found_instances, "00080018") == [uid(seed, "CR", 1)]
    path = instance_path(seed, "CR")
    for query, kind, size in (
        ("accept=image/jpeg", "image/jpeg", (200, 300)),
        ("accept=image/jpeg&viewport=100,100", "image/jpeg", (67, 100)),
        ("accept=image%2Fjpeg&viewport=100%2C100", "image/jpeg", (67, 100)),
        ("accept=image/png&viewport=256,256", "image/png", None),
        ("accept=image/jpeg&window=2048,4096,linear&quality=60", "image/jpeg", (200, 300)),
    ):
        answer = get(server, f"{path}/rendered?{query}", image)
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind), query
        found = Image.open(BytesIO(answer.body)).size
        assert abs(found[0] * 3 - found[1] * 2) <= 3
        assert found == size if size is not None else max(found) <= 256
    frame = get(server, f"{instance_path(seed, 'US')}/frames/2/rendered?accept=image/png", image)
    wanted = read(us_cine(seed, frames=3, rows=24, columns=32)).pixel_array[1]
    assert np.array_equal(np.asarray(Image.open(BytesIO(frame.body)).convert("RGB")), wanted)
    # getDirectURL of a video or PDF, which a picture is not.
    for kind in ("video/mp4", "application/pdf"):
        answer = get(server, f"{path}/rendered?accept={kind}", image)
        assert (answer.status, answer.headers["Content-Type"]) == (406, "application/problem+json")


def test_bulk_data_comes_by_the_address_in_the_metadata(server: Server, seed: int) -> None:
    data_set = read(ct_slice(seed, size=64))
    item = pydicom.Dataset()
    item.add_new(0x00420011, "OB", bytes(range(256)) * 20)
    data_set.IconImageSequence = [item]
    out = BytesIO()
    data_set.save_as(out, enforce_file_format=True)
    stored(server, out.getvalue())
    series = instance_path(seed).removeprefix("/dicomweb/").partition("/instances/")[0]
    (metadata,) = models(server, f"{series}/metadata")
    for address, wanted in (
        (metadata["7FE00010"]["BulkDataURI"], data_set.PixelData),
        (metadata["00880200"]["Value"][0]["00420011"]["BulkDataURI"], item[0x00420011].value),
    ):
        assert urlsplit(address).netloc == urlsplit(server.url).netloc
        for accept in (
            "*/*",  # retrieveBulkData with `multipart: false` sets none
            "application/octet-stream",
            'multipart/related; type="application/octet-stream"',
            'multipart/related; type="application/octet-stream"; transfer-syntax=*',
            "multipart/related; type=application/octet-stream",
        ):
            answer = get(server, address, accept)
            assert answer.status == 200
            kind, found = extract_multipart(answer)
            assert kind.startswith("application/octet-stream")
            assert found == wanted
        part = get(server, address, 'multipart/related; type="application/octet-stream"', Range="bytes=10-19")
        assert (part.status, extract_multipart(part)[1]) == (206, wanted[10:20])
        alone = get(server, address, "application/octet-stream", Range="bytes=10-19")
        assert (alone.status, alone.body) == (206, wanted[10:20])


@pytest.mark.parametrize("own", [RLE, JPEG_LS])
def test_bulk_data_of_a_compressed_image_comes_alone_too(server: Server, seed: int, own: str) -> None:
    original = ct_slice(seed, size=32)
    stored(server, transcoded(original, own))
    (metadata,) = models(server, instance_path(seed).removeprefix("/dicomweb/") + "/metadata")
    address = metadata["7FE00010"]["BulkDataURI"]
    for accept, syntax in (
        ("application/octet-stream", EXPLICIT), ("application/octet-stream; transfer-syntax=*", own),
        ("image/jls", JPEG_LS), ("*/*", own), ('multipart/related; type="application/octet-stream"', EXPLICIT),
    ):  # fmt: skip
        answer = get(server, address, accept)
        assert transfer_syntax(extract_multipart(answer)[0]) == syntax, accept
        assert np.array_equal(decoded(answer, metadata), read(original).pixel_array)
        again = get(server, address, accept, **{"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
    assert get(server, address, "text/html").status == 406


# Cross-origin ---------------------------------------------------------------------------------------------------


@pytest.fixture
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the viewer's origin may call."""
    home = tmp_path_factory.mktemp("viewed") / "home"
    with running(home, ISOCENTER_CORS_ORIGINS=json.dumps([ORIGIN])) as found:
        yield found


def preflight(server: Server, path: str, method: str, headers: str, origin: str = ORIGIN) -> Answer:
    given = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return server.request("OPTIONS", path, headers=given)


def test_a_viewer_of_another_origin(viewed: Server) -> None:
    stored(viewed, ct_slice(1, size=16))
    path = instance_path(1)
    for place, method, headers in (
        ("/dicomweb/studies?limit=101", "GET", "accept,authorization"),
        (f"/dicomweb/studies/{uid(1, 'study')}/series", "GET", "authorization"),
        (f"{path}/metadata", "GET", "authorization, accept"),
        (f"{path}/frames/1", "GET", "accept,authorization,range"),
        (f"{path}/bulkdata/7FE00010", "GET", "authorization,if-none-match,range"),
        ("/dicomweb/studies", "POST", "authorization,content-type"),
        (path, "DELETE", "authorization"),
    ):
        answer = preflight(viewed, place, method, headers)
        assert answer.status == 200, answer.body
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
        allowed = {each.strip().lower() for each in answer.headers["Access-Control-Allow-Headers"].split(",")}
        assert {each.strip() for each in headers.split(",")} <= allowed
        assert "Origin" in answer.headers["Vary"]
        refused = preflight(viewed, place, method, headers, "https://elsewhere.example")
        assert refused.status >= 400
        assert "Access-Control-Allow-Origin" not in refused.headers
    for place in ("/dicomweb/studies?limit=1", f"{path}/metadata", f"{path}/frames/1", f"{path}/thumbnail", "/x"):
        answer = viewed.request("GET", place, headers={"Origin": ORIGIN})
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        exposed = {each.strip() for each in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert exposed >= {"ETag", "Link", "Warning", "X-Total-Count", "Content-Range", "Accept-Ranges", "Location"}
        assert "Origin" in answer.headers["Vary"]
        elsewhere = viewed.request("GET", place, headers={"Origin": "https://elsewhere.example"})
        assert "Access-Control-Allow-Origin" not in elsewhere.headers


def test_without_the_setting_no_origin_is_let_in(server: Server, seed: int) -> None:
    stored(server, ct_slice(seed, size=16))
    answer = preflight(server, f"{instance_path(seed)}/frames/1", "GET", "accept")
    assert "Access-Control-Allow-Origin" not in answer.headers
    answer = server.request("GET", f"{instance_path(seed)}/metadata", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in answer.headers
