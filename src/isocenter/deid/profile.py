"""De-identification profiles: YAML files that say what the Basic Profile, its Options and a site's own rules do."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from isocenter.deid.pixel_policy import Pixels
from isocenter.deid.table import OPTIONS
from isocenter.dicom.dictionary import tag_of
from isocenter.errors import BadRequest, NotFound

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?\Z")
_DATES = frozenset(("retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"))

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


def attribute_tag(text: str) -> int:
    """The tag that a keyword or a number ("PatientID", "(0010,0020)", "00100020") names."""
    found = _TAG.match(text.strip())
    tag = int(found[1] + found[2], 16) if found else tag_of(text.strip())
    if tag is None:
        raise ValueError("that is no attribute: give its keyword (PatientID) or its tag (0010,0020)")
    return tag


def _attribute(text: str) -> str:
    attribute_tag(text)
    return text


Attribute = Annotated[str, AfterValidator(_attribute)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Override(_Part):
    """What a site does with one attribute, wherever it stands, instead of what the options say.

    `basic` is what the Basic Profile does, as if no option were chosen.
    """

    attribute: Attribute
    action: Literal["keep", "basic", "remove", "empty", "dummy", "uid", "clean", "shift", "pseudonym"]
    reason: str = Field(min_length=3, description="Why: printed by `explain` and kept in every evidence record.")
    value: str | None = Field(None, description="With `dummy`: the value that is put there.")

    @property
    def tag(self) -> int:
        return attribute_tag(self.attribute)

    @model_validator(mode="after")
    def _only_dummies_have_values(self) -> Override:
        if self.value is not None and self.action != "dummy":
            raise ValueError("`value` goes with the action `dummy` only")
        return self


class Dates(_Part):
    """How far dates move where they are modified: a number of days for each patient, the same for all of its dates."""

    earliest_days: int = Field(-3652, le=0, description="The farthest back a patient's dates may move.")
    latest_days: int = Field(-366, le=0, description="The least they move.")

    @model_validator(mode="after")
    def _in_order(self) -> Dates:
        if self.latest_days - self.earliest_days < 30:
            raise ValueError("`earliest_days` has to be at least 30 days before `latest_days`")
        return self


class Private(_Part):
    """Private attributes that are kept with the option retain-safe-private."""

    lists: tuple[str, ...] = Field(
        ("standard",), description="`standard` (Table E.3.10-1), `tcia`, or files of the same columns."
    )


class Identifiers(_Part):
    """What else is known of the people in the images, and is looked for everywhere."""

    attributes: tuple[Attribute, ...] = ()
    file: Path | None = Field(None, description="A text file with one name, number or date in each line.")


class Profile(_Part):
    """A profile, whole."""

    name: Name
    title: str
    description: str = ""
    base: Literal["basic"] = "basic"
    options: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    dates: Dates = Dates()
    oldest_age: int | None = Field(None, ge=1, le=150, description="Ages above it become the next (90 for 89).")
    private: Private = Private()
    pixels: Pixels = Pixels()
    documents: Literal["refuse", "replace"] = Field(
        "refuse", description="Encapsulated documents: quarantine, or put an empty document in their place."
    )
    faces: Literal["keep", "refuse", "deface"] = Field(
        "keep", description="Volumes of the head, whose surface can be recognized: keep, quarantine, or deface."
    )
    defacer: str | None = Field(None, description="With `faces: deface`: the entry point of the defacer.")
    sop_classes: tuple[str, ...] = Field((), description="SOP Class UIDs taken although Isocenter does not know them.")
    identifiers: Identifiers = Identifiers()

    @model_validator(mode="after")
    def _options_exist(self) -> Profile:
        for option in self.options:
            if option not in OPTIONS:
                raise ValueError(f"there is no option {option!r}; there are {', '.join(OPTIONS)}")
        if self.defacer is not None and self.faces != "deface":
            raise ValueError("`defacer` goes with `faces: deface` only")
        if set(self.options) >= _DATES:
            raise ValueError("dates are kept or modified: name one of the two options")
        tags = [override.tag for override in self.overrides]
        if len(set(tags)) != len(tags):
            raise ValueError("an attribute has two overrides")
        return self


def shipped() -> list[str]:
    """Names of the profiles that come with Isocenter."""
    folder = files("isocenter.deid").joinpath("profiles")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load(name: str | Path) -> Profile:
    """A shipped profile by its name, or one of the site's by the path of its YAML file.

    Raises NotFound or BadRequest, which says what is wrong with the file and where.
    """
    text = str(name)
    if text in shipped():
        return _shipped(text)
    path = Path(name)
    if not path.is_file():
        raise NotFound(f"there is no profile or file of that name; Isocenter has {', '.join(shipped())}")
    return parse(path.read_text("utf-8"))


@lru_cache(maxsize=16)
def _shipped(name: str) -> Profile:
    return parse(files("isocenter.deid").joinpath("profiles", f"{name}.yaml").read_text("utf-8"))


def parse(text: str) -> Profile:
    """A profile out of its YAML."""
    try:
        found: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise BadRequest(f"the profile is no YAML{place}", code="bad-profile") from None
    if not isinstance(found, dict):
        raise BadRequest("the profile is no YAML mapping", code="bad-profile")
    try:
        return Profile.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BadRequest(
            f"the profile is wrong at `{place or 'the top'}`: {first['msg']}", code="bad-profile"
        ) from None
