"""Search as real clients ask: dicomweb-client, the queries of a viewer, and people who want to break it."""

from __future__ import annotations

import itertools
import json
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pydicom
import pydicom.filebase
import pytest
from dicomweb_client.api import DICOMwebClient

from isocenter.testing.instances import ct_slice, sample_study, uid
from isocenter.testing.server import Answer, Server, running

_seeds = itertools.count(9000)
NASTY = (
    "'", '"', '""', "';DROP TABLE images;--", "' OR '1'='1", "%", "_", "\\", "\\\\", "[", "[a-z]", "*" * 9, "?", "\0",
    "a\0b", "\ufffd", "\u202e", "1e999999", "nan", "-", "--", "20200101-", "99999999", "20201399-20200101", "2400",
    "1" * 1025, "=" * 5, "^" * 70, "x" * 300 + "*", "\U0010ffff*", "1,2,,3", "0" * 65,
)  # fmt: skip


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


def found(server: Server, path: str, **keys: object) -> list[dict[str, Any]]:
    answer = asked(server, path, **keys)
    assert answer.status == 200, answer.body
    models: list[dict[str, Any]] = json.loads(answer.body)
    for model in models:
        assert list(model) == sorted(model)
    return models


def asked(server: Server, path: str, **keys: object) -> Answer:
    return server.request("GET", f"/dicomweb/{path}?{urlencode(keys, doseq=True)}")


def values(models: list[dict[str, Any]], tag: str) -> list[Any]:
    return [model[tag]["Value"][0] for model in models]


@pytest.fixture
def three(server: Server, seed: int) -> list[str]:
    """Three studies of three people who share a Patient ID's beginning; their Study Instance UIDs."""
    people = (
        ("M\u00fcller^J\u00f6rg", "20200101", "0900"),
        ("Doe^Jane", "20200102", "100000"),
        ("Doe^John", "20210101", "2359"),
    )
    for number, (name, date, time) in enumerate(people):
        own = seed + number
        for slice_number in (1, 2):
            data = ct_slice(
                own,
                slice_number,
                size=16,
                PatientName=name,
                PatientID=f"P{seed}-{number}",
                StudyDate=date,
                StudyTime=time,
            )
            assert server.stow(data).status == 200
    return [uid(seed + number, "study") for number in range(3)]


def test_dicomweb_client_finds_by_every_kind_of_key(server: Server, seed: int, three: list[str]) -> None:
    client = DICOMwebClient(url=f"{server.url}/dicomweb")

    def uids(fuzzy: bool = False, tags: dict[str, str] | None = None, **filters: str) -> list[str]:
        wanted = {"PatientID": f"P{seed}-*", **filters, **(tags or {})}
        studies = client.search_for_studies(search_filters=wanted, fuzzymatching=fuzzy)
        return values(studies, "0020000D")

    assert uids() == three
    assert uids(PatientName="DOE^*") == three[1:]
    assert uids(PatientName="jorg mull", fuzzy=True) == three[:1]
    assert uids(StudyDate="20200101-20200102") == three[:2]
    assert uids(StudyDate="20200101-20200102", StudyTime="0930-1100") == three[1:2]
    assert uids(StudyDate="20200101-20200102", StudyTime="0900-0915") == three[:1]
    assert uids(ModalitiesInStudy="CT", PatientID=f"P{seed}-2") == three[2:]
    assert uids(StudyInstanceUID=",".join(three[1:])) == three[1:]
    assert uids(tags={"00100010": "Doe^Jane"}) == three[1:2]
    assert uids(PatientName="*", StudyDescription="") == three
    pages = client.search_for_studies(search_filters={"PatientID": f"P{seed}-*"}, limit=1, get_remaining=True)
    assert values(pages, "0020000D") == three
    assert (
        values(client.search_for_studies(search_filters={"PatientID": f"P{seed}-*"}, limit=1, offset=2), "0020000D")
        == three[2:]
    )
    series = client.search_for_series(search_filters={"PatientID": f"P{seed}-1", "Modality": "C?"})
    assert values(series, "0020000D") == three[1:2]
    instances = client.search_for_instances(search_filters={"PatientID": f"P{seed}-1", "InstanceNumber": "2"})
    assert values(instances, "00080018") == [uid(seed + 1, "CT", 2)]
    assert values(instances, "00100010") == [{"Alphabetic": "Doe^Jane"}]


def test_what_comes_along_depends_on_the_address_and_on_includefield(
    server: Server, seed: int, three: list[str]
) -> None:
    (study,) = found(server, "studies", StudyInstanceUID=three[0])
    assert study["00201206"]["Value"] == [1]
    assert study["00201208"]["Value"] == [2]
    assert study["00080061"]["Value"] == ["CT"]
    assert study["00080056"]["Value"] == ["ONLINE"]
    assert study["00081190"]["Value"] == [f"{server.url}/dicomweb/studies/{three[0]}"]
    (series,) = found(server, f"studies/{three[0]}/series")
    assert "00100010" not in series
    assert series["00201209"]["Value"] == [2]
    (series,) = found(server, f"studies/{three[0]}/series", includefield="PatientName,00081030")
    assert series["00100010"]["Value"][0]["Alphabetic"] == "M\u00fcller^J\u00f6rg"
    assert "00100020" not in series
    (series,) = found(server, "series", StudyInstanceUID=three[0])
    assert series["00100020"]["Value"] == [f"P{seed}-0"]
    one = found(server, f"studies/{three[0]}/instances", limit=1)[0]
    assert one["00080060"]["Value"] == ["CT"]
    assert "00100020" not in one
    one = found(server, f"studies/{three[0]}/instances", limit=1, includefield=["KVP", "PixelSpacing", "PatientID"])[0]
    assert one["00180060"]["Value"] == [120]
    assert len(one["00280030"]["Value"]) == 2
    assert one["00100020"]["Value"] == [f"P{seed}-0"]
    whole = found(server, f"studies/{three[0]}/instances", includefield="all", limit=1)[0]
    assert whole["00281050"]["Value"] == [40]
    assert whole["7FE00010"]["BulkDataURI"].startswith(server.url)
    answer = asked(server, "studies", StudyInstanceUID=three[0], includefield="KVP,nonsense")
    assert "KVP" in answer.headers["warning"]
    assert "1 of includefield" in answer.headers["warning"]


def test_nothing_is_cut_in_silence_and_the_cursor_holds(server: Server, seed: int, three: list[str]) -> None:
    answer = asked(server, "studies", PatientID=f"P{seed}-*", limit=2, orderby="-StudyDate")
    assert answer.headers["x-total-count"] == "3"
    assert "3 in all" in answer.headers["warning"]
    first = values(json.loads(answer.body), "0020000D")
    link = answer.headers["link"].split(">")[0].lstrip("<")
    # What comes in meanwhile moves nothing that was behind the cursor.
    assert server.stow(ct_slice(seed + 7, 1, size=16, PatientID=f"P{seed}-9", StudyDate="20250101")).status == 200
    second = json.loads(server.request("GET", link).body)
    assert first + values(second, "0020000D") == [three[2], three[1], three[0]]
    assert asked(server, "studies", PatientID=f"P{seed}-*", limit=0).headers["x-total-count"] == "4"


def test_counts_follow_deletion_at_once(server: Server, seed: int, three: list[str]) -> None:
    path = f"/dicomweb/studies/{three[0]}/series/{uid(seed, 'CT')}/instances/{uid(seed, 'CT', 1)}"
    assert server.request("DELETE", path).status == 204
    (study,) = found(server, "studies", StudyInstanceUID=three[0])
    assert study["00201208"]["Value"] == [1]
    assert server.request("DELETE", f"/dicomweb/studies/{three[0]}").status == 204
    assert found(server, "studies", PatientID=f"P{seed}-0") == []
    assert found(server, "instances", PatientID=f"P{seed}-0") == []


def test_the_queries_of_a_viewer(server: Server, seed: int) -> None:
    """What OHIF asks for its list of studies, and when one is opened."""
    for _, data in sample_study(seed):
        server.stow(data)
    study = uid(seed, "study")
    listed = found(
        server, "studies", limit=101, offset=0, fuzzymatching="true", includefield="00081030,00080060,00080090",
        StudyInstanceUID=study, PatientName="*Phantom*", StudyDate="20240101-20241231", ModalitiesInStudy="CT",
    )  # fmt: skip
    assert values(listed, "0020000D") == [study]
    series = found(server, f"studies/{study}/series", includefield="0008103E,00080021,00080031")
    assert sorted(values(series, "00080060")) == ["CR", "CT", "US"]
    numbers = values(found(server, f"studies/{study}/series", orderby="SeriesNumber"), "00200011")
    assert numbers == sorted(numbers)
    instances = found(server, f"studies/{study}/series/{uid(seed, 'CT')}/instances", orderby="-InstanceNumber")
    assert values(instances, "00200013") == list(range(12, 0, -1))


@pytest.mark.parametrize(
    ("path", "keys", "told"),
    [
        ("studies", {"Modality": "CT"}, "Modality is of the series level; search /series"),
        ("series", {"InstanceNumber": "1"}, "search /instances"),
        ("studies", {"SeriesInstanceUID": "1.2"}, "SeriesInstanceUID is of the series level"),
        ("instances", {"KVP": "120"}, "search_attributes"),
        ("instances", {"00191002": "x"}, "(0019,1002) is not searched by"),
        ("studies", {"NumberOfStudyRelatedInstances": "2"}, "is told, not searched by"),
        ("studies", {"NoSuchKeyword": "x"}, "neither an attribute"),
        ("studies", {"StudyDate": "yesterday"}, "StudyDate takes YYYYMMDD"),
        ("studies", {"PatientID": ["a", "b"]}, "PatientID is given more than once"),
        ("studies", {"PatientID": "*a" * 9}, "asterisks"),
        ("series", {"RequestAttributesSequence": "x"}, "is a sequence"),
    ],
)
def test_a_key_that_cannot_be_searched_by_is_refused_with_what_to_do(
    server: Server, path: str, keys: dict[str, Any], told: str
) -> None:
    answer = asked(server, path, **keys)
    assert answer.status == 400
    detail = json.loads(answer.body)["detail"]
    assert told in detail
    assert "yesterday" not in detail


def test_no_value_of_any_key_breaks_out(server: Server, seed: int, three: list[str]) -> None:
    names = (
        "PatientID", "PatientName", "StudyDate", "StudyTime", "ModalitiesInStudy", "StudyInstanceUID", "00080056",
        "SeriesNumber", "Modality", "RequestAttributesSequence.ScheduledProcedureStepID", "SOPClassUID", "Rows",
        "PerformedProcedureStepStartTime", "InstanceNumber", "SOPInstanceUID", "AcquisitionDateTime",
        "ImagePositionPatient",
    )  # fmt: skip
    total = int(asked(server, "instances", limit=0).headers["x-total-count"])
    for name, text in itertools.product(names, NASTY):
        for fuzzy in ("true", "false"):
            path = f"/dicomweb/instances?limit=1&fuzzymatching={fuzzy}&{name}={quote(text, safe='')}"
            answer = server.request("GET", path)
            assert answer.status in (200, 400), (name, text, answer.body)
            if answer.status == 400:
                assert text not in json.loads(answer.body)["detail"] or len(text) < 3
    assert int(asked(server, "instances", limit=0).headers["x-total-count"]) == total
    assert found(server, "studies", PatientID=f"P{seed}-0")


def test_attributes_that_the_settings_name_are_searched_by_after_reindexing(tmp_path: Path, seed: int) -> None:
    home = tmp_path / "home"
    old = ct_slice(seed, 1, size=16, KVP=120)
    data_set = pydicom.dcmread(pydicom.filebase.DicomBytesIO(ct_slice(seed, 2, size=16, KVP=80)))
    block = data_set.private_block(0x0019, "ACME", create=True)
    block.add_new(2, "LO", "private words")
    data_set.ReferencedStudySequence = [pydicom.Dataset()]
    data_set.ReferencedStudySequence[0].ReferencedSOPInstanceUID = "1.2.3"
    buffer = pydicom.filebase.DicomBytesIO()
    data_set.save_as(buffer)
    with running(home) as server:
        assert server.stow(old).status == 200
        assert server.stow(buffer.getvalue()).status == 200
        assert asked(server, "instances", KVP="80").status == 400
    named = ["instance:KVP", "series:00191002", "study:ReferencedStudySequence.ReferencedSOPInstanceUID"]
    settings = {"ISOCENTER_SEARCH_ATTRIBUTES": json.dumps(named)}
    with running(home, **settings) as server:
        new = ct_slice(seed, 3, size=16, KVP=80)
        assert server.stow(new).status == 200
        answer = asked(server, "instances", KVP="80")
        assert answer.status == 503
        assert "isocenter reindex" in json.loads(answer.body)["detail"]
        done = server.run("reindex")
        assert done.returncode == 0, done.stderr
        assert b"3 images indexed by 3 attributes" in done.stderr.replace(b"\n", b" ")
        assert values(found(server, "instances", KVP="80"), "00080018") == [uid(seed, "CT", n) for n in (2, 3)]
        assert values(found(server, "instances", KVP="80", PatientID="*"), "00180060") == [80, 80]
        key = "ReferencedStudySequence.ReferencedSOPInstanceUID"
        # A series and a study have the attributes of the image that brought them: here the first.
        assert found(server, "studies", **{key: "1.2.3"}) == []
        assert found(server, "series", **{"00191002": "private*"}) == []
    with running(home) as server:
        assert asked(server, "instances", KVP="80").status == 400
    with running(home, **settings) as server:
        assert asked(server, "instances", KVP="80").status == 503


def test_results_come_as_xml_too(server: Server, seed: int, three: list[str]) -> None:
    path = f"/dicomweb/studies?PatientID=P{seed}-*"
    answer = server.request("GET", path, headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom+xml"')
    assert answer.headers["x-total-count"] == "3"
    assert answer.body.count(b"<NativeDicomModel") == 3
    assert "<FamilyName>M\u00fcller</FamilyName>".encode() in answer.body
    assert len(json.loads(server.request("GET", f"{path}&accept=application/json").body)) == 3
    refused = server.request("GET", path, headers={"Accept": "text/html"})
    assert refused.status == 406
