"""What one DICOM stream is: identifiers checked, metadata, bulk data and frames, from one pass over its header."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import PIXEL_TAGS, Element
from isocenter.dicom.frames import FrameTable, frame_table
from isocenter.dicom.json_model import Model, encode
from isocenter.dicom.part10 import Header
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import Malformed, Unsupported

_UID = re.compile(r"[0-9]+(\.[0-9]+)*\Z")
_CANONICAL_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*\Z")
_DIRECTORY = "1.2.840.10008.1.3.10"
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E


@dataclass(frozen=True, slots=True)
class Instance:
    """One SOP instance as `describe` found it; `model` and `meta` are DICOM JSON models."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    patient_id: str
    model: Model
    meta: Model
    bulk: dict[str, tuple[int, int]]
    frames: FrameTable | None
    warnings: tuple[str, ...]

    def metadata(self) -> bytes:
        """What is kept beside the row; `Metadata.from_bytes` reads it."""
        whole = {"meta": self.meta, "model": self.model, "bulk": self.bulk}
        return zlib.compress(orjson.dumps(whole), 1)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The kept metadata of an instance: JSON models, and where its bulk values lie as (offset, length)."""

    meta: dict[str, dict[str, Any]]
    model: dict[str, dict[str, Any]]
    bulk: dict[str, tuple[int, int]]

    @classmethod
    def from_bytes(cls, data: bytes) -> Metadata:
        try:
            whole = orjson.loads(zlib.decompress(data))
            bulk = {path: (int(place[0]), int(place[1])) for path, place in whole["bulk"].items()}
            return cls(whole["meta"], whole["model"], bulk)
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise Malformed("the kept metadata is damaged; `isocenter fsck` says more", code="bad-metadata") from error


def describe(header: Header) -> Instance:
    """Check a header and give it its meaning; raises Malformed or Unsupported naming keywords."""
    encoded = encode(header.elements, big_endian=header.encoding.big_endian)
    meta = encode(header.meta)
    data_set = DataSet(encoded.model)
    if _uid_text(header.meta.get(0x00020002)) == _DIRECTORY:
        raise Unsupported(
            "a DICOMDIR is a directory of files, not an image; ingest the files it lists"
            " (`isocenter ingest FOLDER` reads them)",
            code="dicomdir",
        )
    warnings = list(dict.fromkeys(header.warnings))[:20]
    if encoded.unreadable:
        warnings.append(f"{len(encoded.unreadable)} values do not fit their VR and are left out of the metadata")
    sop_class = _uid(header.elements, _SOP_CLASS, "SOPClassUID", warnings)
    sop_instance = _uid(header.elements, _SOP_INSTANCE, "SOPInstanceUID", warnings)
    study = _uid(header.elements, _STUDY, "StudyInstanceUID", warnings)
    series = _uid(header.elements, _SERIES, "SeriesInstanceUID", warnings)
    stated = _uid_text(header.meta.get(0x00020003))
    if stated and stated != sop_instance:
        warnings.append("MediaStorageSOPInstanceUID and SOPInstanceUID differ; SOPInstanceUID counts")
    frames = _frames(header, data_set, warnings)
    return Instance(
        study_uid=study,
        series_uid=series,
        sop_instance_uid=sop_instance,
        sop_class_uid=sop_class,
        transfer_syntax_uid=header.transfer_syntax_uid,
        patient_id=data_set.text(0x00100020) or "",
        model=encoded.model,
        meta=meta.model,
        bulk=encoded.bulk,
        frames=frames,
        warnings=tuple(warnings),
    )


def sop_of(elements: dict[int, Element]) -> tuple[str | None, str | None]:
    """SOP Class UID and SOP Instance UID of what may be refused, each None where it is no UID."""
    found = (_uid_text(elements.get(_SOP_CLASS)), _uid_text(elements.get(_SOP_INSTANCE)))
    sop_class, sop_instance = (text if len(text) <= 64 and _UID.match(text) else None for text in found)
    return sop_class, sop_instance


def _frames(header: Header, data_set: DataSet, warnings: list[str]) -> FrameTable | None:
    present = [tag for tag in PIXEL_TAGS if tag in header.elements]
    if not present:
        return None
    if len(present) > 1:
        raise Malformed("more than one of PixelData, FloatPixelData and DoubleFloatPixelData", code="pixel-data-twice")
    if header.fragments is None and header.elements[present[0]].length == 0:
        warnings.append("PixelData is empty")
        return None
    try:
        description = PixelDescription.from_data_set(data_set, header.transfer_syntax_uid)
        return frame_table(header, description)
    except Unsupported as error:
        # Whole but beyond what can be shown: it is kept and given back all the same.
        warnings.append(f"no picture can be made of it: {error.detail}")
        return None


def _uid_text(element: Element | None) -> str:
    if element is None or not isinstance(element.value, bytes):
        return ""
    return element.value.rstrip(b"\0 ").decode("latin-1")


def _uid(elements: dict[int, Element], tag: int, keyword: str, warnings: list[str]) -> str:
    text = _uid_text(elements.get(tag))
    if not text:
        raise Malformed(f"{keyword} is missing or empty", code="missing-identifier")
    if len(text) > 64 or not _UID.match(text):
        raise Malformed(f"{keyword} is no UID (PS3.5 9.1: digits and dots, 64 at most)", code="bad-identifier")
    if not _CANONICAL_UID.match(text):
        warnings.append(f"{keyword} has a component with a leading zero")
    return text
