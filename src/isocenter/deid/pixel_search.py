"""Finds the text that goes from each frame of an instance, and looks again at what is left of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.deid.boxes import Box, Cut, Why, merged
from isocenter.deid.burned_in import Wanted
from isocenter.deid.pixel_fill import filled
from isocenter.deid.pixel_frames import Frames
from isocenter.deid.pixel_reading import News, Reader
from isocenter.errors import Rejected
from isocenter.ports.detector import TextBox

_ROUNDS: Final = 4  # in which what is still read is taken out as well
_LEAST_MARGIN: Final = 2
# Text stays where it was if its strokes changed by no more than this part of its contrast.
_SAME: Final = 0.15
_MOST_STENCILS: Final = 500
_SURE: Final = 0.6  # of text that says nothing
_LARGEST_LETTER: Final = 50  # of such in a frame


@dataclass(frozen=True, slots=True)
class Found:
    """What goes from each frame that anything goes from, and whether a second reading bore it out."""

    cuts: dict[int, tuple[Cut, ...]]
    verified: bool | None


class Search:
    """`first` are cuts that are made before anything is read."""

    def __init__(self, frames: Frames, reader: Reader, wanted: Wanted, first: Iterable[Cut]) -> None:
        self._frames = frames
        self._reader = reader
        self._wanted = wanted
        self._first = tuple(first)
        self._stencils: list[_Stencil] = []

    def run(self) -> Found:
        """Read every frame, then every frame again that text was found in, or was in a frame beside it."""
        read: dict[int, list[Cut]] = {}
        news = News()
        for number in range(1, self._frames.count + 1):
            pixels, photometric = self._without(number, self._first)
            read[number] = self._cuts(pixels, photometric, news)
            news.forget(self._remember(read[number], pixels))
        cuts: dict[int, tuple[Cut, ...]] = {}
        again = News()
        for number in range(1, self._frames.count + 1):
            text = read.pop(number)
            if self._stencils:
                pixels, _ = self._without(number, self._first)
                still = (stencil.cut for stencil in self._stencils if stencil.fits(pixels))
                text = merged([*text, *still])
            if text:
                text = self._verified(number, text, again)
            if text or self._first:
                cuts[number] = (*self._first, *text)
        return Found(cuts, True if cuts else None)

    def _without(self, number: int, cuts: Iterable[Cut]) -> tuple[npt.NDArray[Any], str]:
        frame = self._frames.decoded(number)
        boxes = [cut.box for cut in cuts]
        pixels = filled(frame.pixels, boxes, self._frames.fill) if boxes else frame.pixels
        return pixels, frame.photometric_interpretation

    def _verified(self, number: int, text: list[Cut], news: News) -> list[Cut]:
        """The cuts, with those for what was still read without them.

        Rejected (`burned-in-text-left`) where something comes to light in every round.
        """
        for _ in range(_ROUNDS):
            pixels, photometric = self._without(number, (*self._first, *text))
            left = self._cuts(pixels, photometric, news)
            if not left:
                return text
            # Looked at once more, here and in the frames that show the same.
            news.forget(cut.box for cut in left)
            text = merged([*text, *left])
        raise Rejected(
            f"text that is to go was still read in its pixels after {_ROUNDS} rounds", code="burned-in-text-left"
        )

    def _cuts(self, pixels: npt.NDArray[Any], photometric: str, news: News) -> list[Cut]:
        rows, columns = pixels.shape[:2]
        found: list[Cut] = []
        for look in self._reader.read(pixels, photometric, news.regions(pixels)):
            cuts = []
            for place, why in self._wanted.found(look.boxes).items():
                read = look.boxes[place]
                box = Box(read.x, read.y, read.width, read.height).clipped(rows, columns)
                if box.area and (why != "text" or _is_plausible(read, rows * columns)):
                    cuts.append(_cut(box, why, rows, columns))
            # What was seen reduced is known less well to the pixel: it counts where nothing else saw the same.
            found += [cut for cut in cuts if look.scale >= 1 or not any(_spans(fine, cut) for fine in found)]
        return merged(found)

    def _remember(self, cuts: Iterable[Cut], pixels: npt.NDArray[Any]) -> list[Box]:
        """Keep what was found for other frames; gives the boxes for which there is no more room."""
        beyond = []
        for cut in cuts if self._frames.count > 1 else ():
            if any(known.cut.box == cut.box and known.fits(pixels) for known in self._stencils):
                continue
            if len(self._stencils) < _MOST_STENCILS:
                self._stencils.append(_Stencil.of(cut, pixels))
            else:
                beyond.append(cut.box)
        return beyond


def _cut(text: Box, why: Why, rows: int, columns: int) -> Cut:
    """With room around it, more at its ends: of faint text the reader may have missed a letter there."""
    margin, ends = max(_LEAST_MARGIN, text.height // 12), max(_LEAST_MARGIN, text.height // 5)
    box = Box(text.x - ends, text.y - margin, text.width + 2 * ends, text.height + 2 * margin)
    return Cut(box.clipped(rows, columns), why, text)


def _is_plausible(read: TextBox, area: int) -> bool:
    """Whether a box is text at all, where any text goes: anatomy is taken for large single letters now and then."""
    letters = sum(letter.isalnum() for letter in read.text)
    return read.confidence >= _SURE and (letters > 2 or _LARGEST_LETTER * read.width * read.height <= area)


def _spans(fine: Cut, coarse: Cut) -> bool:
    """Whether a cut holds the middle of another from end to end."""
    one, other = fine.box, coarse.box
    slack = other.width // 10
    middle = other.y + other.height // 2
    return one.x <= other.x + slack and one.right >= other.right - slack and one.y <= middle < one.bottom


@dataclass(frozen=True, slots=True)
class _Stencil:
    """The strokes of text that was found in one frame, to tell whether it stands in another.

    A reader may find text in one frame and miss it in the next, where the picture moves beneath it.
    """

    cut: Cut
    values: npt.NDArray[np.float32]
    strokes: npt.NDArray[np.bool_]
    contrast: float

    @classmethod
    def of(cls, cut: Cut, pixels: npt.NDArray[Any]) -> _Stencil:
        values = _grey(pixels[(cut.text or cut.box).slices])
        low, high = float(values.min()), float(values.max())
        light, dark = values > high - (high - low) / 4, values < low + (high - low) / 4
        # Strokes are what there is less of.
        strokes = light if np.count_nonzero(light) <= np.count_nonzero(dark) else dark
        return cls(cut, values, strokes, max(high - low, 1.0))

    def fits(self, pixels: npt.NDArray[Any]) -> bool:
        there = _grey(pixels[(self.cut.text or self.cut.box).slices])
        changed = np.abs(there - self.values)
        if not changed.any():
            return True
        strokes = changed[self.strokes]
        return strokes.size > 0 and float(np.median(strokes)) <= _SAME * self.contrast


def _grey(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = pixels.astype(np.float32)
    return found.mean(axis=2, dtype=np.float32) if found.ndim == 3 else found
