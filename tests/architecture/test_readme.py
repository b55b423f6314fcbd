"""The README's commands work as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from isocenter.testing.server import running

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```sh\n(.*?)```", re.S)


def commands() -> list[tuple[str, str]]:
    found = []
    for block in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        for command, pattern in re.findall(r"(.+)\n#=> ?(.*)\n", block):
            found.append((command, pattern))
    return found


def test_every_command_of_the_readme_does_what_it_says(tmp_path: Path) -> None:
    found = commands()
    assert len(found) >= 10
    with running(tmp_path / "isocenter-home", "--sample") as server:
        script = "set -e\n" + "".join(
            f"echo '@@{number}'\n{{ {command}; }} 2>&1\n" for number, (command, _) in enumerate(found)
        )
        # The first line of a block may set a variable, so all run in one shell.
        path = f"{Path(sys.executable).parent}:{os.defpath}"
        script = script.replace("http://127.0.0.1:8042", server.url)
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={"PATH": path, "COLUMNS": "100"},
        )
    outputs = dict(re.findall(r"@@(\d+)\n(.*?)(?=@@\d+\n|\Z)", done.stdout, re.S))
    for number, (command, pattern) in enumerate(found):
        assert re.search(pattern, outputs.get(str(number), "")), f"{command}\n{outputs.get(str(number))}\n{done.stderr}"


def test_every_verb_of_the_command_table_exists_and_every_verb_is_in_it() -> None:
    from isocenter.cli.main import VERBS

    table = set(re.findall(r"^\| `isocenter (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M))
    assert table == VERBS.keys()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_between_pages_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), f"{name} links to {target}"
