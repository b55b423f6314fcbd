"""Rules of the file's beginning: preamble and File Meta Information (PS3.10 7.1), transfer syntax, identifiers."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache
from importlib.resources import files

import yaml

from isocenter.dicom.iod import definition_of
from isocenter.dicom.part10 import Header
from isocenter.dicom.tables import UIDS
from isocenter.pipeline.validation.elements import Values
from isocenter.pipeline.validation.models import PatientMetadata, StudyMetadata
from isocenter.pipeline.validation.report import Collector

_GROUP_LENGTH, _VERSION, _MEDIA_CLASS, _MEDIA_INSTANCE = 0x00020000, 0x00020001, 0x00020002, 0x00020003
_TRANSFER_SYNTAX, _IMPLEMENTATION = 0x00020010, 0x00020012
_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_FRAME_OF_REFERENCE = 0x00200052
_MODALITY, _PATIENT_ID, _STUDY_DATE, _BIRTH_DATE = 0x00080060, 0x00100020, 0x00080020, 0x00100030
_UID = re.compile(r"[0-9]+(\.[0-9]+)*\Z")
# What the reader tells in words of a header that it could read all the same.
_WARNINGS = {
    "TransferSyntaxUID and the VR encoding of the Data Set disagree": "transfer-syntax-wrong",
    "PixelData has no Sequence Delimitation Item": "sequence-delimiter-missing",
    "bytes follow the end of the Data Set": "trailing-bytes",
}


def check_file(found: Collector, header: Header) -> None:
    """The file around the Data Set."""
    for warning in header.warnings:
        if warning in _WARNINGS:
            found.add(_WARNINGS[warning])
    meta = header.meta
    if not meta:
        found.add("file-meta-missing")
        return
    values = Values(meta)
    if not header.has_part10_header:
        found.add("preamble-missing")
    elif not header.preamble_is_zero:
        found.add("preamble-used")
    _check_group_length(found, header)
    if list(meta) != sorted(meta):
        found.add("file-meta-order")
    for tag in (_VERSION, _MEDIA_CLASS, _MEDIA_INSTANCE, _IMPLEMENTATION):
        if not values.has_value(tag):
            found.add("file-meta-attribute-missing", tag)
    for tag in meta:
        if meta[tag].vr == "UI" and len(values.uid(tag)) and not is_uid(values.uid(tag)):
            found.add("uid-invalid", tag)
    _check_transfer_syntax(found, header, values)
    main = Values(header.elements)
    for tag, own, rule in (
        (_MEDIA_CLASS, _SOP_CLASS, "media-storage-class-differs"),
        (_MEDIA_INSTANCE, _SOP_INSTANCE, "media-storage-instance-differs"),
    ):
        if values.has_value(tag) and main.has_value(own) and values.uid(tag) != main.uid(own):
            found.add(rule, tag)


def _check_group_length(found: Collector, header: Header) -> None:
    element = header.meta.get(_GROUP_LENGTH)
    if element is None:
        found.add("file-meta-group-length-missing", _GROUP_LENGTH)
    elif (
        not isinstance(element.value, bytes)
        or int.from_bytes(element.value, "little") != header.body_offset - element.offset - element.length
    ):
        found.add("file-meta-group-length-wrong", _GROUP_LENGTH)


def _check_transfer_syntax(found: Collector, header: Header, values: Values) -> None:
    if not values.has_value(_TRANSFER_SYNTAX):
        found.add("transfer-syntax-missing", _TRANSFER_SYNTAX)
    uid = header.transfer_syntax_uid
    if UIDS.get(uid, ("", "", "", ""))[3] == "Retired":
        found.add("transfer-syntax-retired", _TRANSFER_SYNTAX)
    allowed = found.profile.transfer_syntaxes
    if allowed and uid not in allowed:
        found.add("transfer-syntax-not-allowed", _TRANSFER_SYNTAX)


def is_uid(text: str) -> bool:
    """Whether this is a UID (PS3.5 9.1)."""
    return len(text) <= 64 and _UID.match(text) is not None


def check_identifiers(found: Collector, values: Values) -> None:
    """The four identifiers, Patient ID, SOP Class and Modality."""
    seen: set[str] = set()
    for tag in (_SOP_INSTANCE, _SERIES, _STUDY, _FRAME_OF_REFERENCE):
        text = values.uid(tag)
        if text in seen:
            found.add("identifiers-same", tag)
        seen |= {text} - {""}
    for tag in (_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES):
        text = values.uid(tag)
        if not text:
            found.add("identifier-missing", tag)
        elif not is_uid(text):
            found.add("identifier-invalid", tag)
    if _PATIENT_ID in values and not values.has_value(_PATIENT_ID):
        found.add("patient-id-empty", _PATIENT_ID)
    sop_class = values.uid(_SOP_CLASS)
    if not sop_class:
        return
    if definition_of(sop_class) is None:
        found.add("sop-class-unknown", _SOP_CLASS)
    if UIDS.get(sop_class, ("", "", "", ""))[3] == "Retired":
        found.add("sop-class-retired", _SOP_CLASS)
    modalities, modality = _modalities().get(sop_class), values.code(_MODALITY)
    if modalities and modality and modality not in modalities:
        found.add("modality-mismatch", _MODALITY)


@lru_cache(maxsize=1)
def _modalities() -> dict[str, tuple[str, ...]]:
    """The modalities that a SOP Class may have, for those whose IOD says so."""
    text = files("isocenter.pipeline.validation").joinpath("data", "modalities.yaml").read_text("utf-8")
    return {uid: tuple(terms.split()) for uid, terms in yaml.safe_load(text).items()}


def check_dates(found: Collector, patient: PatientMetadata, study: StudyMetadata, today: date) -> None:
    """Dates that cannot be; a day of grace is for the time zones."""
    if study.study_date is None:
        return
    if study.study_date > today + timedelta(days=1):
        found.add("study-date-future", _STUDY_DATE)
    if patient.patient_birth_date is not None and patient.patient_birth_date > study.study_date:
        found.add("birth-date-after-study", _BIRTH_DATE)
