"""Addresses of attributes as people write them: (gggg,eeee), ggggeeee or Keyword, dotted through sequences."""

from __future__ import annotations

import re
from dataclasses import dataclass

from isocenter.dicom.dictionary import tag_of
from isocenter.errors import BadRequest

_PAIR = re.compile(r"\(?([0-9A-Fa-f]{4}),? ?([0-9A-Fa-f]{4})\)?\Z")
_INDEX = re.compile(r"[0-9]{1,5}\Z")
_STEP = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<item>[0-9]{1,5})\])?\Z")
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class TagPath:
    """Sequences to go through as (tag, item number from 0), then the attribute's tag."""

    through: tuple[tuple[int, int], ...]
    tag: int

    @property
    def name(self) -> str:
        """As bulk data is named: tags and item numbers, "00880200/0/7FE00010"."""
        return "".join(f"{tag:08X}/{item}/" for tag, item in self.through) + f"{self.tag:08X}"


def parse(text: str) -> TagPath:
    """Read an address; a step through a sequence means its first item unless a number follows it.

    `ReferencedImageSequence.0.ReferencedSOPInstanceUID`, `(0008,1140)[0].(0008,1155)`, `00081140.00081155`.
    """
    steps: list[tuple[int, int]] = []
    for part in text.strip().split("."):
        if steps and _INDEX.match(part):
            steps[-1] = (steps[-1][0], int(part))
            continue
        steps.append(_step(part))
    if len(steps) > _DEEPEST:
        raise BadRequest(f"dicom_tag goes deeper than {_DEEPEST} sequences", code="bad-tag")
    return TagPath(tuple(steps[:-1]), steps[-1][0])


def _step(part: str) -> tuple[int, int]:
    found = _STEP.match(part.strip())
    name = found["name"] if found else ""
    item = int(found["item"]) if found and found["item"] else 0
    pair = _PAIR.match(name)
    if pair:
        return int(pair[1] + pair[2], 16), item
    tag = tag_of(name)
    if tag is None:
        raise BadRequest(
            "dicom_tag takes (gggg,eeee), ggggeeee or a Keyword of PS3.6, dotted to go through sequences",
            code="bad-tag",
        )
    return tag, item
