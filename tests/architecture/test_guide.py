"""The guide's commands for a laptop work as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from isocenter.testing.server import running

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"


def commands() -> list[tuple[str, str]]:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    return [found for block in blocks for found in re.findall(r"(.+)\n#=> ?(.*)\n", block)]


def test_every_command_of_the_guide_does_what_it_says(tmp_path: Path) -> None:
    found = commands()
    assert len(found) > 15
    assert GUIDE.read_text("utf-8").count("#=>") == len(found)
    with running(tmp_path / "isocenter-home", "--sample") as server:
        parts = [f"echo '@@{number}'\n{{ {command}; }} 2>&1\n" for number, (command, _) in enumerate(found)]
        script = ("set -e\n" + "".join(parts)).replace("http://127.0.0.1:8042", server.url)
        done = subprocess.run(
            ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
            env={"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "COLUMNS": "100"},
        )  # fmt: skip
    outputs = dict(re.findall(r"@@(\d+)\n(.*?)(?=@@\d+\n|\Z)", done.stdout, re.S))
    for number, (command, pattern) in enumerate(found):
        assert re.search(pattern, outputs.get(str(number), "")), f"{command}\n{outputs.get(str(number))}\n{done.stderr}"
