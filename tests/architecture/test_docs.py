"""What the pages promise is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.request import urlopen

from isocenter.settings import Settings
from isocenter.testing.server import running

DOCS = Path(__file__).parents[2] / "docs"


def test_the_api_page_lists_every_route_with_its_scope(tmp_path: Path) -> None:
    with running(tmp_path / "home") as server, urlopen(f"{server.url}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    routes = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        if not path.startswith("/stores/")
        for method in operations
    }
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `((?:GET|POST|PUT|DELETE) [^`]+)` \|", page, re.M)) == routes


def test_the_deployment_page_lists_every_setting() -> None:
    page = (DOCS / "deployment.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", page, re.M))
    assert rows == {name: field.description for name, field in Settings.model_fields.items()}


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
