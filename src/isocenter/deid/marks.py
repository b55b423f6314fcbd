"""What a de-identified instance says of itself (PS3.15 E.1.1 steps 6 to 9, PS3.16 CID 7050)."""

from __future__ import annotations

from isocenter.deid.profile import Profile
from isocenter.deid.table import table
from isocenter.dicom.elements import UNDEFINED, Element

_IDENTITY_REMOVED, _METHOD, _METHOD_CODES = 0x00120062, 0x00120063, 0x00120064
_TEMPORAL = 0x00280303
BURNED_IN, FACES = 0x00280301, 0x00280302
MARKS = (_IDENTITY_REMOVED, _METHOD, _METHOD_CODES, _TEMPORAL)
_CODES = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "pixels": ("113101", "Clean Pixel Data Option"),
    "faces": ("113102", "Clean Recognizable Visual Features Option"),
    "clean-graphics": ("113103", "Clean Graphics Option"),
    "clean-structured-content": ("113104", "Clean Structured Content Option"),
    "clean-descriptors": ("113105", "Clean Descriptors Option"),
    "retain-longitudinal-full-dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "retain-longitudinal-modified-dates": (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    "retain-patient-characteristics": ("113108", "Retain Patient Characteristics Option"),
    "retain-device-identity": ("113109", "Retain Device Identity Option"),
    "retain-uids": ("113110", "Retain UIDs Option"),
    "retain-safe-private": ("113111", "Retain Safe Private Option"),
    "retain-institution-identity": ("113112", "Retain Institution Identity Option"),
}


def marks(profile: Profile, *, pixels_cleaned: bool, pixels_read: bool, defaced: bool) -> dict[int, Element]:
    """The elements that say that, how and by which options identity was taken out.

    Only where pixels were read can anyone say that no text is left in them: masks clean what they cover.
    """
    edition = table().edition
    method = f"PS3.15 Annex E {edition}\\Isocenter profile {profile.name[:40]}"
    done = [name for name, is_done in (("pixels", pixels_cleaned), ("faces", defaced)) if is_done]
    names = ["basic", *done, *profile.options]
    codes = sorted(_CODES[name] for name in names if name in _CODES)
    found = {
        _IDENTITY_REMOVED: _text("CS", "YES"),
        _METHOD: _text("LO", method),
        _METHOD_CODES: Element("SQ", [_item(*code) for code in codes], 0, UNDEFINED),
        _TEMPORAL: _text("CS", _temporal(profile)),
    }
    if pixels_read:
        found[BURNED_IN] = _text("CS", "NO")
    if defaced:
        found[FACES] = _text("CS", "NO")
    return found


def _temporal(profile: Profile) -> str:
    if "retain-longitudinal-full-dates" in profile.options:
        return "UNMODIFIED"
    return "MODIFIED" if "retain-longitudinal-modified-dates" in profile.options else "REMOVED"


def _item(code: str, meaning: str) -> dict[int, Element]:
    return {0x00080100: _text("SH", code), 0x00080102: _text("SH", "DCM"), 0x00080104: _text("LO", meaning)}


def _text(vr: str, value: str) -> Element:
    raw = value.encode("ascii")
    return Element(vr, raw, 0, len(raw))
