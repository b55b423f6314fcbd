"""Slices that make a volume, slices that do not, and stacks that lie in one another."""

from __future__ import annotations

import math

import pytest

from isocenter.pipeline.validation.geometry import Slice, check_slices, is_orientation
from isocenter.pipeline.validation.profile import load
from isocenter.pipeline.validation.report import Collector
from isocenter.pipeline.validation.validator import Validator
from isocenter.testing.elements import EXPLICIT, description, element, identity, item, meta, native, sequence

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
TILTED = (1.0, 0.0, 0.0, 0.0, math.cos(0.3), math.sin(0.3))
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


def found(*slices: Slice) -> dict[str, int]:
    collector = Collector(load("strict"), "series")
    check_slices(collector, slices)
    return {finding.rule: finding.count for finding in collector.report().findings}


def at(*places: float, orientation: tuple[float, ...] = AXIAL, apart: str = "") -> list[Slice]:
    """Slices along the normal."""
    a, b, c, d, e, f = orientation
    x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
    return [Slice((x * place, y * place, z * place), orientation, apart) for place in places]


@pytest.mark.parametrize("orientation", [AXIAL, TILTED, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)])
def test_a_volume_is_whole_whichever_way_it_lies_and_comes(orientation: tuple[float, ...]) -> None:
    assert found(*at(5, 0, 20, 10, 15, orientation=orientation)) == {}


def test_missing_slices_are_counted() -> None:
    assert found(*at(0, 2, 4, 10, 12, 16, 18)) == {"slice-missing": 3}


def test_doubles_are_counted() -> None:
    assert found(*at(0, 2, 2, 4, 6, 6, 6, 8)) == {"slice-double": 3}


def test_several_times_the_whole_stack_is_no_double() -> None:
    assert found(*at(0, 2, 4, 6), *at(0, 2, 4, 6)) == {}


def test_stacks_that_are_told_apart_are_held_apart() -> None:
    assert found(*at(0, 2, 4, 6, apart="echo 1"), *at(0, 2, 4, apart="echo 2")) == {}


def test_where_every_slice_is_told_apart_nothing_is() -> None:
    slices = [one._replace(apart=str(number)) for number, one in enumerate(at(0, 2, 4, 8, 10))]
    assert found(*slices) == {"slice-missing": 1}


def test_irregular_spacing_is_not_taken_for_missing_slices() -> None:
    assert found(*at(0, 2, 4, 7, 9)) == {"slice-spacing-irregular": 1}


def test_small_differences_do_not_count() -> None:
    assert found(*at(0, 2.04, 3.97, 6, 8.01)) == {}


def test_two_slices_say_nothing_of_a_third() -> None:
    assert found(*at(0, 50)) == {}


def test_a_tilted_gantry_is_told() -> None:
    slices = [Slice((0.0, 2.0 * n, 5.0 * n), AXIAL) for n in range(5)]
    assert found(*slices) == {"slices-shifted": 1}


def test_several_orientations_are_each_held_to_their_own() -> None:
    assert found(*at(0, 2, 4), *at(0, 2, 6, 4, orientation=TILTED)) == {"orientation-mixed": 1}


def test_what_is_stated_is_held_against_the_places() -> None:
    slices = [one._replace(thickness=1.0, between=3.0) for one in at(0, 5, 10)]
    assert found(*slices) == {"slice-gap": 1, "slice-spacing-differs": 1}
    assert found(*(one._replace(thickness=8.0, between=-5.0) for one in at(0, 5, 10))) == {}


@pytest.mark.parametrize(
    ("numbers", "good"),
    [
        (AXIAL, True),
        (TILTED, True),
        ((1, 0, 0), False),
        ((1, 0, 0, 1, 0, 0), False),
        ((2, 0, 0, 0, 1, 0), False),
        ((0, 0, 0, 0, 0, 0), False),
        ((1, 0, 0, 0, math.nan, 0), False),
    ],
)
def test_orientations(numbers: tuple[float, ...], good: bool) -> None:
    assert is_orientation(numbers) is good


def enhanced(*frames: tuple[float, float]) -> set[str]:
    """The rules of geometry that a multi-frame instance breaks, its frames given by place and time."""
    axes = sequence(0x00209116, item(element(0x00200037, "DS", "1\\0\\0\\0\\1\\0")))
    items = []
    for place, time in frames:
        position = sequence(0x00209113, item(element(0x00200032, "DS", f"0\\0\\{place}")))
        temporal = sequence(0x00209310, item(element(0x0020930D, "DS", str(time))))
        items.append(item(position + temporal))
    body = description(frames=str(len(frames))) + sequence(0x52009229, item(axes)) + sequence(0x52009230, *items)
    uid = "2.25.7"
    data = meta(EXPLICIT, uid) + identity(uid, sop_class=ENHANCED_CT) + body + native(bytes(32 * len(frames)))
    report = Validator("strict").object(lambda at, size: data[at : at + size], len(data)).report
    return {finding.rule for finding in report.findings if finding.rule.startswith("slice")}


def test_frames_are_held_to_it_as_slices_are() -> None:
    assert enhanced((0, 0), (1, 0), (2, 0), (3, 0)) == set()
    assert enhanced((0, 0), (1, 0), (2, 0), (4, 0)) == {"slice-missing"}
    assert enhanced((0, 0), (1, 0), (1, 0), (2, 0)) == {"slice-double"}


def test_frames_of_other_times_are_other_stacks() -> None:
    assert enhanced((0, 0), (1, 0), (2, 0), (0, 9), (1, 9)) == set()
