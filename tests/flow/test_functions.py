"""What AWS Lambda does, asked as AWS asks: events in, tasks of jobs, the API, maintenance."""

from __future__ import annotations

import base64
import io
import json
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.flow.functions_world import PLAN, Cloud, Context, body, carried_out, cloud, told

from isocenter.archive.store import Caller
from isocenter.bootstrap.functions.api import open_api
from isocenter.bootstrap.functions.bulk import open_bulk
from isocenter.bootstrap.functions.maintenance import open_maintenance
from isocenter.bootstrap.functions.opened import UnexpectedFault, open_function, ready
from isocenter.bootstrap.functions.step import open_step
from isocenter.bootstrap.functions.upload_event import open_upload_event
from isocenter.errors import BadRequest, Forbidden, Misconfigured, Saturated, Unavailable
from isocenter.testing.aws_server import AwsServer, aws_server
from isocenter.testing.elements import DEFLATED, meta
from isocenter.testing.hostile_data_sets import bomb
from isocenter.testing.hostile_kinds import gzip_bomb, nifti
from isocenter.testing.instances import ct_slice, uid
from isocenter.web.auth import Scope, new_key

pytestmark = pytest.mark.xdist_group("functions")


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with aws_server() as started:
        yield started


@pytest.fixture
def world(server: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with cloud(server, monkeypatch, str(tmp_path / "home")) as made:
        yield made


def asked(method: str, path: str, *, data: bytes = b"", media_type: str | None = None) -> dict[str, Any]:
    """An event of an HTTP API, payload format 2.0, with a key that may do anything."""
    path, _, query = path.partition("?")
    backends = open_function()[1]
    key, text = new_key("test", [scope.value for scope in Scope])
    backends.platform.api_keys.add(key, Caller("test").entry("key.new"))
    backends.close()
    headers = {"authorization": f"Bearer {text}"} | ({} if media_type is None else {"content-type": media_type})
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": {"host": "api.example", **headers},
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": ""},
            "stage": "$default", "requestId": "1", "domainName": "api.example", "timeEpoch": 0,
        },
        "body": base64.b64encode(data).decode(), "isBase64Encoded": True,
    }  # fmt: skip


def content(answer: dict[str, Any]) -> bytes:
    return base64.b64decode(answer["body"]) if answer.get("isBase64Encoded") else str(answer.get("body", "")).encode()


@pytest.mark.parametrize("form", ["eventbridge", "s3"])
def test_an_object_becomes_an_image_and_a_de_identified_one(world: Cloud, form: str) -> None:
    data, key = ct_slice(81, 1, size=64), "incoming/a scan+one.dcm"
    world.put(key, data)
    assert open_upload_event()(told(key, bucket=world.raw, form=form), Context()) == {"batchItemFailures": []}
    (execution,) = world.started()
    assert execution["machine"] == f"{PLAN}.express"
    assert set(execution) == {"job", "attempt", "chunks", "machine"}
    assert carried_out(open_step(), [execution]) == [0]
    assert world.keys(prefix="incoming/") == []
    assert len(world.keys(prefix="raw/")) == 1
    (kept,) = world.keys(world.deidentified)
    assert kept.startswith("deidentified/")
    released = world.client("s3").get_object(Bucket=world.deidentified, Key=kept)["Body"].read()
    assert b"PHANTOM" not in released


def test_told_three_times_and_out_of_order_each_object_is_taken_in_once(world: Cloud) -> None:
    keys = [f"incoming/{number}.dcm" for number in range(8)]
    for number, key in enumerate(keys):
        world.put(key, ct_slice(82, number + 1, size=32))
    messages = keys * 3
    random.Random(7).shuffle(messages)
    upload_event = open_upload_event()
    for start in range(0, len(messages), 5):
        assert upload_event(told(*messages[start : start + 5], bucket=world.raw), Context())["batchItemFailures"] == []
    executions = world.started()
    assert len({one["job"] for one in executions}) == len(executions) == 8
    assert carried_out(open_step(), executions * 2) == [0] * 16
    assert len(world.keys(prefix="raw/")) == len(world.keys(world.deidentified)) == 8


def test_what_is_no_image_lies_in_quarantine_with_its_reason_and_is_not_brought_again(world: Cloud) -> None:
    bad = {"incoming/text.dcm": b"no image", "incoming/empty.dcm": b"", "incoming/cut.dcm": ct_slice(83, 1)[:900]}
    for key, data in bad.items():
        world.put(key, data)
    messages = told(*bad, "incoming/deleted.dcm", bucket=world.raw)
    messages["Records"] += [{"messageId": "x", "body": "no json"}, {"messageId": "y", "body": '{"detail": 1}'}]
    messages["Records"] += [{"messageId": "z", "body": body("somebody-elses", "incoming/text.dcm", "eventbridge")}]
    assert open_upload_event()(messages, Context()) == {"batchItemFailures": []}
    kept = world.keys(prefix="quarantine/")
    assert sorted(kept) == sorted(f"quarantine/{key}{more}" for key in bad for more in ("", ".reason.txt"))
    reason = world.client("s3").get_object(Bucket=world.raw, Key="quarantine/incoming/text.dcm.reason.txt")
    assert reason["Body"].read() == b"not-an-image\n"
    assert world.started() == []


def test_what_is_too_large_or_a_bomb_is_refused_before_it_is_read_through(
    world: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOCENTER_MAX_UPLOAD_BYTES", str(4 << 20))
    monkeypatch.setenv("ISOCENTER_MAX_INFLATED_BYTES", str(8 << 20))
    head = meta(DEFLATED, uid(87, "bomb"))
    bad = {
        "incoming/large.dcm": bytes(4 << 20) + b"x",
        "incoming/deflated.dcm": head + bomb(b"", 300 << 20),
        "incoming/volume.nii.gz": gzip_bomb(nifti((4, 1024, 1024, 600), data=b""), 300 << 20),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.dcm", bytes(64 << 20))
        archive.writestr("sound.dcm", ct_slice(87, 1, size=32))
    bad["incoming/all.zip"] = packed.getvalue()
    for key, data in bad.items():
        world.put(key, data)
    assert open_upload_event()(told(*bad, bucket=world.raw), Context()) == {"batchItemFailures": []}
    s3 = world.client("s3")
    reasons = {
        key.split("/")[-1].removesuffix(".reason.txt"): s3.get_object(Bucket=world.raw, Key=key)["Body"].read().decode()
        for key in world.keys(prefix="quarantine/")
        if key.endswith(".reason.txt")
    }
    assert reasons == {
        "large.dcm": "limit-exceeded\n", "deflated.dcm": "bad-element\n",
        "volume.nii.gz": "inflated-too-large\n", "all.zip": "inflated-too-large\n",
    }  # fmt: skip
    assert world.keys(prefix="incoming/") == []
    assert len(world.keys(prefix="raw/")) == 1, "what else is in the archive is taken in"


def test_what_a_manifest_names_is_taken_in_by_batches_and_stays_where_it_lies(
    world: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOCENTER_PROCESS_URLS", json.dumps([f"s3://{world.raw}/bulk/"]))
    names = [f"bulk/a scan+{number}.dcm" for number in range(30)]
    for number, name in enumerate(names):
        world.put(name, ct_slice(86, number + 1, size=32))
    world.put("bulk/letter.dcm", b"no image")
    lines = [f"s3://{world.raw}/{name}" for name in (*names, "bulk/letter.dcm", "bulk/gone.dcm")]
    world.put("bulk/list", "\n".join(lines).encode())
    bulk = open_bulk()
    prepared = bulk({"manifest": f"s3://{world.raw}/bulk/list"}, Context())
    assert set(prepared) == {"bulk", "batches", "objects", "bucket"}
    listed = world.client("s3").get_object(Bucket=prepared["bucket"], Key=f"bulk-state/{prepared['batches']}")
    batches = json.loads(listed["Body"].read())
    for batch in batches * 2:
        bulk({"bulk": prepared["bulk"], "at": batch["at"], "size": batch["size"]}, Context())
    assert bulk({"bulk": prepared["bulk"], "end": True}, Context()) == {"taken": 30, "refused": 2, "left": 0}
    executions = world.started()
    assert [one["machine"] for one in executions] == [f"{PLAN}.express"] * 2  # a job for each batch
    assert carried_out(open_step(), executions) == [0, 0]
    assert len(world.keys(world.deidentified)) == len(world.keys(prefix="raw/")) == 30
    assert len(world.keys(prefix="bulk/")) == 32
    with pytest.raises(Forbidden):
        bulk({"manifest": "s3://somewhere/else"}, Context())
    with pytest.raises(BadRequest):
        bulk({}, Context())


def test_an_unexpected_fault_of_a_function_tells_nothing_of_what_it_was_given(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken(event: dict[str, Any], context: Any) -> dict[str, Any]:
        raise ValueError(f"cannot read {event['name']}")

    with pytest.raises(UnexpectedFault) as caught:
        ready(lambda: broken)({"name": "DOE^JANE"}, Context())
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "DOE" not in str(caught.value)
    printed = capfd.readouterr().out
    assert "ValueError" in printed
    assert "DOE" not in printed

    def away(event: dict[str, Any], context: Any) -> dict[str, Any]:
        raise Saturated("too much at once")

    with pytest.raises(Unavailable) as known:
        ready(lambda: away)({}, Context())
    assert type(known.value) is Unavailable  # the name that machines retry


def test_what_the_surroundings_keep_from_being_taken_in_is_brought_again(
    world: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOCENTER_MAX_WAITING_IMAGES", "1")
    for number in range(3):
        world.put(f"incoming/{number}.dcm", ct_slice(84, number + 1, size=32))
    upload_event, step = open_upload_event(), open_step()
    messages = told(*(f"incoming/{number}.dcm" for number in range(3)), bucket=world.raw)
    failures = upload_event(messages, Context(seconds=1))["batchItemFailures"]
    assert len(failures) == len(upload_event(messages, Context())["batchItemFailures"]) == 2  # claimed still
    assert len(world.keys(prefix="incoming/")) == 2
    for _ in range(2):
        carried_out(step, world.started())
        time.sleep(1.1)  # a claim ends with the time of the function that made it
        failures = upload_event(messages, Context(seconds=1))["batchItemFailures"]
    assert failures == []
    assert world.keys(prefix="incoming/") == []


def test_a_chunk_that_was_not_done_pauses_the_job_and_is_done_when_it_is_resumed(world: Cloud) -> None:
    world.put("incoming/1.dcm", ct_slice(85, 1, size=32))
    open_upload_event()(told("incoming/1.dcm", bucket=world.raw), Context())
    (execution,) = world.started()
    step = open_step()
    assert step({"job": execution["job"], "attempt": 1, "end": True}, Context())["left"] > 0
    api = open_api()
    told_of = json.loads(content(api(asked("GET", f"/jobs/{execution['job']}"), Context())))
    assert (told_of["state"], told_of["code"]) == ("paused", "left-undone")
    assert api(asked("POST", f"/jobs/{execution['job']}/resume"), Context())["statusCode"] in (200, 202)
    again = [one for one in world.started() if one["attempt"] == 2]
    assert len(again) == 1
    assert again[0]["machine"] == PLAN
    assert carried_out(step, again) == [0]
    told_of = json.loads(content(api(asked("GET", f"/jobs/{execution['job']}"), Context())))
    assert (told_of["state"], told_of["finished"]) == ("done", 1)


def test_a_step_whose_time_is_over_is_brought_again(world: Cloud) -> None:
    world.put("incoming/1.dcm", ct_slice(86, 1, size=32))
    open_upload_event()(told("incoming/1.dcm", bucket=world.raw), Context())
    (execution,) = world.started()
    step = open_step()
    task = {"job": execution["job"], "attempt": 1, "stage": 0, "chunk": 0}
    assert step(task, Context()) == {"task": f"{execution['job']}.1.0.0"}
    assert step(task, Context()) == {"task": f"{execution['job']}.1.0.0"}  # brought twice, done once
    assert len(world.keys(world.deidentified)) == 1


def test_the_api_stores_finds_and_gives_back_and_sends_what_is_large_to_the_bucket(world: Cloud) -> None:
    api = open_api()
    small, large = ct_slice(87, 1, size=32), ct_slice(87, 2, size=2048)
    for data in (small, large):
        answer = api(asked("POST", "/dicom-image", data=data, media_type="application/dicom"), Context())
        assert answer["statusCode"] in (200, 201), content(answer)
        id = json.loads(content(answer))["file_id"]
        back = api(asked("GET", f"/dicom-image/{id}"), Context())
        if data is small:
            assert (back["statusCode"], content(back)) == (200, data)
        else:
            assert back["statusCode"] == 307
            assert f"{world.raw}/answers/" in back["headers"]["location"]
    found = json.loads(content(api(asked("GET", "/dicomweb/studies?PatientID=*"), Context())))
    assert len(found) == 1
    assert api(asked("GET", "/ready"), Context())["statusCode"] == 200
    entries = open_function()[1].platform.audit.read(0, 100)
    assert [entry.action for entry in entries].count("read") == 2  # before the answer went out, not after


def test_maintenance_gives_what_nobody_gave_and_tells_studies_complete(
    world: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOCENTER_STUDY_QUIET_SECONDS", "0.1")
    world.put("incoming/1.dcm", ct_slice(88, 1, size=32))
    open_upload_event()(told("incoming/1.dcm", bucket=world.raw), Context())
    maintenance = open_maintenance()
    maintenance({}, Context())
    assert maintenance({}, Context())["forgotten"] == 0
    events = json.loads(content(open_api()(asked("GET", "/events"), Context())))["events"]
    assert [event["type"] for event in events] == ["image.stored", "study.complete"]


def test_the_api_is_never_open_to_the_world(world: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    api = open_api()
    event = asked("GET", "/images")
    del event["headers"]["authorization"]
    assert api(event, Context())["statusCode"] == 401
    monkeypatch.setenv("ISOCENTER_AUTH", "none")
    with pytest.raises(Misconfigured):
        open_api()
