"""What is shipped of the page: in the wheel, within its budgets, with the licences of what it is built from."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from tests.browser.conftest import ROOT

from isocenter.web.page import FILES

MAIN_MOST, VIEWER_MOST = 80_000, 1_200_000  # bytes as gzip leaves them
PAGE = ROOT / "page"


def first_scripts(index: str) -> list[str]:
    """The files that the page loads before anything is asked of it."""
    return re.findall(r'(?:src|href)="\./(assets/[^"]+)"', index)


def test_the_page_is_within_its_budgets(needed: None) -> None:
    names = first_scripts((FILES / "index.html").read_text())
    first = {name: len(gzip.compress((FILES / name).read_bytes(), 9)) for name in names}
    assert sum(first.values()) < MAIN_MOST, first
    later = {
        path.name: len(gzip.compress(path.read_bytes(), 9))
        for path in (FILES / "assets").glob("*.js")
        if f"assets/{path.name}" not in first
    }
    assert max(later.values()) < VIEWER_MOST, later
    assert max(later.values()) > MAIN_MOST, "the viewer is a chunk of its own"


def test_the_wheel_holds_the_page_and_its_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as package:
        inside = "isocenter/web/page_files/"
        shipped = {name.removeprefix(inside) for name in package.namelist() if name.startswith(inside)}
        index = package.read(f"{inside}index.html").decode()
        licences = package.read(f"{inside}licences.txt").decode()
    built = {str(path.relative_to(FILES)) for path in FILES.rglob("*") if path.is_file()}
    assert shipped == built
    names = first_scripts(index)
    assert names
    assert set(names) <= shipped
    assert {f"{name}.gz" for name in names if name.endswith((".js", ".css"))} <= shipped
    for package_name in json.loads((PAGE / "package.json").read_text())["dependencies"]:
        assert package_name in licences
    assert "Permission is hereby granted, free of charge" in licences


def test_the_lock_names_no_registry() -> None:
    lock = (PAGE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert all("integrity" in each for name, each in json.loads(lock)["packages"].items() if name)
    wanted = json.loads((PAGE / "package.json").read_text())
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} is not pinned"


def test_units_of_the_page() -> None:
    npm = shutil.which("npm")
    if npm is None or not (PAGE / "node_modules" / "vitest").is_dir():
        pytest.skip("Node.js or what the page's own tests need is not there: make page")
    done = subprocess.run([npm, "test", "--silent"], cwd=PAGE, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
