"""HEAD says of every resource what GET would, without giving it (RFC 9110 9.3.2)."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

_spec = importlib.util.spec_from_file_location("access_world", Path(__file__).with_name("access_world.py"))
assert _spec is not None
assert _spec.loader is not None
access_world: Any = importlib.util.module_from_spec(_spec)
sys.modules["access_world"] = access_world  # dataclasses look their module up there
_spec.loader.exec_module(access_world)

# Of one answer alone, and what the answer before may have changed.
_OWN = {"x-request-id", "date"}
_CHANGING = {"/metrics": {"content-length"}}
_TYPES = (
    "*/*",
    "application/dicom",
    "application/json",
    "application/dicom+xml",
    "application/zip",
    "image/gif",
    "a/b",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with access_world.world(tmp_path_factory.mktemp("head"), (), auth="none") as made:
        yield made


def address(world: Any, template: str, *, there: bool = True) -> str:
    image = world.image if there else access_world.Instance("1.2.3", "1.2.3", "1.2.3", b"")
    path = template.format(
        store="raw", study=image.study, series=image.series, instance=image.instance, frames="1", frame="1",
        path="7FE00010", file_id=world.image_id if there else "a" * 26, name="check" if there else "none", token="none",
        id="none" if not there else next(
            (id for of, id in (("/deliveries", world.delivery_id), ("/webhooks", world.webhook_id))
             if template.startswith(of)), world.job_id,
        ),
    )  # fmt: skip
    if template == "/events/stream":
        path += "?seconds=0"
    if template.endswith("/results"):
        path += f"?image={world.image_id}"
    if template.endswith("/wado"):
        path += f"?requestType=WADO&studyUID={image.study}&seriesUID={image.series}&objectUID={image.instance}"
    return path + (f"?{access_world.query_of(image)}" if template.startswith("/images") else "")


def templates(world: Any) -> list[str]:
    found = [str(each.path_format) for each in iter_route_contexts(world.app.routes) if "GET" in (each.methods or ())]
    assert len(found) > 50
    return found


def headers_of(answer: Any) -> dict[str, str]:
    found = {name: value for name, value in answer.headers.items() if name not in _OWN | {"transfer-encoding"}}
    return {**found, "content-type": found.get("content-type", "").partition("; boundary=")[0]}


def test_every_get_answers_head_with_its_status_and_headers(world: Any) -> None:
    seen = set()
    for template in templates(world):
        for accept in _TYPES:
            for there in (True, False):
                path = address(world, template, there=there)
                got, head = (world.client(method, path, {"Accept": accept}) for method in ("GET", "HEAD"))
                what = f"{template} as {accept}"
                assert head.status == got.status, what
                assert head.body == b"", what
                left_out = _CHANGING.get(template, set())
                expected, found = headers_of(got), headers_of(head)
                assert expected.keys() == found.keys(), what
                assert {n: v for n, v in expected.items() if n not in left_out} == {
                    n: v for n, v in found.items() if n not in left_out
                }, what
                seen.add(head.status)
    assert {200, 404, 406} <= seen


def test_head_tells_length_validator_and_digest_of_a_file(world: Any) -> None:
    answer = world.client("HEAD", f"/dicom-image/{world.image_id}")
    assert answer.headers["content-length"] == str(len(world.image.data))
    assert {"etag", "repr-digest", "accept-ranges"} <= answer.headers.keys()
    known = {"If-None-Match": answer.headers["etag"]}
    assert world.client("HEAD", f"/dicom-image/{world.image_id}", known).status == 304


def test_a_range_is_of_get_alone(world: Any) -> None:
    path = f"/dicom-image/{world.image_id}"
    assert world.client("GET", path, {"Range": "bytes=0-9"}).status == 206
    for wanted in ("bytes=0-9", "bytes=99999999-"):
        answer = world.client("HEAD", path, {"Range": wanted})
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(world.image.data)))


def test_where_there_is_no_get_there_is_no_head(world: Any) -> None:
    answer = world.client("HEAD", "/dicom-image")
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "POST", b"")
    assert world.client("HEAD", "/nowhere").status == 404


def test_head_of_a_large_object_reads_its_first_piece_and_keeps_no_file_open(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = type(world.services.platform.blobs)
    stream = blobs.stream
    read: list[int] = []

    def counted(self: Any, *given: Any) -> Iterator[bytes]:
        for chunk in stream(self, *given):
            read.append(len(chunk))
            yield chunk

    image = access_world.new_instance(side=3072)
    assert world.put(image, "").status == 200
    path = f"/dicomweb/studies/{image.study}/series/{image.series}/instances/{image.instance}"
    world.client("HEAD", path)
    monkeypatch.setattr(blobs, "stream", counted)
    for accept in ("application/dicom", 'multipart/related; type="application/dicom"', "application/zip"):
        read.clear()
        files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
        answer = world.client("HEAD", path, {"Accept": accept})
        assert answer.status == 200
        assert int(answer.headers["content-length"]) > 8 << 20
        assert sum(read) <= 2 << 20
        # The answer is there before what made it has been put away.
        deadline = time.monotonic() + 5
        while len(os.listdir("/proc/self/fd")) > files and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(os.listdir("/proc/self/fd")) <= files
        assert threading.active_count() <= threads + 1


def test_head_is_logged_counted_and_audited_as_what_it_is(world: Any) -> None:
    def last() -> int:
        head = world.services.platform.audit.head()
        return 0 if head is None else int(head.sequence)

    time.sleep(0.8)  # what earlier tests read has been written by then
    before = last()
    assert world.client("HEAD", f"/dicomweb/studies/{world.image.study}/metadata").status == 200
    deadline = time.monotonic() + 5
    while last() == before and time.monotonic() < deadline:
        time.sleep(0.05)
    (entry,) = world.services.platform.audit.read(before)
    assert (entry.action, entry.outcome, entry.image) == ("read.metadata", "success", world.image_id)
    metrics = world.client("GET", "/metrics").body
    assert b'method="HEAD",route="/dicomweb/studies/{study}/metadata",status="200"' in metrics
