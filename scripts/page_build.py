"""Builds the page from page/ into the package: a hook of hatchling for wheel, sdist and editable, and a command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "page"
BUILT = ROOT / "src" / "isocenter" / "web" / "page_files" / "index.html"
_LEAST_NODE = 20


class PageBuild(BuildHookInterface[Any]):
    """Builds the page where it is missing; without Node.js the package comes without it, and says so."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not BUILT.is_file():
            build(tell=self.app.display_warning)


def build(tell: Any = print) -> bool:
    """Whether the page could be built; fails where the build itself does."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not (SOURCES / "package.json").is_file() or npm is None or node is None or _version(node) < _LEAST_NODE:
        tell(f"the page is not built: that takes Node.js {_LEAST_NODE} or later with npm; the server runs without it")
        return False
    if _stale():
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=SOURCES, check=True)
    subprocess.run([npm, "run", "--silent", "build"], cwd=SOURCES, check=True)
    return True


def _version(node: str) -> int:
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(told.strip().lstrip("v").partition(".")[0])


def _stale() -> bool:
    """Whether what is installed is older than the lock it is installed from; npm leaves its own copy of that."""
    installed, lock = SOURCES / "node_modules" / ".package-lock.json", SOURCES / "package-lock.json"
    return not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime


if __name__ == "__main__":
    build()
    sys.exit(0)
