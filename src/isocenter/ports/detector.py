"""Finds written text in a picture: what pixel cleaning looks with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class TextBox:
    """A line of text as it was read, `confidence` from 0 to 1, and the upright rectangle around it in pixels.

    The text may be a patient's name: it goes into no log, no error and no evidence, not by its repr either.
    """

    text: str
    confidence: float
    x: int
    y: int
    width: int
    height: int

    def __repr__(self) -> str:
        return f"TextBox(x={self.x}, y={self.y}, width={self.width}, height={self.height})"


class TextDetector(Protocol):
    """Reads pictures; safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """The engine, its version and its model, for the record of what looked."""
        ...

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[TextBox]:
        """The text in a picture of (rows, columns) grey or (rows, columns, 3) red, green, blue, any size from 1 x 1.

        Boxes lie within the picture and have an area; a picture without text gives none. BackendUnavailable where
        the engine failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class LabelBox:
    """Something seen in a picture, `confidence` from 0 to 1, and the upright rectangle around it in pixels.

    x, y, width and height are None where the whole picture is meant.
    """

    label: str
    confidence: float
    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None


class LabelDetector(Protocol):
    """Says what is to be seen in pictures; safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """The engine and its version or model, for the record of what looked."""
        ...

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[LabelBox]:
        """What is seen in a picture of (rows, columns) grey or (rows, columns, 3) red, green, blue, from 1 x 1 on.

        The surest come first. Boxes lie within the picture and have an area. BackendUnavailable where the engine
        failed or did not answer.
        """
        ...
