"""A detector is made when the first picture comes, and refused at once where its packages are missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from isocenter.adapters.detectors.on_demand import OnDemand
from isocenter.errors import Misconfigured
from isocenter.ports.detector import TextBox


class Made:
    count = 0
    name = "made 1.0"

    def __init__(self) -> None:
        Made.count += 1

    def find(self, picture: object) -> Sequence[TextBox]:
        return [TextBox("words", 1.0, 0, 0, 2, 2)]


def test_it_is_made_once_and_only_when_needed():
    detector = OnDemand(Made, ("numpy",))
    assert Made.count == 0
    for _ in range(2):
        assert len(detector.find(np.zeros((4, 4), np.uint8))) == 1
    assert detector.name == "made 1.0"
    assert Made.count == 1


def test_a_missing_package_is_told_before_anything_is_read():
    with pytest.raises(Misconfigured, match="make ocr") as caught:
        OnDemand(Made, ("numpy", "no_such_package"))
    assert caught.value.code == "detector-missing"
