"""Each TextDetector against the contract, and what only RapidOCR does."""

from __future__ import annotations

import socket
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from isocenter.adapters.detectors.rapid_ocr import RapidOcr
from isocenter.errors import BackendUnavailable, Misconfigured
from isocenter.ports.detector import TextDetector
from isocenter.testing.detector_contract import WORD, Picture, TextDetectorContract


def draw(text: str, size: int) -> Picture:
    image = Image.new("L", (560, 160))
    ImageDraw.Draw(image).text((40, 60), text, fill=255, font=ImageFont.load_default(size))
    return np.asarray(image)


class TestRapidOcr(TextDetectorContract):
    def make_detector(self) -> TextDetector:
        return RapidOcr(threads=1)

    def draw(self, text: str, size: int) -> Picture:
        return draw(text, size)


def test_it_says_what_to_install_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(Misconfigured, match=r"isocenter\[ocr\]") as caught:
        RapidOcr()
    assert caught.value.code == "detector-missing"


def test_it_opens_no_connection_and_prints_nothing(monkeypatch, capfd):
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    detector = RapidOcr(threads=1)
    assert detector.find(draw(WORD, 24))
    assert capfd.readouterr() == ("", "")


def test_an_engine_that_fails_is_unavailable_and_quotes_nothing(monkeypatch):
    detector = RapidOcr(threads=1)

    def fail(_: Any) -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr(detector, "_engine", fail)
    with pytest.raises(BackendUnavailable) as caught:
        detector.find(draw(WORD, 24))
    assert "Doe" not in str(caught.value)
