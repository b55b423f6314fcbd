"""What `isocenter cost` counts with is what the code asks: requests to S3 and DynamoDB's units, counted on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.flow.counting_proxy import Counted, counting
from tests.flow.functions_world import PLAN, Cloud, Context, Handler, carried_out, cloud, told
from tests.flow.test_functions import asked, content

from isocenter.bootstrap.functions.api import open_api
from isocenter.bootstrap.functions.maintenance import open_maintenance
from isocenter.bootstrap.functions.step import open_step
from isocenter.bootstrap.functions.upload_event import open_upload_event
from isocenter.cli import cost_counts, cost_model
from isocenter.cli.cost_counts import Counts
from isocenter.testing.aws_server import AwsServer, aws_server
from isocenter.testing.instances import ct_slice

pytestmark = pytest.mark.xdist_group("functions")

SMALL, LARGE = 512, 2200  # rows and columns: 0.5 MB, and 9.7 MB, which is put in parts


@dataclass
class World:
    """The functions, asked in this process, and what they asked of AWS."""

    cloud: Cloud
    counted: Counted
    api: Handler
    upload_event: Handler
    step: Handler
    maintenance: Handler
    authorization: str = ""

    def ask(self, method: str, path: str, data: bytes = b"", media_type: str | None = None) -> dict[str, Any]:
        """One key for all, as a client has; what was counted before is forgotten."""
        event = asked(method, path, data=data, media_type=media_type)
        self.authorization = self.authorization or event["headers"]["authorization"]
        event["headers"]["authorization"] = self.authorization
        self.counted.forget()
        return self.api(event, Context())

    def put(self, seed: int, number: int, size: int) -> tuple[str, int]:
        key, data = f"incoming/{seed}-{number}.dcm", ct_slice(seed, number, size=size)
        self.cloud.put(key, data)
        self.counted.forget()
        return key, len(data)

    def started(self) -> list[dict[str, Any]]:
        found = self.cloud.started()
        self.counted.forget()
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        pytest.MonkeyPatch.context() as patch,
        aws_server() as server,
        counting(int(server.endpoint.rpartition(":")[2])) as (address, counted),
        cloud(AwsServer(address), patch, str(tmp_path_factory.mktemp("cost") / "home")) as made,
    ):
        handlers = open_api(), open_upload_event(), open_step(), open_maintenance()
        found = World(made, counted, *handlers)
        found.ask("GET", "/images?subject_id=nobody")  # the key is known from here on
        yield found


def held(counted: Counted, expected: Counts, size: int) -> None:
    """S3's requests to the number. Reads are audited together where they come together, so that DynamoDB may be asked
    once more or less, for four write units; bytes of items are within a tenth, as texts differ in length."""
    of = counted.requests
    puts = sum(of[f"s3:{name}"] for name in ("Put", "PutPart", "Copy", "Post", "List"))
    found = {
        "puts": puts,
        "gets": of["s3:Get"] + of["s3:Head"],
    }
    assert found == {
        "puts": expected.put_requests(size),
        "gets": expected.get_requests(size),
    }, dict(of)
    asks = sum(many for name, many in of.items() if name.startswith("dynamodb:"))
    assert asks == pytest.approx(expected.asks, abs=1), dict(of)
    assert counted.units["write"] == pytest.approx(expected.writes, abs=4)
    assert counted.units["read"] == pytest.approx(expected.reads, abs=1)
    assert counted.stored == pytest.approx(expected.items, rel=0.1)


def the_second(world: World, seed: int, size: int) -> tuple[int, dict[str, Any]]:
    """The first image of a series goes in before; the event of the second is what is counted. Its execution."""
    key, _ = world.put(seed, 1, SMALL)
    world.upload_event(told(key, bucket=world.cloud.raw), Context())
    before = world.started()
    carried_out(world.step, before)  # of a job that is done, nothing is done again
    key, length = world.put(seed, 2, size)
    world.upload_event(told(key, bucket=world.cloud.raw), Context())
    seen = dict(world.counted.requests), dict(world.counted.units), world.counted.stored
    known = {one["job"] for one in before}
    (execution,) = (one for one in world.started() if one["job"] not in known)
    world.counted.requests.update(seen[0])
    world.counted.units.update(seen[1])
    world.counted.stored = seen[2]
    return length, execution


@pytest.mark.parametrize(("seed", "size"), [(301, SMALL), (302, LARGE)])
def test_taking_in_and_de_identifying_ask_what_is_counted(world: World, seed: int, size: int) -> None:
    length, execution = the_second(world, seed, size)
    assert (length > cost_counts.PART) == (size == LARGE)
    held(world.counted, cost_counts.INTAKE, length)
    world.counted.forget()
    assert carried_out(world.step, [execution]) == [0]
    held(world.counted, cost_counts.STEP, length)


def test_storing_and_reading_by_the_api_ask_what_is_counted(world: World) -> None:
    for number in (1, 2):
        data = ct_slice(303, number, size=SMALL)
        kept = world.ask("POST", f"/images?subject_id=S1&image_id=i{number}", data, "application/dicom")
        assert kept["statusCode"] == 201
    held(world.counted, cost_counts.STORE, len(data))
    id = json.loads(content(kept))["id"]
    assert content(world.ask("GET", f"/dicom-image/{id}")) == data
    held(world.counted, cost_counts.READ, len(data))


@pytest.mark.parametrize(("seed", "size"), [(304, 1700), (305, LARGE)])
def test_a_large_image_by_a_session_and_back_by_the_bucket_asks_what_is_counted(
    world: World, seed: int, size: int
) -> None:
    for number in (1, 2):
        data = ct_slice(seed, number, size=size)
        file = {"name": "one", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        begun = world.ask("POST", "/uploads", json.dumps({"files": [file]}).encode(), "application/json")
        first = dict(world.counted.requests), dict(world.counted.units), world.counted.stored
        upload = json.loads(content(begun))
        (part,) = upload["files"][0]["parts"]
        assert requests.put(part["url"], data=data, headers=part["headers"], timeout=60).status_code == 200
        done = world.ask("POST", f"/uploads/{upload['id']}/complete")
        world.counted.requests.update(first[0])
        world.counted.units.update(first[1])
        world.counted.stored += first[2]
    assert len(data) > cost_counts.MOST_ANSWERED
    (receipt,) = json.loads(content(done))["receipts"]
    assert receipt["outcome"] == "stored"
    held(world.counted, cost_counts.SESSION, len(data))
    answer = world.ask("GET", f"/dicom-image/{receipt['image_id']}")
    assert answer["statusCode"] == 307
    assert requests.get(answer["headers"]["location"], timeout=60).content == data
    held(world.counted, cost_counts.READ_LARGE, len(data))


def test_a_sweep_with_nothing_to_do_asks_what_is_counted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cloud(world.cloud.server, monkeypatch, str(tmp_path / "home")):
        maintenance = open_maintenance()
        maintenance({}, Context())
        world.counted.forget()
        maintenance({}, Context())
    expected = cost_counts.SWEEP
    asks = sum(many for name, many in world.counted.requests.items() if name.startswith("dynamodb:"))
    assert (asks, world.counted.requests["s3:List"]) == (expected.asks, expected.puts), world.counted.requests
    assert world.counted.units["write"] == 0
    assert world.counted.units["read"] == pytest.approx(expected.reads, abs=1)


def test_a_function_that_begins_asks_for_the_secrets_that_are_counted(world: World) -> None:
    world.counted.forget()
    open_api()
    asked_for = sum(many for name, many in world.counted.requests.items() if name.startswith("secretsmanager:"))
    assert asked_for <= cost_counts.SECRETS_READ
    _, execution = the_second(world, 306, SMALL)
    carried_out(world.step, [execution])  # with the secret of the de-identification project
    world.maintenance({}, Context())
    prefix = world.cloud.settings["ISOCENTER_SECRETS_PREFIX"]
    listed = [each["Name"] for each in world.cloud.client("secretsmanager").list_secrets()["SecretList"]]
    assert len([name for name in listed if name.startswith(prefix)]) == cost_model.SECRETS, listed


def test_the_job_is_that_of_the_plan_that_is_counted() -> None:
    assert PLAN == cost_model.PLAN
