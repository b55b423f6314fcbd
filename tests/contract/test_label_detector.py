"""Each LabelDetector against the contract, and what only one of them does."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from tests.contract.rekognition_double import CREDENTIALS, double

from isocenter.adapters.detectors.onnx_labels import OnnxLabels
from isocenter.adapters.detectors.rekognition import RekognitionLabels
from isocenter.algorithms.builtin.classical_labels import ClassicalLabels
from isocenter.errors import BackendUnavailable, IsocenterError, Misconfigured, Saturated, Unsupported
from isocenter.ports.detector import LabelBox, LabelDetector
from isocenter.testing.label_detector_contract import LabelDetectorContract, Picture
from isocenter.testing.onnx_models import dominant_colour, fixed_boxes
from isocenter.testing.s3 import s3_server


class TestClassical(LabelDetectorContract):
    def make_detector(self) -> LabelDetector:
        return ClassicalLabels()

    def known(self) -> tuple[Picture, str]:
        y, x = np.mgrid[:120, :100]
        return np.where((y - 60) ** 2 + (x - 50) ** 2 < 900, 150, 8).astype(np.uint8), "body"


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("models")
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    (folder / "colour.onnx").write_bytes(dominant_colour())
    (folder / "any.onnx").write_bytes(dominant_colour(None))
    boxes = [[0, 0, 8, 4], [4, 8, 16, 32], [9, 9, 9, 9], [1, 1, 2, 2]]
    (folder / "boxes.onnx").write_bytes(fixed_boxes(boxes, [0.4, 0.9, 0.8, 0.01], [2, 0, 1, 1], 16))
    TestOnnx.folder = TestOnnxOfAnySize.folder = folder


def green(rows: int, columns: int) -> Picture:
    picture = np.zeros((rows, columns, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 51, 204
    return picture


class TestOnnx(LabelDetectorContract):
    folder: Path

    def make_detector(self) -> LabelDetector:
        return OnnxLabels(self.folder / "colour.onnx", self.folder / "labels.txt", threads=1)

    def known(self) -> tuple[Picture, str]:
        return green(60, 90), "green"

    def test_confidences_are_the_scores(self, detector: LabelDetector) -> None:
        found = detector.find(green(60, 90))
        assert [box.label for box in found] == ["green", "red"]
        assert [box.confidence for box in found] == pytest.approx([0.8, 0.2], abs=1e-4)

    def test_logits_become_probabilities(self, detector: LabelDetector) -> None:
        white = np.full((20, 20, 3), 255, np.uint8)
        assert [box.confidence for box in detector.find(white)] == pytest.approx([1 / 3] * 3)


class TestOnnxOfAnySize(TestOnnx):
    _made = None

    def make_detector(self) -> LabelDetector:
        return OnnxLabels(self.folder / "any.onnx", self.folder / "labels.txt", threads=1)


def test_boxes_are_scaled_to_the_picture_and_cut_at_its_edge() -> None:
    detector = OnnxLabels(TestOnnx.folder / "boxes.onnx", TestOnnx.folder / "labels.txt", threads=1)
    found = detector.find(np.zeros((32, 64), np.uint8))
    assert [(box.label, box.x, box.y, box.width, box.height) for box in found] == [
        ("red", 16.0, 16.0, 48.0, 16.0),
        ("blue", 0.0, 0.0, 32.0, 8.0),
    ]
    assert [box.confidence for box in found] == pytest.approx([0.9, 0.4])


def test_a_model_that_is_none_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = TestOnnx.folder
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    (tmp_path / "two.txt").write_text("one\ntwo\n")
    for model, labels in (
        (tmp_path / "bad.onnx", folder / "labels.txt"),
        (tmp_path / "no.onnx", folder / "labels.txt"),
    ):
        with pytest.raises(Misconfigured) as wrong:
            OnnxLabels(model, labels)
        assert wrong.value.code == "bad-model"
        assert str(tmp_path) not in wrong.value.detail
    with pytest.raises(BackendUnavailable):
        OnnxLabels(folder / "colour.onnx", tmp_path / "two.txt").find(green(4, 4))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Misconfigured, match=r"isocenter\[ocr\]"):
        OnnxLabels(folder / "colour.onnx", folder / "labels.txt")


# Rekognition ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def moto() -> Iterator[None]:
    with s3_server() as server:
        TestRekognition.endpoint = server.endpoint
        yield


class TestRekognition(LabelDetectorContract):
    """Against moto, which knows one label and tells it of whatever it is shown."""

    endpoint = ""

    def make_detector(self) -> LabelDetector:
        return RekognitionLabels("us-east-1", endpoint=self.endpoint, **CREDENTIALS)

    def known(self) -> tuple[Picture, str]:
        return green(100, 100), "Mobile Phone"


@pytest.mark.parametrize("shape", [(200, 100), (40, 30, 3)])
def test_rekognition_sees_the_picture_and_its_boxes_are_put_back(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    sent = []
    box = {"Left": 0.1, "Top": 0.2, "Width": 0.25, "Height": 0.9}

    def answer(request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        sent.append(imagecodecs.png_decode(base64.b64decode(request["Image"]["Bytes"])))
        seen = {"Name": "Person", "Confidence": 91, "Instances": [{"BoundingBox": box, "Confidence": 90}]}
        return 200, {"Labels": [seen, {"Name": "X-Ray", "Confidence": 99.5, "Instances": []}]}

    with double("DetectLabels", answer) as endpoint:
        found = RekognitionLabels("eu-west-1", endpoint=endpoint, **CREDENTIALS).find(picture)
    rows, columns = picture.shape[:2]
    assert np.array_equal(sent[0][:rows, :columns], picture)
    assert min(sent[0].shape[:2]) >= 80
    high, wide = max(80, rows), max(80, columns)
    x, y = 0.1 * wide, 0.2 * high
    assert found[0] == LabelBox("X-Ray", 0.995)
    assert (found[1].label, found[1].confidence) == ("Person", 0.9)
    place = (found[1].x, found[1].y, found[1].width, found[1].height)
    assert place == pytest.approx((x, y, min(columns - x, 0.25 * wide), min(rows - y, 0.9 * high)))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ThrottlingException", Saturated), ("InvalidImageFormatException", Unsupported),
        ("AccessDeniedException", BackendUnavailable), ("InternalServerError", BackendUnavailable),
    ],
)  # fmt: skip
def test_what_rekognition_refuses_is_told_without_its_words(code: str, kind: type[IsocenterError]) -> None:
    with (
        double(
            "DetectLabels", lambda _: (400, {"__type": code, "message": "arn:aws:iam::123456789012:secret"})
        ) as endpoint,
        pytest.raises(kind) as refused,
    ):
        RekognitionLabels("eu-west-1", endpoint=endpoint, **CREDENTIALS).find(green(90, 90))
    assert "123456789012" not in refused.value.detail


def test_rekognition_out_of_reach_is_unavailable() -> None:
    with double("DetectLabels", lambda _: (200, {})) as endpoint:
        detector = RekognitionLabels("eu-west-1", endpoint=endpoint, **CREDENTIALS)
        with pytest.raises(BackendUnavailable):  # an answer without labels
            detector.find(green(90, 90))
    with pytest.raises(BackendUnavailable):
        detector.find(green(90, 90))
