"""Directories of File-sets: read by pydicom and DCMTK, every link where it should lead."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

import pydicom
import pytest
from pydicom import fileset
from pydicom.data import get_testdata_file
from pydicom.fileset import FileSet

from isocenter.dicom.dicomdir import FileEntry, dicomdir
from isocenter.dicom.directory_records import INSTANCE, record_type
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.errors import Malformed
from isocenter.testing.elements import element, item
from isocenter.testing.instances import sample_study

UID = "2.25.77"
CT = "1.2.840.10008.5.1.4.1.1.2"


def model_of(data: bytes) -> dict[str, dict[str, Any]]:
    reader = HeaderReader()
    reader.feed(data)
    header = reader.finish()
    return encode(header.elements, big_endian=header.encoding.big_endian).model


def image(
    number: int,
    more: dict[str, Any] | None = None,
    *,
    patient: str = "P1",
    study: str = "2.25.1",
    series: str = "2.25.2",
) -> FileEntry:
    model: dict[str, Any] = {
        "00080016": {"vr": "UI", "Value": [CT]},
        "00080018": {"vr": "UI", "Value": [f"2.25.9.{number}"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
        "00100020": {"vr": "LO", "Value": [patient]},
        "0020000D": {"vr": "UI", "Value": [study]},
        "0020000E": {"vr": "UI", "Value": [series]},
        "00200010": {"vr": "SH", "Value": ["S"]},
        "00200011": {"vr": "IS", "Value": [3]},
        "00200013": {"vr": "IS", "Value": [number]},
        **(more or {}),
    }
    return FileEntry({name: value for name, value in model.items() if value is not None}, ("DICOM", f"IM{number:06}"))


@contextmanager
def file_set(path: Path) -> Iterator[FileSet]:
    """pydicom's view of a File-set; it makes a folder for changes, which nobody else clears away."""
    found = FileSet(path)
    try:
        yield found
    finally:
        found._stage["t"].cleanup()


def records(data: bytes) -> list[pydicom.Dataset]:
    return list(pydicom.dcmread(BytesIO(data)).DirectoryRecordSequence)


def test_one_image_byte_for_byte() -> None:
    data = dicomdir([image(7)], UID, "SET")
    body = data.index(element(0x00041130, "CS", "SET"))

    def record(next: int, lower: int, kind: str, rest: bytes) -> bytes:
        return item(
            element(0x00041400, "UL", pack("<L", next))
            + element(0x00041410, "US", b"\xff\xff")
            + element(0x00041420, "UL", pack("<L", lower))
            + element(0x00041430, "CS", kind)
            + rest
        )

    patient = element(0x00100010, "PN", "A^B") + element(0x00100020, "LO", "P1")
    study = b"".join(
        (
            element(0x00080020, "DA", ""), element(0x00080030, "TM", ""), element(0x00080050, "SH", ""),
            element(0x00081030, "LO", ""), element(0x0020000D, "UI", "2.25.1"), element(0x00200010, "SH", "S"),
        )
    )  # fmt: skip
    series = element(0x00080060, "CS", "CT") + element(0x0020000E, "UI", "2.25.2") + element(0x00200011, "IS", "3")
    instance = (
        element(0x00041500, "CS", "DICOM\\IM000007") + element(0x00041510, "UI", CT)
        + element(0x00041511, "UI", "2.25.9.7") + element(0x00041512, "UI", "1.2.840.10008.1.2.1")
        + element(0x00200013, "IS", "7")
    )  # fmt: skip
    first = body + 12 + 12 + 12 + 10 + 12
    second = first + len(record(0, 0, "PATIENT", patient))
    third = second + len(record(0, 0, "STUDY", study))
    fourth = third + len(record(0, 0, "SERIES", series))
    sequence = b"".join(
        (
            record(0, second, "PATIENT", patient),
            record(0, third, "STUDY", study),
            record(0, fourth, "SERIES", series),
            record(0, 0, "IMAGE", instance),
        )
    )
    assert data[body:] == b"".join(
        (
            element(0x00041130, "CS", "SET"),
            element(0x00041200, "UL", pack("<L", first)),
            element(0x00041202, "UL", pack("<L", first)),
            element(0x00041212, "US", bytes(2)),
            pack("<HH2sHL", 4, 0x1220, b"SQ", 0, len(sequence)),
            sequence,
        )
    )


def test_offsets_lead_from_record_to_record() -> None:
    entries = [
        image(1),
        image(2, patient="P2", study="2.25.11", series="2.25.12"),
        image(3),
        image(4, series="2.25.3"),
        image(5, study="2.25.4", series="2.25.5"),
    ]
    data = dicomdir(entries, UID)
    found = records(data)
    by_offset = {part.seq_item_tell: part for part in found}

    def walk(offset: int) -> list[Any]:
        level = []
        while offset:
            record = by_offset[offset]
            level.append((record.DirectoryRecordType, walk(record.OffsetOfReferencedLowerLevelDirectoryEntity)))
            offset = record.OffsetOfTheNextDirectoryRecord
        return level

    head = pydicom.dcmread(BytesIO(data))
    tree = walk(head.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity)
    leaf: tuple[str, list[Any]] = ("IMAGE", [])
    assert tree == [
        ("PATIENT", [("STUDY", [("SERIES", [leaf, leaf]), ("SERIES", [leaf])]), ("STUDY", [("SERIES", [leaf])])]),
        ("PATIENT", [("STUDY", [("SERIES", [leaf])])]),
    ]
    last = by_offset[head.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity]
    assert (last.DirectoryRecordType, last.PatientID) == ("PATIENT", "P2")


def test_pydicom_and_dcmtk_read_the_sample_study(tmp_path: Path) -> None:
    entries = []
    (tmp_path / "IMAGES").mkdir()
    for number, (_, data) in enumerate(sample_study()):
        name = f"I{number:05}"
        (tmp_path / "IMAGES" / name).write_bytes(data)
        entries.append(FileEntry(model_of(data), ("IMAGES", name)))
    (tmp_path / "DICOMDIR").write_bytes(dicomdir(entries, UID, "SAMPLE"))
    with file_set(tmp_path / "DICOMDIR") as found:
        assert len(found) == 14
        assert found.ID == "SAMPLE"
        assert found.find_values("Modality") == ["CT", "CR", "US"]
        assert found.find_values("PatientName") == ["Phantom^\u00d6l"]
        assert {file.load().SOPInstanceUID for file in found} == {file.ReferencedSOPInstanceUIDInFile for file in found}
    done = subprocess.run(["dcmdump", "-q", tmp_path / "DICOMDIR"], capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stderr == b""
    assert done.stdout.count(b"ReferencedFileID") == 14


def test_other_objects_have_records_of_their_own(tmp_path: Path) -> None:
    names = {"rtplan.dcm": "RT PLAN", "rtdose.dcm": "RT DOSE", "rtstruct.dcm": "RT STRUCTURE SET",
             "reportsi.dcm": "SR DOCUMENT", "test-SR.dcm": "SR DOCUMENT", "waveform_ecg.dcm": "WAVEFORM"}  # fmt: skip
    entries = []
    for number, name in enumerate(names):
        data = Path(str(get_testdata_file(name, download=False))).read_bytes()
        (tmp_path / f"F{number}").write_bytes(data)
        entries.append(FileEntry(model_of(data), (f"F{number}",)))
    (tmp_path / "DICOMDIR").write_bytes(dicomdir(entries, UID))
    with file_set(tmp_path / "DICOMDIR") as found:
        kinds = {str(file.ReferencedFileID): file.node.record_type for file in found}
        assert kinds == {f"F{number}": kind for number, kind in enumerate(names.values())}
        report = next(file for file in found if file.ReferencedFileID == "F3")
        assert report.ConceptNameCodeSequence[0].CodeMeaning
    assert subprocess.run(["dcmdump", "-q", tmp_path / "DICOMDIR"], capture_output=True, check=False).stderr == b""


def test_record_types_are_those_of_the_standard_as_pydicom_knows_them() -> None:
    for known, kind in fileset._FOUR_LEVEL_SOP_CLASSES.items():
        assert record_type(known) == kind, known
    for sop_class in (CT, "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.77.1.5.1", "1.2.3", "2.25.1"):
        assert record_type(sop_class) == "IMAGE"
    assert record_type("1.2.840.10008.5.1.4.1.1.104.1") == "ENCAP DOC"
    assert record_type("1.2.840.10008.5.1.4.1.1.481.8") == "RT PLAN"
    assert {record_type(sop_class) for sop_class in fileset._FOUR_LEVEL_SOP_CLASSES} <= INSTANCE.keys()


def test_what_has_to_be_there_is_made_up_and_dates_are_not() -> None:
    bare = image(1, dict.fromkeys(("00100020", "00200010", "00200011", "00200013", "00080060")))
    patient, study, series, instance = records(dicomdir([bare], UID))
    assert patient.PatientID == "PATIENT-1"
    assert study.StudyID == "1"
    assert study.StudyDate == ""
    assert (series.Modality, series.SeriesNumber) == ("OT", 1)
    assert instance.InstanceNumber == 1


def test_text_that_is_not_ascii_names_its_character_set_in_its_own_record() -> None:
    name = {"vr": "PN", "Value": [{"Alphabetic": "M\u00fcller"}]}
    patient, study, *_ = records(dicomdir([image(1, {"00100010": name})], UID))
    assert patient.SpecificCharacterSet == "ISO_IR 192"
    assert patient.PatientName == "M\u00fcller"
    assert "SpecificCharacterSet" not in study


def test_a_value_that_cannot_be_written_is_left_empty() -> None:
    odd = {"vr": "CS", "Value": ["\u00dc"]}
    found = records(dicomdir([image(1, {"00080060": odd, "0008103E": {"vr": "LO", "Value": ["ok"]}})], UID))
    assert (found[2].Modality, found[2].SeriesDescription) == ("", "ok")


@pytest.mark.parametrize("file_id", [(), ("lower",), ("TOOLONGNAME",), ("A",) * 9, ("A.B",), ("",)])
def test_a_file_id_is_as_part_10_asks(file_id: tuple[str, ...]) -> None:
    with pytest.raises(Malformed):
        dicomdir([FileEntry(image(1).model, file_id)], UID)


def test_what_would_leave_a_directory_in_doubt_is_refused() -> None:
    with pytest.raises(Malformed):
        dicomdir([image(1), image(1)], UID)
    for name in ("00080016", "00080018", "0020000D", "0020000E"):
        with pytest.raises(Malformed):
            dicomdir([image(1, {name: None})], UID)
    with pytest.raises(Malformed):
        dicomdir([], UID, "lower case")


def test_an_empty_directory_is_one() -> None:
    assert records(dicomdir([], UID)) == []


def test_a_thousand_instances_share_their_upper_records() -> None:
    entries = [
        image(number, patient=f"P{number % 5}", study=f"2.25.1{number % 10}", series=f"2.25.2{number % 40}")
        for number in range(1000)
    ]
    kinds = [str(record.DirectoryRecordType) for record in records(dicomdir(entries, UID))]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "PATIENT": 5, "STUDY": 10, "SERIES": 40, "IMAGE": 1000,
    }  # fmt: skip
