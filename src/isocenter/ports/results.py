"""The port to what steps say of images: evidence, findings, validation reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from isocenter.jobs import Result


class Results(Protocol):
    """Results by image and job; one for each (job, step, image)."""

    def put(self, results: Sequence[Result]) -> None:
        """Keep results, all or none; one for the same (job, step, image) takes the place of that before."""

    def of_image(self, image: str) -> Sequence[Result]:
        """What is said of an image, oldest first."""

    def of_job(self, job: str, *, images: Sequence[str] | None = None) -> Sequence[Result]:
        """What the steps of a job said, in the order it was first said; of these images only, where they are given."""
