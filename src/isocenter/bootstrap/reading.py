"""What text in pixels is read with, as the settings choose."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

from isocenter.adapters.detectors.on_demand import OnDemand
from isocenter.ports.detector import TextDetector
from isocenter.settings import Settings

_PACKAGES = ("rapidocr", "onnxruntime", "cv2")


def _packages(settings: Settings) -> tuple[str, ...]:
    return ("botocore",) if settings.text_detector == "rekognition" else _PACKAGES


def is_there(settings: Settings) -> bool:
    """Whether what it takes is installed."""
    return all(find_spec(package) is not None for package in _packages(settings))


def on_demand(settings: Settings) -> TextDetector:
    """Loaded when the first picture comes. Misconfigured where what it takes is not installed."""
    return OnDemand(partial(text_detector, settings), _packages(settings))


def text_detector(settings: Settings) -> TextDetector:
    """Loaded now."""
    if settings.text_detector == "rekognition":
        from isocenter.adapters.detectors.rekognition import RekognitionText  # loaded only where it reads

        return RekognitionText(settings.rekognition_region)
    from isocenter.adapters.detectors.rapid_ocr import RapidOcr  # loaded only where text is read

    return RapidOcr(threads=1)
