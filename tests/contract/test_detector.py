"""Each TextDetector against the contract, and what only one of them does."""

from __future__ import annotations

import base64
import socket
import sys
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.contract.rekognition_double import CREDENTIALS, double

from isocenter.adapters.detectors.rapid_ocr import RapidOcr
from isocenter.adapters.detectors.rekognition import RekognitionText
from isocenter.errors import BackendUnavailable, Misconfigured
from isocenter.ports.detector import TextBox, TextDetector
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


# Rekognition ----------------------------------------------------------------------------------------------------


def as_rekognition_tells(picture: Picture, boxes: list[TextBox]) -> dict[str, Any]:
    """Boxes in the words of DetectText: shares of the picture, percents, each line and then its words."""
    rows, columns = picture.shape[:2]
    told = []
    for number, box in enumerate(boxes):
        place = {
            "Left": box.x / columns,
            "Top": box.y / rows,
            "Width": box.width / columns,
            "Height": box.height / rows,
        }
        line: dict[str, Any] = {
            "DetectedText": box.text,
            "Type": "LINE",
            "Id": number,
            "Confidence": box.confidence * 100,
        }
        told.append({**line, "Geometry": {"BoundingBox": place, "Polygon": []}})
    words = [{**line, "Type": "WORD"} for line in told for _ in line["DetectedText"].split()]
    return {"TextDetections": told + words[:100], "TextModelVersion": "3.0"}


@pytest.fixture(scope="module", autouse=True)
def reading() -> Iterator[None]:
    """A Rekognition that reads with RapidOCR: request, answer and coordinates are the service's, the eyes are not."""
    eyes = RapidOcr(threads=1)

    def answer(request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        picture = imagecodecs.png_decode(base64.b64decode(request["Image"]["Bytes"]))
        return 200, as_rekognition_tells(picture, list(eyes.find(picture)))

    with double("DetectText", answer) as endpoint:
        TestRekognition.endpoint = endpoint
        yield


class TestRekognition(TextDetectorContract):
    endpoint = ""

    def make_detector(self) -> TextDetector:
        return RekognitionText("us-east-1", endpoint=self.endpoint, **CREDENTIALS)

    def draw(self, text: str, size: int) -> Picture:
        return draw(text, size)


def test_where_rekognition_tells_a_hundred_words_the_quarters_are_looked_at_too() -> None:
    """It tells no more of one picture: what it left out would stay in the image."""
    spots = np.zeros((400, 600), np.uint8)
    places = [(y, x) for y in range(10, 400, 30) for x in range(10, 600, 40)]
    for y, x in places:
        spots[y : y + 8, x : x + 20] = 255

    def answer(request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        picture = imagecodecs.png_decode(base64.b64decode(request["Image"]["Bytes"]))
        begins = np.argwhere((picture > 0) & (np.roll(picture, 1, 0) == 0) & (np.roll(picture, 1, 1) == 0))
        seen = [TextBox("WORD", 0.9, int(x), int(y), 20, 8) for y, x in begins if x + 20 < picture.shape[1]][:100]
        return 200, as_rekognition_tells(picture, seen)

    with double("DetectText", answer) as endpoint:
        found = RekognitionText("us-east-1", endpoint=endpoint, **CREDENTIALS).find(spots)
    assert len(places) > 100
    covered = {(y, x) for y, x in places for box in found if abs(box.x - x) <= 1 and abs(box.y - y) <= 1}
    assert covered == set(places)


def test_what_rekognition_refuses_quotes_nothing() -> None:
    refusal = {"__type": "AccessDeniedException", "message": "arn:aws:iam::123456789012:secret"}
    with double("DetectText", lambda _: (400, refusal)) as endpoint, pytest.raises(BackendUnavailable) as caught:
        RekognitionText("us-east-1", endpoint=endpoint, **CREDENTIALS).find(draw(WORD, 24))
    assert "123456789012" not in str(caught.value)
