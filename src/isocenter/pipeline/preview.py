"""What de-identification would do with an image: every attribute that changes, before and after, and its pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from isocenter.archive.retrieve import Retrieve
from isocenter.deid.engine import Deidentifier
from isocenter.deid.profile import load, shipped
from isocenter.deid.source import InMemory, header_of
from isocenter.deid.table import table
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.elements import Limits
from isocenter.dicom.instance import Metadata, describe
from isocenter.errors import LimitExceeded, NotFound, Unsupported
from isocenter.records import ImageRecord, Kind

Model = Mapping[str, Mapping[str, Any]]

_MOST_BYTES: Final = 256 << 20
_MOST_LETTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute; `path` names its keyword, through sequences with the item's number: `A[1].B`."""

    path: str
    tag: str  # ggggeeee
    vr: str
    action: Literal["removed", "emptied", "replaced", "added"]
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be done. Nothing is kept of it, and its pseudonyms are made with a key that nobody has."""

    profile: str
    changes: tuple[Change, ...]
    kept: int  # attributes that stay as they are
    pixels: Mapping[str, Any] | None  # as the evidence of a release has it
    warnings: tuple[str, ...]


class Previews:
    """Makes previews; `deidentifier` is asked for what de-identifies by a profile's name, with a key of the moment."""

    def __init__(self, retrieve: Retrieve, deidentifier: Callable[[str], Deidentifier], limits: Limits) -> None:
        self._retrieve = retrieve
        self._deidentifier = deidentifier
        self._limits = limits

    def profiles(self) -> dict[str, Any]:
        """The profiles that there are, as JSON values."""
        found = [load(name) for name in shipped()]
        told = [
            {
                "name": each.name,
                "title": each.title,
                "description": each.description,
                "options": list(each.options),
                "reads_text": each.pixels.takes_a_detector,
            }
            for each in found
        ]
        return {"edition": table().edition, "profiles": told}

    def of(self, record: ImageRecord, profile: str) -> Preview:
        """Rejected as the release itself would be: then nothing would come out. NotFound for no such profile."""
        if profile not in shipped():
            raise NotFound("there is no profile of this name")
        deidentifier = self._deidentifier(profile)
        if record.kind is not Kind.DICOM:
            raise Unsupported("only DICOM instances are de-identified", code="not-dicom")
        if record.blob.size > _MOST_BYTES:
            raise LimitExceeded(f"previews are made of files up to {_MOST_BYTES >> 20} MB", code="too-large")
        before = self._retrieve.metadata(record).model
        data = b"".join(self._retrieve.original(record).chunks)
        made, evidence = deidentifier.deidentify_bytes(data, deidentifier.known_in_model(before))
        after = Metadata.from_bytes(describe(header_of(InMemory(made), self._limits)).metadata()).model
        changes = tuple(_changes(before, after, ""))
        return Preview(profile, changes, _kept(before, after), evidence.pixels, tuple(evidence.warnings))


def _changes(before: Model, after: Model, inside: str) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if one == other:
            continue
        path = inside + keyword_of(int(name, 16))
        vr = str((one or other or {}).get("vr", "UN"))
        if one is None or other is None:
            yield Change(path, name, vr, "removed" if other is None else "added", _text(one), _text(other))
        elif vr == "SQ" and len(_values(one)) == len(_values(other)):
            for number, (item, made) in enumerate(zip(_values(one), _values(other), strict=True), 1):
                yield from _changes(item, made, f"{path}[{number}].")
        else:
            action: Literal["emptied", "replaced"] = "replaced" if _text(other) else "emptied"
            yield Change(path, name, vr, action, _text(one), _text(other))


def _kept(before: Model, after: Model) -> int:
    return sum(before[name] == after.get(name) for name in before)


def _values(attribute: Mapping[str, Any]) -> list[Any]:
    return list(attribute.get("Value", ()))


def _text(attribute: Mapping[str, Any] | None) -> str:
    """A value for a person to read: text, numbers of items, sizes of what is binary."""
    if attribute is None:
        return ""
    if attribute.get("vr") == "SQ":
        return f"{len(_values(attribute))} items"
    if "BulkDataURI" in attribute or "InlineBinary" in attribute:
        return "binary"
    return "\\".join(map(_word, _values(attribute)))[:_MOST_LETTERS]


def _word(value: Any) -> str:
    if isinstance(value, Mapping):  # of a person's name, by its groups
        return "=".join(str(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
    return "" if value is None else str(value)
