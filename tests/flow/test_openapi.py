"""What /openapi.json says is what the server does: schemathesis asks it thousands of things."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from isocenter.web.auth import Scope
from isocenter.web.docs import openapi, scope_of

_spec = importlib.util.spec_from_file_location("access_world", Path(__file__).with_name("access_world.py"))
assert _spec is not None
assert _spec.loader is not None
access_world: Any = importlib.util.module_from_spec(_spec)
sys.modules["access_world"] = access_world  # dataclasses look their module up there
_spec.loader.exec_module(access_world)

EVERYTHING = tuple(str(scope) for scope in Scope)
# All checks are on. Whether random bytes are an image no schema says, so 415 and 422 answer them rightly; nor
# how large a picture of it may be drawn (413).
# A search below a study that was deleted finds nothing, which is no error (PS3.18 10.6). Where schemathesis
# takes the Authorization header away it puts it back with multipart/related bodies; test_access asks without.
_STEADY = ("--seed", "1") if os.environ.get("CI") else ()
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 413, 415, 422]

[[operations]]
include-path-regex = "dicomweb/.*(series|instances)$"
checks.use_after_free.enabled = false

[[operations]]
include-path-regex = "dicomweb/studies"
include-method = "POST"
checks.missing_required_header.enabled = false
"""


@pytest.fixture(scope="module", params=["keys+oidc", "none"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("openapi")
    with access_world.world(home, EVERYTHING, auth=request.param) as made:
        yield made


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_the_document_is_served_and_whole(world: Any) -> None:
    answer = world.client("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.json() == json.loads(json.dumps(openapi(world.app)))
    schemas = answer.json()["components"]["schemas"]
    for reference in references(answer.json()):
        assert reference.removeprefix("#/components/schemas/") in schemas
    assert "HTTPValidationError" not in schemas
    ids = [o["operationId"] for ops in answer.json()["paths"].values() for o in ops.values()]
    assert len(ids) == len(set(ids))


def test_every_operation_names_the_scope_it_takes(world: Any) -> None:
    guarded = world.services.authenticator.known("Bearer x") is None
    document = openapi(world.app)
    for each in iter_route_contexts(world.app.routes):
        for method in each.methods or ():
            operation = document["paths"].get(each.path_format, {}).get(method.lower())
            if operation is not None:
                scope = scope_of(each) if guarded else None
                assert operation["security"] == ([] if scope is None else [{"bearer": [str(scope)]}])
    assert ("securitySchemes" in document["components"]) == guarded


def test_errors_are_problems_everywhere(world: Any) -> None:
    for operations in openapi(world.app)["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and "application/dicom+json" not in answer["content"]:
                    assert list(answer["content"]) == ["application/problem+json"]


def schemathesis(world: Any, folder: Path, *options: str) -> tuple[int, str]:
    """A run of all four phases; its exit code and report."""
    document = json.loads(json.dumps(openapi(world.app)))
    del document["paths"]["/events/stream"]  # an answer that goes on is not waited for: test_events reads it
    for operations in document["paths"].values():
        for operation in operations.values():
            # Cursors are ours alone: none that anybody makes up is taken.
            found = operation.get("parameters", [])
            operation["parameters"] = [each for each in found if each["name"] != "after"]
    schema, config = folder / "openapi.json", folder / "schemathesis.toml"
    schema.write_text(json.dumps(document))
    hooks = Path(__file__).with_name("access_schemathesis.py")
    config.write_text(f"hooks = {json.dumps(str(hooks))}\n{CONFIG}")
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program), "--config-file", str(config), "--no-color", "run", str(schema), "--url",
        f"http://127.0.0.1:{world.port}", "--max-examples", "10", "--generation-database", "none", *options, *_STEADY,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=folder)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("token", [True, False], ids=["with a token", "without"])
def test_schemathesis_finds_no_fault(world: Any, token: bool, tmp_path: Path) -> None:
    if token and world.services.authenticator.known(None) is not None:
        pytest.skip("where anyone may, a token changes nothing")
    given = ("--header", f"Authorization: Bearer {world.key(*EVERYTHING)}") if token else ()
    code, report = schemathesis(world, tmp_path, *given)
    assert code == 0, report[-8000:]
    cases = re.search(r"(\d+) generated", report)
    assert cases is not None
    assert int(cases[1]) > 1000
    metrics = world.app.state.metrics.registry
    failed = [
        sample.labels
        for metric in metrics.collect()
        for sample in metric.samples
        if sample.name == "isocenter_requests_total" and sample.labels["status"].startswith("5")
    ]
    assert failed == []


def test_a_method_that_a_path_lacks_is_answered_with_those_it_has(world: Any) -> None:
    token = {"Authorization": f"Bearer {world.key(*EVERYTHING)}"}
    answer = world.client("PUT", "/stores/raw/dicomweb/studies/1.2", token)
    assert answer.status == 405
    assert answer.headers["allow"] == "DELETE, GET, HEAD, POST"
    assert answer.headers["content-type"] == "application/problem+json"
