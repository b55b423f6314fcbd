"""What runs algorithms, with the detectors that the settings choose."""

from __future__ import annotations

from isocenter.algorithms.registry import Registry
from isocenter.bootstrap.backends import limits_of
from isocenter.pipeline.analyse import Analysis
from isocenter.ports.platform import Platform
from isocenter.settings import Settings


def analysis_of(settings: Settings, platform: Platform) -> Analysis:
    """What runs algorithms, in the worker processes that decode pixels."""
    return Analysis(Registry.standard(), platform.sandbox, limits=limits_of(settings))
