"""The results port in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from isocenter.jobs import Result


class MemoryResults:
    """The reference of what steps said of images."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[tuple[str, str, str], Result] = {}  # in the order in which they were first said

    def put(self, found: Sequence[Result]) -> None:
        with self._lock:
            self._results.update({(each.job, each.step, each.image): each for each in found})

    def of_image(self, image: str) -> Sequence[Result]:
        with self._lock:
            return [each for each in self._results.values() if each.image == image]

    def of_job(self, job: str, *, images: Sequence[str] | None = None) -> Sequence[Result]:
        with self._lock:
            return [
                each for each in self._results.values() if each.job == job and (images is None or each.image in images)
            ]
