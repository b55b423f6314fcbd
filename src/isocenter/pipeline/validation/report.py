"""What validation found: frozen values that name rules and keywords, never contents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from isocenter.dicom.dictionary import keyword_of
from isocenter.pipeline.validation.profile import Profile
from isocenter.pipeline.validation.rules import Level, Severity, rules

_MOST_PLACES = 50  # so many attributes are named for one rule; a hostile file has any number
_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Where:
    """The item of a sequence in which an attribute stands; None for the top of the Data Set."""

    outer: Where | None
    tag: int
    number: int

    def __str__(self) -> str:
        steps = []
        here: Where | None = self
        while here is not None:
            steps.append(f"{keyword_of(here.tag)}[{here.number}]")
            here = here.outer
        return ".".join(reversed(steps))


def path_of(where: Where | None, tag: int) -> str:
    """As people write it: `RequestAttributesSequence[0].ScheduledProcedureStepID`."""
    return keyword_of(tag) if where is None else f"{where}.{keyword_of(tag)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. `path` is the first place, `count` how many places there are."""

    rule: str
    severity: Severity
    level: Level
    path: str
    says: str
    do: str
    section: str
    count: int = 1

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule, "severity": str(self.severity), "level": str(self.level), "path": self.path,
            "says": self.says, "do": self.do, "section": self.section, "count": self.count,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """The findings on one image, series or batch, the gravest first, and whether it is valid under the profile."""

    kind: str
    profile: str
    findings: tuple[Finding, ...] = ()
    left_out: int = 0  # places that are not named because there are too many
    valid: bool = True

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def has(self, rule: str) -> bool:
        return any(finding.rule == rule for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "profile": self.profile, "valid": self.valid, "left_out": self.left_out,
            "findings": [finding.as_json() for finding in self.findings],
        }  # fmt: skip


@dataclass(slots=True)
class Collector:
    """Takes what rules find on one image; places of the same attribute in several items become one finding."""

    profile: Profile
    kind: str = "dicom"
    sop_class_uid: str = ""
    left_out: int = 0
    _found: dict[tuple[Any, ...], list[Any]] = field(default_factory=dict)
    _places: dict[str, int] = field(default_factory=dict)

    def wants(self, rule: str) -> bool:
        """Whether the profile shows this rule at all."""
        return self.profile.severity_of(rule) is not None

    def add(self, rule: str, tag: int | None = None, where: Where | None = None, *, detail: str = "") -> None:
        """`rule` is broken by the attribute `tag` in the item `where`. `detail` says it more precisely."""
        steps: list[int | None] = [tag]
        outer = where
        while outer is not None:
            steps.append(outer.tag)
            outer = outer.outer
        key = (rule, *steps)
        if key in self._found:  # the path is put into words once: a hostile file has hundreds of thousands
            self._found[key][2] += 1
        elif self.wants(rule):
            self._first(key, rule, "" if tag is None else path_of(where, tag), detail, 1)

    def add_path(self, rule: str, path: str, *, detail: str = "", count: int = 1) -> None:
        """`rule` is broken `count` times by the attribute at `path`."""
        key = (rule, path)
        if key in self._found:
            self._found[key][2] += count
        elif self.wants(rule):
            self._first(key, rule, path, detail, count)

    def _first(self, key: tuple[Any, ...], rule: str, path: str, detail: str, count: int) -> None:
        if self.profile.ignores(rule, _INDEX.sub("", path), self.sop_class_uid):
            return
        places = self._places[rule] = self._places.get(rule, 0) + 1
        if places > _MOST_PLACES:
            self.left_out += 1
            return
        self._found[key] = [path, detail, count]

    def report(self) -> Report:
        findings = tuple(sorted(self._findings(), key=lambda one: one.severity.rank))
        worst = min((one.severity.rank for one in findings), default=3)
        return Report(self.kind, self.profile.name, findings, self.left_out, worst > self.profile.fail_on_rank)

    def _findings(self) -> Iterator[Finding]:
        for (name, *_), (path, detail, count) in self._found.items():
            rule = rules()[name]
            severity = self.profile.severity_of(name)
            assert severity is not None
            yield Finding(name, severity, rule.level, path, detail or rule.says, rule.do, rule.section, count)
