"""Nothing that comes in raises, leaks, or depends on how its bytes are fed."""

from __future__ import annotations

import json
import logging
import zipfile
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary

from isocenter.dicom.dictionary import LONG_VRS, vr_of
from isocenter.dicom.part10 import HeaderReader
from isocenter.errors import BadRequest
from isocenter.pipeline.validation.models import metadata_of
from isocenter.pipeline.validation.profile import load, shipped
from isocenter.pipeline.validation.report import Report
from isocenter.pipeline.validation.validator import Examined, Validator, validate_instance
from isocenter.testing.elements import JPEG_2000, element, instance, item, meta, native, sequence
from isocenter.testing.hostile import corpus
from isocenter.testing.instances import ct_slice, nifti_volume, sample_files, us_cine
from isocenter.testing.mixtures import mixture, transcoded

STRICT = Validator("strict")
# A canary in every form that values have; none is a keyword or stands in a rule's words.
SECRET, NUMBER, DAY = b"QUARLESALMA", b"90210777", b"19311117"
CANARIES = (SECRET, NUMBER, DAY, b"1931.11.17", b"quarlesalma", b"31415926")
TAGS = sorted(tag for tag in DicomDictionary if tag >> 16 >= 8 and tag & 0xFFFF and tag >> 16 != 0xFFFE)

FILES = dict(sample_files())


def examined(data: bytes, validator: Validator = STRICT) -> Examined:
    return validator.object(lambda at, size: data[at : at + size], len(data))


def pushed(data: bytes, step: int) -> Report:
    examination = STRICT.examination()
    for at in range(0, len(data), step):
        examination.feed(data[at : at + step])
    return examination.finish().report


@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_the_report_is_the_same_in_any_chunks(step: int) -> None:
    for _, data in [*mixture(16), ("lossless", transcoded(ct_slice(), JPEG_2000))]:
        if step > 1 or len(data) < 20_000:
            assert pushed(data, step) == examined(data).report


def test_an_instance_is_known_again_however_it_was_fed() -> None:
    data = ct_slice()
    examination = STRICT.examination()
    examination.feed(data)
    assert examination.finish().entry == examined(data).entry


def test_pixel_data_is_not_read() -> None:
    data, read = us_cine(), []

    def reads(at: int, size: int) -> bytes:
        read.append(size)
        return data[at : at + size]

    assert STRICT.object(reads, len(data)).report.valid
    assert sum(read) < len(data) / 4


def test_every_hostile_file_has_a_clear_result() -> None:
    for hostile in corpus():
        report = examined(hostile.data).report
        assert report.kind in ("dicom", "nifti", "picture", "broken", "unknown")
        if hostile.expectation == "reject":
            assert not report.valid, hostile.name


def test_a_chunk_and_a_size_are_enough() -> None:
    for _, data in FILES.items():
        report = validate_instance(data[:5000] if data[128:132] == b"DICM" else data, len(data), "strict")
        assert report == examined(data).report


def test_a_chunk_of_an_encapsulated_instance_is_enough_for_all_but_its_fragments() -> None:
    data = transcoded(ct_slice(), JPEG_2000)
    report = validate_instance(data[:3000], len(data), "standard")
    assert report.valid
    assert not report.has("fragments-too-few")
    assert validate_instance(data, len(data), "strict") == examined(data).report


def test_a_header_that_was_read_is_enough() -> None:
    data = ct_slice()
    reader = HeaderReader()
    reader.feed(data)
    assert validate_instance(reader.finish(), len(data), "strict") == examined(data).report


def test_a_chunk_that_ends_in_the_header_is_too_little() -> None:
    data = ct_slice()
    with pytest.raises(BadRequest, match="give more"):
        validate_instance(data[:700], len(data))


def test_a_volume_ends_the_look_at_its_voxels() -> None:
    data = nifti_volume(size=64)
    examination = STRICT.examination()
    examination.feed(data[: 100 << 10])
    assert examination.passing_over > len(data)


def test_a_zip_archive_is_no_image() -> None:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"b")
    assert examined(file.getvalue()).report.has("not-an-image")


def test_a_directory_is_no_image() -> None:
    data = meta("1.2.840.10008.1.2.1", "2.25.1") + element(0x00080016, "UI", "1.2.840.10008.1.3.10")
    assert examined(data).report.has("not-an-image")


@st.composite
def values(draw: st.DrawFn, vr: str) -> bytes:
    canary = draw(st.sampled_from(CANARIES))
    around = draw(st.sampled_from([b"", b"\\", b"^", b" ", b"\x1b$B", b"\xff", b"="]))
    return draw(st.sampled_from([canary, canary + around + canary, around + canary, b"", draw(st.binary(max_size=20))]))


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 3) -> bytes:
    made = []
    for tag in sorted(draw(st.lists(st.sampled_from(TAGS), max_size=14, unique=True))):
        vr = vr_of(tag)[:2]
        if vr == "SQ" and depth:
            made.append(sequence(tag, *(item(each) for each in draw(st.lists(data_sets(depth - 1), max_size=2)))))
        elif vr not in ("SQ", "NO"):
            vr = draw(st.sampled_from([vr, vr, vr, "UN", "LO", "US"]))
            made.append(element(tag, vr, draw(values(vr)), pad=draw(st.booleans())))
    if draw(st.booleans()):
        made.append(element(0x00091001, "LO", draw(values("LO"))))
    return b"".join(made)


def shown(done: Examined) -> str:
    return json.dumps(done.report.as_json()) + repr(done.report) + str(done.report)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data_sets(), st.sampled_from(shipped()), st.booleans())
def test_random_data_sets_never_crash_it_and_never_leak(body: bytes, profile: str, whole: bool) -> None:
    data = instance("2.25.1", body) if whole else meta("1.2.840.10008.1.2.1", "2.25.1") + body
    told = shown(examined(data, Validator(profile)))
    for canary in CANARIES:
        assert canary.decode().lower() not in told.lower()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=8), st.sampled_from(["dicom", "nifti", "picture"]))
def test_a_damaged_file_never_crashes_it(at: int, put: bytes, kind: str) -> None:
    source = FILES[{"dicom": "us.dcm", "nifti": "volume.nii", "picture": "picture.png"}[kind]]
    report = examined(source[:at] + put + source[at + len(put) :]).report
    assert report.kind


def test_no_value_of_any_attribute_is_shown_logged_or_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    parts = []
    for tag in TAGS:
        vr = vr_of(tag)[:2]
        if vr in ("SQ", "NO") or tag >> 16 == 0x7FE0:
            continue
        value = DAY if vr in ("DA", "DT") else NUMBER if vr in ("DS", "IS", "UI") else SECRET
        if vr.encode() in LONG_VRS or len(vr) == 2:
            parts.append(element(tag, vr, value + b"\xff"))
    body = b"".join(parts)
    nested = sequence(0x00400275, item(body))
    data = meta("1.2.840.10008.1.2.1", "2.25.1") + body + nested + native(b"")
    done = examined(data)
    reader = HeaderReader()
    reader.feed(data)
    metadata = metadata_of(reader.finish())
    told = shown(done) + caplog.text + repr(metadata) + repr(metadata.patient) + str(metadata.image)
    assert len(done.report.findings) > 100
    for canary in CANARIES:
        assert canary.decode().lower() not in told.lower()
    for secret in (SECRET, NUMBER, DAY):
        assert secret not in repr(done.entry).encode()


def test_places_beyond_fifty_are_counted() -> None:
    parts = [element(0x00211000 + number, "LO", "A") for number in range(80)]
    report = examined(instance("2.25.1", *parts)).report
    assert report.left_out == 30
    assert sum(finding.rule == "private-creator-missing" for finding in report.findings) == 50


def test_places_in_several_items_are_one_finding() -> None:
    items = [item(element(0x00081150, "UI", "x")) for _ in range(5)]
    report = examined(instance("2.25.1", sequence(0x00081140, *items)), Validator(load("standard"))).report
    found = next(finding for finding in report.findings if finding.rule == "uid-invalid")
    assert (found.path, found.count) == ("ReferencedImageSequence[0].ReferencedSOPClassUID", 5)
