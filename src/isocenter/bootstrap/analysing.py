"""What runs algorithms, with the detectors that the settings choose."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from isocenter.adapters.processes import ProcessSandbox
from isocenter.algorithms.base import Asks
from isocenter.algorithms.registry import Registry
from isocenter.bootstrap.backends import limits_of
from isocenter.bootstrap.reading import is_there, text_detector
from isocenter.dicom.guards import guard_pydicom
from isocenter.pipeline.analyse import Analysis, Look
from isocenter.ports.platform import Platform
from isocenter.ports.sandbox import Sandbox
from isocenter.settings import Settings


def analysis_of(settings: Settings, platform: Platform) -> Analysis:
    """What runs algorithms, in the worker processes that decode pixels."""
    return _analysis(settings, platform.sandbox)


def open_analysis(settings: Settings) -> tuple[Analysis, Callable[[], None]]:
    """The same without a platform, for files at hand, and how it is closed."""
    guard_pydicom()
    sandbox = ProcessSandbox(1, settings.decode_memory_bytes, preload=("isocenter.algorithms.run",))
    return _analysis(settings, sandbox), sandbox.close


def _analysis(settings: Settings, sandbox: Sandbox) -> Analysis:
    seconds, limits = settings.algorithm_seconds, limits_of(settings)
    return Analysis(Registry.standard(), sandbox, seconds=seconds, limits=limits, detectors=_detectors(settings))


def _detectors(settings: Settings) -> dict[Asks, Callable[[], Look]]:
    """Each is made when it is first needed, and kept. The classical one needs none: it works in the worker."""
    found: dict[Asks, Callable[[], Look]] = {}
    if is_there(settings):
        found[Asks.TEXT] = lru_cache(maxsize=1)(lambda: text_detector(settings).find)
    if settings.labels_detector != "classical":
        found[Asks.LABELS] = lru_cache(maxsize=1)(lambda: _labels(settings))
    return found


def _labels(settings: Settings) -> Look:
    if settings.labels_detector == "rekognition":
        from isocenter.adapters.detectors.rekognition import RekognitionLabels  # loaded only where it looks

        return RekognitionLabels(settings.rekognition_region).find
    from isocenter.adapters.detectors.onnx_labels import OnnxLabels  # loaded only where it looks

    assert settings.labels_model is not None
    assert settings.labels_names is not None
    return OnnxLabels(settings.labels_model, settings.labels_names).find
