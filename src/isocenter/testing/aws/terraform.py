"""Terraform as the tests run it: environments unchanged; backend and endpoints by arguments and environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WIDE = "-parallelism=30"  # most of the time is waiting
_PLACES = ("/opt", "/usr/local", "/usr/share", "/usr/lib", "/var/lib", "~/.terraform.d")


def lacking() -> str | None:
    """Why Terraform cannot be run here, or None."""
    if shutil.which("terraform") is None:
        return "terraform is not installed"
    if mirror() is None and not os.environ.get("TF_DOWNLOAD"):
        return "no mirror with Terraform's AWS provider was found (TF_PLUGIN_DIR names one, TF_DOWNLOAD=1 downloads it)"
    return None


def mirror() -> Path | None:
    """A folder that holds Terraform's AWS provider: TF_PLUGIN_DIR, or else one found on this machine."""
    given = os.environ.get("TF_PLUGIN_DIR")
    if given:
        return Path(given)
    for place in _PLACES:
        for provider in Path(place).expanduser().glob("*/*/hashicorp/aws/*/*/terraform-provider-aws*"):
            return provider.parents[5]
    return None


@dataclass(frozen=True)
class Terraform:
    """One environment's folder, worked on from another for what Terraform writes."""

    folder: Path
    data: Path
    environment: Mapping[str, str]

    @property
    def variables(self) -> dict[str, str]:
        """The environment it runs in: nothing of another AWS, or of Terraform's own settings, comes through."""
        known = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        own = {"TF_DATA_DIR": str(self.data), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "TF_CLI_ARGS_destroy": _WIDE}
        return {**known, **self.environment, **own}

    def run(
        self, *arguments: str, expected: tuple[int, ...] = (0,), seconds: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Raises with what Terraform said where it ended in another way."""
        command = ["terraform", f"-chdir={self.folder}", *arguments]
        done = subprocess.run(command, env=self.variables, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode not in expected:
            raise AssertionError(
                f"terraform {arguments[0]} ended with {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            )
        return done

    def init(self, *options: str) -> None:
        found = mirror()
        self.run("init", "-no-color", *(() if found is None else (f"-plugin-dir={found}",)), *options)

    def apply(self, **variables: str) -> None:
        self.run("apply", "-auto-approve", "-no-color", _WIDE, *_given(variables))

    def changes(self, **variables: str) -> str:
        """What a plan would change; nothing where it would change nothing."""
        done = self.run("plan", "-detailed-exitcode", "-no-color", *_given(variables), expected=(0, 2))
        return done.stdout if done.returncode == 2 else ""

    def outputs(self) -> dict[str, Any]:
        found = json.loads(self.run("output", "-json").stdout)
        return {name: each["value"] for name, each in found.items()}


def _given(variables: Mapping[str, str]) -> list[str]:
    return [f"-var={name}={text}" for name, text in variables.items()]
