"""Typed metadata holds what the header says, drops what does not fit, and shows nothing."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import ValidationError

from isocenter.dicom.part10 import Header, HeaderReader
from isocenter.pipeline.validation.models import (
    FileMetaInformation,
    ImageMetadata,
    Metadata,
    PatientMetadata,
    SeriesMetadata,
    StudyMetadata,
    metadata_of,
)
from isocenter.testing.elements import EXPLICIT, element, identity, meta
from isocenter.testing.instances import CT_STORAGE, ct_slice, us_cine

PARTS = (PatientMetadata, StudyMetadata, SeriesMetadata, ImageMetadata, FileMetaInformation)


def header(data: bytes) -> Header:
    reader = HeaderReader()
    reader.feed(data)
    return reader.finish()


def test_it_holds_what_the_header_says() -> None:
    found = metadata_of(header(ct_slice()))
    assert found.unusable == ()
    assert found.patient.patient_name == "Phantom^Öl"
    assert found.patient.patient_birth_date == date(1970, 1, 1)
    assert found.study.study_date == date(2024, 2, 15)
    assert found.series.modality == "CT"
    assert found.image.rows == 256
    assert found.image.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert found.image.image_orientation_patient == (1, 0, 0, 0, 1, 0)
    assert found.image.rescale_intercept == -1024
    assert found.file_meta.media_storage_sop_class_uid == CT_STORAGE
    assert metadata_of(header(us_cine())).image.number_of_frames == 6


def test_what_does_not_fit_is_left_out_and_named() -> None:
    parts = (element(0x00080020, "DA", "20240230"), element(0x00080050, "SH", "A1"))
    found = metadata_of(header(meta(EXPLICIT, "2.25.1") + identity("2.25.1", study="no.uid") + b"".join(parts)))
    assert found.unusable == ("StudyInstanceUID", "StudyDate")
    assert found.study.study_date is None
    assert found.study.accession_number == "A1"


@pytest.mark.parametrize("part", PARTS)
def test_fields_have_keywords_as_aliases_and_are_frozen(part: type[Metadata]) -> None:
    assert part.model_json_schema(by_alias=True)["properties"].keys() == part.tags().keys()
    one = part()
    with pytest.raises(ValidationError):
        setattr(one, next(iter(part.model_fields)), "X")


def test_neither_repr_nor_errors_show_values() -> None:
    patient = PatientMetadata.model_validate({"PatientName": "QUARLES^ALMA", "PatientID": "90210"})
    assert repr(patient) == str(patient) == f"{patient}" == "PatientMetadata(2 attributes)"
    with pytest.raises(ValidationError) as raised:
        ImageMetadata.model_validate({"Rows": "QUARLES^ALMA"})
    assert "QUARLES" not in str(raised.value)
    assert "QUARLES" not in repr(metadata_of(header(ct_slice(PatientName="QUARLES^ALMA"))))
