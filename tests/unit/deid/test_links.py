"""A study whose instances point at one another: after de-identification every pointer still finds its target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from isocenter.deid.engine import Deidentifier
from isocenter.deid.profile import shipped
from isocenter.testing.instances import CT_STORAGE

_ROOT = "1.2.826.0.1.3680043.10.777"
_STUDY, _FRAME = f"{_ROOT}.1", f"{_ROOT}.2"
_CT_SERIES, _RT_SERIES, _SEG_SERIES, _SR_SERIES, _PR_SERIES, _PLAN_SERIES = (f"{_ROOT}.3.{n}" for n in range(6))
_CTS = [f"{_ROOT}.4.{n}" for n in range(1, 5)]
_RT, _SEG, _SR, _PR, _PLAN = (f"{_ROOT}.5.{n}" for n in range(5))
_FIDUCIAL, _TRACK = f"{_ROOT}.6.1", f"{_ROOT}.6.2"
_CLASSES = {
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTPLAN": "1.2.840.10008.5.1.4.1.1.481.5",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "SR": "1.2.840.10008.5.1.4.1.1.88.33",
    "PR": "1.2.840.10008.5.1.4.1.1.11.1",
    "CT": CT_STORAGE,
}
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
_REFERENCES = ("ReferencedSOPInstanceUID", "ReferencedFrameOfReferenceUID")
_WELL_KNOWN = "1.2.840.10008."


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, Sequence(value) if isinstance(value, list) and keyword.endswith("Sequence") else value)
    return item


def _to(uid: str, modality: str = "CT") -> Dataset:
    return _item(ReferencedSOPClassUID=_CLASSES[modality], ReferencedSOPInstanceUID=uid)


def _code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    return [_item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def _instance(modality: str, uid: str, series: str, **values: Any) -> Dataset:
    return _item(
        SOPClassUID=_CLASSES[modality], SOPInstanceUID=uid, StudyInstanceUID=_STUDY, SeriesInstanceUID=series,
        Modality=modality, PatientName="LINKED^LOTTE", PatientID="LNK-4711", StudyDate="20200102", SeriesNumber=1,
        StudyTime="101112", AccessionNumber="ACC4711", StudyID="S4711", InstanceNumber=1, **values,
    )  # fmt: skip


def _image(uid: str, number: int) -> Dataset:
    image = _instance(
        "CT", uid, _CT_SERIES, FrameOfReferenceUID=_FRAME, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        ImagePositionPatient=[0, 0, number], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1, 1],
        BodyPartExamined="CHEST", SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", Rows=2, Columns=2,
        BitsAllocated=16, BitsStored=12, HighBit=11, PixelRepresentation=0,
        ReferencedImageSequence=[_to(_CTS[0])], SourceImageSequence=[_to(_CTS[1])],
    )  # fmt: skip
    image.PixelData = bytes(8)
    return image


def _structures() -> Dataset:
    contours = [_item(ContourImageSequence=[_to(uid)], ContourGeometricType="POINT", NumberOfContourPoints=1,
                      ContourData=[0, 0, n]) for n, uid in enumerate(_CTS)]  # fmt: skip
    series = _item(SeriesInstanceUID=_CT_SERIES, ContourImageSequence=[_to(uid) for uid in _CTS])
    study = _item(
        ReferencedSOPClassUID=_STUDY_CLASS, ReferencedSOPInstanceUID=_STUDY, RTReferencedSeriesSequence=[series]
    )
    return _instance(
        "RTSTRUCT", _RT, _RT_SERIES, FrameOfReferenceUID=_FRAME, StructureSetLabel="PLAN LOTTE",
        StructureSetDate="20200102", StructureSetTime="101112",
        ReferencedFrameOfReferenceSequence=[_item(FrameOfReferenceUID=_FRAME, RTReferencedStudySequence=[study])],
        StructureSetROISequence=[
            _item(ROINumber=1, ReferencedFrameOfReferenceUID=_FRAME, ROIName="Liver", ROIGenerationAlgorithm="")
        ],
        ROIContourSequence=[_item(ReferencedROINumber=1, ContourSequence=contours)],
        RTROIObservationsSequence=[
            _item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter="DOC^LOTTE")
        ],
    )  # fmt: skip


def _plan() -> Dataset:
    return _instance(
        "RTPLAN", _PLAN, _PLAN_SERIES, FrameOfReferenceUID=_FRAME, RTPlanLabel="PLAN", RTPlanDate="20200103",
        RTPlanTime="1011", RTPlanGeometry="PATIENT", ReferencedStructureSetSequence=[_to(_RT, "RTSTRUCT")],
    )  # fmt: skip


def _segmentation() -> Dataset:
    frames = [
        _item(
            DerivationImageSequence=[
                _item(SourceImageSequence=[_to(uid)], DerivationCodeSequence=_code("113076", "DCM", "Segmentation"))
            ],
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=1)],
        )
        for uid in _CTS
    ]
    found = _instance(
        "SEG", _SEG, _SEG_SERIES, FrameOfReferenceUID=_FRAME, ContentLabel="SEG", ContentCreatorName="MAKER^LOTTE",
        SegmentationType="BINARY", NumberOfFrames=len(_CTS), Rows=8, Columns=8, BitsAllocated=1, BitsStored=1,
        HighBit=0, PixelRepresentation=0, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
        ReferencedSeriesSequence=[
            _item(SeriesInstanceUID=_CT_SERIES, ReferencedInstanceSequence=[_to(uid) for uid in _CTS])
        ],
        SegmentSequence=[
            _item(SegmentNumber=1, SegmentLabel="Liver", SegmentAlgorithmType="MANUAL", TrackingUID=_TRACK)
        ],
        PerFrameFunctionalGroupsSequence=frames,
    )  # fmt: skip
    found.PixelData = bytes(32)
    return found


def _report() -> Dataset:
    image = _item(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=[_to(_CTS[2])])
    segment = _item(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=[_to(_SEG, "SEG")])
    tracking = _item(
        RelationshipType="CONTAINS", ValueType="UIDREF", UID=_TRACK,
        ConceptNameCodeSequence=_code("112040", "DCM", "Tracking Unique Identifier"),
    )  # fmt: skip
    point = _item(
        RelationshipType="CONTAINS", ValueType="SCOORD3D", GraphicType="POINT", GraphicData=[1, 2, 3],
        ReferencedFrameOfReferenceUID=_FRAME, FiducialUID=_FIDUCIAL,
    )  # fmt: skip
    text = _item(RelationshipType="CONTAINS", ValueType="TEXT", TextValue="Linked, Lotte: liver normal",
                 ConceptNameCodeSequence=_code("121071", "DCM", "Finding"))  # fmt: skip
    evidence = [
        _item(SeriesInstanceUID=_CT_SERIES, ReferencedSOPSequence=[_to(uid) for uid in _CTS]),
        _item(SeriesInstanceUID=_SEG_SERIES, ReferencedSOPSequence=[_to(_SEG, "SEG")]),
    ]
    return _instance(
        "SR", _SR, _SR_SERIES, ContentDate="20200102", ContentTime="1011", CompletionFlag="COMPLETE",
        VerificationFlag="UNVERIFIED", ValueType="CONTAINER", ContinuityOfContent="SEPARATE",
        ConceptNameCodeSequence=_code("126000", "DCM", "Imaging Measurement Report"),
        CurrentRequestedProcedureEvidenceSequence=[
            _item(StudyInstanceUID=_STUDY, ReferencedSeriesSequence=evidence)
        ],
        ContentSequence=[image, segment, tracking, point, text],
    )  # fmt: skip


def _presentation() -> Dataset:
    shown = [_to(uid) for uid in _CTS[:2]]
    return _instance(
        "PR", _PR, _PR_SERIES, ContentLabel="VIEW", PresentationCreationDate="20200102",
        PresentationCreationTime="1011", ContentCreatorName="MAKER^LOTTE",
        ReferencedSeriesSequence=[_item(SeriesInstanceUID=_CT_SERIES, ReferencedImageSequence=shown)],
        GraphicAnnotationSequence=[
            _item(ReferencedImageSequence=[_to(_CTS[0])], GraphicLayer="L", TextObjectSequence=[
                _item(UnformattedTextValue="Lotte Linked", AnchorPoint=[1, 1], AnchorPointVisibility="N",
                      AnchorPointAnnotationUnits="PIXEL")
            ])
        ],
        DisplayedAreaSelectionSequence=[
            _item(ReferencedImageSequence=shown, DisplayedAreaTopLeftHandCorner=[1, 1],
                  DisplayedAreaBottomRightHandCorner=[2, 2], PresentationSizeMode="SCALE TO FIT")
        ],
        GraphicLayerSequence=[_item(GraphicLayer="L", GraphicLayerOrder=1)],
    )  # fmt: skip


def study() -> list[Dataset]:
    images = [_image(uid, number) for number, uid in enumerate(_CTS)]
    return [*images, _structures(), _plan(), _segmentation(), _report(), _presentation()]


def _written(data_set: Dataset, syntax: UID) -> bytes:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = syntax
    out = BytesIO()
    data_set.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _uids(data_set: Dataset) -> Iterator[str]:
    for element in data_set.iterall():
        if element.VR == "UI":
            yield from element.value if isinstance(element.value, (list, tuple)) else [str(element.value)]


def _dangling(data_sets: Iterable[Dataset]) -> list[str]:
    """Pointers that find nothing: at instances (or the study), series, studies and frames of reference."""
    data_sets = list(data_sets)
    targets = {
        keyword: {getattr(one, keyword) for one in data_sets if keyword in one}
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    }
    targets["ReferencedSOPInstanceUID"] = targets["SOPInstanceUID"] | targets["StudyInstanceUID"]
    targets["ReferencedFrameOfReferenceUID"] = targets["FrameOfReferenceUID"]
    return [
        f"{one.Modality}: {element.keyword} {element.value}"
        for one in data_sets
        for element in one.iterall()
        if element.keyword in targets and element.value not in targets[element.keyword]
    ]


def _counted(data_sets: Iterable[Dataset]) -> dict[tuple[str, str], int]:
    """How many pointers each kind of instance has."""
    found: dict[tuple[str, str], int] = {}
    for one in data_sets:
        for element in one.iterall():
            if element.keyword in (*_REFERENCES, "SeriesInstanceUID", "FrameOfReferenceUID", "TrackingUID", "UID"):
                key = (one.Modality, element.keyword)
                found[key] = found.get(key, 0) + 1
    return found


@pytest.fixture(params=[ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def outputs(request: Any, deidentifier: Callable[..., Deidentifier]) -> Callable[[str], list[bytes]]:
    def of(profile: str) -> list[bytes]:
        return [deidentifier(profile).deidentify_bytes(_written(one, request.param))[0] for one in study()]

    return of


def test_the_study_is_whole_to_begin_with():
    assert _dangling(study()) == []


@pytest.mark.parametrize("profile", shipped())
def test_every_pointer_finds_its_target_after_each_profile(outputs, profile):
    after = [dcmread(BytesIO(data)) for data in outputs(profile)]
    assert len({one.SOPInstanceUID for one in after}) == len(after)
    assert {one.StudyInstanceUID for one in after} == {after[0].StudyInstanceUID}
    assert len({one.SeriesInstanceUID for one in after}) == 6
    assert len({one.FrameOfReferenceUID for one in after if "FrameOfReferenceUID" in one}) == 1
    assert _dangling(after) == []


@pytest.mark.parametrize("profile", shipped())
def test_no_pointer_that_a_reader_needs_goes_lost(outputs, profile):
    before, after = _counted(study()), _counted(dcmread(BytesIO(data)) for data in outputs(profile))
    assert {key: (count, after.get(key, 0)) for key, count in before.items() if after.get(key, 0) != count} == {}


@pytest.mark.parametrize("profile", [name for name in shipped() if name != "internal"])
def test_no_original_uid_is_left(outputs, profile):
    originals = {uid for one in study() for uid in _uids(one) if not uid.startswith(_WELL_KNOWN)}
    assert len(originals) > 15
    for data in outputs(profile):
        assert [uid for uid in originals if uid in set(_uids(dcmread(BytesIO(data))))] == []
        assert _ROOT.encode() not in data
        assert b"LOTTE" not in data.upper()


def test_uids_stay_where_the_profile_retains_them(outputs):
    for one, data in zip(study(), outputs("internal"), strict=True):
        assert {*_uids(dcmread(BytesIO(data)))} >= {*_uids(one)}


def test_things_that_are_followed_keep_one_uid_of_their_own(outputs):
    after = {one.Modality: one for one in (dcmread(BytesIO(data)) for data in outputs("tcia"))}
    tracked = after["SEG"].SegmentSequence[0].TrackingUID
    assert tracked != _TRACK
    assert tracked == next(item.UID for item in after["SR"].ContentSequence if item.ValueType == "UIDREF")
    assert "Lotte" not in after["SR"].ContentSequence[4].TextValue
    assert "liver" in after["SR"].ContentSequence[4].TextValue
