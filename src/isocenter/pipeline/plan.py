"""Pipelines as data: named steps with their retries, time-outs and batches; every way of running follows them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from isocenter.errors import Misconfigured, NotFound
from isocenter.pipeline.steps.parameters import PARAMETERS, Parameters

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
_LARGEST = 1 << 20  # bytes of a plan's YAML


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True)


class Retry(_Model):
    """How often, and after what waits, something that was unavailable is tried."""

    attempts: int = Field(3, ge=1, le=20, description="How often in all.")
    first_seconds: float = Field(1.0, ge=0, le=600, description="Wait before the second attempt.")
    factor: float = Field(2.0, ge=1, le=10, description="By which each wait is longer than the one before.")
    most_seconds: float = Field(60.0, ge=0, le=3600, description="The longest wait.")
    jitter: bool = Field(True, description="Wait between half and the whole of the time, by chance.")

    def waits(self) -> Iterator[float]:
        """The seconds between attempts."""
        for number in range(self.attempts - 1):
            longest = min(self.most_seconds, self.first_seconds * self.factor**number)
            yield longest * (random.uniform(0.5, 1.0) if self.jitter else 1.0)  # noqa: S311  no secret


class Batch(_Model):
    """How many images, of how many bytes in all, a worker takes at once; a study is kept together where it fits."""

    images: int = Field(64, ge=1, le=1000)
    bytes: int = Field(64 << 20, ge=1 << 20, le=1 << 30)


class StepPlan(_Model):
    """One step of a pipeline."""

    name: Slug
    use: Slug = Field(description="The kind of step: " + ", ".join(sorted(PARAMETERS)) + ".")
    parameters: dict[str, Any] = Field(default_factory=dict, alias="with", description="As the kind of step has them.")
    retry: Retry = Retry()
    timeout_seconds: float = Field(300.0, gt=0, le=86_400, description="For one image.")
    on_reject: Literal["keep-back", "go-on", "stop"] = Field(
        "keep-back",
        description="A rejected image goes no further; or goes on all the same; or the whole job fails.",
    )
    wait_for_all: bool = Field(False, description="Begin when every image of the job has passed the steps before.")

    @field_validator("use")
    @classmethod
    def _known(cls, use: str) -> str:
        if use not in PARAMETERS:
            raise ValueError(f"no such kind of step; there are {', '.join(sorted(PARAMETERS))}")
        return use

    @model_validator(mode="after")
    def _fit(self) -> StepPlan:
        _ = self.checked
        return self

    @cached_property
    def checked(self) -> Parameters:
        """The parameters as the kind's model."""
        return PARAMETERS[self.use].model_validate(self.parameters)


class Plan(_Model):
    """A pipeline."""

    name: Slug
    description: str = Field("", max_length=400)
    store: Slug = Field("raw", description="Where its images lie.")
    batch: Batch = Batch()
    concurrency: int | None = Field(None, ge=1, le=1000, description="Chunks of one job worked on at once; any number.")
    steps: tuple[StepPlan, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _names(self) -> Plan:
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names):
            raise ValueError("two steps have the same name")
        return self

    @cached_property
    def stages(self) -> tuple[tuple[StepPlan, ...], ...]:
        """Steps that follow each other on one chunk; between stages every chunk is waited for."""
        found: list[list[StepPlan]] = [[]]
        for step in self.steps:
            if step.wait_for_all and found[-1]:
                found.append([])
            found[-1].append(step)
        return tuple(tuple(stage) for stage in found)

    @property
    def stores(self) -> frozenset[str]:
        """Every store it reads or writes."""
        return frozenset((self.store, *(store for step in self.steps for store in step.checked.stores())))

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        return cls.model_validate_json(text)


def plan_of(text: str, source: str) -> Plan:
    """A plan from YAML; Misconfigured says what is wrong where, never what stands there."""
    if len(text) > _LARGEST:
        raise Misconfigured(f"{source}: a pipeline's file is at most {_LARGEST} bytes long")
    import yaml  # noqa: PLC0415 - plans of jobs are JSON: most functions on AWS read no file

    try:
        read = yaml.safe_load(text)
        if not isinstance(read, dict):
            raise Misconfigured(f"{source}: a pipeline is a mapping with name and steps")
        return Plan.model_validate(read)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise Misconfigured(f"{source}: this is no YAML{place}") from None
    except ValidationError as error:
        raise Misconfigured(f"{source}: {'; '.join(_told(error))}") from None


def _told(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"]) or "the pipeline"
        yield f"{place}: {fault['msg']}"


class Plans:
    """The pipelines there are: those shipped, and a folder's, which go before them."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        return sorted(self._files())

    def load(self, name: str) -> Plan:
        """A pipeline by its name; NotFound where there is none."""
        text = self._files().get(name)
        if text is None:
            raise NotFound("there is no pipeline of this name; `isocenter pipeline list` shows those there are")
        found = plan_of(text, name)
        if found.name != name:
            raise Misconfigured(f"{name}: the file's name and the pipeline's are not the same")
        return found

    def _files(self) -> dict[str, str]:
        shipped = files("isocenter.pipeline").joinpath("plans")
        found = {
            entry.name.removesuffix(".yaml"): entry.read_text("utf-8")
            for entry in shipped.iterdir()
            if entry.name.endswith(".yaml")
        }
        if self._folder is not None and self._folder.is_dir():
            found |= {path.stem: path.read_text("utf-8") for path in sorted(self._folder.glob("*.yaml"))}
        return found
