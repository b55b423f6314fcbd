"""Findings of a DICOM instance as DICOM: a Comprehensive SR (TID 1500), and a presentation state that shows them.

Coordinates are those of findings: PS3.3 C.18.6 (SCOORD) and C.10.5 (graphic annotations, PIXEL) too have their origin
in the upper left corner of the upper left pixel.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import UID

from isocenter import __version__
from isocenter.algorithms.base import Finding, Made
from isocenter.algorithms.derived import derived_uid
from isocenter.algorithms.instances import InstanceSource
from isocenter.deid.source import InFile, InMemory
from isocenter.dicom.elements import Limits
from isocenter.dicom.file_meta import IMPLEMENTATION_CLASS_UID
from isocenter.dicom.iod import definition_of
from isocenter.errors import LimitExceeded, Malformed
from isocenter.render.icc import named_profile

MOST_REPORTED: Final = 1000
SCHEME: Final = "99ISOCENTER"
_UNKNOWN_DATE: Final = "19000101"
_DATE, _TIME = re.compile(r"\d{8}\Z"), re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?\Z")
_TYPE_2: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)
# What says that a patient is not to be known any more, and holds for what is said of the image too.
_REMOVED: Final = (
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    "LongitudinalTemporalInformationModified",
)
_UIDS: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TRANSFORM: Final = ("RescaleIntercept", "RescaleSlope", "RescaleType")
_WINDOW: Final = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence")
# What a report takes from its source: who and which study, how it is shown, and when it was made.
_TAKEN: Final = (
    *_UIDS, *_TYPE_2, *_REMOVED, *_TRANSFORM, *_WINDOW,
    "SpecificCharacterSet", "Modality", "StudyDescription", "PatientAge",
    "PatientSize", "PatientWeight", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames", "PixelSpacing",
    "ImagerPixelSpacing", "PixelAspectRatio", "ModalityLUTSequence", "PresentationLUTShape", "ICCProfile",
    "Laterality", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    *(f"{each}{part}" for each in ("Content", "Acquisition", "Series") for part in ("Date", "Time")),
)  # fmt: skip
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What was found in which instance, by what: picklable. `data` is the instance, or the path of a large one."""

    data: bytes | str = field(repr=False)
    algorithm: str
    version: str
    parameters: Mapping[str, Any]
    findings: tuple[Finding, ...]
    limits: Limits = field(default_factory=Limits)


def report(request: ReportRequest) -> tuple[Made, ...]:
    """The SR, and where a finding has a place and the instance has pixels, the presentation state.

    Nothing where nothing was found. The same request gives the same bytes: the moment is the source's, as a result
    that is made twice has to be the same instance. Raises Malformed where the source has no UIDs, LimitExceeded for
    over 1,000 findings.
    """
    if not request.findings:
        return ()
    if len(request.findings) > MOST_REPORTED:
        raise LimitExceeded(f"a report has {MOST_REPORTED} findings at most", code="too-many-findings")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        with ExitStack() as held:
            instance = InMemory(request.data) if isinstance(request.data, bytes) else InFile(request.data)
            if isinstance(instance, InFile):
                held.enter_context(instance)
            source = _taken(InstanceSource(instance, request.limits).data_set)
        made = [Made("application/dicom", _structured_report(source, request), "_sr.dcm")]
        placed = [each for each in request.findings if each.box is not None or each.polygon is not None]
        state = _presentation_state(source, request, placed) if placed and _is_shown(source) else None
    return (*made, Made("application/dicom", state, "_pr.dcm")) if state is not None else tuple(made)


def _taken(source: Dataset) -> Dataset:
    """The few attributes that reports need, dates and times only where they are such."""
    if not all(source.get(keyword) for keyword in _UIDS):
        raise Malformed("SOPClassUID, SOPInstanceUID or another UID is missing", code="missing-identifier")
    found = Dataset()
    for keyword in _TAKEN:
        if keyword in source:
            found.add(source[keyword])
    for keyword in _TYPE_2:
        if keyword not in found:
            setattr(found, keyword, None)
    for keyword in [element.keyword for element in found]:
        for end, form in (("Date", _DATE), ("Time", _TIME)):
            if keyword.endswith(end) and not form.match(str(found.get(keyword) or "")):
                setattr(found, keyword, None)
    if "SharedFunctionalGroupsSequence" not in found:
        # Multi-frame objects from before functional groups: what holds for all frames, where the others have it.
        shared = Dataset()
        for name, keywords in (("PixelValueTransformation", _TRANSFORM), ("FrameVOILUT", _WINDOW)):
            group = Dataset()
            for keyword in keywords:
                if keyword in found:
                    group.add(found[keyword])
            if len(group):
                setattr(shared, f"{name}Sequence", [group])
        found.SharedFunctionalGroupsSequence = [shared]
        found.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(int(found.get("NumberOfFrames") or 1))]
    return found


def _is_shown(source: Dataset) -> bool:
    """Whether there is a presentation state for such pixels: of grey, or of three samples (PS3.3 A.33)."""
    samples = source.get("SamplesPerPixel")
    return bool(source.get("Rows") and source.get("Columns")) and (
        samples == 3 or source.get("PhotometricInterpretation") in _GREY
    )


def _structured_report(source: Dataset, request: ReportRequest) -> bytes:
    from highdicom import sr  # noqa: PLC0415 - takes over a second to load

    device = sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=_uid("device", __version__), name="Isocenter", model_name=request.algorithm
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=sr.CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[_group(sr, source, request, *each) for each in enumerate(request.findings, 1)],
    )
    found = sr.ComprehensiveSR(
        evidence=[source],
        content=content[0],
        series_instance_uid=_instance_uid(source.SeriesInstanceUID, request, "sr"),
        series_number=1,
        sop_instance_uid=_instance_uid(source.SOPInstanceUID, request, "sr"),
        instance_number=1,
        manufacturer="Isocenter",
        is_complete=True,
    )
    return _settled(found, source, request)


def _group(sr: Any, source: Dataset, request: ReportRequest, number: int, finding: Finding) -> Any:
    """One finding: where it is, what it is, how sure, and what was measured."""
    code = sr.CodedConcept
    unit = code("%", "UCUM", "percent")
    sure = code("111012", "DCM", "Certainty of Finding")
    measured = [sr.Measurement(name=sure, value=_short(100 * finding.confidence), unit=unit)]
    for name, value in finding.values.items():
        concept = code(_code(name), SCHEME, name.replace("_", " "))
        measured.append(sr.Measurement(name=concept, value=_short(value), unit=code("1", "UCUM", "no units")))
    given = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=_uid(source.SOPInstanceUID, request.algorithm, request.version, str(number)),
            identifier=f"{number}, frame {finding.frame}",
        ),
        "finding_type": code(_code(finding.label), SCHEME, _meaning(finding.label)),
        "algorithm_id": sr.AlgorithmIdentification(name=request.algorithm, version=request.version),
        "measurements": measured,
    }
    image = (source.SOPClassUID, source.SOPInstanceUID, _frames(source, finding))
    ring = _ring(finding)
    if ring is None:
        sources = [sr.SourceImageForMeasurementGroup(*image)]
        return sr.MeasurementsAndQualitativeEvaluations(**given, source_images=sources)
    region = sr.ImageRegion("POLYLINE", ring, sr.SourceImageForRegion(*image))
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(**given, referenced_region=region)


def _presentation_state(source: Dataset, request: ReportRequest, findings: Sequence[Finding]) -> bytes | None:
    from highdicom import pr  # noqa: PLC0415 - takes over a second to load

    try:
        found = _state(pr, source, request, findings)
    except (ValueError, TypeError, AttributeError):
        # Transforms that differ from frame to frame, or frames in a class that has none: the report says it all.
        return None
    return _settled(found, source, request)


def _state(pr: Any, source: Dataset, request: ReportRequest, findings: Sequence[Finding]) -> Any:
    layer = pr.GraphicLayer("FINDINGS", 1, description="Findings")
    annotations = []
    for finding in findings:
        ring = _ring(finding)
        assert ring is not None
        text = pr.TextObject(_meaning(finding.label), "PIXEL", anchor_point=(float(ring[0][0]), float(ring[0][1])))
        annotations.append(
            pr.GraphicAnnotation(
                referenced_images=[source],
                graphic_layer=layer,
                referenced_frame_number=_frames(source, finding),
                graphic_objects=[pr.GraphicObject("POLYLINE", ring, "PIXEL")],
                text_objects=[text],
            )
        )
    grey = source.get("PhotometricInterpretation") in _GREY
    kind = pr.GrayscaleSoftcopyPresentationState if grey else pr.ColorSoftcopyPresentationState
    profile = {} if grey else {"icc_profile": bytes(source.get("ICCProfile") or _input_profile())}
    return kind(
        referenced_images=[source],
        series_instance_uid=_instance_uid(source.SeriesInstanceUID, request, "pr"),
        series_number=1,
        sop_instance_uid=_instance_uid(source.SOPInstanceUID, request, "pr"),
        instance_number=1,
        manufacturer="Isocenter",
        manufacturer_model_name=request.algorithm,
        software_versions=(__version__, request.version),
        device_serial_number="0",
        content_label="FINDINGS",
        content_description=f"{request.algorithm} {request.version}"[:64],
        graphic_annotations=annotations,
        graphic_layers=[layer],
        **profile,
    )


def _input_profile() -> bytes:
    """sRGB, which colour without a profile is taken for, as the input device profile that C.11.15 asks for."""
    profile = named_profile("srgb")
    return profile[:12] + b"scnr" + profile[16:]


def _settled(found: Any, source: Dataset, request: ReportRequest) -> bytes:
    """The file, the moment of its making that of the source."""
    date = next((str(source.get(f"{each}Date")) for each in _MOMENTS if source.get(f"{each}Date")), _UNKNOWN_DATE)
    time = next((str(source.get(f"{each}Time")) for each in _MOMENTS if source.get(f"{each}Time")), "000000")
    for keyword, value in (("Date", date), ("Time", time)):
        for name in ("Content", "PresentationCreation"):
            if f"{name}{keyword}" in found:
                setattr(found, f"{name}{keyword}", value)
        for name in (f"InstanceCreation{keyword}", f"Series{keyword}"):
            if name in found:
                delattr(found, name)
    if found.Modality == "PR":
        found.Laterality = source.get("Laterality")  # type 2C: General Series has it, Body Part Examined or not
    for equipment in found.get("ContributingEquipmentSequence") or ():
        if "ContributionDateTime" in equipment:
            del equipment.ContributionDateTime
    for keyword in _REMOVED:
        if keyword in source:
            found.add(source[keyword])
    found.SeriesDescription = request.algorithm
    found.SoftwareVersions = [__version__, request.version]
    found.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    if "ImplementationVersionName" in found.file_meta:
        del found.file_meta.ImplementationVersionName
    file = BytesIO()
    found.save_as(file)
    return file.getvalue()


_MOMENTS: Final = ("Content", "Acquisition", "Series", "Study")


def _ring(finding: Finding) -> npt.NDArray[np.float64] | None:
    """Corners as (column, row), the first again at the end."""
    if finding.polygon is not None:
        points = [*finding.polygon, finding.polygon[0]]
    elif finding.box is not None:
        x, y, width, height = finding.box
        points = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
    else:
        return None
    return np.asarray(points, np.float64)


def _frames(source: Dataset, finding: Finding) -> list[int] | None:
    """The frame where there are several and the class knows of frames (PS3.3 10.3)."""
    definition = definition_of(str(source.SOPClassUID))
    knows = definition is None or definition.type_of([0x00280008]) is not None
    return [finding.frame] if knows and int(source.get("NumberOfFrames") or 1) > 1 else None


def _code(text: str) -> str:
    """A code value for words of our own: 16 characters at most, the same for the same words."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if 0 < len(slug) <= 16:
        return slug
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _meaning(text: str) -> str:
    return text.replace("\\", "/")[:64]


def _short(value: float) -> float:
    """As a Decimal String holds it."""
    return float(f"{value:.8g}")


def _instance_uid(source_uid: str, request: ReportRequest, kind: str) -> str:
    return derived_uid(str(source_uid), f"{request.algorithm}/{kind}", request.version, request.parameters)


def _uid(*names: str) -> str:
    return derived_uid("/".join(names), "reports", "1", {})
