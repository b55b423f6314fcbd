"""A detector that is loaded when the first picture comes: most images have no text to read, and models are heavy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from isocenter.errors import Misconfigured
from isocenter.ports.detector import TextBox, TextDetector


class OnDemand:
    """Makes the detector at the first call. Misconfigured at once where one of `packages` is not installed."""

    def __init__(self, make: Callable[[], TextDetector], packages: Sequence[str]) -> None:
        if any(find_spec(package) is None for package in packages):
            raise Misconfigured(
                "the profile has text in pixels read, and that takes the extra `ocr`: make ocr, or install"
                " isocenter[ocr]; `read: never` in the profile's section `pixels` does without",
                code="detector-missing",
            )
        self._make = make
        self._lock = threading.Lock()
        self._detector: TextDetector | None = None

    def _loaded(self) -> TextDetector:
        with self._lock:
            if self._detector is None:
                self._detector = self._make()
            return self._detector

    @property
    def name(self) -> str:
        return self._loaded().name

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[TextBox]:
        return self._loaded().find(picture)
