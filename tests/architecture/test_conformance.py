"""What the conformance statement says there is under a DICOMweb root is what the routes declare, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from isocenter.dicom.media_types import OCTET_STREAM, SYNTAXES
from isocenter.testing.server import running
from isocenter.web.dicomweb.resources import INSTANCE, SERIES, STUDY

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
ROOTS = ("/dicomweb", "/stores/{store}/dicomweb")
_MEDIA_TYPE = re.compile(r"(?:application|image|multipart|text|video)/[a-z0-9.+-]+")


class Route(NamedTuple):
    """A route below a root, with the media types of its bodies and of its good answers."""

    method: str
    path: str
    takes: frozenset[str]
    gives: frozenset[str]


def declared(paths: Mapping[str, Mapping[str, Any]], root: str) -> Iterator[Route]:
    for path, operations in paths.items():
        if path != root and not path.startswith(f"{root}/"):
            continue
        for method, operation in operations.items():
            good = (answer for status, answer in operation["responses"].items() if status.startswith("2"))
            yield Route(
                method.upper(),
                path.removeprefix(root),
                frozenset(operation.get("requestBody", {}).get("content", {})),
                frozenset(kind for answer in good for kind in answer.get("content", {})),
            )


def codestreams(page: str) -> frozenset[str]:
    told = re.search(r"Codestreams are (.+?)\.\n", page, re.S)
    assert told is not None
    return frozenset(_MEDIA_TYPE.findall(told[1]))


def promised(page: str) -> Iterator[Route]:
    """The rows of the table: requests by comma, of levels by comma."""
    levels = {"root": "", **dict(re.findall(r"(\w+) is\s`(/studies[^`]*)`", page))}
    streams = codestreams(page)
    rows = re.findall(r"^\| (`(?:GET|POST|PUT|DELETE)\b.*) \| (.*?) \| (.*?)\|(.*?)\|$", page, re.M)
    for requests, of, takes, gives in rows:
        for level in of.split(", "):
            for method, suffix in re.findall(r"`(\w+) ?([^`]*)`", requests):
                given = frozenset(_MEDIA_TYPE.findall(gives)) | (streams if "codestreams" in gives else frozenset())
                yield Route(method, levels[level] + suffix, frozenset(_MEDIA_TYPE.findall(takes)), given)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with running(tmp_path_factory.mktemp("conformance") / "home") as server:
        found: dict[str, Any] = json.loads(server.request("GET", "/openapi.json").body)["paths"]
        return found


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("root", ROOTS)
def test_every_route_and_media_type_is_promised_and_every_promise_is_kept(
    paths: dict[str, Any], page: str, root: str
) -> None:
    there, told = list(declared(paths, root)), list(promised(page))
    assert len(told) == len(set(told))
    assert sorted((route.method, route.path) for route in told) == sorted((r.method, r.path) for r in there)
    by_path = {(route.method, route.path): route for route in there}
    for route in told:
        assert route == by_path[route.method, route.path]
    assert len(there) > 30


def test_the_levels_are_those_of_the_routes(page: str) -> None:
    levels = dict(re.findall(r"(\w+) is\s`(/studies[^`]*)`", page))
    assert levels == {"study": STUDY, "series": SERIES, "instance": INSTANCE, "frames": f"{INSTANCE}/frames/{{frames}}"}


def test_codestreams_are_the_media_types_that_frames_come_in(page: str) -> None:
    assert codestreams(page) == set(SYNTAXES) - {OCTET_STREAM}


def test_the_page_names_no_media_type_that_no_route_declares(paths: dict[str, Any], page: str) -> None:
    known = {
        kind
        for operations in paths.values()
        for operation in operations.values()
        for part in (operation.get("requestBody", {}), *operation["responses"].values())
        for kind in part.get("content", {})
    }
    named = {kind for text in re.findall(r"`([^`]+)`", page) for kind in _MEDIA_TYPE.findall(text)}
    assert named <= known
    assert {"application/dicom", "application/zip", "multipart/related"} <= named


def test_the_page_of_all_routes_lists_the_same_ones(page: str) -> None:
    listed = (PAGE.parent / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(GET|POST|PUT|DELETE) /dicomweb([^`]*)` \|", listed, re.M)
    assert sorted(rows) == sorted((route.method, route.path) for route in promised(page))
