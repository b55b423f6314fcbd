"""Every code of an error is explained in docs/troubleshooting.md, and every code it explains exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from isocenter import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "isocenter"
TREES = [ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py") if "testing" not in path.parts]
NODES = [node for tree in TREES for node in ast.walk(tree)]
ANSWERS = {"refuse", "answer"}  # called with a status and a code


def name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def kinds() -> set[str]:
    """Names of our errors, those that other modules derive included."""
    found = {each for each, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    classes = [node for node in NODES if isinstance(node, ast.ClassDef)]
    while True:
        more = {each.name for each in classes if any(name(base) in found for base in each.bases)} - found
        if not more:
            return found
        found |= more


def texts(node: ast.expr) -> Iterator[str]:
    return (each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str))


def codes() -> set[str]:
    known, found = kinds(), set()
    for node in NODES:
        if isinstance(node, ast.ClassDef) and node.name in known:
            assigned = [part for part in node.body if isinstance(part, ast.Assign) and name(part.targets[0]) == "code"]
            found |= {text for part in assigned for text in texts(part.value)}
        elif isinstance(node, ast.Call) and name(node.func) in known:
            found |= {text for given in node.keywords if given.arg == "code" for text in texts(given.value)}
        elif isinstance(node, ast.Call) and name(node.func) in ANSWERS and len(node.args) > 2:
            found |= set(texts(node.args[2]))
    return found


def explained() -> list[str]:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8").partition("## Every code")[2]
    rows = re.findall(r"^\| (`[^|]*) \| [^|]+ \| [^|]+ \|$", page, re.M)
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


def test_every_code_is_explained_once_and_no_other() -> None:
    told = explained()
    assert len(told) == len(set(told)), sorted({code for code in told if told.count(code) > 1})
    assert sorted(set(told) - codes()) == []
    assert sorted(codes() - set(told)) == []
    assert len(told) > 200


def test_what_the_page_says_to_set_is_a_setting() -> None:
    from isocenter.settings import Settings

    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    named = {
        word
        for group in re.findall(r"settings? (`[a-z_]+`(?:, `[a-z_]+`)*)", page)
        for word in re.findall(r"\w+", group)
    }
    assert named
    assert named <= set(Settings.model_fields), named - set(Settings.model_fields)


def test_the_verbs_that_the_pages_name_exist() -> None:
    from isocenter.cli.main import VERBS

    for page in (ROOT / "docs").glob("*.md"):
        for verb in re.findall(r"(?:^|`)isocenter ([a-z]+)", page.read_text("utf-8"), re.M):
            assert verb in VERBS, f"{page.name}: isocenter {verb}"
