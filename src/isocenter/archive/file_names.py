"""What an image is called and said to be on its way out: never by a name or number of a person."""

from __future__ import annotations

import re

from isocenter.records import ImageRecord, Kind

_UID = re.compile(r"[0-9]+(\.[0-9]+)*\Z")

EXTENSIONS = {
    "application/dicom": ".dcm",
    "application/x-nifti": ".nii",
    "application/gzip": ".nii.gz",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
}


def file_name(record: ImageRecord, *, identified: bool) -> str:
    """The SOP Instance UID where the store holds no identity, else the internal id: UIDs lead back to a patient."""
    uid = record.sop_instance_uid or ""
    stem = uid if not identified and is_uid(uid) else record.id
    return stem + EXTENSIONS.get(record.media_type, "")


def file_path(record: ImageRecord, *, identified: bool) -> str:
    """The same in folders: of study and series where the store holds no identity, else of the store alone."""
    uids = (record.study_uid or "", record.series_uid or "", record.sop_instance_uid or "")
    folders = uids[:2] if not identified and all(map(is_uid, uids)) else (record.store,)
    return "/".join((*folders, file_name(record, identified=identified)))


def media_type_of(record: ImageRecord) -> str:
    """With the Transfer Syntax where it is DICOM (PS3.18 8.7.3.5.2)."""
    syntax = record.transfer_syntax_uid or ""
    if record.kind is Kind.DICOM and is_uid(syntax):
        return f"{record.media_type}; transfer-syntax={syntax}"
    return record.media_type


def is_uid(text: str) -> bool:
    """Whether a text is a UID as PS3.5 9.1 has them; what came in may hold anything."""
    return len(text) <= 64 and _UID.match(text) is not None
