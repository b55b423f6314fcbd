"""Profiles of validation: which rules count and how much, as YAML, checked before anything relies on it."""

from __future__ import annotations

from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from isocenter.dicom.dictionary import tag_of
from isocenter.errors import BadRequest, NotFound
from isocenter.pipeline.validation.rules import Severity, rules

_MOST_BYTES = 1 << 20


def _rule(text: str) -> str:
    if text not in rules():
        raise ValueError("there is no such rule; docs/validation.md lists them")
    return text


def _keyword(text: str) -> str:
    """A keyword, or a path of keywords without item numbers."""
    if any(tag_of(step) is None for step in text.split(".")):
        raise ValueError(
            "that is no keyword (PatientID), nor a path of them (RequestAttributesSequence.RequestedProcedureID)"
        )
    return text


RuleId = Annotated[str, AfterValidator(_rule)]
Keyword = Annotated[str, AfterValidator(_keyword)]
Reason = Annotated[str, Field(min_length=3, description="Why: kept with the profile.")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Override(_Part):
    """Another severity for one rule."""

    rule: RuleId
    severity: Severity
    reason: Reason


class Ignore(_Part):
    """Findings that are not told: of a rule, of an attribute, of a SOP Class, or of all that are named together."""

    rule: RuleId | None = None
    keyword: Keyword | None = None
    sop_class: str | None = Field(None, pattern=r"^[0-9.]{1,64}$")
    reason: Reason

    @model_validator(mode="after")
    def _names_something(self) -> Ignore:
        if not (self.rule or self.keyword or self.sop_class):
            raise ValueError("name a rule, a keyword or a SOP Class")
        return self


class Profile(_Part):
    """A profile, whole; one with a `base` has been filled up with what that says."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    title: str
    base: Literal["lenient", "standard", "strict"] | None = None
    errors: Literal["breaking", "all"] = Field(
        "all", description="`breaking`: only what breaks storing, reading or rendering is an error, the rest a warning."
    )
    fail_on: Severity = Field(Severity.ERROR, description="From which severity on an image is not valid.")
    least: Severity = Field(Severity.WARNING, description="The lowest severity that is told.")
    transfer_syntaxes: tuple[str, ...] = Field((), description="UIDs of those allowed; all where none is named.")
    overrides: tuple[Override, ...] = ()
    ignore: tuple[Ignore, ...] = ()

    @cached_property
    def severities(self) -> dict[str, Severity | None]:
        """The severity of each rule, None for one that is not told."""
        changed = {override.rule: override.severity for override in self.overrides}
        found: dict[str, Severity | None] = {}
        for rule in rules().values():
            severity = rule.severity
            if self.errors == "breaking" and severity is Severity.ERROR and not rule.breaks:
                severity = Severity.WARNING
            severity = changed.get(rule.id, severity)
            found[rule.id] = severity if severity.rank <= self.least.rank else None
        for entry in self.ignore:
            if entry.rule and not (entry.keyword or entry.sop_class):
                found[entry.rule] = None
        return found

    def severity_of(self, rule: str) -> Severity | None:
        return self.severities[rule]

    @property
    def fail_on_rank(self) -> int:
        return self.fail_on.rank

    def ignores(self, rule: str, path: str, sop_class: str) -> bool:
        """Whether a finding is not told; `path` has no item numbers."""
        return any(
            (entry.rule in (None, rule))
            and (entry.keyword is None or path == entry.keyword or path.endswith(f".{entry.keyword}"))
            and (entry.sop_class in (None, sop_class))
            for entry in self.ignore
        )


def shipped() -> tuple[str, ...]:
    """Names of the profiles that come with Isocenter, from the mildest."""
    return ("lenient", "standard", "strict")


def load(name: str | Path) -> Profile:
    """A shipped profile by its name, or a site's by the path of its YAML file.

    Raises NotFound or BadRequest, which says what is wrong with the file and where.
    """
    if str(name) in shipped():
        return _shipped(str(name))
    path = Path(name)
    if not path.is_file():
        raise NotFound(f"there is no profile or file of that name; Isocenter has {', '.join(shipped())}")
    try:
        with path.open("rb") as file:
            return parse(file.read(_MOST_BYTES).decode("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise BadRequest("the profile cannot be read as text", code="bad-profile") from None


@lru_cache(maxsize=8)
def _shipped(name: str) -> Profile:
    return parse(files("isocenter.pipeline.validation").joinpath("profiles", f"{name}.yaml").read_text("utf-8"))


def parse(text: str) -> Profile:
    """A profile out of its YAML; what it leaves out is as in its `base`, its lists come on top."""
    try:
        found: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise BadRequest(f"the profile is no YAML{place}", code="bad-profile") from None
    if not isinstance(found, dict):
        raise BadRequest("the profile is no YAML mapping", code="bad-profile")
    try:
        own = Profile.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BadRequest(
            f"the profile is wrong at `{place or 'the top'}`: {first['msg']}", code="bad-profile"
        ) from None
    return own if own.base is None else _on_top(_shipped(own.base), own)


def _on_top(base: Profile, own: Profile) -> Profile:
    said = base.model_dump() | own.model_dump(exclude_unset=True)
    return Profile.model_validate(
        said | {"overrides": (*base.overrides, *own.overrides), "ignore": (*base.ignore, *own.ignore)}
    )
