"""What the tests of algorithms work with: an Analysis without processes, and short ways to run one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.algorithms.base import Output
from isocenter.algorithms.registry import Registry
from isocenter.deid.source import InMemory
from isocenter.pipeline.analyse import Analysis
from isocenter.records import Kind

Run = Callable[..., Output]


@pytest.fixture
def analysis() -> Analysis:
    return Analysis(Registry.standard(), InProcessSandbox())


@pytest.fixture
def run(analysis: Analysis) -> Run:
    def ran(name: str, data: bytes, kind: Kind = Kind.DICOM, **parameters: Any) -> Output:
        return analysis.run(analysis.check(name, parameters), InMemory(data), kind)

    return ran
