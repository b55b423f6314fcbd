"""Findings as DICOM: what the report and the presentation state say, that they are valid, and the same each time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.algorithms.base import Finding, Output
from isocenter.algorithms.registry import Registry
from isocenter.deid.source import InMemory
from isocenter.errors import LimitExceeded, Malformed
from isocenter.pipeline.analyse import Analysis
from isocenter.records import Kind
from isocenter.testing.instances import cr_image, ct_slice, us_cine

FOUND = Output(
    (
        Finding("implant", 0.875, 1, (10.0, 20.0, 30.0, 40.5), None, {"area": 0.123456789}),
        Finding("a shape", 0.5, 2, None, ((1.0, 2.0), (30.0, 2.0), (15.5, 20.25))),
        Finding("quality", 1.0, 1, values={"noise": 12.5}),
    )
)


def reported(data: bytes, found: Output = FOUND) -> dict[str, bytes]:
    analysis = Analysis(Registry.standard(), InProcessSandbox())
    made = analysis.report(analysis.check("labels", {}), InMemory(data), found).made
    assert {one.media_type for one in made} == {"application/dicom"}
    return {one.suffix: one.data for one in made}


def items(data_set: Dataset, value_type: str) -> list[Dataset]:
    """All content items of a type, in order."""
    found = [data_set] if data_set.get("ValueType") == value_type else []
    for item in data_set.get("ContentSequence", ()):
        found += items(item, value_type)
    return found


@pytest.mark.parametrize("make", [ct_slice, cr_image, us_cine])
def test_they_are_valid_and_of_the_same_study(make: Callable[..., bytes], tmp_path: Path) -> None:
    data = make()
    source = pydicom.dcmread(BytesIO(data))
    classes = {"_sr.dcm": "1.2.840.10008.5.1.4.1.1.88.33"}
    colour = source.PhotometricInterpretation == "RGB"
    classes["_pr.dcm"] = "1.2.840.10008.5.1.4.1.1.11." + ("2" if colour else "1")
    for suffix, made in reported(data).items():
        path = tmp_path / f"made{suffix}"
        path.write_bytes(made)
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False, timeout=60).stderr
        assert not [line for line in said.decode(errors="replace").splitlines() if line.startswith("Error")]
        found = pydicom.dcmread(path)
        assert found.SOPClassUID == classes.pop(suffix)
        assert (found.StudyInstanceUID, found.PatientID) == (source.StudyInstanceUID, source.PatientID)
        assert found.PatientName == source.PatientName
        assert found.SOPInstanceUID != source.SOPInstanceUID
        assert found.SeriesInstanceUID != source.SeriesInstanceUID
        assert found.get("ContentDate", found.get("PresentationCreationDate")) == source.ContentDate
    assert classes == {}


def test_what_was_made_of_a_deidentified_instance_says_so_too(tmp_path: Path) -> None:
    removed: dict[str, Any] = {
        "PatientIdentityRemoved": "YES", "DeidentificationMethod": "some",
        "LongitudinalTemporalInformationModified": "REMOVED", "BurnedInAnnotation": "NO",
    }  # fmt: skip
    data = ct_slice(**removed)
    analysis = Analysis(Registry.standard(), InProcessSandbox())
    drawn = analysis.run(analysis.check("three-circles", {}), InMemory(data), Kind.DICOM).made[0].data
    for made in (drawn, *reported(data).values()):
        (tmp_path / "made.dcm").write_bytes(made)
        found = pydicom.dcmread(tmp_path / "made.dcm")
        for keyword in list(removed)[:3]:
            assert found[keyword].value == removed[keyword]
        said = subprocess.run(["dciodvfy", str(tmp_path / "made.dcm")], capture_output=True, check=False, timeout=60)
        assert b"\nError" not in b"\n" + said.stderr
    assert pydicom.dcmread(BytesIO(drawn)).BurnedInAnnotation == "NO"


def test_the_report_says_what_where_and_how_sure() -> None:
    data = us_cine()
    source = pydicom.dcmread(BytesIO(data))
    report = pydicom.dcmread(BytesIO(reported(data)["_sr.dcm"]))
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    rings = [list(item.GraphicData) for item in items(report, "SCOORD")]
    assert rings == [
        [10, 20, 40, 20, 40, 60.5, 10, 60.5, 10, 20],
        [1, 2, 30, 2, 15.5, 20.25, 1, 2],
    ]
    named: dict[str, list[Any]] = {}
    for item in items(report, "NUM"):
        meaning = item.ConceptNameCodeSequence[0].CodeMeaning
        named.setdefault(meaning, []).append(float(item.MeasuredValueSequence[0].NumericValue))
    assert named == {"Certainty of Finding": [87.5, 50.0, 100.0], "area": [0.12345679], "noise": [12.5]}
    labels = [item.ConceptCodeSequence[0].CodeMeaning for item in items(report, "CODE")]
    assert [label for label in labels if label in ("implant", "a shape", "quality")] == [
        "implant",
        "a shape",
        "quality",
    ]
    images = [item.ReferencedSOPSequence[0] for item in items(report, "IMAGE")]
    assert {image.ReferencedSOPInstanceUID for image in images} == {source.SOPInstanceUID}
    assert [image.ReferencedFrameNumber for image in images] == [1, 2, 1]


def test_the_presentation_state_draws_it() -> None:
    data = ct_slice()
    source = pydicom.dcmread(BytesIO(data))
    state = pydicom.dcmread(BytesIO(reported(data)["_pr.dcm"]))
    drawn = [list(item.GraphicObjectSequence[0].GraphicData) for item in state.GraphicAnnotationSequence]
    assert drawn == [[10, 20, 40, 20, 40, 60.5, 10, 60.5, 10, 20], [1, 2, 30, 2, 15.5, 20.25, 1, 2]]
    assert {item.GraphicObjectSequence[0].GraphicAnnotationUnits for item in state.GraphicAnnotationSequence} == {
        "PIXEL"
    }
    texts = [item.TextObjectSequence[0].UnformattedTextValue for item in state.GraphicAnnotationSequence]
    assert texts == ["implant", "a shape"]
    assert (state.RescaleIntercept, state.RescaleSlope) == (source.RescaleIntercept, source.RescaleSlope)
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (source.WindowCenter, source.WindowWidth)
    reference = state.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_twice_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    first = reported(ct_slice())

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Later:
            return cls(2031, 5, 6, 7, 8, 9)

    monkeypatch.setattr(datetime, "datetime", Later)
    assert reported(ct_slice()) == first


def test_what_has_no_place_gives_no_presentation_state() -> None:
    assert set(reported(ct_slice(), Output(FOUND.findings[2:]))) == {"_sr.dcm"}
    analysis = Analysis(Registry.standard(), InProcessSandbox())
    assert analysis.report(analysis.check("labels", {}), InMemory(ct_slice()), Output()).made == ()


def test_odd_dates_are_left_out_and_what_cannot_be_reported_is_refused() -> None:
    odd = pydicom.dcmread(BytesIO(ct_slice(PatientID=None, StudyTime=None)))
    for keyword in ("ContentDate", "AcquisitionDate"):
        delattr(odd, keyword)
    file = BytesIO()
    odd.save_as(file)
    report = pydicom.dcmread(BytesIO(reported(file.getvalue())["_sr.dcm"]))
    assert (report.PatientID, report.ContentDate) == ("", odd.SeriesDate)
    with pytest.raises(Malformed):
        reported(ct_slice()[:200])
    with pytest.raises(LimitExceeded):
        reported(ct_slice(), Output(FOUND.findings[:1] * 1001))
