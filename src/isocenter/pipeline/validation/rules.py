"""The rules: what each is about, how grave it is, what it says and what to do, from `data/rules.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files


class Severity(StrEnum):
    """How grave a finding is; what is not valid under a profile is told by its `fail_on`."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the gravest."""
        return _RANKS[self]


_RANKS = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Level(StrEnum):
    """What a rule is about."""

    FILE = "file"
    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `breaks` tells that an image against it cannot be kept, read or shown."""

    id: str
    level: Level
    severity: Severity
    says: str
    do: str
    section: str = ""
    breaks: bool = False


@lru_cache(maxsize=1)
def rules() -> Mapping[str, Rule]:
    """All rules by their ids, in the order of the documentation."""
    found = tomllib.loads(files("isocenter.pipeline.validation").joinpath("data", "rules.toml").read_text("utf-8"))
    return {
        name: Rule(
            name, Level(entry["level"]), Severity(entry["severity"]), entry["says"], entry["do"],
            entry.get("section", ""), entry.get("breaks", False),
        )
        for name, entry in found.items()
    }  # fmt: skip
