"""Burned-in text of many kinds, read by RapidOCR itself: names go, labels stay, as a second reader sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from isocenter.adapters.detectors.rapid_ocr import RapidOcr
from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.deid.identifiers import Known
from isocenter.deid.pixel_policy import Pixels
from isocenter.deid.pixels import PixelCleaner
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import decode_frame
from isocenter.dicom.frames import frame_table, read_frame
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.render.font import text_bits
from isocenter.testing.pixel_instances import pixel_instance

KNOWN = Known(frozenset(("winterbottom", "josephine")), frozenset(("4471903",)), frozenset(("19510829",)))
ROWS, COLUMNS = 340, 480


@pytest.fixture(scope="module")
def detector():
    return RapidOcr(threads=1)


def written(lines, size=16):
    """Where letters are, for lines of (x, y, text); the gateway's own bitmap font for size None."""
    mask = np.zeros((ROWS, COLUMNS), bool)
    image = Image.new("1", (COLUMNS, ROWS))
    for x, y, text in lines:
        if size is None:
            bits = text_bits(text)
            mask[y : y + bits.shape[0], x : x + bits.shape[1]] |= bits.astype(bool)
        else:
            ImageDraw.Draw(image).text((x, y), text, fill=1, font=ImageFont.load_default(size))
    return mask | np.asarray(image)


def anatomy(low, high, dtype):
    """A bright ellipse with texture on a dark ground."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    inside = ((y - 140) / 90) ** 2 + ((x - 200) / 150) ** 2 < 1
    texture = np.random.default_rng(2).random((ROWS, COLUMNS))
    return np.where(inside, low + (high - low) * (0.5 + 0.4 * texture), low + (high - low) * 0.05 * texture).astype(
        dtype
    )


LINES = [
    (8, 6, "WINTERBOTTOM JOSEPHINE"),
    (8, 30, "4471903"),
    (250, 30, "08/29/1951"),
    (8, 225, "LIVER LONG"),
    (300, 225, "10 cm"),
]
LABELS = ("LIVER", "LONG", "10CM")


def clean(data: bytes, detector: RapidOcr, policy: Pixels) -> tuple[Any, np.ndarray]:
    """The result and the picture that is left of the first frame, as stored values."""
    reader = HeaderReader()
    reader.feed(data)
    header = reader.finish()
    description = PixelDescription.from_data_set(DataSet(encode(header.elements).model), header.transfer_syntax_uid)

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    result = PixelCleaner(policy, detector, InProcessSandbox()).clean(header, read, KNOWN)
    assert result is not None
    frame = decode_frame(description, read_frame(frame_table(header, description), description, 1, read)).pixels.copy()
    for cut in result.record.cuts:
        frame[cut.y : cut.y + cut.height, cut.x : cut.x + cut.width] = 0 if frame.dtype.kind == "u" else frame.min()
    return result, frame


def letters(detector, picture):
    found = "".join(box.text for box in detector.find(picture)).upper()
    return "".join(letter for letter in found if letter.isalnum())


def legible(detector, frame, low, high):
    """All letters that are read at native scale and at twice that."""
    shown = (np.clip((frame.astype(float) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    grey = shown if shown.ndim == 2 else shown.max(axis=2)
    twice = np.asarray(Image.fromarray(grey).resize((2 * COLUMNS, 2 * ROWS), Image.Resampling.LANCZOS))
    return letters(detector, grey) + letters(detector, twice)


def check(result, frame, detector, low, high):
    left = legible(detector, frame, low, high)
    for gone in ("WINTERB", "BOTTOM", "JOSEPH", "4471", "1903", "1951", "0829"):
        assert gone not in left
    for label in LABELS:
        assert label in left
    assert result.record.verified
    assert result.record.outside_text_percent < 2
    assert "rapidocr" in result.record.detector


@pytest.mark.parametrize("size", [10, 20])
def test_eight_bits(detector, size):
    frame = anatomy(0, 160, np.uint8)
    frame[written([(x, y, text) for x, y, text in LINES], size)] = 255
    check(*clean(pixel_instance(frame[None]), detector, Pixels(read="always")), detector, 0, 255)


def test_text_of_five_by_eight_pixels(detector):
    frame = anatomy(0, 120, np.uint8)
    frame[written(LINES, None)] = 230
    check(*clean(pixel_instance(frame[None]), detector, Pixels(read="always")), detector, 0, 255)


@pytest.mark.parametrize("value", [32767, 1200])
def test_sixteen_bits_signed_under_a_narrow_window(detector, value):
    frame = anatomy(-1000, 300, np.int16)
    frame[written(LINES)] = value
    data = pixel_instance(frame[None], WindowCenter=40, WindowWidth=400, RescaleSlope=1, RescaleIntercept=0)
    check(*clean(data, detector, Pixels(read="always")), detector, -1000, 1200)


def test_dark_text_on_a_bright_ground(detector):
    frame = 4095 - anatomy(0, 1500, np.uint16)
    frame[written(LINES)] = 0
    result, left = clean(
        pixel_instance(frame[None], stored=12, photometric="MONOCHROME1"), detector, Pixels(read="always")
    )
    for cut in result.record.cuts:
        left[cut.y : cut.y + cut.height, cut.x : cut.x + cut.width] = 4095
    check(result, left, detector, 0, 4095)


def test_yellow_text_and_all_text(detector):
    frame = np.repeat(anatomy(0, 150, np.uint8)[..., None], 3, axis=2)
    frame[written(LINES)] = (255, 220, 40)
    data = pixel_instance(frame[None], photometric="RGB", transfer_syntax="1.2.840.10008.1.2.5")
    check(*clean(data, detector, Pixels(read="always")), detector, 0, 255)
    result, left = clean(data, detector, Pixels(read="always", remove="all"))
    assert result.record.verified
    assert len(legible(detector, left, 0, 255)) <= 3


def test_an_image_without_text_is_left_as_it_is(detector):
    frame = anatomy(-1000, 300, np.int16)
    result, _ = clean(pixel_instance(frame[None]), detector, Pixels(read="always"))
    assert result.changes == {}
    assert result.record.frames_read == 1
