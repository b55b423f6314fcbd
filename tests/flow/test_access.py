"""Every route, and everybody who should not get through it."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.routing import RouteContext, iter_route_contexts

from isocenter.archive.deliver import Terms
from isocenter.archive.store import Caller
from isocenter.records import now
from isocenter.web import errors, observe
from isocenter.web.auth import Scope
from isocenter.web.docs import scope_of

_spec = importlib.util.spec_from_file_location("access_world", Path(__file__).with_name("access_world.py"))
assert _spec is not None
assert _spec.loader is not None
access_world: Any = importlib.util.module_from_spec(_spec)
sys.modules["access_world"] = access_world  # dataclasses look their module up there
_spec.loader.exec_module(access_world)

OPEN = {"/health", "/ready", "/openapi.json", "/docs", "/"}
FILES = {"/assets/{name}", "/licences.txt"}  # of the page, where it is built: tests/browser
SIGNED = {"/uploaded/{token}"}  # the address itself is the permission: test_uploads
BY_LINK = {"/delivered/{token}"}  # open to whoever has been given a link; test_deliveries sees to those who were not
EVERYTHING = tuple(str(scope) for scope in Scope)
READ_ONLY = ("images:read", "identified:read")
FEEDS = ("/events", "/events/stream")
LISTS = (
    "/jobs",
    "/pipelines",
    "/algorithms",
    "/deidentification/profiles",
    "/deliveries",
)  # what the caller may not see is not in them
OWN = ("/viewing/stores",)  # what the caller may do is told of the stores that the caller may see
ELSEWHERE = tuple(f"{scope}@deidentified" for scope in Scope)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with access_world.world(tmp_path_factory.mktemp("access"), EVERYTHING) as made:
        yield made


def routes(app: Any) -> list[tuple[str, str, RouteContext]]:
    """Every (method, template, route) of the application, however its routers are nested."""
    found = [
        (method, str(each.path_format), each)
        for each in iter_route_contexts(app.routes)
        for method in sorted(each.methods or ("ANY",))
    ]
    assert len(found) > 40
    return found


def guarded(app: Any) -> list[tuple[str, str, Scope]]:
    """Every (method, template, scope) that is not open to all; what takes GET takes HEAD too."""
    found = [(m, p, s) for m, p, each in routes(app) if (s := scope_of(each)) is not None]
    return [*found, *(("HEAD", path, scope) for method, path, scope in found if method == "GET")]


def address(world: Any, template: str, *, store: str = "raw", real: bool = True) -> str:
    """A path that names the kept image, or one that is not there."""
    image = world.image
    values = {
        "store": store,
        "study": image.study if real else "1.2.3",
        "series": image.series if real else "1.2.3",
        "instance": image.instance if real else "1.2.3",
        "file_id": world.image_id if real else "a" * 26,
        "frames": "1",
        "frame": "1",
        "path": "7FE00010",
        "name": "check" if real else "none",
        "id": world.job_id if real else "none",
    }
    if template.startswith(("/deliveries", "/webhooks")):
        there = world.delivery_id if template.startswith("/deliveries") else world.webhook_id
        values["id"] = there if real else "a" * 26
    path = template.format(**values)
    if template.endswith("/wado"):
        path += "?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}".format(**values)
    if template == "/events/stream":
        path += "?seconds=0"
    if template.endswith("/results"):
        path += f"?image={world.image_id}"
    if template.startswith("/images"):
        path += "?" + (access_world.query_of(image) if real else "subject_id=none&image_id=none")
        if template != "/images" or store != "raw":
            path += f"&store={store}"
    return path


def asks(world: Any, method: str, path: str, authorization: str | None, body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/dicom"}
    if authorization is not None:
        headers["Authorization"] = authorization
    if method == "POST" and body is None:
        body = world.image.data
    if path.startswith("/images"):
        headers["Content-Type"] = "application/octet-stream"
    if path == "/uploads":
        headers["Content-Type"] = "application/json"
        body = json.dumps({"files": [{"name": "a", "size": 1, "sha256": "0" * 64}], "store": "raw"}).encode()
    if path == "/process":
        image = world.image_id if authorization is not None else "a" * 26
        headers["Content-Type"] = "application/json"
        body = json.dumps({"url": f"isocenter:{image}", "algorithm": "three-circles"}).encode()
    if path == "/deidentification/previews":
        headers["Content-Type"], body = "application/json", json.dumps({"image": world.image_id}).encode()
    if path.startswith("/pipelines"):
        headers["Content-Type"], body = "application/json", b'{"all": true}' if method == "POST" else None
    if path == "/webhooks" and method == "POST":
        told = {"url": access_world.LISTENER, "events": ["image.stored"]}
        headers["Content-Type"], body = "application/json", json.dumps(told).encode()
    if path == "/deliveries" and method == "POST":
        headers["Content-Type"], body = "application/json", json.dumps({"images": [world.image_id]}).encode()
    return world.client(method, path, headers, body)


def gives_nothing_away(answer: Any) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert not any(canary in answer.body for canary in access_world.CANARIES)
    assert "x-request-id" in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


def told(answer: Any) -> Any:
    """What an answer says, but for whose it is."""
    return {**answer.json(), "request_id": ""} if answer.body else answer.headers["content-length"]


def test_every_route_has_exactly_one_guard(world: Any) -> None:
    for method, path, each in routes(world.app):
        found = [d.call for d in each.dependant.dependencies if hasattr(d.call, "scope")]
        assert len(found) == 1, f"{method} {path} declares no scope, or several"
        assert (found[0].scope is None) == (path in OPEN | FILES | SIGNED | BY_LINK), f"{method} {path} is open"


def test_dicomweb_is_guarded_alike_under_each_root(world: Any) -> None:
    found = {(method, path): scope for method, path, scope in guarded(world.app)}
    plain = {key: scope for key, scope in found.items() if key[1].startswith("/dicomweb")}
    assert len(plain) > 15
    for (method, path), scope in plain.items():
        assert found[method, "/stores/{store}" + path] is scope


def strangers(world: Any) -> dict[str, str | None]:
    """Authorization headers that nobody may come in with."""
    issuer, every = world.issuer, " ".join(EVERYTHING)
    good_key = world.key(*EVERYTHING)
    revoked = world.key(*EVERYTHING)
    world.services.platform.api_keys.revoke(revoked.split("_")[1], Caller("test").entry("key.revoke"))
    seconds = int(time.time())
    another = rsa.generate_private_key(65537, 2048)
    tokens = {
        "expired token": issuer.token(every, exp=seconds - 120),
        "token from tomorrow": issuer.token(every, iat=seconds + 86400),
        "token not valid yet": issuer.token(every, nbf=seconds + 86400),
        "forged signature": issuer.token(every, key=another),
        "unknown key id": issuer.token(every, key=another, kid="other"),
        "alg none": issuer.unsigned(every),
        "HS256 with the public key": issuer.signed_with_the_public_key(every),
        "wrong issuer": issuer.token(every, iss="https://elsewhere.example"),
        "wrong audience": issuer.token(every, aud="another-service"),
        "no audience": issuer.token(every, aud=None),
        "no expiry": issuer.token(every, exp=None),
        "no subject": issuer.token(every, sub=None),
        "subject with a line feed": issuer.token(every, sub="a\nb"),
        "ID token": issuer.token("openid profile"),
        "another prefix": issuer.token(" ".join(f"x/{scope}" for scope in EVERYTHING)),
        "cut off": issuer.token(every)[:-20],
        "header bomb": "W1tb" * 3000 + ".e30.x",
        "unknown key": "isk_0123456789ab_" + "A" * 43,
        "right id, wrong secret": good_key[:-43] + "B" * 43,
        "key cut off": good_key[:-1],
        "expired key": world.key(*EVERYTHING, expires=now() - timedelta(seconds=1)),
        "revoked key": revoked,
        "odd key": "isk_%_' OR 1=1",
    }
    headers: dict[str, str | None] = {name: f"Bearer {token}" for name, token in tokens.items()}
    return headers | {"nothing": None, "empty": "", "Bearer alone": "Bearer ", "basic": f"Basic {good_key}"}


def test_nobody_unknown_gets_through_any_route(world: Any) -> None:
    unknown = strangers(world)
    before = len(world.services.platform.index.images(access_world._all()).items)
    for method, template, _ in guarded(world.app):
        for name, header in unknown.items():
            answer = asks(world, method, address(world, template), header)
            assert answer.status == 401, f"{method} {template} with {name} answers {answer.status}"
            assert answer.headers["www-authenticate"] == "Bearer"
            gives_nothing_away(answer)
    assert len(world.services.platform.index.images(access_world._all()).items) == before


@pytest.mark.parametrize("kind", ["key", "token"])
def test_a_scope_opens_its_routes_alone(world: Any, kind: str) -> None:
    def credential(*scopes: str) -> str:
        return "Bearer " + (world.key(*scopes) if kind == "key" else world.issuer.token(" ".join(scopes)))

    readers = credential(*READ_ONLY)
    writers = credential("images:write")
    for method, template, scope in guarded(world.app):
        wrong = writers if scope is Scope.READ else readers
        answer = asks(world, method, address(world, template), wrong)
        assert answer.status == 403, f"{method} {template}: {answer.status}"
        gives_nothing_away(answer)


def test_a_caller_of_another_store_learns_nothing_of_this_one(world: Any) -> None:
    """The same answer for what is there, what is not, and a store that does not exist."""
    stranger = f"Bearer {world.key(*ELSEWHERE)}"
    for method, template, scope in guarded(world.app):
        if scope is Scope.ADMIN:
            assert asks(world, method, address(world, template), stranger).status == 403
            continue
        there = asks(world, method, address(world, template), stranger)
        if template in FEEDS:
            assert method == "HEAD" or template == "/events/stream" or there.json()["events"] == []
            assert world.image_id.encode() not in there.body
            continue
        if template in OWN:
            assert method == "HEAD" or {each["name"] for each in there.json()["stores"]} == {"deidentified"}
            continue
        if template in ("/algorithms", "/deidentification/profiles"):  # they are about no store
            assert there.status == 200
            continue
        if template in LISTS and method != "POST":
            assert method == "HEAD" or [] in there.json().values()
            continue
        if method in ("GET", "HEAD") and template == "/images":
            assert method == "HEAD" or there.json() == {"images": [], "next": None}
            there = asks(world, method, address(world, template) + "&store=raw", stranger)
        assert there.status == 404, f"{method} {template}: {there.status}"
        gives_nothing_away(there)
        for other in (
            address(world, template, real=False),
            address(world, template, store="nowhere"),
        ):
            if template == "/images" and "store=" not in other:
                other += "&store=raw"
            elsewhere = asks(world, method, other, stranger)
            assert elsewhere.status == 404
            assert told(there) == told(elsewhere)


def test_stores_with_identity_take_another_scope_to_read(world: Any) -> None:
    half = f"Bearer {world.key('images:read')}"
    for method, template, scope in guarded(world.app):
        if scope is Scope.READ and template not in (*FEEDS, *OWN, "/images"):
            answer = asks(world, method, address(world, template), half)
            assert answer.status == 404, template
            gives_nothing_away(answer)
    events = world.client("GET", "/events", {"Authorization": half})
    assert world.image_id.encode() not in events.body


def test_a_caller_whose_scope_reaches_no_store_is_refused_alike_everywhere(world: Any) -> None:
    nowhere = f"Bearer {world.key('images:read@raw', 'images:write@gone')}"
    answers = {
        asks(world, "GET", path, nowhere).status
        for path in (
            "/events",
            "/images?subject_id=x",
            "/dicomweb/studies",
            "/stores/nowhere/dicomweb/studies",
        )
    }
    assert answers == {403}


def test_a_caller_who_sees_a_store_is_told_what_is_missing(world: Any) -> None:
    mixed = f"Bearer {world.key(*(f'{s}@raw' for s in READ_ONLY), 'images:delete@deidentified')}"
    image = world.image
    assert asks(world, "DELETE", f"/stores/raw/dicomweb/studies/{image.study}", mixed).status == 403
    assert asks(world, "DELETE", f"/dicom-image/{world.image_id}", mixed).status == 404
    assert asks(world, "GET", f"/stores/raw/dicomweb/studies/{image.study}", mixed).status == 200


@pytest.mark.parametrize("kind", ["key", "token", "EC token", "Ed25519 token", "per store"])
def test_whoever_may_gets_through(world: Any, kind: str) -> None:
    every = " ".join(EVERYTHING)
    per_store = (*(f"{scope}@raw" for scope in Scope if scope is not Scope.ADMIN), "admin")
    token = {
        "key": lambda: world.key(*EVERYTHING),
        "token": lambda: world.issuer.token(every),
        "EC token": lambda: world.issuer.token(every, kid="ec", algorithm="ES256"),
        "Ed25519 token": lambda: world.issuer.token(None, kid="ed", algorithm="EdDSA", scp=list(EVERYTHING)),
        "per store": lambda: world.issuer.token(" ".join(per_store)),
    }[kind]()
    for method, template, _ in guarded(world.app):
        if method == "DELETE":
            continue
        answer = asks(world, method, address(world, template), f"bearer {token}")
        # What has ended is not cancelled, paused, resumed, or tried again where all went well.
        # A session is its beginner's alone.
        usual = (
            (404,)
            if template.startswith("/uploads/")
            else (409,)
            if method == "POST" and template.startswith("/jobs")
            else (200, 201, 202)
        )
        assert answer.status in usual, f"{method} {template}: {answer.status} {answer.body[:200]!r}"


def test_whoever_may_deletes(world: Any) -> None:
    for method, template, _ in guarded(world.app):
        if method != "DELETE" or template.startswith("/uploads/"):
            continue
        image = access_world.new_instance()
        token = f"Bearer {world.key(*EVERYTHING)}"
        assert world.put(image, token).status == 200
        location = world.client(
            "POST", "/dicom-image", {"Authorization": token, "Content-Type": "application/dicom"}, image.data
        )
        fields = {"store": "raw", "study": image.study, "series": image.series, "instance": image.instance}
        file_id = location.json()["file_id"]
        delivery, _ = world.services.deliver.create("raw", [file_id], Terms(), Caller("test"))
        webhook, _ = world.services.webhooks.add(access_world.LISTENER, ("image.stored",), None, Caller("test"))
        id = webhook.id if template.startswith("/webhooks") else delivery.id
        path = template.format(**fields, file_id=file_id, id=id)
        if template.startswith("/images"):
            path += "?" + access_world.query_of(image)
        assert asks(world, method, path, token).status == 204, template
        assert asks(world, method, path, token).status == 404, template


def test_open_routes_ask_for_nothing(world: Any) -> None:
    for path in OPEN:
        assert world.client("GET", path).status == world.client("HEAD", path).status == 200


def test_a_revoked_key_is_refused_within_its_five_seconds(world: Any) -> None:
    text = world.key(*READ_ONLY)
    header = {"Authorization": f"Bearer {text}"}
    assert world.client("GET", "/dicomweb/studies", header).status == 200
    world.services.platform.api_keys.revoke(text.split("_")[1], Caller("test").entry("key.revoke"))
    deadline = time.monotonic() + 6
    while world.client("GET", "/dicomweb/studies", header).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert world.client("GET", "/dicomweb/studies", header).status == 401


def counted(world: Any, after: int, least: int) -> list[Any]:
    """Entries written after a sequence, waited for no longer than a second."""
    deadline = time.monotonic() + 1.0
    while True:
        found = [e for e in world.services.platform.audit.read(after, 100_000) if e.action != "key.new"]
        if sum(e.count for e in found) >= least or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def last(world: Any) -> int:
    time.sleep(0.8)  # what earlier tests caused has been written by then
    head = world.services.platform.audit.head()
    return 0 if head is None else int(head.sequence)


def test_every_refusal_is_audited_within_a_second(world: Any) -> None:
    reader, stranger = world.key(*READ_ONLY), world.key(*ELSEWHERE)
    after, asked = last(world), 0
    for method, template, scope in guarded(world.app):
        if scope is not Scope.READ:
            for header in (None, "Bearer isk_x", f"Bearer {reader}", f"Bearer {stranger}")[
                : 3 + (template not in LISTS)
            ]:
                assert asks(world, method, address(world, template), header).status in (401, 403, 404)
                asked += 1
    found = counted(world, after, asked)
    assert sum(e.count for e in found) == asked
    assert {e.actor for e in found} == {
        "unknown",
        *(f"key:{text.split('_')[1]}" for text in (reader, stranger)),
    }
    assert {(e.action, e.outcome) for e in found} >= {
        ("login", "denied"),
        ("store", "denied"),
        ("admin", "denied"),
    }
    assert all(e.address == "127.0.0.1" and e.request_id for e in found)


def test_every_read_is_audited_within_a_second_with_its_request(world: Any) -> None:
    token = f"Bearer {world.issuer.token(' '.join(READ_ONLY))}"
    after, answers = last(world), {}
    for method, template, scope in guarded(world.app):
        if scope is Scope.READ and template not in FEEDS:
            answer = asks(world, method, address(world, template), token)
            assert answer.status == 200, template
            answers[answer.headers["x-request-id"]] = template
    # A request may be audited more than once, so entries are counted by the request that they belong to.
    deadline = time.monotonic() + 1.0
    while True:
        found = {e.request_id: e for e in counted(world, after, 0)}
        if answers.keys() <= found.keys() or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert not answers.keys() - found.keys(), [answers[each] for each in answers.keys() - found.keys()]
    assert {(e.actor, e.outcome) for e in found.values()} == {("oidc:tester", "success")}


def test_a_flood_of_wrong_keys_is_coalesced(world: Any) -> None:
    after, started = last(world), time.monotonic()
    for _ in range(300):
        assert world.client("GET", "/events", {"Authorization": "Bearer isk_x"}).status == 401
    found = counted(world, after, 300)
    assert sum(e.count for e in found) == 300
    assert len(found) <= 4 + 2 * (time.monotonic() - started)  # two flushes a second


class Lines(list[dict[str, Any]]):
    def _add(self, event: str, **fields: Any) -> None:
        self.append({"event": event, **fields})

    info = error = warning = _add


def test_logs_metrics_and_audit_carry_templates_and_no_values(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    monkeypatch.setattr(observe, "log", lines)
    monkeypatch.setattr(errors, "log", lines)
    token = f"Bearer {world.key(*EVERYTHING)}"
    seen = set()
    for method, template, _ in guarded(world.app):
        if method in ("GET", "HEAD"):
            for real in (True, False):
                asks(world, method, address(world, template, real=real), token)
            seen.add(template)
    world.client("GET", f"/nowhere/{access_world.PATIENT}")
    metrics = world.client("GET", "/metrics", {"Authorization": token}).body
    # A line comes after its answer; by the next answer on the same connection it is there.
    told = {line["route"] for line in lines if line["event"] == "request"}
    assert seen | {"(none)"} <= told <= seen | {"(none)"} | OPEN | FILES  # an earlier test's last line may come late
    audit = repr(list(world.services.platform.audit.read(0, 100_000))).encode()
    image = world.image
    secrets = [*access_world.CANARIES, *(u.encode() for u in (image.study, image.series, image.instance))]
    for text in (repr(lines).encode(), metrics, audit):
        assert not any(secret in text for secret in secrets)
    assert b'route="/dicomweb/instances"' in metrics
    assert b'route="/stores/{store}/dicomweb/instances"' in metrics
    assert token.encode() not in repr(lines).encode()
