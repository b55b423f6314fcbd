"""What each kind of step can be told, as models that check it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from isocenter.archive.deliver import DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS

StoreName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class Parameters(BaseModel):
    """What a step of a kind is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def stores(self) -> frozenset[str]:
        """The stores it writes to."""
        return frozenset()


class Validation(Parameters):
    """Checks images against rules; those that do not keep them are rejected."""

    profile: str = Field("standard", max_length=64, description="lenient, standard or strict.")


class Deidentification(Parameters):
    """De-identifies DICOM instances into another store, with evidence (PS3.15 Annex E)."""

    profile: str = Field("basic", max_length=64, description="A shipped profile's name.")
    project: str = Field("default", max_length=64, description="Whose key makes the pseudonyms.")
    into: StoreName = Field("deidentified", description="The store that takes what is de-identified.")

    def stores(self) -> frozenset[str]:
        return frozenset((self.into,))


class Algorithm(Parameters):
    """Runs an algorithm on each image; what it finds is kept with the image, what it makes put beside it."""

    algorithm: str = Field(max_length=64, description="Its name; isocenter algorithm list shows those there are.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="As the algorithm has them.")
    reports: bool = Field(True, description="Findings of DICOM images become an SR and a presentation state too.")


class LinkTerms(BaseModel):
    """How long links live, and whether one is to all in a ZIP archive."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    seconds: int = Field(DEFAULT_SECONDS, ge=LEAST_SECONDS, le=MOST_SECONDS, description="How long the links live.")
    zip: bool = Field(False, description="One link to a ZIP archive of each chunk.")


class Delivering(Parameters):
    """Gives images out: to a destination of the settings, or by links that end by themselves."""

    to: str | None = Field(None, max_length=64, description="A destination's name in the setting destinations.")
    links: LinkTerms | None = Field(None, description="Links of our own; GET /deliveries shows them.")

    @model_validator(mode="after")
    def _either(self) -> Delivering:
        if (self.to is None) == (self.links is None):
            raise ValueError("a deliver step says either to (a destination's name) or links")
        return self


PARAMETERS: dict[str, type[Parameters]] = {
    "validate": Validation, "deidentify": Deidentification, "algorithm": Algorithm, "deliver": Delivering,
}  # fmt: skip
