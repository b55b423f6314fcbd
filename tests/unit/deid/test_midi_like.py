"""A benchmark in the manner of MIDI-B: made-up identities in the ten kinds of place that it scores."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import UID

from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.deid import profile as profiles
from isocenter.deid.engine import Deidentifier
from isocenter.deid.identifiers import Known
from isocenter.deid.pixels import PixelCleaner
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.source import InMemory
from isocenter.ports.detector import TextBox
from isocenter.testing.instances import ct_slice, uid, written

ACTIONS = (
    "date shifted", "uid changed", "text removed", "text retained", "patient id mapped", "pixels hidden",
    "pixels retained", "tag removed", "tag retained", "null or blank",
)  # fmt: skip
PEOPLE = (
    ("QUARLES^ALMA^BEATRIX", "MRN4711803", "19510723", "Fairhope Memorial Hospital", "206-555-0143"),
    ("Østergård^Jørgen", "P-88123477", "19880229", "Sankt Olavs Klinikk", "+47 73 86 80 00"),
    ("NGUYEN^THI^MAI", "A0093381", "20010405", "Bayview Imaging Center", "(415) 555-0199"),
)
DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate")
KEPT_TEXTS = {
    "StudyDescription": (
        "CT CHEST ABDOMEN PELVIS W CONTRAST", "MRI BRAIN WO/W CONTRAST", "CT ANGIOGRAPHY HEAD AND NECK",
        "PET CT SKULL BASE TO MID THIGH", "CT LUNG SCREENING LOW DOSE", "MAMMOGRAM DIAGNOSTIC BILATERAL",
        "XR KNEE 3 VIEWS LEFT", "MR LUMBAR SPINE W/O", "MR BRAIN", "CT ABD/PELV W/ CONTRAST", "PROSTATE mpMRI",
    ),
    "SeriesDescription": (
        "AX T1 FSE POST GAD", "SAG T2 FLAIR", "CORONAL MPR 2.0 B30f", "LUNG WINDOW 1.25MM", "DWI b1000 ADC MAP",
        "ARTERIAL PHASE THIN", "AXIAL BONE 5mm", "T2 TSE TRA 384", "DELAYED 10 MIN", "SUBTRACTION", "LOCALIZER",
        "3D FSPGR IR PREPPED",
    ),
    "ProtocolName": ("5.1 Routine Chest", "ABDOMEN/PELVIS", "HEAD ROUTINE", "Thorax^01_ThoraxRoutine (Adult)",
        "PE PROTOCOL"),
    "BodyPartExamined": ("CHEST", "ABDOMEN", "BRAIN"),
    "ContrastBolusAgent": ("OMNIPAQUE 350", "Gadavist", "ISOVUE 370"),
    "ImageComments": ("motion artifact in lower lobes", "nodule 8 mm right upper lobe", "no acute fracture"),
    "AdditionalPatientHistory": ("hypertension and diabetes", "status post left nephrectomy", "chronic cough"),
    "SeriesNumber": ("4",),
}  # fmt: skip
KEPT_TAGS: dict[str, Any] = {
    "Modality": "CT", "Manufacturer": "SIEMENS", "ManufacturerModelName": "Sensation 64", "PatientSex": "F",
    "PatientAge": "061Y", "PatientWeight": "72.5", "PatientSize": "1.68", "KVP": "120", "SliceThickness": "1.25",
    "ConvolutionKernel": "B30f", "SoftwareVersions": "syngo CT 2006A", "ExposureTime": "500", "XRayTubeCurrent": "210",
    "RescaleSlope": "1", "PatientPosition": "HFS", "SpacingBetweenSlices": "1.25", "GantryDetectorTilt": "0",
}  # fmt: skip
GONE = {
    "ReferringPhysicianAddress": "12 Elm Street", "PatientAddress": "4711 Maple Avenue, Fairhope",
    "PatientTelephoneNumbers": "206-555-0143", "OtherPatientNames": "QUARLES^A", "PatientMotherBirthName": "HOLLIS",
    "MilitaryRank": "Captain", "InstitutionAddress": "1 Hospital Drive", "OperatorsName": "TECH^TINA",
    "PerformingPhysicianName": "WELLS^ORSON", "RequestingPhysician": "WELLS^ORSON", "StationName": "CTSUITE7",
    "InstitutionalDepartmentName": "Radiology East", "DeviceSerialNumber": "SN-88123", "PatientBirthTime": "101112",
    "OtherPatientIDs": "ALT-990", "PatientReligiousPreference": "Quaker", "CurrentPatientLocation": "Ward 7B",
    "NameOfPhysiciansReadingStudy": "READER^ROSA", "CountryOfResidence": "Norway",
}  # fmt: skip
# Creator, element, VR, value: those that the archive's list or the standard's names as safe, and those it does not.
SAFE_PRIVATE = (
    ("GEMS_ACQU_01", 0x00191002, "SL", 912), ("GEMS_ACQU_01", 0x00191023, "DS", "55.0"),
    ("GEMS_PARM_01", 0x00431027, "SH", "1.375:1"), ("Philips Imaging DD 001", 0x20011003, "FL", 1.5),
)  # fmt: skip
OTHER_PRIVATE = (
    ("ACME HIS 1.0", 0x00311010, "LO", "QUARLES ALMA"), ("GEMS_PATI_01", 0x00111077, "SS", 7),
    ("ACME HIS 1.0", 0x00311011, "UN", b"MRN4711803"),
)  # fmt: skip


class Reader:
    """Reads a bright rectangle on dark ground as a name."""

    name = "rectangles 1"

    def find(self, picture: Any) -> list[TextBox]:
        grey = picture if picture.ndim == 2 else picture.max(axis=2)
        if grey.shape != (64, 64) or not (grey[4:10, 4:40] > 240).all() or (grey[0:3] > 200).any():
            return []
        return [TextBox("QUARLES ALMA", 0.99, 4, 4, 36, 6)]


@cache
def deidentifier() -> Deidentifier:
    profile = profiles.load("tcia")
    cleaner = PixelCleaner(profile.pixels, Reader(), InProcessSandbox())
    return Deidentifier(profile, Pseudonyms(bytes(range(32))), pixels=cleaner)


def instances() -> list[Dataset]:
    """Two studies of each person, two instances of each, with every kind of place filled in."""
    made: list[Dataset] = []
    for number, (name, patient, birth, hospital, phone) in enumerate(PEOPLE):
        for study in range(2):
            for instance in range(2):
                turn = 4 * number + 2 * study + instance
                data_set = dcmread(BytesIO(ct_slice(turn + 1, size=64)))
                data_set.PatientName, data_set.PatientID, data_set.PatientBirthDate = name, patient, birth
                data_set.SpecificCharacterSet = "ISO_IR 192"
                data_set.StudyInstanceUID, data_set.SeriesInstanceUID = uid(9, number, study), uid(9, number, study, 1)
                data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = UID(uid(9, turn))
                data_set.FrameOfReferenceUID = uid(9, number, "frame")
                reference = Dataset()
                reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
                    data_set.SOPClassUID,
                    uid(9, turn ^ 1),
                )
                data_set.ReferencedImageSequence = Sequence([reference])
                for place, keyword in enumerate(DATES):
                    setattr(data_set, keyword, f"20{10 + number:02}{3 + 5 * study:02}{4 + place:02}")
                data_set.AcquisitionDateTime = f"20{10 + number:02}0{3 + 5 * study}04101112.5"
                for keyword, texts in KEPT_TEXTS.items():
                    setattr(data_set, keyword, texts[turn % len(texts)])
                for keyword, value in (KEPT_TAGS | GONE).items():
                    setattr(data_set, keyword, value)
                data_set.InstitutionName = hospital
                data_set.ReferringPhysicianName, data_set.AccessionNumber = "WELLS^ORSON", f"ACC9981{turn}"
                surname = name.partition("^")[0]
                data_set.PatientComments = f"{surname} called from {phone}, chronic cough, seen at {hospital}"
                data_set.AcquisitionComments = f"repeat for {surname} {patient}, motion artifact"
                data_set.RequestedProcedureDescription = f"CT CHEST for {surname} born {birth}"
                for creator, tag, vr, value in (*SAFE_PRIVATE, *OTHER_PRIVATE):
                    data_set.add_new((tag & 0xFFFF0000) | 0x10, "LO", creator)
                    data_set.add_new(tag, vr, value)
                pixels = data_set.pixel_array.copy()
                if turn % 2:
                    pixels[4:10, 4:40] = 4000
                data_set.PixelData = pixels.tobytes()
                made.append(data_set)
    return made


class Score:
    """Checks by action: how many, and which were not right."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = defaultdict(int)
        self.wrong: list[tuple[str, str, object]] = []

    def check(self, action: str, place: str, is_right: bool, value: object = None) -> None:
        self.asked[action] += 1
        if not is_right:
            self.wrong.append((action, place, value))


def day(text: object) -> date:
    return date.fromisoformat(str(text)[:8])


def score_one(score: Score, before: Dataset, after: Dataset, raw: bytes, days: dict[str, int]) -> None:
    patient = str(before.PatientID)
    for keyword in (*DATES, "AcquisitionDateTime"):
        moved = (day(after[keyword].value) - day(before[keyword].value)).days
        score.check("date shifted", keyword, moved == days.setdefault(patient, moved) != 0, after[keyword].value)
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        new = str(after[keyword].value)
        score.check("uid changed", keyword, new.startswith("2.25.") and new != before[keyword].value, new)
    surname, hospital = str(before.PatientName).partition("^")[0], str(before.InstitutionName)
    for text in (surname, patient, hospital, str(before.PatientBirthDate), "WELLS", "TECH^", "555-01", "ACC9981"):
        score.check("text removed", text, text.encode() not in raw and text.lower().encode() not in raw.lower())
    for keyword in KEPT_TEXTS:
        score.check("text retained", keyword, after.get(keyword) == before[keyword].value, after.get(keyword))
    for keyword, words in (
        ("PatientComments", "chronic cough"), ("AcquisitionComments", "motion artifact"),
        ("RequestedProcedureDescription", "CT CHEST"),
    ):  # fmt: skip
        score.check("text retained", keyword, words in str(after.get(keyword)), after.get(keyword))
    for keyword, value in KEPT_TAGS.items():
        score.check("tag retained", keyword, keyword in after and after[keyword].value == before[keyword].value, value)
    for creator, tag, _, _ in SAFE_PRIVATE:
        kept = after.get(tag)
        score.check("tag retained", creator, kept is not None and kept.value == before[tag].value, f"{tag:08x}")
    for keyword in GONE:
        score.check("tag removed", keyword, not after.get(keyword), after.get(keyword))
    for creator, tag, _, _ in OTHER_PRIVATE:
        score.check("tag removed", creator, tag not in after, f"{tag:08x}")
    for keyword in ("ReferringPhysicianName", "PatientBirthDate"):
        score.check("null or blank", keyword, keyword in after and not after[keyword].value, after.get(keyword))
    hidden = (slice(4, 10), slice(4, 40))
    old_pixels, new_pixels = before.pixel_array, after.pixel_array
    if (old_pixels[hidden] == 4000).all():
        score.check("pixels hidden", "banner", not (new_pixels[hidden] == 4000).any())
        old_pixels, new_pixels = old_pixels[24:], new_pixels[24:]
    score.check("pixels retained", "anatomy", bool(np.array_equal(old_pixels, new_pixels)))


@pytest.fixture(scope="module")
def score() -> Score:
    found = Score()
    known: dict[str, Known] = {}
    sources = [(one, written(one)) for one in instances()]
    for _, data in sources:
        study, _, learned = deidentifier().known_in(InMemory(data))
        known[study] = known.get(study, Known()) | learned
    days: dict[str, int] = {}
    uids: dict[str, str] = {}
    names: dict[str, set[str]] = defaultdict(set)
    done = []
    for one, data in sources:
        raw, _ = deidentifier().deidentify_bytes(data, known[str(one.StudyInstanceUID)])
        after = dcmread(BytesIO(raw))
        score_one(found, one, after, raw, days)
        uids[str(one.SOPInstanceUID)] = str(after.SOPInstanceUID)
        names[str(one.PatientID)] |= {str(after.PatientID), str(after.PatientName)}
        done.append((one, after))
    for one, after in done:
        old, new = one.ReferencedImageSequence[0], after.ReferencedImageSequence[0]
        same = uids[str(old.ReferencedSOPInstanceUID)] == str(new.ReferencedSOPInstanceUID)
        found.check("uid changed", "ReferencedImageSequence", same)
        found.check("patient id mapped", "one pseudonym", len(names[str(one.PatientID)]) == 1)
        found.check("patient id mapped", "not the old one", str(after.PatientID) != str(one.PatientID))
    found.check("patient id mapped", "apart", len({frozenset(each) for each in names.values()}) == len(PEOPLE))
    return found


@pytest.mark.parametrize("action", ACTIONS)
def test_every_check_of_an_action_is_right(score: Score, action: str) -> None:
    assert score.asked[action] >= 6
    assert [wrong for wrong in score.wrong if wrong[0] == action] == []


def test_there_are_checks_enough(score: Score) -> None:
    assert set(score.asked) == set(ACTIONS)
    assert sum(score.asked.values()) >= 200
