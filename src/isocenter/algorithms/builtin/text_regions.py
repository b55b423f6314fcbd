"""Where text is burned into the pixels, by the text detector; what it says stays there unless someone asks."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from isocenter.algorithms.base import Asks, Finding, Frame, Gives, Output, Parameters, Picture, Seen, Takes, algorithm
from isocenter.errors import Unsupported

_MOST_LETTERS: Final = 200


class Reading(Parameters):
    """What is told of text."""

    confidence: float = Field(0.5, ge=0, le=1, description="What is less sure is left out.")
    with_text: bool = Field(
        False, description="Whether what is read is told too. It may be a patient's name: results are stored and sent."
    )


@algorithm(
    name="text-regions",
    version="1.0.0",
    takes=Takes.PICTURE,
    gives=Gives.FINDINGS,
    parameters=Reading,
    suffix="_text",
    asks=Asks.TEXT,
)
def text_regions(source: Seen | Picture | Frame, parameters: Reading) -> Output:
    """Finds text in the pixels: boxes and confidences, and the text itself only where `with_text` says so."""
    if not isinstance(source, Seen):
        raise Unsupported("reading text takes the extra `ocr`: pip install 'isocenter[ocr]'", code="detector-missing")
    found = []
    for each in source.boxes:
        if each.confidence >= parameters.confidence:
            label = "text: " + _plain(each.text) if parameters.with_text else "text"
            box = (float(each.x), float(each.y), float(each.width), float(each.height))
            found.append(Finding(label, each.confidence, source.number, box))
    return Output(tuple(found))


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_MOST_LETTERS]
