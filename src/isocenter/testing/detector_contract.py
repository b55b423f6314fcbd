"""What any TextDetector must do, as tests to inherit."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest

from isocenter.ports.detector import TextBox, TextDetector

Picture = npt.NDArray[np.uint8]
WORD = "WINTERBOTTOM"


def letters(boxes: Iterable[TextBox]) -> str:
    return "".join(letter for box in boxes for letter in box.text.upper() if letter.isalnum())


class TextDetectorContract:
    """Subclass it with `make_detector` (called once) and `draw`."""

    _made: TextDetector | None = None

    def make_detector(self) -> TextDetector:
        raise NotImplementedError("override `make_detector`: only who ships a detector can make it")

    def draw(self, text: str, size: int) -> Picture:
        """Text of that height in white on a black picture of 160 x 560, its upper left corner at (40, 60)."""
        raise NotImplementedError("override `draw`: drawing takes what this room does not have")

    @pytest.fixture
    def detector(self) -> TextDetector:
        kind = type(self)
        if kind._made is None:
            kind._made = self.make_detector()
        return kind._made

    def test_it_says_its_name_and_version(self, detector: TextDetector) -> None:
        assert any(letter.isdigit() for letter in detector.name)

    @pytest.mark.parametrize("size", [14, 24, 48])
    def test_it_reads_a_word_and_says_where_it_is(self, detector: TextDetector, size: int) -> None:
        picture = self.draw(WORD, size)
        found = [box for box in detector.find(picture) if letters([box]) == WORD]
        assert len(found) == 1
        box = found[0]
        rows, columns = np.nonzero(picture)
        assert box.x <= columns.min() + 2
        assert box.x + box.width >= columns.max() - 1
        assert box.y <= rows.min() + 2
        assert box.y + box.height >= rows.max() - 1
        assert box.width * box.height < 4 * np.ptp(rows) * np.ptp(columns)
        assert 0.5 < box.confidence <= 1

    def test_black_on_white_and_colour_are_read_too(self, detector: TextDetector) -> None:
        grey = self.draw(WORD, 24)
        yellow = np.stack([grey, grey, np.zeros_like(grey)], axis=-1)
        for picture in (255 - grey, yellow):
            before = picture.copy()
            assert letters(detector.find(picture)) == WORD
            assert np.array_equal(picture, before)

    def test_text_at_the_very_edge_is_read(self, detector: TextDetector) -> None:
        picture = self.draw(WORD, 24)
        rows, columns = np.nonzero(picture)
        cut = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert letters(detector.find(np.pad(cut, ((0, 120), (0, 120))))) == WORD

    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 9), (64, 64), (200, 300, 3)])
    def test_a_picture_without_text_has_no_boxes(self, detector: TextDetector, shape: tuple[int, ...]) -> None:
        assert list(detector.find(np.zeros(shape, np.uint8))) == []

    def test_boxes_lie_within_the_picture(self, detector: TextDetector) -> None:
        noise = np.random.default_rng(5).integers(0, 256, (90, 120), dtype=np.uint8)
        for picture in (noise, self.draw(WORD, 48)[:80, :200]):
            for box in detector.find(picture):
                assert box.x >= 0
                assert box.y >= 0
                assert box.width > 0
                assert box.height > 0
                assert box.x + box.width <= picture.shape[1]
                assert box.y + box.height <= picture.shape[0]

    def test_a_box_does_not_show_its_text(self, detector: TextDetector) -> None:
        found = detector.find(self.draw(WORD, 24))
        assert found
        assert WORD not in repr(found).upper()

    def test_threads_get_their_own_answers(self, detector: TextDetector) -> None:
        words = [WORD, "HARPSICHORD", "MARGARINE"]
        answers: dict[str, str] = {}

        def look(word: str) -> None:
            answers[word] = letters(detector.find(self.draw(word, 24)))

        threads = [threading.Thread(target=look, args=(word,)) for word in words]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {word: word for word in words}
