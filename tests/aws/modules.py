"""Terraform's modules with a mocked provider: nothing is made, and all that would be made is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.aws.conftest import ROOT

from isocenter.testing.aws.terraform import Terraform, lacking

MODULES = ROOT / "infra" / "terraform" / "modules"
TESTED = sorted(path.parents[1].name for path in MODULES.glob("*/tests/*.tftest.hcl"))


@dataclass(frozen=True)
class Module:
    """A module, copied to a folder of its own, as Terraform writes beside it."""

    name: str
    folder: Path

    def told(self) -> Iterator[dict[str, Any]]:
        """What `terraform test` says of each run, and each plan and state."""
        if (why := lacking()) is not None:
            pytest.skip(why)
        shutil.copytree(MODULES.parent, self.folder / "terraform", ignore=shutil.ignore_patterns(".terraform*"))
        terraform = Terraform(self.folder / "terraform" / "modules" / self.name, self.folder / "data", {})
        terraform.init()
        done = terraform.run("test", "-json", "-verbose", expected=(0, 1), seconds=300)
        yield from map(json.loads, done.stdout.splitlines())

    def failures(self) -> tuple[int, list[str]]:
        """How many runs were as they should be, and what was said of the others."""
        passed, wrong = 0, []
        for line in self.told():
            if line["type"] == "test_run" and line["test_run"]["progress"] == "complete":
                passed += line["test_run"]["status"] == "pass"
            if line["@level"] == "error":
                wrong.append(f"{line['@message']} {line.get('diagnostic', {}).get('detail', '')}")
        return passed, wrong

    def made(self, run: str) -> dict[str, Any]:
        """The values of a run's resources by their addresses, those of modules that it calls too."""
        for line in self.told():
            if line["type"] == "test_state" and line["@testrun"] == run:
                return dict(_below(line["test_state"]["root_module"]))
        raise AssertionError(f"{self.name} has no run {run} that applies")


def _below(module: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for each in module.get("resources", ()):
        yield each["address"], each["values"]
    for child in module.get("child_modules", ()):
        yield from _below(child)
