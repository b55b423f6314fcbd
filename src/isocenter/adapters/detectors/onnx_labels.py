"""Labels told by a local ONNX model, in this process and offline (extra `ocr`, which brings ONNX Runtime).

Two kinds of model are taken. One that classifies has an output of (1, labels), scores or, where they are no
probabilities, logits. One that detects has outputs named `boxes` (n, 4) as left, top, right and bottom in pixels of
what it was given, `scores` (n) and `labels` (n); one with a batch dimension of 1 before that is the same. Its input is
one image of 32-bit floats from 0 to 1, red, green and blue, as (1, 3, rows, columns) or (1, rows, columns, 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.errors import BackendUnavailable, Misconfigured
from isocenter.ports.detector import LabelBox

_INSTALL: Final = "labels by an ONNX model take ONNX Runtime: pip install 'isocenter[ocr]'"
_FAILURES: Final = (RuntimeError, ValueError, TypeError, IndexError, KeyError)
_MOST_SIDE: Final = 2048  # of a picture given to a model that takes any size
_LEAST: Final = 0.05  # scores below it are noise of which there are as many as labels


class OnnxLabels:
    """A LabelDetector; `threads` is what one look may use. `labels` is a text file with one label a line."""

    def __init__(self, model: Path, labels: Path, threads: int = 2) -> None:
        """Misconfigured where something is missing, or the model is of another kind."""
        try:
            import onnxruntime  # noqa: PLC0415 - heavy and optional
            from onnxruntime.capi import onnxruntime_pybind11_state as native  # noqa: PLC0415 - optional
        except ImportError:
            raise Misconfigured(_INSTALL, code="detector-missing") from None
        raised = [each for each in vars(native).values() if isinstance(each, type) and issubclass(each, Exception)]
        self._failures: tuple[type[Exception], ...] = (*raised, *_FAILURES)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = max(1, threads), 1
        options.log_severity_level = 4
        try:
            data = model.read_bytes()
            self._labels = [line.strip() for line in labels.read_text("utf-8").splitlines() if line.strip()]
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except (OSError, UnicodeDecodeError):
            raise Misconfigured("labels_model or labels_names cannot be read", code="bad-model") from None
        except self._failures as error:
            raise Misconfigured(f"labels_model is no ONNX model ({type(error).__name__})", code="bad-model") from None
        self.name = f"onnx {onnxruntime.__version__} ({hashlib.sha256(data).hexdigest()[:16]})"
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._detects = {"boxes", "scores", "labels"} <= set(self._outputs)
        self._check()

    def _check(self) -> None:
        inputs = self._session.get_inputs()
        shape: Sequence[Any] = inputs[0].shape if len(inputs) == 1 else ()
        if len(shape) != 4 or inputs[0].type != "tensor(float)" or 3 not in (shape[1], shape[3]):
            raise Misconfigured("labels_model does not take one image of floats and three colours", code="bad-model")
        if not (self._detects or len(self._outputs) == 1):
            raise Misconfigured("labels_model neither classifies nor gives boxes, scores and labels", code="bad-model")
        self._input: str = inputs[0].name
        self._last = shape[3] == 3 and shape[1] != 3
        sides = shape[1:3] if self._last else shape[2:4]
        self._sides = [side if isinstance(side, int) and side > 0 else None for side in sides]

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[LabelBox]:
        rows, columns = picture.shape[:2]
        try:
            given = self._given(picture)
            shape = given.shape[1:3] if self._last else given.shape[2:4]
            answers = dict(zip(self._outputs, self._session.run(None, {self._input: given}), strict=True))
            if self._detects:
                found = self._boxes(answers, rows / shape[0], columns / shape[1], rows, columns)
            else:
                found = self._classes(answers[self._outputs[0]])
        except self._failures as error:
            raise BackendUnavailable(
                f"the label model failed ({type(error).__name__})", code="detector-failed"
            ) from None
        return sorted(found, key=lambda each: -each.confidence)

    def _given(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        colour = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
        reduced = max(1.0, max(colour.shape[:2]) / _MOST_SIDE)
        sides = [
            fixed or max(1, round(own / reduced)) for fixed, own in zip(self._sides, colour.shape[:2], strict=True)
        ]
        scaled = _resized(colour, sides[0], sides[1]) / np.float32(255)
        return np.ascontiguousarray(scaled[None] if self._last else scaled.transpose(2, 0, 1)[None])

    def _classes(self, scores: npt.NDArray[Any]) -> list[LabelBox]:
        flat = np.asarray(scores, np.float64).reshape(-1)
        if flat.size != len(self._labels):
            raise ValueError("the model has other labels")
        if flat.min() < 0 or flat.max() > 1 or abs(flat.sum() - 1) > 0.01:
            flat = np.exp(flat - flat.max())
            flat /= flat.sum()
        pairs = zip(self._labels, flat.tolist(), strict=True)
        return [LabelBox(label, min(1.0, score)) for label, score in pairs if score >= _LEAST]

    def _boxes(
        self, answers: dict[str, npt.NDArray[Any]], down: float, across: float, rows: int, columns: int
    ) -> list[LabelBox]:
        corners = np.asarray(answers["boxes"], np.float64).reshape(-1, 4)
        scores = np.asarray(answers["scores"], np.float64).reshape(-1)
        classes = np.asarray(answers["labels"]).reshape(-1)
        found = []
        for (left, top, right, bottom), score, number in zip(corners, scores, classes, strict=True):
            x, y = max(0.0, left * across), max(0.0, top * down)
            width, height = min(float(columns), right * across) - x, min(float(rows), bottom * down) - y
            if score >= _LEAST and width > 0 and height > 0 and 0 <= int(number) < len(self._labels):
                place = (float(x), float(y), float(width), float(height))
                found.append(LabelBox(self._labels[int(number)], min(1.0, float(score)), *place))
        return found


def _resized(pixels: npt.NDArray[np.uint8], rows: int, columns: int) -> npt.NDArray[np.float32]:
    """By linear interpolation between pixel centres; what grows smaller is averaged over whole pixels first."""
    down, across = (max(1, side // wanted) for side, wanted in zip(pixels.shape[:2], (rows, columns), strict=True))
    values = pixels.astype(np.float32)
    if down > 1 or across > 1:
        high, wide = pixels.shape[0] // down, pixels.shape[1] // across
        values = values[: high * down, : wide * across].reshape(high, down, wide, across, 3).mean(axis=(1, 3))
    for axis, size in ((0, rows), (1, columns)):
        own = values.shape[axis]
        if own == size:
            continue
        place = np.clip((np.arange(size) + 0.5) * own / size - 0.5, 0, own - 1)
        first = np.floor(place).astype(int)
        part = (place - first).astype(np.float32).reshape([-1 if each == axis else 1 for each in range(3)])
        after = np.minimum(first + 1, own - 1)
        values = np.take(values, first, axis) * (1 - part) + np.take(values, after, axis) * part
    return values
