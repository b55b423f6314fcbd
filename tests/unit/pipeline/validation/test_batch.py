"""What is remembered of instances: enough to tell them apart, nothing of whom they are of."""

from __future__ import annotations

from isocenter.dicom.part10 import HeaderReader
from isocenter.pipeline.validation.batch import Entry, Hasher, check_batch, entry_of
from isocenter.pipeline.validation.elements import Values
from isocenter.pipeline.validation.profile import load
from isocenter.testing.instances import cr_image, ct_slice, sample_study

HASHER = Hasher()


def entry(data: bytes, hasher: Hasher = HASHER) -> Entry:
    reader = HeaderReader()
    reader.feed(data)
    return entry_of(Values(reader.finish().elements), hasher, b"%d" % hash(data))


def told(*files: bytes) -> list[tuple[str, tuple[int, ...], list[str]]]:
    reports = check_batch([entry(data) for data in files], load("standard"))
    return [(one.level, one.members, [finding.rule for finding in one.report.findings]) for one in reports]


def test_a_study_is_at_one_with_itself() -> None:
    assert told(*(data for _, data in sample_study())) == []


def test_members_are_named_by_their_places() -> None:
    cr, other = cr_image(2, rows=8, columns=8), ct_slice(1, 2, size=8, PatientID="OTHER")
    assert told(ct_slice(1, 1, size=8), cr, other) == [("study", (0, 2), ["study-patient-differs"])]


def test_a_patient_without_an_id_is_another_one() -> None:
    assert told(ct_slice(1, 1, size=8), ct_slice(1, 2, size=8, PatientID=""))[0][2] == ["study-patient-differs"]


def test_what_is_not_said_is_no_difference() -> None:
    assert told(ct_slice(1, 1, size=8), ct_slice(1, 2, size=8, FrameOfReferenceUID=None)) == []


def test_a_copy_is_not_taken_for_a_double_slice() -> None:
    slices = [ct_slice(1, number, size=8) for number in (1, 2, 3, 3)]
    assert [rules for _, _, rules in told(*slices)] == [["sop-instance-repeated"]]


def test_a_localizer_is_held_to_no_volume() -> None:
    kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    assert entry(ct_slice(size=8, ImageType=kind)).slice is None
    assert entry(ct_slice(size=8)).slice is not None


def test_identifiers_are_hashes_of_a_key_that_lasts_for_a_run() -> None:
    data = ct_slice(size=8)
    assert entry(data) == entry(data)
    assert entry(data).patient != entry(data, Hasher()).patient
    assert entry(data).patient == entry(data, Hasher(HASHER.key)).patient
    assert "PHANTOM" not in repr(entry(data))
    assert "2.25" not in repr(entry(data))
