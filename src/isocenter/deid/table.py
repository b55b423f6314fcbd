"""PS3.15 Table E.1-1 as data: what the Basic Profile and each Option do with an attribute."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

TABLE = "table-e1-1.csv"
OPTIONS = (
    "retain-safe-private",
    "retain-uids",
    "retain-device-identity",
    "retain-institution-identity",
    "retain-patient-characteristics",
    "retain-longitudinal-full-dates",
    "retain-longitudinal-modified-dates",
    "clean-descriptors",
    "clean-structured-content",
    "clean-graphics",
)
_COLUMNS = (
    "retain_safe_private",
    "retain_uids",
    "retain_device",
    "retain_institution",
    "retain_patient",
    "retain_full_dates",
    "retain_modified_dates",
    "clean_descriptors",
    "clean_structured",
    "clean_graphics",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute: its action in the Basic Profile ("X/Z/D"), and by Option where that says otherwise ("K", "C")."""

    name: str
    basic: str
    options: dict[str, str]


@dataclass(frozen=True)
class Table:
    """The whole table, looked up by tag number."""

    edition: str
    rows: dict[int, Row]
    repeating: tuple[tuple[re.Pattern[str], Row], ...]

    @cached_property
    def edition_line(self) -> str:
        return f"PS3.15 Table E.1-1, edition {self.edition}"

    def row(self, tag: int) -> Row | None:
        """The row of a standard attribute, repeating groups (50xx, 60xx) included."""
        found = self.rows.get(tag)
        if found is None and tag >> 24 in (0x50, 0x60):
            name = f"{tag:08x}"
            found = next((row for mask, row in self.repeating if mask.fullmatch(name)), None)
        return found


def lines(name: str) -> tuple[str, list[dict[str, str]]]:
    """A data file of this room: the edition its first line names, and its rows."""
    text = files("isocenter.deid").joinpath("data", name).read_text("utf-8")
    title, _, body = text.partition("\n")
    return title.rpartition("edition ")[2].strip(), list(csv.DictReader(body.splitlines()))


@lru_cache(maxsize=1)
def table() -> Table:
    """The table of the edition that Isocenter ships."""
    edition, found = lines(TABLE)
    rows: dict[int, Row] = {}
    repeating = []
    for line in found:
        options = {option: line[column] for option, column in zip(OPTIONS, _COLUMNS, strict=True) if line[column]}
        row = Row(line["name"], line["basic"].rstrip("*"), options)
        if "x" in line["tag"]:
            repeating.append((re.compile(line["tag"].replace("x", "[0-9a-f]")), row))
        else:
            rows[int(line["tag"], 16)] = row
    return Table(edition, rows, tuple(repeating))
