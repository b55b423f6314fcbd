"""A package with one algorithm and its own passing test: where somebody's plug-in begins."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Final

from isocenter.algorithms.registry import GROUP, NAME
from isocenter.errors import BadRequest

_FILES: Final[Mapping[str, str]] = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
description = "An algorithm for Isocenter."
requires-python = ">=3.11"
dependencies = ["isocenter", "numpy"]

[project.entry-points."$group"]
$name = "$module:$module"

[tool.hatch.build.targets.wheel]
packages = ["src/$module"]

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
""",
    "README.md": """\
# $name

An algorithm for Isocenter. `pytest` runs its tests, `pip install .` beside Isocenter makes it one of
`isocenter algorithm list`, and from then on it is a command, an endpoint and a step of pipelines:

    isocenter algorithm run $name FILE
    POST /process {"url": "...", "algorithm": "$name", "parameters": {"share": 0.01}}
""",
    "src/$module/__init__.py": '''\
"""The brightest spot of a frame. Put what you have in its place."""

import numpy as np
from isocenter.algorithms.base import Finding, Frame, Gives, Output, Parameters, Takes, algorithm
from pydantic import Field


class Brightest(Parameters):
    """What may be set; a request with anything else is refused."""

    share: float = Field(0.01, gt=0, le=1, description="Share of the pixels that count as bright.")


@algorithm(name="$name", version="0.1.0", takes=Takes.FRAME, gives=Gives.FINDINGS, parameters=Brightest)
def $module(frame: Frame, parameters: Brightest) -> Output:
    """Finds the box around the brightest pixels of each frame."""
    values = frame.stored if frame.stored.ndim == 2 else frame.shown.mean(axis=2)
    least = np.quantile(values, 1 - parameters.share)
    rows, columns = np.nonzero(values >= least)
    box = (int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
    measured = {"least": float(least) * frame.slope + frame.intercept}
    return Output((Finding("brightest", 1.0, box=box, values=measured),))
''',
    "tests/test_$module.py": '''\
"""It finds what was put there, alone and as Isocenter runs it."""

import numpy as np
import pytest
from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.algorithms.base import Frame
from isocenter.algorithms.registry import Entry, Registry
from isocenter.deid.source import InMemory
from isocenter.errors import BadRequest
from isocenter.pipeline.analyse import Analysis
from isocenter.records import Kind
from isocenter.testing.instances import ct_slice

from $module import Brightest, $module


@pytest.fixture
def analysis():
    return Analysis(Registry({"$name": Entry("$name", "$module:$module")}), InProcessSandbox())


def test_it_finds_a_bright_spot():
    values = np.zeros((40, 50), np.uint8)
    values[10:14, 20:30] = 200
    found = $module.run(Frame(values, values), Brightest(share=0.02)).findings
    assert [(finding.label, finding.box) for finding in found] == [("brightest", (20, 10, 10, 4))]


def test_isocenter_runs_it_on_a_dicom_instance(analysis):
    found = analysis.run(analysis.check("$name", {}), InMemory(ct_slice()), Kind.DICOM).findings
    assert len(found) == 1
    assert found[0].values["least"] > 0


def test_wrong_parameters_are_refused(analysis):
    with pytest.raises(BadRequest, match="share"):
        analysis.check("$name", {"share": 2})
''',
}


def files_of(name: str) -> dict[str, str]:
    """Paths and contents of a new package; BadRequest where the name is none."""
    module = name.replace("-", "_")
    if not NAME.match(name) or not module.isidentifier():
        raise BadRequest("a name is lower-case letters, digits and hyphens, and begins with a letter")
    words = {"name": name, "module": module, "group": GROUP}
    return {Template(path).substitute(words): Template(text).substitute(words) for path, text in _FILES.items()}
