"""What is to be seen in an image, with boxes and confidences, by the detector that the installation chose."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from isocenter.algorithms.base import Asks, Finding, Frame, Gives, Output, Parameters, Picture, Seen, Takes, algorithm
from isocenter.algorithms.builtin.classical_labels import labels_of


class Least(Parameters):
    """What is told."""

    confidence: float = Field(0.5, ge=0, le=1, description="What is less sure is left out.")
    most: int = Field(100, ge=1, le=1000, description="Labels of one frame, the surest first.")


@algorithm(
    name="labels",
    version="1.0.0",
    takes=(Takes.FRAME, Takes.PICTURE),
    gives=Gives.FINDINGS,
    parameters=Least,
    asks=Asks.LABELS,
)
def labels(source: Frame | Picture | Seen, parameters: Least) -> Output:
    """Says what is to be seen: body, air, implants and markers, or what the set-up detector knows.

    Without a detector in the settings a classical one works by intensity and shape, in CT by Hounsfield units.
    """
    if isinstance(source, Seen):
        return Output(_kept(_told(source), parameters))
    if isinstance(source, Picture):
        source = Frame(source.pixels, source.pixels, source.number, source.spacing)
    return Output(_kept(labels_of(source), parameters))


def _told(seen: Seen) -> list[Finding]:
    found = []
    for each in seen.boxes:
        whole = None in (each.x, each.y, each.width, each.height)
        box = None if whole else (float(each.x), float(each.y), float(each.width), float(each.height))
        found.append(Finding(each.label, each.confidence, seen.number, box))
    return found


def _kept(found: Iterable[Finding], parameters: Least) -> tuple[Finding, ...]:
    sure = [each for each in found if each.confidence >= parameters.confidence]
    return tuple(sorted(sure, key=lambda each: -each.confidence)[: parameters.most])
