"""A DICOMDIR (PS3.10 8.6, PS3.3 Annex F) from the metadata of instances and the names their files will have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from struct import pack, pack_into
from typing import Any

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.directory_records import INSTANCE, PATIENT, SERIES, STUDY, Key, record_type
from isocenter.dicom.file_meta import part10_header
from isocenter.dicom.recode import element_bytes, element_head
from isocenter.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.dicom.write import data_set_bytes
from isocenter.errors import LimitExceeded, Malformed

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_COMPONENT = re.compile(r"[A-Z0-9_]{1,8}\Z")
_COMPONENTS = 8
_MOST_OFFSET = 0xFFFFFFFF
# Where the two offsets lie in a record: its item head, (0004,1400), (0004,1410), the head of (0004,1420).
_NEXT, _LOWER = 8 + 8, 8 + 12 + 10 + 8


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One instance of a File-set: its metadata in the JSON model, and the components of its File ID."""

    model: Mapping[str, Mapping[str, Any]]
    file_id: tuple[str, ...]
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN


@dataclass(slots=True)
class _Record:
    """A record of the directory and those below it, in the order in which they came."""

    type: str
    content: bytes
    lower: dict[object, _Record] = field(default_factory=dict)
    offset: int = 0


def dicomdir(entries: Iterable[FileEntry], file_set_uid: str, file_set_id: str = "") -> bytes:
    """The DICOMDIR file of PATIENT, STUDY, SERIES and instance records, offsets counted from the file's first byte.

    A key that has to have a value and has none gets one: numbers and identifiers by the place among their likes (1,
    2, ...; "PATIENT-1"), Modality OT. Dates, times and texts that are missing stay empty: they would be invented.
    Raises Malformed for a File ID that PS3.10 8.2 does not allow or that occurs twice, and where StudyInstanceUID,
    SeriesInstanceUID, SOPClassUID or SOPInstanceUID is missing; LimitExceeded over 4 GiB.
    """
    root = _tree(entries)
    head = part10_header(MEDIA_STORAGE_DIRECTORY, file_set_uid, EXPLICIT_VR_LITTLE_ENDIAN)
    if len(file_set_id) > 16 or not re.fullmatch(r"[A-Z0-9_ ]*", file_set_id):
        raise Malformed("FileSetID has 16 characters at most, of A to Z, 0 to 9, space and underscore", code="bad-id")
    named = element_bytes(0x00041130, "CS", file_set_id.encode("ascii"))
    # After it come first and last offset (12 bytes each), the consistency flag (10), and the sequence's own head (12).
    start = len(head) + len(named) + 12 + 12 + 10 + 12
    ordered: list[_Record] = []
    end = _placed(root, start, ordered)
    if end > _MOST_OFFSET:
        raise LimitExceeded("a DICOMDIR is 4 GiB at most; make several File-sets", code="too-many-elements")
    tops = list(root.lower.values())
    first, last = (tops[0].offset, tops[-1].offset) if tops else (0, 0)
    return b"".join(
        (
            head,
            named,
            element_bytes(0x00041200, "UL", pack("<L", first)),
            element_bytes(0x00041202, "UL", pack("<L", last)),
            element_bytes(0x00041212, "US", pack("<H", 0)),
            element_head(0x00041220, "SQ", end - start),
            *_linked(root, ordered),
        )
    )


# The tree ------------------------------------------------------------------------------------------------------


def _tree(entries: Iterable[FileEntry]) -> _Record:
    root = _Record("", b"")
    seen: set[tuple[str, ...]] = set()
    for entry in entries:
        file_id = _checked(entry.file_id)
        if file_id in seen:
            raise Malformed("two files of a File-set have one File ID", code="bad-file-id")
        seen.add(file_id)
        _placed_entry(root, entry)
    return root


def _placed_entry(root: _Record, entry: FileEntry) -> None:
    data_set = DataSet(entry.model)
    study_uid = _needed(data_set, 0x0020000D)
    series_uid = _needed(data_set, 0x0020000E)
    sop_class, sop_instance = _needed(data_set, 0x00080016), _needed(data_set, 0x00080018)
    patient_id = data_set.text(0x00100020) or ""
    # Without an identifier two studies are of one patient only if they say the same name.
    patient = patient_id or (data_set.text(0x00100010) or "", study_uid)
    model = entry.model
    top = _below(root, patient, "PATIENT", lambda place: _keys(model, PATIENT, {0x00100020: f"PATIENT-{place}"}))
    study = _below(top, study_uid, "STUDY", lambda place: _keys(model, STUDY, {0x00200010: str(place)}))
    series = _below(
        study, series_uid, "SERIES", lambda place: _keys(model, SERIES, {0x00080060: "OT", 0x00200011: place})
    )
    kind = record_type(sop_class)
    reference = b"".join(
        (
            element_bytes(0x00041500, "CS", "\\".join(entry.file_id).encode("ascii")),
            element_bytes(0x00041510, "UI", sop_class.encode("latin-1")),
            element_bytes(0x00041511, "UI", sop_instance.encode("latin-1")),
            element_bytes(0x00041512, "UI", entry.transfer_syntax_uid.encode("latin-1")),
        )
    )
    _below(
        series,
        entry.file_id,
        kind,
        lambda place: _keys(model, INSTANCE[kind], {0x00200013: place}),
        reference,
    )


def _below(
    above: _Record, identity: object, kind: str, keys: Callable[[int], bytes], reference: bytes = b""
) -> _Record:
    """The record of this identity under another; made where it is new, `keys` being told its place from 1."""
    known = above.lower.get(identity)
    if known is None:
        head = b"".join(
            (
                element_bytes(0x00041400, "UL", bytes(4)),
                element_bytes(0x00041410, "US", b"\xff\xff"),
                element_bytes(0x00041420, "UL", bytes(4)),
                element_bytes(0x00041430, "CS", kind.encode("ascii")),
            )
        )
        known = _Record(kind, head + reference + keys(len(above.lower) + 1))
        above.lower[identity] = known
    return known


def _needed(data_set: DataSet, tag: int) -> str:
    found = data_set.text(tag)
    if not found:
        raise Malformed(
            f"{keyword_of(tag)} is missing; without it there is no place in a directory", code="missing-key"
        )
    return found


def _checked(file_id: Sequence[str]) -> tuple[str, ...]:
    if not 1 <= len(file_id) <= _COMPONENTS or not all(_COMPONENT.match(part) for part in file_id):
        raise Malformed(
            "a File ID has 1 to 8 components of 1 to 8 characters, of A to Z, 0 to 9 and underscore (PS3.10 8.2)",
            code="bad-file-id",
        )
    return tuple(file_id)


def _keys(model: Mapping[str, Mapping[str, Any]], keys: Iterable[Key], instead: Mapping[int, Any]) -> bytes:
    """The keys of a record, SpecificCharacterSet first where their text is not ASCII."""
    chosen: dict[str, Mapping[str, Any]] = {}
    for key in keys:
        name = f"{key.tag:08X}"
        attribute = model.get(name)
        if attribute is not None and any(value not in (None, "") for value in attribute.get("Value", ())):
            chosen[name] = attribute
        elif key.required and key.tag in instead:
            chosen[name] = {"vr": key.vr, "Value": [instead[key.tag]]}
        elif not key.optional:
            chosen[name] = {"vr": key.vr}
    try:
        return data_set_bytes(chosen)
    except Malformed:
        # A value that was kept though it fits no VR: its key is written empty.
        sound = {name: part if _can_be_written(name, part) else {"vr": part["vr"]} for name, part in chosen.items()}
        return data_set_bytes(sound)


def _can_be_written(name: str, attribute: Mapping[str, Any]) -> bool:
    try:
        data_set_bytes({name: attribute})
    except Malformed:
        return False
    return True


# Offsets -------------------------------------------------------------------------------------------------------


def _placed(above: _Record, at: int, ordered: list[_Record]) -> int:
    """Gives each record its offset, those below right after their own; returns where the last one ends."""
    for record in above.lower.values():
        record.offset = at
        ordered.append(record)
        at = _placed(record, at + 8 + len(record.content), ordered)
    return at


def _linked(root: _Record, ordered: list[_Record]) -> list[bytearray]:
    """The records as items, each knowing the next at its level and the first below it; 0 where there is none."""
    following: dict[int, int] = {}
    for record in (root, *ordered):
        level = list(record.lower.values())
        for one, other in pairwise(level):
            following[one.offset] = other.offset
    items = []
    for record in ordered:
        item = bytearray(pack("<HHL", 0xFFFE, 0xE000, len(record.content)) + record.content)
        pack_into("<L", item, _NEXT, following.get(record.offset, 0))
        below = next(iter(record.lower.values()), None)
        pack_into("<L", item, _LOWER, below.offset if below is not None else 0)
        items.append(item)
    return items
