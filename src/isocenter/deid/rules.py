"""What a profile does with each attribute, worked out once: table, options and overrides become one rule a tag."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from isocenter.deid.profile import Profile, attribute_tag
from isocenter.deid.table import OPTIONS, lines, table
from isocenter.dicom.dictionary import keyword_of, vr_of
from isocenter.errors import BadRequest

_DATE_VRS = frozenset(("DA", "DT"))
_TEXT_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_MODIFIED, _FULL = "retain-longitudinal-modified-dates", "retain-longitudinal-full-dates"

# Dates are told by the table, not by VR, where the dictionary has none yet; times stay, days move.
_COMPOUND = {"X/Z": "xz", "X/D": "xd", "Z/D": "zd", "X/Z/D": "xzd", "X/Z/U": "uid"}


class Action(StrEnum):
    """What is done (PS3.15 Table E.1-1a); a compound waits for the type that the instance's IOD gives the attribute."""

    KEEP = "keep"
    REMOVE = "remove"
    EMPTY = "empty"
    DUMMY = "dummy"
    UID = "uid"
    CLEAN = "clean"
    SHIFT = "shift"
    PSEUDONYM = "pseudonym"
    AGE = "age"
    GRAPHICS = "graphics"
    PRIVATE = "private"
    REMOVE_OR_EMPTY = "xz"
    REMOVE_OR_DUMMY = "xd"
    EMPTY_OR_DUMMY = "zd"
    REMOVE_EMPTY_OR_DUMMY = "xzd"


COMPOUNDS = frozenset(
    (Action.REMOVE_OR_EMPTY, Action.REMOVE_OR_DUMMY, Action.EMPTY_OR_DUMMY, Action.REMOVE_EMPTY_OR_DUMMY)
)
_BASIC = {"X": Action.REMOVE, "Z": Action.EMPTY, "D": Action.DUMMY, "U": Action.UID} | {
    written: Action(short) for written, short in _COMPOUND.items()
}

# What the Basic Profile may leave empty or give a dummy value, and what links images of one patient or visit while
# empty would merge them: they get keyed pseudonyms, which E.1.1 counts as dummy values.
PSEUDONYMS = {
    0x00100010: "name",  # Patient's Name (Z)
    0x00100020: "patient",  # Patient ID (Z/D)
    0x00080050: "code",  # Accession Number (Z)
    0x00200010: "code",  # Study ID (Z)
    0x00120040: "code",  # Clinical Trial Subject ID (D)
}
_AGE = 0x00101010
_CONTENT_UID = 0x0040A124  # UID, of a content item


@dataclass(frozen=True, slots=True)
class Rule:
    """An action, and which part of table or profile asks for it."""

    action: Action
    source: str  # "E.1-1 Z/D", "retain-uids", "override", ...
    value: str | None = None
    reason: str | None = None


_UNLISTED = Rule(Action.KEEP, "not in Table E.1-1")
_UNKNOWN = Rule(Action.REMOVE, "unknown attribute")
_GROUP = Rule(Action.REMOVE, "group length or command")
_OVERLAY = Rule(Action.REMOVE, "overlay plane without its data")


class Rules:
    """The rules of one profile, by tag."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.options = frozenset(profile.options)
        self._overrides = {override.tag: override for override in profile.overrides}
        self.known: dict[int, Rule] = {}  # of the tags met so far; `rule` settles others
        self._table = table()
        self.safe_private = safe_private(profile.private.lists) if "retain-safe-private" in self.options else {}
        self.dates_move = _MODIFIED in self.options
        self.dates_stay = _FULL in self.options

    def rule(self, tag: int) -> Rule:
        """The rule of one attribute; private ones are told by their creators (`Action.PRIVATE`)."""
        found = self.known.get(tag)
        if found is None:
            found = self.known[tag] = self._settle(tag)
        return found

    def safe_vr(self, creator: str, tag: int) -> str | None:
        """The VR that a private attribute of this creator is listed with as free of identity; None where it is not."""
        return self.safe_private.get(creator, {}).get(f"{tag >> 16:04x}xx{tag & 0xFF:02x}")

    def _settle(self, tag: int) -> Rule:
        override = self._overrides.get(tag)
        if override is not None:
            row = self._table.row(tag)
            if override.action == "basic":
                basic = self._basic(tag, row.basic) if row is not None else self._unlisted(tag).action
                return Rule(basic, "override", None, override.reason)
            return Rule(Action(override.action), "override", override.value, override.reason)
        group, number = tag >> 16, tag & 0xFFFF
        if number == 0 or group < 8:
            return _GROUP
        if group & 1:
            return Rule(Action.PRIVATE, "private attribute")
        row = self._table.row(tag)
        if row is None:
            if group >> 8 == 0x60:
                return _OVERLAY  # its description, label and statistics say nothing without it
            return self._unlisted(tag)
        if tag == _AGE and self.profile.oldest_age and "retain-patient-characteristics" in self.options:
            return Rule(Action.AGE, "retain-patient-characteristics")
        if tag == _CONTENT_UID and "retain-uids" in self.options:
            return Rule(Action.KEEP, "retain-uids")  # the table says nothing of it, but it refers to those that stay
        wanted = {option: row.options[option] for option in OPTIONS if option in self.options and option in row.options}
        for option, action in wanted.items():
            if action == "C":
                return Rule(self._cleaning(tag, option), option)
        if wanted:
            return Rule(Action.KEEP, next(iter(wanted)))
        return Rule(self._basic(tag, row.basic), f"E.1-1 {row.basic}")

    def _basic(self, tag: int, written: str) -> Action:
        return Action.PSEUDONYM if tag in PSEUDONYMS else _BASIC[written]

    def _cleaning(self, tag: int, option: str) -> Action:
        """What "C" means for this attribute."""
        vr = vr_of(tag)
        if option == _MODIFIED:
            # Times of day, and offsets from UTC, stay; what is no date in a form we know cannot be moved.
            return {"TM": Action.KEEP, "SH": Action.KEEP, "OB": self._fallback(tag)}.get(vr, Action.SHIFT)
        if option == "clean-graphics":
            # What is drawn in an overlay plane or a curve may be writing, which nobody reads here: unknown stays out.
            return Action.REMOVE if tag >> 24 in (0x50, 0x60) else Action.GRAPHICS
        if vr == "SQ" or (vr == "UN" and option == "clean-structured-content"):
            return Action.CLEAN  # its items are gone through, text in them cleaned
        if vr == "AE":
            return Action.PSEUDONYM
        return Action.CLEAN if vr in _TEXT_VRS or vr == "UN" else self._fallback(tag)

    def _fallback(self, tag: int) -> Action:
        row = self._table.row(tag)
        return Action.REMOVE if row is None else _BASIC[row.basic]

    def _unlisted(self, tag: int) -> Rule:
        """An attribute that the table does not name: kept if the dictionary has it and it holds no name or date."""
        vr = vr_of(tag)
        if vr == "UN":
            return _UNKNOWN
        if vr == "PN":
            return Rule(Action.REMOVE_EMPTY_OR_DUMMY, "unlisted name")
        if vr in _DATE_VRS:
            if self.dates_move:
                return Rule(Action.SHIFT, "unlisted date")
            return Rule(Action.KEEP if self.dates_stay else Action.REMOVE_EMPTY_OR_DUMMY, "unlisted date")
        return _UNLISTED


def safe_private(lists: Iterable[str]) -> dict[str, dict[str, str]]:
    """Private attributes that hold no identity, by private creator: VRs by tag ("ggggxxee"), "" where any will do."""
    found: dict[str, dict[str, str]] = {}
    for name in lists:
        for line in _private_list(name):
            tag = line.get("tag", "").strip().lower()
            if not re.fullmatch(r"[0-9a-f]{4}xx[0-9a-f]{2}", tag) or not line.get("creator"):
                raise BadRequest(
                    "a list of safe private attributes has the columns tag (ggggxxee) and creator", code="bad-profile"
                )
            listed, vr = found.setdefault(line["creator"].strip(), {}), (line.get("vr") or "").strip()
            # Lists differ (SH here, LO there): each is right of some device.
            listed[tag] = vr if listed.get(tag, vr) == vr else f"{listed[tag]} {vr}"
    return found


def _private_list(name: str) -> list[dict[str, str]]:
    shipped = {"standard": "safe-private.csv", "tcia": "tcia-private.csv"}
    if name in shipped:
        return lines(shipped[name])[1]
    try:
        return lines_of(Path(name).read_text("utf-8"))
    except OSError:
        raise BadRequest("a list of safe private attributes is not there", code="bad-profile") from None


def lines_of(text: str) -> list[dict[str, str]]:
    """Rows of a site's own list: CSV with a line of column names, lines that begin with # left out."""
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def explain(profile: Profile, attribute: str) -> dict[str, str]:
    """What a profile does with one attribute and why, in words."""
    try:
        tag = attribute_tag(attribute)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    rule = Rules(profile).rule(tag)
    row = table().row(tag)
    return {
        "attribute": keyword_of(tag),
        "tag": f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
        "action": WORDS[rule.action],
        "because": rule.reason or rule.source,
        "basic profile": row.basic if row else "not listed",
        "options": ", ".join(f"{option} {action}" for option, action in row.options.items()) if row else "",
        "edition": table().edition_line,
    }


WORDS = {
    Action.KEEP: "kept; items of a sequence are gone through",
    Action.REMOVE: "removed",
    Action.EMPTY: "emptied (a dummy value where its type is 1)",
    Action.DUMMY: "replaced by a dummy value",
    Action.UID: "replaced by a keyed UID; references to it stay whole",
    Action.CLEAN: "cleaned: words known to be safe stay, everything else goes",
    Action.SHIFT: "moved by the patient's number of days",
    Action.PSEUDONYM: "replaced by a keyed pseudonym",
    Action.AGE: "kept, capped at the oldest age",
    Action.GRAPHICS: "graphics kept, text in them cleaned",
    Action.PRIVATE: "removed unless listed as safe and retain-safe-private is on",
    Action.REMOVE_OR_EMPTY: "removed, or emptied where its type is 1 or 2",
    Action.REMOVE_OR_DUMMY: "removed, or replaced by a dummy value where its type is 1 or 2",
    Action.EMPTY_OR_DUMMY: "emptied, or replaced by a dummy value where its type is 1",
    Action.REMOVE_EMPTY_OR_DUMMY: "removed; emptied where its type is 2; replaced by a dummy value where it is 1",
}


def difference(one: Profile, other: Profile) -> list[tuple[int, str, str]]:
    """Attributes of the table or of overrides that two profiles treat differently: tag and both actions in words."""
    first, second = Rules(one), Rules(other)
    tags = set(table().rows) | {override.tag for profile in (one, other) for override in profile.overrides}
    found = []
    for tag in sorted(tags):
        before, after = first.rule(tag), second.rule(tag)
        if (before.action, before.value) != (after.action, after.value):
            found.append((tag, WORDS[before.action], WORDS[after.action]))
    return found
