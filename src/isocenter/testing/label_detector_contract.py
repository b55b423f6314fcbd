"""What any LabelDetector must do, as tests to inherit."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from isocenter.ports.detector import LabelBox, LabelDetector

Picture = npt.NDArray[np.uint8]


class LabelDetectorContract:
    """Subclass it with `make_detector` (called once) and `known`."""

    _made: LabelDetector | None = None

    def make_detector(self) -> LabelDetector:
        raise NotImplementedError("override `make_detector`: only who ships a detector can make it")

    def known(self) -> tuple[Picture, str]:
        """A picture, and the label the detector must be surest of or name among others."""
        raise NotImplementedError("override `known`: detectors know different things")

    @pytest.fixture
    def detector(self) -> LabelDetector:
        kind = type(self)
        if kind._made is None:
            kind._made = self.make_detector()
        return kind._made

    def test_it_says_its_name_and_version(self, detector: LabelDetector) -> None:
        assert any(letter.isdigit() for letter in detector.name)

    def test_it_names_what_it_knows_and_leaves_the_picture_as_it_is(self, detector: LabelDetector) -> None:
        picture, label = self.known()
        before = picture.copy()
        assert label in [box.label for box in detector.find(picture)]
        assert np.array_equal(picture, before)

    def test_the_surest_come_first(self, detector: LabelDetector) -> None:
        sure = [box.confidence for box in detector.find(self.known()[0])]
        assert sure == sorted(sure, reverse=True)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 9), (64, 64), (100, 120, 3)])
    def test_any_size_is_taken_and_boxes_lie_within(self, detector: LabelDetector, shape: tuple[int, ...]) -> None:
        noise = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
        for picture in (noise, np.zeros(shape, np.uint8)):
            _check(detector.find(picture), picture)
        _check(detector.find(self.known()[0]), self.known()[0])

    def test_threads_get_their_own_answers(self, detector: LabelDetector) -> None:
        pictures = [self.known()[0], self.known()[0][::2, ::2].copy(), np.zeros((90, 90), np.uint8)]
        alone = [list(detector.find(picture)) for picture in pictures]
        together: dict[int, list[LabelBox]] = {}

        def look(number: int) -> None:
            together[number] = list(detector.find(pictures[number]))

        threads = [threading.Thread(target=look, args=(number,)) for number in range(len(pictures))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [together[number] for number in range(len(pictures))] == alone


def _check(found: Sequence[LabelBox], picture: Picture) -> None:
    rows, columns = picture.shape[:2]
    for box in found:
        assert box.label
        assert 0 <= box.confidence <= 1
        sides = (box.x, box.y, box.width, box.height)
        if None in sides:
            assert sides == (None, None, None, None)
            continue
        assert box.x is not None
        assert box.y is not None
        assert box.width is not None
        assert box.height is not None
        assert min(box.x, box.y) >= 0
        assert min(box.width, box.height) > 0
        assert box.x + box.width <= columns + 1e-6
        assert box.y + box.height <= rows + 1e-6
