"""Whether slices make a volume: places along the normal, gaps, doubles, spacing (PS3.3 C.7.6.2.1.1)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from isocenter.dicom.elements import Element
from isocenter.pipeline.validation.elements import Items, Values
from isocenter.pipeline.validation.report import Collector

_POSITION, _ORIENTATION, _SPACING = 0x00200032, 0x00200037, 0x00280030
_THICKNESS, _BETWEEN = 0x00180050, 0x00180088
_PLANE_POSITION, _PLANE_ORIENTATION, _MEASURES = 0x00209113, 0x00209116, 0x00289110
_FRAME_CONTENT, _STACK, _TIME = 0x00209111, 0x00209056, 0x00209128
# Macros of temporal position, MR echo and diffusion, cardiac and respiratory phase, kinds of CT and MR frames.
_TELLING = (0x00209310, 0x00189114, 0x00189117, 0x00189118, 0x00209253, 0x00189329, 0x00189226)
_UNIT = 1e-3  # how far from 1 a length and from 0 a product of directions may be
_SAME = 0.01  # mm, within which two slices lie at the same place
_FEW = 3

Vector = tuple[float, float, float]


class Slice(NamedTuple):
    """Where one slice lies, in millimetres; `apart` tells the stacks of a series from one another."""

    position: Vector
    orientation: tuple[float, ...]
    apart: str = ""
    thickness: float | None = None
    between: float | None = None
    matrix: tuple[float, ...] = ()


def is_orientation(numbers: Sequence[float]) -> bool:
    """Whether these are two unit vectors at right angles."""
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        return False
    row, column = numbers[:3], numbers[3:]
    return (
        abs(math.hypot(*row) - 1) < _UNIT
        and abs(math.hypot(*column) - 1) < _UNIT
        and abs(sum(a * b for a, b in zip(row, column, strict=True))) < _UNIT
    )


def slice_of(values: Values, apart: str = "", matrix: tuple[float, ...] = ()) -> Slice | None:
    """Where a single-frame instance lies; None where it says nothing usable."""
    return _slice(values, values, values, apart, matrix)


def _slice(position: Values, orientation: Values, measures: Values, apart: str, matrix: tuple[float, ...]
           ) -> Slice | None:  # fmt: skip
    place, directions = position.numbers(_POSITION), orientation.numbers(_ORIENTATION)
    if len(place) != 3 or not is_orientation(directions):
        return None
    return Slice(
        (place[0], place[1], place[2]), tuple(directions), apart, measures.number(_THICKNESS),
        measures.number(_BETWEEN), (*matrix, *measures.numbers(_SPACING)),
    )  # fmt: skip


def check_frames(found: Collector, values: Values, shared: list[Items], frames: list[Items]) -> None:
    """The frames of an enhanced multi-frame instance, each with what is shared."""
    base = values.inner(shared[0]) if shared else values.inner({})
    slices = []
    for item in frames:
        own = values.inner(item)
        parts = [_group(own, base, tag) for tag in (_PLANE_POSITION, _PLANE_ORIENTATION, _MEASURES)]
        content = _group(own, base, _FRAME_CONTENT)
        apart = "/".join((content.string(_STACK), str(content.numbers(_TIME)), _told_by(item)))
        one = _slice(parts[0], parts[1], parts[2], apart, ())
        if one is not None:
            slices.append(one)
    check_slices(found, slices)


def _told_by(item: Items) -> str:
    """What besides its place tells a frame from the others: time, echo, diffusion, phase, kind."""
    return str([_content(item[tag]) for tag in _TELLING if tag in item])


def _content(element: Element) -> object:
    if not isinstance(element.value, list):
        return element.value
    return [[(tag, _content(inner)) for tag, inner in item.items()] for item in element.value]


def _group(own: Values, base: Values, tag: int) -> Values:
    items = own.items(tag) or base.items(tag)
    return own.inner(items[0] if items else {})


def check_slices(found: Collector, slices: Sequence[Slice]) -> None:
    """The slices of one series or multi-frame instance; stacks are told apart before they are held to account."""
    by_direction: dict[tuple[float, ...], list[Slice]] = defaultdict(list)
    for one in slices:
        by_direction[tuple(round(each, 2) + 0.0 for each in one.orientation)].append(one)
    if len(by_direction) > 1:
        found.add("orientation-mixed", _ORIENTATION)
    for alike in by_direction.values():
        stacks: dict[str, list[Slice]] = defaultdict(list)
        for one in alike:
            stacks[one.apart].append(one)
        # Where every slice is told apart, by an acquisition number for each, nothing is.
        several = stacks.values() if any(len(stack) > 1 for stack in stacks.values()) else [alike]
        for stack in several:
            if len(stack) > 1:
                _check_stack(found, stack)


def _check_stack(found: Collector, stack: Sequence[Slice]) -> None:
    if len({one.matrix for one in stack}) > 1:
        found.add("matrix-mixed", _SPACING)
    normal = _normal(stack[0].orientation)
    placed = sorted((sum(a * b for a, b in zip(one.position, normal, strict=True)), one.position) for one in stack)
    places: list[tuple[float, Vector]] = []
    times: list[int] = []
    for place in placed:
        if places and place[0] - places[-1][0] < _SAME:
            times[-1] += 1
        else:
            places.append(place)
            times.append(1)
    # As often at every place: several phases, echoes or directions that no attribute tells apart, not doubles.
    if len(set(times)) > 1 or (len(times) == 1 and times[0] > 1 and len(stack) <= _FEW):
        usual = Counter(times).most_common(1)[0][0]
        found.add_path("slice-double", "ImagePositionPatient", count=sum(n - usual for n in times if n > usual) or 1)
    gaps = [later[0] - sooner[0] for sooner, later in pairwise(places)]
    if len(gaps) >= _FEW - 1:
        _check_gaps(found, gaps)
    if gaps:
        _check_stated(found, stack, median(gaps))
        _check_shift(found, [position for _, position in places], normal)


def _check_gaps(found: Collector, gaps: Sequence[float]) -> None:
    usual = median(gaps)
    loose = max(0.1, 0.05 * usual)
    missing = 0
    irregular = 0
    for gap in gaps:
        if abs(gap - usual) <= loose:
            continue
        times = round(gap / usual)
        if times >= 2 and abs(gap - times * usual) <= loose * times:
            missing += times - 1
        else:
            irregular += 1
    if missing and not irregular:
        found.add_path("slice-missing", "ImagePositionPatient", count=missing)
    elif irregular:
        found.add_path("slice-spacing-irregular", "ImagePositionPatient", count=irregular + bool(missing))


def _check_stated(found: Collector, stack: Sequence[Slice], spacing: float) -> None:
    """SliceThickness and SpacingBetweenSlices against the spacing that the places have."""
    loose = max(0.1, 0.05 * spacing)
    thickness, between = stack[0].thickness, stack[0].between
    if thickness and spacing > thickness + loose:
        found.add("slice-gap", _THICKNESS)
    if between and abs(abs(between) - spacing) > loose:
        found.add("slice-spacing-differs", _BETWEEN)


def _check_shift(found: Collector, positions: Sequence[Vector], normal: Vector) -> None:
    """Positions have to differ along the normal only."""
    first, last = positions[0], positions[-1]
    way = tuple(b - a for a, b in zip(first, last, strict=True))
    along = sum(a * b for a, b in zip(way, normal, strict=True))
    if math.hypot(*(w - along * n for w, n in zip(way, normal, strict=True))) > max(1.0, 0.02 * abs(along)):
        found.add("slices-shifted", _POSITION)


def _normal(orientation: Iterable[float]) -> Vector:
    a, b, c, d, e, f = orientation
    return (b * f - c * e, c * d - a * f, a * e - b * d)
