"""The plug-in contract: what an algorithm declares, what it is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from pydicom.dataset import Dataset

Stored = npt.NDArray[Any]
Shown = npt.NDArray[np.uint8]
MOST_RUNS: Final = 50_000  # of one mask


class Takes(StrEnum):
    """What an algorithm is given: FRAME and PICTURE once for each frame, the others once for an image or series."""

    FRAME = "frame"
    VOLUME = "volume"
    DATA_SET = "data-set"
    PICTURE = "picture"


class Gives(StrEnum):
    """What comes back."""

    FINDINGS = "findings"
    OVERLAY = "overlay"
    IMAGE = "image"
    DATA_SET = "data-set"


class Asks(StrEnum):
    """A detector that the installation chose, which looks at the shown frames before the algorithm does."""

    TEXT = "text"
    LABELS = "labels"


class Parameters(BaseModel):
    """Base of an algorithm's parameters. What is wrong is named without what was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found in an image.

    `frame` counts from 1. `box` is x, y, width and height, `polygon` a ring of x and y, both in pixel coordinates of
    that frame: (0, 0) is the upper left corner of the upper left pixel. `values` are measured, by name. `mask` says
    which pixels of the box it is: row by row from the upper left, so many that are not, then so many that are, and on.
    """

    label: str
    confidence: float = 1.0
    frame: int = 1
    box: tuple[float, float, float, float] | None = None
    polygon: tuple[tuple[float, float], ...] | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    mask: tuple[int, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """What is stored and sent; parts that there are not are left out."""
        found: dict[str, Any] = {"label": self.label, "confidence": self.confidence, "frame": self.frame}
        if self.box is not None:
            found["box"] = list(self.box)
        if self.polygon is not None:
            found["polygon"] = [list(point) for point in self.polygon]
        if self.values:
            found["values"] = dict(self.values)
        if self.mask is not None:
            found["mask"] = list(self.mask)
        return found


def runs_of(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """What `Finding.mask` has of the pixels (rows, columns) of its box."""
    flat = mask.reshape(-1)
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    return tuple(np.diff(changes, prepend=0, append=flat.size).tolist())


@dataclass(frozen=True, slots=True)
class Made:
    """A file that was made. `suffix` is the end of its name, after the source's and the algorithm's: ".dcm"."""

    media_type: str
    data: bytes = field(repr=False)
    suffix: str


@dataclass(frozen=True, slots=True)
class Output:
    """What an algorithm gives back."""

    findings: tuple[Finding, ...] = ()
    made: tuple[Made, ...] = ()

    def __add__(self, other: Output) -> Output:
        return Output(self.findings + other.findings, self.made + other.made)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: `stored` values and `shown` levels or colours, (rows, columns) or (rows, columns, 3).

    `spacing` is between rows and between columns in mm. `slope` and `intercept` are those of the modality transform
    where it is linear; `background` marks padding, which is no part of the image.
    """

    stored: Stored
    shown: Shown
    number: int = 1
    spacing: tuple[float, float] | None = None
    modality: str = ""
    image_type: tuple[str, ...] = ()
    slope: float = 1.0
    intercept: float = 0.0
    background: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """Voxels (slices, rows, columns) in modality units; `affine` takes (slice, row, column, 1) to LPS in mm.

    LPS: left, posterior and superior grow, as in PS3.3 C.7.6.2.1.1. `spacing` is between slices, rows and columns.
    """

    voxels: Stored
    affine: npt.NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        found = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(found[0]), float(found[1]), float(found[2])


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels (rows, columns) or (rows, columns, 3) of 8 bits: a shown frame, or a JPEG, PNG or GIF."""

    pixels: Shown
    number: int = 1
    spacing: tuple[float, float] | None = None


class DataSetInput(Protocol):
    """A DICOM instance: its Data Set as pydicom has it, without pixel data, and its frames one at a time."""

    @property
    def data_set(self) -> Dataset: ...

    @property
    def transfer_syntax_uid(self) -> str: ...

    @property
    def count(self) -> int:
        """How many frames there are."""
        ...

    def frame(self, number: int) -> Frame:
        """Frame `number` from 1, decoded."""
        ...

    def frames(self) -> Iterator[Frame]:
        """All of them, one in memory at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What the installation's detector saw in one frame, for an algorithm that `asks` for it."""

    boxes: Sequence[Any]  # TextBox or LabelBox
    number: int


Input = Frame | Volume | DataSetInput | Picture | Seen


class Algorithm(Protocol):
    """What a plug-in is. `run` is called in a worker process, which may be used again: keep nothing between calls.

    `takes` is in order of preference. Results are named after the source, then `suffix`, then what was made.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> type[Parameters]: ...

    @property
    def takes(self) -> tuple[Takes, ...]: ...

    @property
    def gives(self) -> tuple[Gives, ...]: ...

    @property
    def suffix(self) -> str: ...

    @property
    def asks(self) -> Asks | None: ...

    def run(self, source: Any, parameters: Any) -> Output:
        """Do it. Raises Rejected with a code for data that it cannot do; whatever else it raises ends it."""
        ...


@dataclass(frozen=True, slots=True)
class FunctionAlgorithm:
    """A plain function with what `algorithm` declared of it."""

    function: Callable[[Any, Any], Output]
    name: str
    version: str
    description: str
    takes: tuple[Takes, ...]
    gives: tuple[Gives, ...]
    parameters: type[Parameters]
    suffix: str
    asks: Asks | None = None

    def run(self, source: Any, parameters: Any) -> Output:
        return self.function(source, parameters)


F = TypeVar("F", bound=Callable[[Any, Any], Output])


def algorithm(
    *,
    name: str,
    version: str,
    takes: Takes | Sequence[Takes],
    gives: Gives | Sequence[Gives],
    parameters: type[Parameters] = Parameters,
    suffix: str | None = None,
    asks: Asks | None = None,
) -> Callable[[F], FunctionAlgorithm]:
    """Makes an algorithm of a function; its description is the first line of the function's docstring."""

    def declared(function: F) -> FunctionAlgorithm:
        return FunctionAlgorithm(
            function=function,
            name=name,
            version=version,
            description=(function.__doc__ or "").strip().partition("\n")[0],
            takes=(takes,) if isinstance(takes, Takes) else tuple(takes),
            gives=(gives,) if isinstance(gives, Gives) else tuple(gives),
            parameters=parameters,
            suffix="_" + name if suffix is None else suffix,
            asks=asks,
        )

    return declared
