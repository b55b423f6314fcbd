"""Hostile and odd files, the same on every run: what an attacker, a broken writer or a bad wire may send.

What must become of each at a door that takes images of any kind: "accept" (kept, and given back byte for
byte), "reject" (refused with a reason), or "either" (one of the two, and nothing worse).
"""

from __future__ import annotations

from collections.abc import Iterator

from isocenter.testing import hostile_data_sets, hostile_kinds, hostile_pixels
from isocenter.testing.hostile_data_sets import Hostile


def corpus() -> Iterator[Hostile]:
    """Every hostile file, one at a time."""
    for part in (
        hostile_data_sets.structure(),
        hostile_data_sets.nesting(),
        hostile_data_sets.lengths(),
        hostile_data_sets.headers(),
        hostile_data_sets.values(),
        hostile_data_sets.text(),
        hostile_data_sets.deflated(),
        hostile_pixels.lies(),
        hostile_pixels.codestreams(),
        hostile_kinds.volumes(),
        hostile_kinds.pictures(),
        hostile_kinds.polyglots(),
        hostile_kinds.packed(),
    ):
        yield from part
