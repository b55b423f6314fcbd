"""Text read by RapidOCR on ONNX Runtime, in this process and offline: its models come in its wheel (extra `ocr`)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.errors import BackendUnavailable, Misconfigured
from isocenter.ports.detector import TextBox

_MODELS: Final = {"Det": "*det*.onnx", "Cls": "*cls*.onnx", "Rec": "*rec*.onnx"}
_INSTALL: Final = (
    "reading text in pixels takes the extra `ocr`: install with `pip install -r requirements/ocr.txt`,"
    " or `pip install 'isocenter[ocr]'`"
)
_FAILURES: Final = (RuntimeError, ValueError, TypeError, IndexError, KeyError, ArithmeticError)
# Below it the engine reads noise; what is lower than a half is kept, for a known name may be told from little.
_LEAST_CONFIDENCE: Final = 0.3
_MOST_SIDE: Final = 4096  # what is longer is looked at reduced: the network's memory grows with the area
_MARGIN: Final = 16  # of text that touches the picture's edge the network sees little


class RapidOcr:
    """A TextDetector; `threads` is what one look may use."""

    def __init__(self, threads: int = 2) -> None:
        """Misconfigured where the extra is not installed or came without its models."""
        try:
            import cv2  # noqa: PLC0415 - heavy and optional, as what follows
            import rapidocr  # noqa: PLC0415 - optional: the extra `ocr`
            from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError  # noqa: PLC0415 - optional
            from rapidocr.main import RapidOCR  # noqa: PLC0415 - optional

            version = metadata.version("rapidocr")
        except ImportError as error:
            hint = ""
            if "libGL" in str(error):
                hint = "; without a display, opencv-python-headless has to stand in opencv-python's place"
            raise Misconfigured(_INSTALL + hint, code="detector-missing") from None
        folder = Path(rapidocr.__file__).parent / "models"
        models = {part: sorted(folder.glob(pattern)) for part, pattern in _MODELS.items()}
        if not all(models.values()):
            raise Misconfigured("RapidOCR came without its models; " + _INSTALL, code="detector-missing")
        self.name = f"rapidocr {version} ({models['Det'][0].stem}, {models['Rec'][0].stem})"
        # Paths of files that are there: with none given, a model that is missing would be downloaded.
        parameters: dict[str, Any] = {f"{part}.model_path": str(found[0]) for part, found in models.items()}
        parameters |= {
            "Global.log_level": "critical",
            "Global.text_score": _LEAST_CONFIDENCE,
            "Global.max_side_len": _MOST_SIDE,
            # As it is by default, what is narrow is enlarged until it is 736 pixels wide: a banner takes gigabytes.
            "Det.limit_type": "max",
            "Det.limit_side_len": _MOST_SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": max(1, threads),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        self._engine: Any = RapidOCR(params=parameters)
        # Its handler prints to stderr past everyone's settings, and what it prints may quote what was read.
        logging.getLogger("RapidOCR").handlers.clear()
        self._failures = (cv2.error, ONNXRuntimeError, *_FAILURES)
        # The engine keeps settings of a call on itself: one look at a time, with `threads` threads.
        self._turn = threading.Lock()

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[TextBox]:
        rows, columns = picture.shape[:2]
        with self._turn:
            try:
                found = self._engine(_with_margin(picture))
            except self._failures as error:
                # `from None`: what is read may stand in the engine's own message.
                raise _failed(type(error).__name__) from None
        boxes = getattr(found, "boxes", None)
        if boxes is None or len(boxes) == 0:
            return []
        if not getattr(found, "txts", None):  # it saw text and could not read it: that is not the same as none
            raise _failed("no recognition")
        read = zip(boxes, found.txts, found.scores, strict=True)
        placed = (_box(corners, text, score, rows, columns) for corners, text, score in read)
        return [box for box in placed if box.width > 0 and box.height > 0]


def _failed(how: str) -> BackendUnavailable:
    return BackendUnavailable(f"the text detector failed ({how})", code="detector-failed")


def _with_margin(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Blue, green, red, as the engine takes arrays, in a frame of the picture's most usual tone."""
    colour = np.repeat(picture[..., np.newaxis], 3, axis=2) if picture.ndim == 2 else picture[..., ::-1]
    rows, columns = picture.shape[:2]
    framed = np.empty((rows + 2 * _MARGIN, columns + 2 * _MARGIN, 3), np.uint8)
    framed[:] = np.median(colour.reshape(-1, 3)[:: max(1, rows * columns // 65536)], axis=0).astype(np.uint8)
    framed[_MARGIN : _MARGIN + rows, _MARGIN : _MARGIN + columns] = colour
    return framed


def _box(corners: npt.NDArray[Any], text: str, score: float, rows: int, columns: int) -> TextBox:
    points = np.asarray(corners, np.float64) - _MARGIN
    left, top = np.floor(points.min(axis=0)).astype(int)
    right, bottom = np.ceil(points.max(axis=0)).astype(int)
    left, right = max(0, int(left)), min(columns, int(right))
    top, bottom = max(0, int(top)), min(rows, int(bottom))
    return TextBox(text, min(1.0, max(0.0, float(score))), left, top, right - left, bottom - top)
