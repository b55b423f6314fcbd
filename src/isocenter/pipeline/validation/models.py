"""Patient, study, series, image and file meta as typed, frozen values that show nothing of themselves in logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal

from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.dicom.part10 import Header
from isocenter.pipeline.validation.elements import Values

_TEXTS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))


def _day(value: object) -> object:
    """A DA value as pydantic reads dates."""
    if isinstance(value, str) and len(value) == 8 and value.isascii() and value.isdigit():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    if isinstance(value, str):
        raise ValueError("not a date")
    return value


Day = Annotated[date, BeforeValidator(_day)]
Uid = Annotated[str, Field(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$")]
Side = Annotated[int, Field(ge=1, le=65535)]
Numbers = tuple[Annotated[float, Field(allow_inf_nan=False)], ...]


class Metadata(BaseModel):
    """A part of a header. Fields are None where the attribute is missing, empty or unusable.

    Aliases are the keywords of PS3.6. Neither `repr` nor a validation error shows a value.
    """

    model_config = ConfigDict(
        frozen=True, alias_generator=to_pascal, populate_by_name=True, hide_input_in_errors=True, extra="forbid"
    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.model_fields_set)} attributes)"

    __str__ = __repr__

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()

    @classmethod
    def tags(cls) -> Mapping[str, int]:
        """The tag of each keyword of this part."""
        return _tags_of(cls)

    @classmethod
    def of(cls, values: Values) -> Self:
        """This part of a header; what does not fit its type is left out."""
        return read_part(cls, values)[0]


class PatientMetadata(Metadata):
    """PS3.3 C.7.1."""

    patient_name: str | None = None
    patient_id: str | None = Field(None, alias="PatientID")
    issuer_of_patient_id: str | None = Field(None, alias="IssuerOfPatientID")
    patient_birth_date: Day | None = None
    patient_sex: str | None = None


class StudyMetadata(Metadata):
    """PS3.3 C.7.2."""

    study_instance_uid: Uid | None = Field(None, alias="StudyInstanceUID")
    study_date: Day | None = None
    study_time: str | None = None
    study_id: str | None = Field(None, alias="StudyID")
    accession_number: str | None = None
    study_description: str | None = None
    referring_physician_name: str | None = None
    patient_age: str | None = None


class SeriesMetadata(Metadata):
    """PS3.3 C.7.3 to C.7.5."""

    series_instance_uid: Uid | None = Field(None, alias="SeriesInstanceUID")
    modality: str | None = None
    series_number: int | None = None
    series_date: Day | None = None
    series_description: str | None = None
    body_part_examined: str | None = None
    patient_position: str | None = None
    protocol_name: str | None = None
    manufacturer: str | None = None
    manufacturer_model_name: str | None = None
    frame_of_reference_uid: Uid | None = Field(None, alias="FrameOfReferenceUID")


class ImageMetadata(Metadata):
    """PS3.3 C.7.6, C.11 and C.12.1."""

    sop_class_uid: Uid | None = Field(None, alias="SOPClassUID")
    sop_instance_uid: Uid | None = Field(None, alias="SOPInstanceUID")
    instance_number: int | None = None
    image_type: tuple[str, ...] | None = None
    number_of_frames: int | None = None
    samples_per_pixel: int | None = None
    photometric_interpretation: str | None = None
    planar_configuration: int | None = None
    rows: Side | None = None
    columns: Side | None = None
    bits_allocated: int | None = None
    bits_stored: int | None = None
    high_bit: int | None = None
    pixel_representation: int | None = None
    image_position_patient: Numbers | None = None
    image_orientation_patient: Numbers | None = None
    pixel_spacing: Numbers | None = None
    imager_pixel_spacing: Numbers | None = None
    slice_thickness: float | None = None
    spacing_between_slices: float | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None
    window_center: Numbers | None = None
    window_width: Numbers | None = None


class FileMetaInformation(Metadata):
    """PS3.10 7.1."""

    media_storage_sop_class_uid: Uid | None = Field(None, alias="MediaStorageSOPClassUID")
    media_storage_sop_instance_uid: Uid | None = Field(None, alias="MediaStorageSOPInstanceUID")
    transfer_syntax_uid: Uid | None = Field(None, alias="TransferSyntaxUID")
    implementation_class_uid: Uid | None = Field(None, alias="ImplementationClassUID")
    implementation_version_name: str | None = None
    source_application_entity_title: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Metadatas:
    """All parts of one header; `unusable` are the keywords of values that do not fit their type."""

    patient: PatientMetadata
    study: StudyMetadata
    series: SeriesMetadata
    image: ImageMetadata
    file_meta: FileMetaInformation
    unusable: tuple[str, ...] = ()


M = TypeVar("M", bound=Metadata)


def metadata_of(header: Header) -> Metadatas:
    """The typed metadata of a DICOM header."""
    values = Values(header.elements, big_endian=header.encoding.big_endian)
    patient, first = read_part(PatientMetadata, values)
    study, second = read_part(StudyMetadata, values)
    series, third = read_part(SeriesMetadata, values)
    image, fourth = read_part(ImageMetadata, values)
    meta, fifth = read_part(FileMetaInformation, Values(header.meta))
    return Metadatas(patient, study, series, image, meta, (*first, *second, *third, *fourth, *fifth))


def read_part(part: type[M], values: Values) -> tuple[M, tuple[str, ...]]:
    """One part of a header, and the keywords of what did not fit."""
    found: dict[str, Any] = {}
    for keyword, tag, vr, several in _plan_of(part):
        if values.has_value(tag):
            found[keyword] = _value(values, tag, vr, several)
    try:
        return part.model_validate(found), ()
    except ValidationError as error:
        wrong = tuple(dict.fromkeys(str(fault["loc"][0]) for fault in error.errors(include_input=False)))
    return part.model_validate({name: value for name, value in found.items() if name not in wrong}), wrong


def _value(values: Values, tag: int, vr: str, several: bool) -> Any:
    if vr in ("DS", "IS", "US", "SS"):
        numbers = values.numbers(tag)
        if several:
            return numbers or values.codes(tag)
        return numbers[0] if numbers else values.code(tag)
    if several:
        return values.codes(tag)
    return values.uid(tag) if vr == "UI" else values.string(tag) if vr in _TEXTS else values.code(tag)


@lru_cache(maxsize=16)
def _plan_of(part: type[Metadata]) -> tuple[tuple[str, int, str, bool], ...]:
    return tuple(
        (keyword, tag, vr_of(tag), "tuple" in str(part.model_fields[name].annotation))
        for (keyword, tag), name in zip(_tags_of(part).items(), part.model_fields, strict=True)
    )


@lru_cache(maxsize=16)
def _tags_of(part: type[Metadata]) -> Mapping[str, int]:
    found = {}
    for name, field in part.model_fields.items():
        keyword = field.alias or to_pascal(name)
        tag = tag_of(keyword)
        assert tag is not None, keyword
        found[keyword] = tag
    return found
