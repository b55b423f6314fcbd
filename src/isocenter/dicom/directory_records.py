"""Which Directory Record an instance has in a DICOMDIR, and the keys of it (PS3.3 F.4 and F.5, edition 2024e)."""

from __future__ import annotations

from typing import Final, NamedTuple

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# SOP classes by the beginning of what follows the common root; the longest that fits counts, IMAGE where none does.
_TYPES: Final = {
    "4.2": "SPECTROSCOPY",
    "9": "WAVEFORM",
    "9.100": "PRESENTATION",
    "11": "PRESENTATION",
    "66": "RAW DATA",
    "66.1": "REGISTRATION",
    "66.2": "FIDUCIAL",
    "66.3": "REGISTRATION",
    "66.4": "IMAGE",
    "66.5": "SURFACE",
    "66.6": "TRACT",
    "66.7": "IMAGE",
    "66.8": "IMAGE",
    "67": "VALUE MAP",
    "68.1": "SURFACE SCAN",
    "68.2": "SURFACE SCAN",
    "77.1.5.3": "STEREOMETRIC",
    "78": "MEASUREMENT",
    "78.6": "SR DOCUMENT",
    "79.1": "SR DOCUMENT",
    "80": "MEASUREMENT",
    "88": "SR DOCUMENT",
    "88.59": "KEY OBJECT DOC",
    "90.1": "ASSESSMENT",
    "91.1": "ANNOTATION",
    "104": "ENCAP DOC",
    "131": "PRESENTATION",
    "481.2": "RT DOSE",
    "481.3": "RT STRUCTURE SET",
    "481.4": "RT TREAT RECORD",
    "481.5": "RT PLAN",
    "481.6": "RT TREAT RECORD",
    "481.7": "RT TREAT RECORD",
    "481.8": "RT PLAN",
    "481.9": "RT TREAT RECORD",
    **{f"481.{number}": "RADIOTHERAPY" for number in (10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25)},
}
# Radiopharmaceutical and other protocols and plans stand under their own roots.
_PLANS: Final = frozenset(("1.2.840.10008.5.1.4.34.7", "1.2.840.10008.5.1.4.34.10"))


class Key(NamedTuple):
    """One key of a record. `required` ones have to have a value (type 1), `optional` ones stand only where they do."""

    tag: int
    vr: str
    required: bool = False
    optional: bool = False


_NUMBER = Key(0x00200013, "IS", required=True)
_CONTENT_DATE, _CONTENT_TIME = Key(0x00080023, "DA"), Key(0x00080033, "TM")
_TITLE = Key(0x0040A043, "SQ")
_LABEL, _DESCRIPTION, _CREATOR = Key(0x00700080, "CS"), Key(0x00700081, "LO"), Key(0x00700084, "PN")
_CONTENT = (_CONTENT_DATE, _CONTENT_TIME, _NUMBER)
_LABELLED = (*_CONTENT, _LABEL, _DESCRIPTION, _CREATOR)

PATIENT: Final = (Key(0x00100010, "PN"), Key(0x00100020, "LO", required=True))
STUDY: Final = (
    Key(0x00080020, "DA"), Key(0x00080030, "TM"), Key(0x00080050, "SH"), Key(0x00081030, "LO"),
    Key(0x0020000D, "UI", required=True), Key(0x00200010, "SH", required=True),
)  # fmt: skip
SERIES: Final = (
    Key(0x00080060, "CS", required=True), Key(0x0008103E, "LO", optional=True),
    Key(0x0020000E, "UI", required=True), Key(0x00200011, "IS", required=True),
)  # fmt: skip
INSTANCE: Final[dict[str, tuple[Key, ...]]] = {
    "IMAGE": (
        Key(0x00080008, "CS", optional=True), _NUMBER, Key(0x00200032, "DS", optional=True),
        Key(0x00200037, "DS", optional=True), Key(0x00280008, "IS", optional=True),
        Key(0x00280010, "US", optional=True), Key(0x00280011, "US", optional=True),
    ),
    "RT DOSE": (_NUMBER, Key(0x3004000A, "CS")),
    "RT STRUCTURE SET": (_NUMBER, Key(0x30060002, "SH"), Key(0x30060008, "DA"), Key(0x30060009, "TM")),
    "RT PLAN": (_NUMBER, Key(0x300A0002, "SH"), Key(0x300A0006, "DA"), Key(0x300A0007, "TM")),
    "RT TREAT RECORD": (_NUMBER, Key(0x30080250, "DA"), Key(0x30080251, "TM")),
    "RADIOTHERAPY": (_NUMBER, Key(0x30100033, "LO", optional=True), *_CONTENT[:2]),
    "PLAN": (*_CONTENT, Key(0x00404041, "CS", optional=True)),
    "PRESENTATION": (
        _NUMBER, _LABEL, _DESCRIPTION, Key(0x00700082, "DA"), Key(0x00700083, "TM"), _CREATOR,
        Key(0x00081115, "SQ", optional=True), Key(0x00700402, "SQ", optional=True),
    ),
    "WAVEFORM": _CONTENT,
    "SR DOCUMENT": (
        *_CONTENT, Key(0x0040A030, "DT", optional=True), _TITLE, Key(0x0040A491, "CS"), Key(0x0040A493, "CS"),
    ),
    "KEY OBJECT DOC": (*_CONTENT, _TITLE),
    "SPECTROSCOPY": (
        Key(0x00080008, "CS"), *_CONTENT, Key(0x00089092, "SQ", optional=True), Key(0x00280008, "IS"),
        Key(0x00280010, "US"), Key(0x00280011, "US"), Key(0x00289001, "UL"), Key(0x00289002, "UL"),
    ),
    "RAW DATA": _CONTENT,
    "REGISTRATION": _LABELLED,
    "FIDUCIAL": _LABELLED,
    "VALUE MAP": _LABELLED,
    "STEREOMETRIC": _LABELLED,
    "MEASUREMENT": _CONTENT,
    "SURFACE": _LABELLED,
    "SURFACE SCAN": (_CONTENT_DATE, _CONTENT_TIME, _NUMBER),
    "TRACT": _LABELLED,
    "ASSESSMENT": (_NUMBER, Key(0x00080012, "DA"), Key(0x00080013, "TM")),
    "ANNOTATION": _LABELLED,
    "ENCAP DOC": (
        *_CONTENT, _TITLE, Key(0x0040E001, "ST", optional=True), Key(0x00420010, "ST"), Key(0x00420012, "LO"),
    ),
}  # fmt: skip


def record_type(sop_class_uid: str) -> str:
    """The Directory Record Type of the lowest level for a SOP class; IMAGE for those that are not listed."""
    if sop_class_uid in _PLANS:
        return "PLAN"
    if not sop_class_uid.startswith(_STORAGE):
        return "IMAGE"
    parts = sop_class_uid.removeprefix(_STORAGE).split(".")
    for length in range(len(parts), 0, -1):
        found = _TYPES.get(".".join(parts[:length]))
        if found is not None:
            return found
    return "IMAGE"
