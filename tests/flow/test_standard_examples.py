"""The resources, requests and models that PS3.18 itself gives as examples, with the answers it demands."""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
from PIL import Image

from isocenter.dicom.xml_read import from_xml
from isocenter.testing.elements import EXPLICIT, JPEG_2000, JPEG_LS, element, meta
from isocenter.testing.instances import ct_slice, uid, us_cine
from isocenter.testing.server import Answer, Server, running

JSON, XML, DICOM = "application/dicom+json", "application/dicom+xml", "application/dicom"
OCTETS, PROBLEM = "application/octet-stream", "application/problem+json"
BASELINE = "1.2.840.10008.1.2.4.50"
SEED = 1_893_313  # of the study that the resources below are of
STUDY = f"/studies/{uid(SEED, 'study')}"
SERIES = f"{STUDY}/series/{uid(SEED, 'CT')}"
INSTANCE = f"{SERIES}/instances/{uid(SEED, 'CT', 1)}"
CINE = f"{STUDY}/series/{uid(SEED, 'US')}/instances/{uid(SEED, 'US', 1)}"
RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
NATIVE_MODEL = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_seeds = itertools.count(130_000)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


@pytest.fixture(scope="module")
def study(server: Server) -> Server:
    """The server, with a study of two CT slices and a cine of three frames."""
    files = [*(ct_slice(SEED, n, size=32, PatientID="11235813") for n in (1, 2)), us_cine(SEED, frames=3, rows=24)]
    answer = server.stow(*files)
    assert answer.status == 200, answer.body
    return server


def parts(kind: str) -> str:
    return f'multipart/related; type="{kind}"'


def get(server: Server, path: str, accept: str | None = None, **headers: str) -> Answer:
    given = headers if accept is None else {**headers, "Accept": accept}
    return server.request("GET", f"/dicomweb{path}", headers=given)


def kind_of(answer: Answer) -> str:
    """The media type, and where it is of parts the one that they say they are of."""
    stated = str(answer.headers["Content-Type"])
    found = re.match(r'multipart/related; type="([^"]+)"', stated)
    return parts(found[1]) if found else stated.partition(";")[0]


# Resources (Tables 10.4.1-1 and following) ----------------------------------------------------------------------

RETRIEVED = [
    # Study, Series and Instance: Table 10.4.1-1; their default is multipart/related of application/dicom.
    *((each, None, parts(DICOM)) for each in (STUDY, SERIES, INSTANCE)),
    *((each, parts(DICOM), parts(DICOM)) for each in (STUDY, SERIES, INSTANCE)),
    *((each, "application/zip", "application/zip") for each in (STUDY, SERIES, INSTANCE)),
    (INSTANCE, DICOM, DICOM),
    # Metadata: Table 10.4.1-2.
    *((f"{each}/metadata", None, JSON) for each in (STUDY, SERIES, INSTANCE)),
    *((f"{each}/metadata", JSON, JSON) for each in (STUDY, SERIES, INSTANCE)),
    *((f"{each}/metadata", parts(XML), parts(XML)) for each in (STUDY, SERIES, INSTANCE)),
    # Rendered: Table 10.4.1-3.
    *((f"{each}/rendered", parts("image/jpeg"), parts("image/jpeg")) for each in (STUDY, SERIES, INSTANCE)),
    *((f"{INSTANCE}/rendered", kind, kind) for kind in ("image/jpeg", "image/gif", "image/png")),
    (f"{INSTANCE}/rendered", None, "image/jpeg"),
    (f"{CINE}/rendered", "image/gif", "image/gif"),
    *((f"{CINE}/frames/2/rendered", kind, kind) for kind in ("image/jpeg", "image/gif", "image/png")),
    (f"{CINE}/frames/1,3/rendered", parts("image/png"), parts("image/png")),
    # Thumbnail: Table 10.4.1-4.
    *((f"{each}/thumbnail", "image/jpeg", "image/jpeg") for each in (STUDY, SERIES, INSTANCE, f"{CINE}/frames/2")),
    # Bulk data: Table 10.4.1-5.
    *((f"{each}/bulkdata", parts(OCTETS), parts(OCTETS)) for each in (STUDY, SERIES, INSTANCE)),
    (f"{INSTANCE}/bulkdata/7FE00010", parts(OCTETS), parts(OCTETS)),
    (f"{INSTANCE}/bulkdata/7FE00010", OCTETS, OCTETS),
    # Pixel data, and frames: Table 10.4.1-6.
    *((f"{each}/pixeldata", parts(OCTETS), parts(OCTETS)) for each in (STUDY, SERIES, INSTANCE)),
    (f"{INSTANCE}/frames/1", parts(OCTETS), parts(OCTETS)),
    (f"{CINE}/frames/3,1,2", parts(OCTETS), parts(OCTETS)),
    (f"{CINE}/frames/1", parts("image/jls"), parts("image/jls")),
]
SEARCHED = [
    ("/studies", 1), (f"{STUDY}/series", 2), (f"{STUDY}/instances", 3), ("/series", 2), (f"{SERIES}/instances", 2),
    ("/instances", 3),
]  # fmt: skip


@pytest.mark.parametrize(("path", "accept", "kind"), RETRIEVED)
def test_a_resource_of_the_retrieve_transaction(study: Server, path: str, accept: str | None, kind: str) -> None:
    answer = get(study, path, accept)
    assert (answer.status, kind_of(answer)) == (200, kind), answer.body[:500]
    assert answer.body
    refused = get(study, path, "application/fhir+json")
    assert (refused.status, kind_of(refused)) == (406, PROBLEM)
    gone = get(study, path.replace(uid(SEED, "study"), "1.2.250.1.59.40211.12345678.678911"), accept)
    assert (gone.status, kind_of(gone)) == (404, PROBLEM)
    wrong = get(study, path.replace(uid(SEED, "study"), "not-a-uid"), accept)
    assert (wrong.status, kind_of(wrong)) == (400, PROBLEM)
    # 8.3.3.1: the query parameter in place of the header.
    by_query = get(study, f"{path}?accept={(accept or kind).replace('+', '%2B').replace(' ', '%20')}", "text/html")
    assert (by_query.status, kind_of(by_query)) == (200, kind)


@pytest.mark.parametrize(("path", "count"), SEARCHED)
def test_a_resource_of_the_search_transaction(study: Server, path: str, count: int) -> None:
    query = f"StudyInstanceUID={uid(SEED, 'study')}"
    for accept in (None, JSON, "*/*", "application/*"):
        answer = get(study, f"{path}?{query}", accept)
        assert (answer.status, kind_of(answer)) == (200, JSON), answer.body
        assert len(answer.json()) == count
        assert all(f"{STUDY}" in model["00081190"]["Value"][0] for model in answer.json())
    answer = get(study, f"{path}?{query}", parts(XML))
    assert (answer.status, kind_of(answer)) == (200, parts(XML))
    assert answer.body.count(b"</NativeDicomModel>") == count
    assert get(study, f"{path}?{query}", "image/png").status == 406
    assert get(study, f"{path}?{query}&limit=x").status == 400


@pytest.mark.parametrize("path", ["/studies", "/studies/{study}"])
def test_a_resource_of_the_store_transaction(server: Server, seed: int, path: str) -> None:
    where = "/dicomweb" + path.format(study=uid(seed, "study"))
    answer = server.stow(ct_slice(seed, size=16), path=where)
    assert (answer.status, kind_of(answer)) == (200, JSON)
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    assert server.request("POST", where, b"", {"Content-Type": kind}).status == 400
    assert server.request("POST", where, b"x", {"Content-Type": "text/plain"}).status == 415
    assert server.request("POST", where, b"x", {"Content-Type": "multipart/related; type=text/plain"}).status in (
        400,
        415,
    )
    assert server.request("PUT", where, b"x").status == 405


# Queries (8.3.4 and 10.6.1.2) -----------------------------------------------------------------------------------

PATIENT, OTHER = "11235813", "1.2.392.200036.9116.2.2.2.2162893313.1029997326.94587"
DAYS = ("20130509", "20130510", "20130511")
QUERIES = [
    (f"PatientID={PATIENT}", (0, 1, 2)),
    (f"00100020={PATIENT}", (0, 1, 2)),
    (f"PatientID={PATIENT}&StudyDate=20130509", (0,)),
    (f"PatientID={PATIENT}&StudyDate=20130509-20130510", (0, 1)),
    (f"PatientID={PATIENT}&StudyDate=-20130510", (0, 1)),
    (f"PatientID={PATIENT}&StudyDate=20130510-", (1, 2)),
    ("00100010=SMITH*&limit=25", (0, 1)),
    ("00100010=SMITH*&00101002.00100020=11235813&limit=25", (0,)),
    ("00100010=SMITH*&OtherPatientIDsSequence.00100020=11235813", (0,)),
    ("OtherPatientIDsSequence.PatientID=11235813", (0,)),
    ("00101002.00100020=nobody", ()),
    (f"PatientID={PATIENT}&StudyDate=20130509&includefield=00101048,00101049,00101060", (0,)),
    (f"PatientID={PATIENT}&includefield=00081048,00081049,00081060", (0, 1, 2)),
    (f"PatientID={PATIENT}&includefield=00081048&includefield=00081049&includefield=00081060", (0, 1, 2)),
    (f"PatientID={PATIENT}&includefield=all", (0, 1, 2)),
    (f"PatientID={PATIENT}&fuzzymatching=true&PatientName=smith", (0, 1)),
    (f"PatientID={PATIENT}&limit=1&offset=1", (1,)),
    (f"StudyInstanceUID={OTHER}.0,{OTHER}.2", (0, 2)),
    (f"StudyInstanceUID={OTHER}.0%5C{OTHER}.1", (0, 1)),
    (f"PatientID={PATIENT}&StudyTime=", (0, 1, 2)),
]  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: the examples' keys are few, and one of them is not searched by unless the settings say."""
    named = json.dumps(["study:OtherPatientIDsSequence.PatientID"])
    with running(tmp_path_factory.mktemp("asked") / "home", ISOCENTER_SEARCH_ATTRIBUTES=named) as server:
        for number, day in enumerate(DAYS):
            changes: dict[str, Any] = {
                "StudyInstanceUID": f"{OTHER}.{number}", "PatientID": PATIENT, "StudyDate": day,
                "PatientName": "SMITH^ANN" if number < 2 else "JONES^BO",
                "PhysiciansOfRecord": "Wong^Mary", "NameOfPhysiciansReadingStudy": "Read^Er",
            }  # fmt: skip
            if not number:
                changes["OtherPatientIDsSequence"] = [pydicom.Dataset()]
                changes["OtherPatientIDsSequence"][0].PatientID = PATIENT
            assert server.stow(ct_slice(number + 1, size=16, **changes)).status == 200
        yield server


@pytest.mark.parametrize(("query", "wanted"), QUERIES)
def test_a_query_of_the_standard(asked: Server, query: str, wanted: Sequence[int]) -> None:
    answer = get(asked, f"/studies?{query}", JSON)
    assert answer.status == 200, answer.body
    assert [m["0020000D"]["Value"][0] for m in answer.json()] == [f"{OTHER}.{number}" for number in wanted]
    for model in answer.json():
        assert [list(model[tag]) for tag in ("00080020", "00080050")] == [["vr", "Value"]] * 2
    if "offset" not in query and wanted:
        uids = {f"{OTHER}.{number}" for number in wanted}
        for level in ("series", "instances"):
            found = get(asked, f"/{level}?{query}", JSON).json()
            assert {model["0020000D"]["Value"][0] for model in found} <= uids


def test_attributes_asked_for_come_along_where_they_are_kept(asked: Server) -> None:
    answer = get(asked, f"/instances?PatientID={PATIENT}&includefield=00081048,00081060&limit=1")
    assert answer.json()[0]["00081048"] == {"vr": "PN", "Value": [{"Alphabetic": "Wong^Mary"}]}
    assert answer.json()[0]["00081060"] == {"vr": "PN", "Value": [{"Alphabetic": "Read^Er"}]}


def test_a_series_by_patient_and_series(study: Server) -> None:
    """`?PatientID=...&SeriesInstanceUID=...`: keys of two levels at once."""
    series = uid(SEED, "CT")
    for level, count in (("series", 1), ("instances", 2)):
        found = get(study, f"/{level}?PatientID=11235813&SeriesInstanceUID={series}").json()
        assert [model["0020000E"]["Value"] for model in found] == [[series]] * count
        assert get(study, f"/{level}?PatientID=12345&SeriesInstanceUID={series}").json() == []
    assert get(study, f"/studies?PatientID=11235813&SeriesInstanceUID={series}").status == 400


# Accept (8.7) and the parameters of pictures (8.3.5) ------------------------------------------------------------

ACCEPTED = [
    (f"{INSTANCE}/metadata", f"{parts(XML)};q=0.5, {JSON}", 200, JSON),
    (f"{INSTANCE}/metadata", f"{parts(XML)}, {JSON};q=0.5", 200, parts(XML)),
    (f"{INSTANCE}/metadata", f"{JSON};q=0, */*;q=0.1", 200, "application/json"),
    (f"{INSTANCE}/metadata", f"{JSON};q=0", 406, PROBLEM),
    (f"{INSTANCE}/metadata", "*/*", 200, JSON),
    (f"{INSTANCE}/metadata", "application/*;q=0.2, text/html", 200, JSON),
    (f"{INSTANCE}/rendered", "image/*", 200, "image/jpeg"),
    (f"{INSTANCE}/rendered", "image/*;q=0.5, image/png", 200, "image/png"),
    (f"{INSTANCE}/rendered", "image/jp2, image/jpeg;q=0.5", 200, "image/jpeg"),
    (f"{INSTANCE}/rendered", "image/jpeg;q=0.4, image/gif;q=0.8, image/png;q=0.6", 200, "image/gif"),
    (f"{INSTANCE}/rendered", "IMAGE/PNG", 200, "image/png"),
    (INSTANCE, f"{DICOM}; transfer-syntax={JPEG_2000}, {DICOM}; q=0.5", 200, DICOM),
    (INSTANCE, f"{parts(DICOM)}; transfer-syntax={BASELINE}, {parts(DICOM)}; q=0.1", 200, parts(DICOM)),
    (INSTANCE, f"{DICOM}; transfer-syntax={BASELINE}", 406, PROBLEM),  # 12 bits do not go into it
    (CINE, f"{DICOM}; transfer-syntax={BASELINE}", 200, DICOM),
    (f"{CINE}/frames/1", f'multipart/related; type="image/jpeg"; transfer-syntax={BASELINE}', 200, parts("image/jpeg")),
    (f"{CINE}/frames/1", f'multipart/related; type="image/jls"; transfer-syntax={BASELINE}', 406, PROBLEM),
    (f"{INSTANCE}/frames/1", f"{parts('image/jpx')}, {parts('image/jls')}; q=0.3", 200, parts("image/jls")),
    (STUDY, DICOM, 406, PROBLEM),
    (STUDY, "*/*", 200, parts(DICOM)),
    (STUDY, "application/zip, multipart/related;q=0.9", 200, "application/zip"),
    ("", "application/vnd.sun.wadl+xml, application/json;q=0.5", 200, "application/vnd.sun.wadl+xml"),
    ("", "application/json", 200, "application/json"),
]


@pytest.mark.parametrize(("path", "accept", "status", "kind"), ACCEPTED)
def test_accept_and_its_quality_values(study: Server, path: str, accept: str, status: int, kind: str) -> None:
    answer = get(study, path, accept)
    assert (answer.status, kind_of(answer)) == (status, kind), answer.body[:500]
    if path:
        assert status != 200 or "Accept" in answer.headers["Vary"]


RENDERED: list[tuple[str, int, tuple[int, int] | None]] = [
    ("window=40,400", 200, (32, 32)), ("window=40,400,linear", 200, (32, 32)),
    ("window=40,400,linear-exact", 200, (32, 32)), ("window=40,400,sigmoid", 200, (32, 32)),
    ("window=-600,1500,linear", 200, (32, 32)), ("window=40", 400, None), ("window=40,0,linear", 400, None),
    ("window=40,400,cubic", 400, None), ("window=a,b,linear", 400, None),
    ("viewport=16,16", 200, (16, 16)), ("viewport=64,16", 200, (16, 16)), ("viewport=16,16,8,8,16,16", 200, (16, 16)),
    ("viewport=16,16,,,16,16", 200, (16, 16)), ("viewport=16,16,8,8", 200, (16, 16)),
    ("viewport=16,16,0,0,-32,32", 200, (16, 16)), ("viewport=16", 400, None), ("viewport=0,0", 400, None),
    ("viewport=16,16,400,400,8,8", 422, None), ("quality=1", 200, (32, 32)), ("quality=100", 200, (32, 32)),
    ("quality=0", 400, None), ("quality=101", 400, None), ("annotation=patient", 200, (32, 32)),
    ("annotation=patient,technique", 200, (32, 32)), ("annotation=everything", 400, None),
    ("iccprofile=srgb", 200, (32, 32)), ("iccprofile=no", 200, (32, 32)), ("iccprofile=mauve", 400, None),
    ("window=40,400,linear&viewport=16,16&quality=50&annotation=technique&iccprofile=yes", 200, (16, 16)),
]  # fmt: skip


@pytest.mark.parametrize(("query", "status", "size"), RENDERED)
def test_parameters_of_a_rendered_resource(
    study: Server, query: str, status: int, size: tuple[int, int] | None
) -> None:
    for path in (f"{INSTANCE}/rendered", f"{INSTANCE}/frames/1/rendered"):
        answer = get(study, f"{path}?{query}", "image/jpeg")
        assert (answer.status, kind_of(answer)) == (status, "image/jpeg" if size else PROBLEM), answer.body[:300]
        if size:
            assert Image.open(BytesIO(answer.body)).size == size


def test_a_window_is_what_the_formula_of_the_standard_says(study: Server) -> None:
    """PS3.3 C.11.2.1.2.1 with centre 40 and width 400, over the rescaled values."""
    original = pydicom.dcmread(BytesIO(ct_slice(SEED, 1, size=32)))
    values = original.pixel_array.astype(float) - 1024
    wanted = np.clip(((values - 39.5) / 399 + 0.5) * 255, 0, 255)
    answer = get(study, f"{INSTANCE}/rendered?window=40,400,linear", "image/png")
    found = np.asarray(Image.open(BytesIO(answer.body)), float)
    assert np.abs(found - wanted).max() <= 1


URI = (
    "requestType=WADO&studyUID=1.2.250.1.59.40211.12345678.678910"
    "&seriesUID=1.2.250.1.59.40211.789001276.14556172.67789&objectUID=1.2.250.1.59.40211.2678810.87991027.899772.2"
)
REGION = "contentType=image%2Fjp2;level=1,image%2Fjpeg;q=0.5&annotation=patient,technique&columns=400&rows=300"


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("", 200, "image/jpeg"),  # B.1
        ("&charset=UTF-8", 200, "image/jpeg"),  # B.2
        (f"&{REGION}&region=0.3,0.4,0.5,0.5&windowCenter=-1000&windowWidth=2500", 200, "image/jpeg"),  # B.3
        (f"&contentType=application%2Fdicom&anonymize=yes&transferSyntax={BASELINE}", 406, PROBLEM),  # B.4
        (f"&contentType=application%2Fdicom&transferSyntax={JPEG_LS}", 200, DICOM),
        ("&contentType=application%2Fdicom", 200, DICOM),
    ],
)
def test_an_example_of_the_uri_service(server: Server, query: str, status: int, kind: str) -> None:
    studied, series, instance = (each.partition("=")[2] for each in URI.split("&")[1:])
    data = ct_slice(1, size=64, StudyInstanceUID=studied, SeriesInstanceUID=series, SOPInstanceUID=instance)
    assert server.stow(data).status == 200
    answer = server.request("GET", f"/wado?{URI}{query}")
    assert (answer.status, kind_of(answer)) == (status, kind), answer.body[:300]


# The Store Instances Response Module (Annex I) ------------------------------------------------------------------


def module_of(answer: Answer) -> tuple[list[Any], list[Any], list[Any]]:
    """Referenced, failed and other failed items, after every attribute was held against Tables I.1-1 and I.1-2."""
    module = answer.json()
    assert set(module) <= {"00081190", "00081198", "00081199", "0008119A"}
    assert module["00081190"]["vr"] == "UR"  # type 2
    found: list[list[Any]] = []
    for name, needed in (
        ("00081199", {"00081150", "00081155", "00081190"}),
        ("00081198", {"00081150", "00081155", "00081197"}),
        ("0008119A", {"00081197"}),
    ):
        items = module.get(name, {"vr": "SQ", "Value": []})
        assert items["vr"] == "SQ"
        assert (name in module) == bool(items["Value"])  # type 1C: there where it has items
        for item in items["Value"]:
            assert set(item) == needed
            for tag, vr in (("00081150", "UI"), ("00081155", "UI"), ("00081190", "UR"), ("00081197", "US")):
                if tag in item:
                    assert item[tag]["vr"] == vr
                    assert len(item[tag]["Value"]) == 1
                    assert isinstance(item[tag]["Value"][0], int if vr == "US" else str)
        found.append(items["Value"])
    return found[0], found[1], found[2]


def reasons(items: list[Any]) -> list[int]:
    return [item["00081197"]["Value"][0] for item in items]


def test_all_stored(server: Server, seed: int) -> None:
    answer = server.stow(*(ct_slice(seed, number, size=16) for number in (1, 2)))
    done, failed, others = module_of(answer)
    assert (answer.status, len(done), failed, others) == (200, 2, [], [])
    root = f"{server.url}/dicomweb/studies/{uid(seed, 'study')}"
    assert answer.json()["00081190"]["Value"] == [root]
    assert [item["00081155"]["Value"][0] for item in done] == [uid(seed, "CT", number) for number in (1, 2)]
    for item in done:
        url = item["00081190"]["Value"][0]
        assert url == f"{root}/series/{uid(seed, 'CT')}/instances/{item['00081155']['Value'][0]}"
        assert server.request("GET", url.removeprefix(server.url)).status == 200


def test_two_studies_have_no_address_together(server: Server, seed: int) -> None:
    answer = server.stow(ct_slice(seed, size=16), ct_slice(seed + 1, size=16))
    assert (answer.status, len(module_of(answer)[0])) == (200, 2)
    assert "Value" not in answer.json()["00081190"]


def test_some_stored_and_some_failed_with_their_reasons(server: Server, seed: int) -> None:
    assert server.stow(ct_slice(seed, 1, size=16)).status == 200
    without_class = meta(EXPLICIT, f"2.25.{seed}") + b"".join(
        (
            element(0x00080018, "UI", f"2.25.{seed}"),
            element(0x0020000D, "UI", uid(seed, "study")),
            element(0x0020000E, "UI", "2.25.3"),
        )
    )
    files = (
        ct_slice(seed, 2, size=16), ct_slice(seed, 1, size=16, KVP=1), b"not DICOM at all",
        ct_slice(seed, 3, size=16, StudyInstanceUID="1.2.3"), ct_slice(seed, 4, size=16)[:-100], without_class,
    )  # fmt: skip
    answer = server.stow(*files, path=f"/dicomweb/studies/{uid(seed, 'study')}")
    done, failed, others = module_of(answer)
    assert answer.status == 202
    assert [item["00081155"]["Value"][0] for item in done] == [uid(seed, "CT", 2)]
    assert {0x0111, 0xA900} <= set(reasons(failed))
    assert set(reasons(failed) + reasons(others)) <= {0x0110, 0x0111, 0x0122, 0xA700, 0xA900, 0xC000}
    assert len(failed) + len(others) == 5


def test_none_stored(server: Server, seed: int) -> None:
    answer = server.stow(ct_slice(seed, size=16), path="/dicomweb/studies/1.2.3")
    done, failed, others = module_of(answer)
    assert (answer.status, done, reasons(failed), others) == (409, [], [0xA900], [])
    assert failed[0]["00081150"]["Value"] == ["1.2.840.10008.5.1.4.1.1.2"]
    answer = server.stow(b"nothing")
    done, failed, others = module_of(answer)
    assert (answer.status, done, failed, len(others)) == (409, [], [], 1)
    assert answer.headers["Warning"]


def test_the_module_comes_as_xml_too(server: Server, seed: int) -> None:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + ct_slice(seed, size=16) + b"\r\n--b--\r\n"
    given = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    answers = [
        server.request("POST", "/dicomweb/studies", body, {**given, "Accept": kind})
        for kind in (XML, f"{JSON};q=0.1, {XML}", JSON, "application/json")
    ]
    assert [(each.status, each.headers["Content-Type"]) for each in answers] == [(200, XML)] * 2 + [(200, JSON)] * 2
    assert from_xml([answers[0].body]) == answers[2].json()
    assert server.request("POST", "/dicomweb/studies", body, {**given, "Accept": "text/html"}).status == 406


# Models (Annex F; PS3.19 A.1) -----------------------------------------------------------------------------------

# F.4's first result, with what makes an instance of it.
WANG: dict[str, Any] = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080016": {"vr": "UI", "Value": [RAW_DATA]},
    "00080018": {"vr": "UI", "Value": ["1.2.392.200036.9116.2.2.2.1762893313.1029997326.945873.2"]},
    "00080020": {"vr": "DA", "Value": ["20130409"]},
    "00080030": {"vr": "TM", "Value": ["131600.0000"]},
    "00080050": {"vr": "SH", "Value": ["11235813"]},
    "00080056": {"vr": "CS", "Value": ["ONLINE"]},
    "00080061": {"vr": "CS", "Value": ["CT", "PET"]},
    "00080090": {"vr": "PN", "Value": [{"Alphabetic": "^Bob^^Dr."}]},
    "00081190": {
        "vr": "UR",
        "Value": ["http://wado.nema.org/studies/1.2.392.200036.9116.2.2.2.1762893313.1029997326.945873"],
    },
    "00090010": {"vr": "LO", "Value": ["Vendor A"]},
    "00091002": {"vr": "UN", "InlineBinary": "z0x9c8v7"},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"}]},
    "00100020": {"vr": "LO", "Value": ["12345"]},
    "00100021": {"vr": "LO", "Value": ["Hospital A"]},
    "00100030": {"vr": "DA", "Value": ["19670701"]},
    "00100040": {"vr": "CS", "Value": ["M"]},
    "00101002": {
        "vr": "SQ",
        "Value": [
            {"00100020": {"vr": "LO", "Value": ["54321"]}, "00100021": {"vr": "LO", "Value": ["Hospital B"]}},
            {"00100020": {"vr": "LO", "Value": ["24680"]}, "00100021": {"vr": "LO", "Value": ["Hospital C"]}},
        ],
    },
    "0020000D": {"vr": "UI", "Value": ["1.2.392.200036.9116.2.2.2.1762893313.1029997326.945873"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.392.200036.9116.2.2.2.1762893313.1029997326.945873.1"]},
    "00200010": {"vr": "SH", "Value": ["11235813"]},
    "00201206": {"vr": "IS", "Value": [4]},
    "00201208": {"vr": "IS", "Value": [942]},
}
# What F.2.2 to F.2.7 show of single attributes.
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "null": {"00080050": {"vr": "SH"}, "00100020": {"vr": "LO"}},
    "null among values": {"00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]}},
    "null first": {"00101000": {"vr": "LO", "Value": [None, "b"]}},
    "all names": {
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}],
        }
    },
    "one group of a name": {"00100010": {"vr": "PN", "Value": [{"Ideographic": "山田^太郎"}]}},
    "several names": {"00101001": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}, {"Alphabetic": "C^D"}]}},
    "inline binary": {"00420011": {"vr": "OB", "InlineBinary": "AAECAwQFBgc="}},
    "empty sequence": {"00081140": {"vr": "SQ"}},
    "empty item": {"00081140": {"vr": "SQ", "Value": [{}]}},
    "nested": {
        "00081115": {
            "vr": "SQ",
            "Value": [
                {
                    "00081199": {
                        "vr": "SQ",
                        "Value": [
                            {"00081150": {"vr": "UI", "Value": ["1.2"]}, "00081155": {"vr": "UI", "Value": ["1.2.3"]}},
                            {"00081155": {"vr": "UI", "Value": ["1.2.4"]}},
                        ],
                    },
                    "0020000E": {"vr": "UI", "Value": ["1.2.5"]},
                }
            ],
        }
    },
    "numbers": {
        "00180050": {"vr": "DS", "Value": [2.5]},
        "00180082": {"vr": "DS", "Value": [0.0001]},
        "00200013": {"vr": "IS", "Value": [-7]},
        "00280009": {"vr": "AT", "Value": ["00181063"]},
        "00189073": {"vr": "FD", "Value": [0.1]},
        "00280106": {"vr": "US", "Value": [65535]},
    },
    "attribute tags": {"00280009": {"vr": "AT", "Value": ["00181063", "00181065"]}},
}


def send(server: Server, kind: str, document: bytes) -> Answer:
    body = f"--b\r\nContent-Type: {kind}\r\n\r\n".encode() + document + b"\r\n--b--\r\n"
    given = {"Content-Type": f'multipart/related; type="{kind}"; boundary=b'}
    return server.request("POST", "/dicomweb/studies", body, given)


def path_of(model: dict[str, Any]) -> str:
    study, series, instance = (model[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
    return f"/studies/{study}/series/{series}/instances/{instance}"


def instance_of(seed: int, attributes: dict[str, Any]) -> dict[str, Any]:
    needed = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080016": {"vr": "UI", "Value": [RAW_DATA]},
        "00080018": {"vr": "UI", "Value": [f"2.25.{seed}1"]},
        "0020000D": {"vr": "UI", "Value": [f"2.25.{seed}"]},
        "0020000E": {"vr": "UI", "Value": [f"2.25.{seed}2"]},
    }
    return dict(sorted({**needed, **attributes}.items()))


def test_the_example_of_annex_f(server: Server) -> None:
    answer = send(server, JSON, json.dumps([WANG], ensure_ascii=False).encode())
    assert answer.status == 200, answer.body
    (found,) = get(server, f"{path_of(WANG)}/metadata", JSON).json()
    assert found == WANG
    assert list(found) == sorted(found)
    file = pydicom.dcmread(BytesIO(get(server, path_of(WANG), DICOM).body))
    assert str(file.PatientName) == "Wang^XiaoDong=王^小東"
    assert file[0x00091002].value == bytes.fromhex("cf4c7d73cbfb")
    assert [item.IssuerOfPatientID for item in file.OtherPatientIDsSequence] == ["Hospital B", "Hospital C"]
    named = f"StudyInstanceUID={WANG['0020000D']['Value'][0]}&PatientName={quote('王*')}"
    (study,) = get(server, f"/studies?PatientID=12345&{named}").json()
    assert study["00100010"] == WANG["00100010"]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_model_comes_back_as_it_was_sent(server: Server, seed: int, name: str) -> None:
    model = instance_of(seed, ATTRIBUTES[name])
    assert send(server, JSON, json.dumps([model]).encode()).status == 200
    assert get(server, f"{path_of(model)}/metadata", JSON).json() == [model]
    document = get(server, f"{path_of(model)}/metadata", XML).body
    assert from_xml([document]) == model
    # And the XML that we give, as another instance.
    other = {**model, "00080018": {"vr": "UI", "Value": [f"2.25.{seed}9"]}}
    sent = document.replace(f">2.25.{seed}1<".encode(), f">2.25.{seed}9<".encode())
    assert send(server, XML, sent).status == 200
    assert get(server, f"{path_of(other)}/metadata", JSON).json() == [other]


NATIVE = f"""<?xml version="1.0" encoding="UTF-8" xml:space="preserve" ?>
<NativeDicomModel xmlns="{NATIVE_MODEL}">
  <DicomAttribute tag="00080005" vr="CS" keyword="SpecificCharacterSet"><Value number="1">ISO_IR 192</Value>
  </DicomAttribute>
  <DicomAttribute tag="00080016" vr="UI" keyword="SOPClassUID"><Value number="1">{RAW_DATA}</Value></DicomAttribute>
  <DicomAttribute tag="00080018" vr="UI" keyword="SOPInstanceUID">
    <Value number="1">1.2.392.200036.9116.2.2.2.1762893313.1029997326.945876.3</Value>
  </DicomAttribute>
  <DicomAttribute tag="00080020" vr="DA" keyword="StudyDate"><Value number="1">20130409</Value></DicomAttribute>
  <DicomAttribute tag="00080030" vr="TM" keyword="StudyTime"><Value number="1">131600.0000</Value></DicomAttribute>
  <DicomAttribute tag="00080050" vr="SH" keyword="AccessionNumber"/>
  <DicomAttribute tag="00080061" vr="CS" keyword="ModalitiesInStudy">
    <Value number="1">CT</Value><Value number="2">PET</Value>
  </DicomAttribute>
  <DicomAttribute tag="00080090" vr="PN" keyword="ReferringPhysicianName">
    <PersonName number="1"><Alphabetic><GivenName>Bob</GivenName><NamePrefix>Dr.</NamePrefix></Alphabetic></PersonName>
  </DicomAttribute>
  <DicomAttribute tag="00090010" vr="LO"><Value number="1">Vendor A</Value></DicomAttribute>
  <DicomAttribute tag="00090002" vr="UN" privateCreator="Vendor A"><InlineBinary>z0x9c8v7</InlineBinary>
  </DicomAttribute>
  <DicomAttribute tag="00100010" vr="PN" keyword="PatientName">
    <PersonName number="1">
      <Alphabetic><FamilyName>Wang</FamilyName><GivenName>XiaoDong</GivenName></Alphabetic>
      <Ideographic><FamilyName>王</FamilyName><GivenName>小東</GivenName></Ideographic>
    </PersonName>
  </DicomAttribute>
  <DicomAttribute tag="00100020" vr="LO" keyword="PatientID"><Value number="1">12345</Value></DicomAttribute>
  <DicomAttribute tag="00101002" vr="SQ" keyword="OtherPatientIDsSequence">
    <Item number="1">
      <DicomAttribute tag="00100020" vr="LO" keyword="PatientID"><Value number="1">54321</Value></DicomAttribute>
      <DicomAttribute tag="00100021" vr="LO" keyword="IssuerOfPatientID"><Value number="1">Hospital B</Value>
      </DicomAttribute>
    </Item>
    <Item number="2">
      <DicomAttribute tag="00100020" vr="LO" keyword="PatientID"><Value number="1">24680</Value></DicomAttribute>
    </Item>
  </DicomAttribute>
  <DicomAttribute tag="0020000D" vr="UI" keyword="StudyInstanceUID">
    <Value number="1">1.2.392.200036.9116.2.2.2.1762893313.1029997326.945876</Value>
  </DicomAttribute>
  <DicomAttribute tag="0020000E" vr="UI" keyword="SeriesInstanceUID">
    <Value number="1">1.2.392.200036.9116.2.2.2.1762893313.1029997326.945876.1</Value>
  </DicomAttribute>
</NativeDicomModel>
"""
NATIVE_SAYS: dict[str, Any] = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080016": {"vr": "UI", "Value": [RAW_DATA]},
    "00080018": {"vr": "UI", "Value": ["1.2.392.200036.9116.2.2.2.1762893313.1029997326.945876.3"]},
    "00080020": {"vr": "DA", "Value": ["20130409"]},
    "00080030": {"vr": "TM", "Value": ["131600.0000"]},
    "00080050": {"vr": "SH"},
    "00080061": {"vr": "CS", "Value": ["CT", "PET"]},
    "00080090": {"vr": "PN", "Value": [{"Alphabetic": "^Bob^^Dr."}]},
    "00090010": {"vr": "LO", "Value": ["Vendor A"]},
    "00091002": {"vr": "UN", "InlineBinary": "z0x9c8v7"},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"}]},
    "00100020": {"vr": "LO", "Value": ["12345"]},
    "00101002": {
        "vr": "SQ",
        "Value": [
            {"00100020": {"vr": "LO", "Value": ["54321"]}, "00100021": {"vr": "LO", "Value": ["Hospital B"]}},
            {"00100020": {"vr": "LO", "Value": ["24680"]}},
        ],
    },
    "0020000D": {"vr": "UI", "Value": ["1.2.392.200036.9116.2.2.2.1762893313.1029997326.945876"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.392.200036.9116.2.2.2.1762893313.1029997326.945876.1"]},
}


def attributes_of(node: ElementTree.Element) -> Any:
    """An XML tree without the white space between its elements and without namespaces."""
    text = (node.text or "").strip()
    children = [attributes_of(each) for each in node]
    stated = {name: value for name, value in node.attrib.items() if "}" not in name}
    return node.tag.rpartition("}")[2], stated, text, children


def test_a_native_dicom_model(server: Server) -> None:
    answer = send(server, XML, NATIVE.replace(' xml:space="preserve" ?', "?", 1).encode())
    assert answer.status == 200, answer.body
    assert get(server, f"{path_of(NATIVE_SAYS)}/metadata", JSON).json() == [NATIVE_SAYS]
    back = get(server, f"{path_of(NATIVE_SAYS)}/metadata", XML).body
    sent = attributes_of(ElementTree.fromstring(NATIVE.partition("?>")[2].strip()))
    assert attributes_of(ElementTree.fromstring(back)) == sent


def test_pydicom_reads_every_model_of_ours(study: Server) -> None:
    for model in get(study, f"{STUDY}/metadata").json():
        bulk = {tag for tag, attribute in model.items() if "BulkDataURI" in attribute}
        found = pydicom.Dataset.from_json({tag: each for tag, each in model.items() if tag not in bulk})
        assert found.to_json_dict() == {tag: each for tag, each in model.items() if tag not in bulk}
