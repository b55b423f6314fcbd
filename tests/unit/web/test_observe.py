"""What stands around every request: ids, headers, faults, and who a browser may ask for."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from isocenter.web import observe
from isocenter.web.observe import AnswerCutOffError, Observe, Origins
from isocenter.web.prometheus import PrometheusMetrics

SECRET = "DOE^JOHN"


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Cache-Control", b"no-cache")]})
    await send({"type": "http.response.body", "body": b"fine"})


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(SECRET) from KeyError(SECRET)


async def broken_late(scope: Scope, receive: Receive, send: Send) -> None:
    await fine(scope, receive, send)
    raise ValueError(SECRET)


def asked(app: Any, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request; underscores in header names stand for hyphens."""
    given = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/x", "headers": given}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    asyncio.run(app(scope, receive, send))
    start = sent[0]
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(m.get("body", b"") for m in sent[1:])


class Lines(list[dict[str, Any]]):
    def _add(self, event: str, **fields: Any) -> None:
        self.append({"event": event, **fields})

    info = error = _add


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    made = Lines()
    monkeypatch.setattr(observe, "log", made)
    return made


@pytest.mark.usefixtures("lines")
def test_every_answer_carries_the_headers_that_keep_browsers_safe() -> None:
    _, headers, _ = asked(Observe(fine, PrometheusMetrics()))
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-cache"  # the route's own word counts


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("given", ["a", "A-b_c.1", "x" * 64])
def test_a_harmless_request_id_is_kept(given: str) -> None:
    assert asked(Observe(fine, PrometheusMetrics()), x_request_id=given)[1]["x-request-id"] == given


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\nb", "a\n", "<script>", SECRET, "é", 'a"b', "a;b"])
def test_any_other_request_id_is_replaced(given: str) -> None:
    found = asked(Observe(fine, PrometheusMetrics()), x_request_id=given)[1]["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", found)


def test_a_fault_is_logged_without_its_message_and_answered_bare(lines: Lines) -> None:
    metrics = PrometheusMetrics()
    status, headers, body = asked(Observe(broken, metrics), x_request_id="r1")
    assert status == 500
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert json.loads(body)["request_id"] == headers["x-request-id"] == "r1"
    fault = lines[0]
    assert fault["fault"] == ["ValueError", "KeyError"]
    assert any("broken" in place for place in fault["where"][0])
    assert SECRET not in repr(lines)
    assert SECRET.encode() not in body
    assert b"isocenter_requests_in_progress 0.0" in metrics.page()
    assert lines[1]["status"] == 500


def test_an_answer_that_cannot_be_finished_is_cut_off(lines: Lines) -> None:
    with pytest.raises(AnswerCutOffError) as caught:
        asked(Observe(broken_late, PrometheusMetrics()))
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__
    assert SECRET not in repr(lines)


def test_unknown_methods_do_not_become_labels(lines: Lines) -> None:
    metrics = PrometheusMetrics()
    asked(Observe(fine, metrics), method=SECRET)
    assert lines[0]["method"] == "OTHER"


LOCAL = ("127.0.0.1", "localhost", "::1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8042", "localhost:8042", "LOCALHOST", "[::1]:8042", "[::1]"])
def test_the_names_of_this_machine_are_let_in(host: str) -> None:
    assert asked(Origins(fine, LOCAL, ()), host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8042", "localhost.evil.example", "127.0.0.1.evil.example", "", "0.0.0.0"],
)
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    """DNS rebinding: a page of evil.example whose name leads to 127.0.0.1 by now."""
    assert asked(Origins(fine, LOCAL, ()), host=host)[0] == 421


@pytest.mark.parametrize("host", ["[::1", "a b", "a/b", "a@b", '"><script>', "a:b", "a:1:2", "é", "a\r\nb", "[a]x"])
def test_a_host_that_is_none_is_refused_before_it_gets_into_a_link(host: str) -> None:
    assert asked(Origins(fine, (), ()), host=host)[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:8042"},
        {"origin": "http://localhost:8042", "sec_fetch_site": "same-origin"},
        {"origin": "https://viewer.example", "sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "none"},
    ],
)
def test_changes_from_our_own_pages_and_from_programs_pass(headers: dict[str, str]) -> None:
    app = Origins(fine, LOCAL, ("https://viewer.example",))
    assert asked(app, "POST", host="localhost:8042", **headers)[0] == 200


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"origin": "file://localhost:8042"},
        {"origin": "http://localhost:8042", "sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://viewer.example.evil.example"},
    ],
)
def test_changes_that_another_sites_page_asks_for_are_refused(method: str, headers: dict[str, str]) -> None:
    app = Origins(fine, LOCAL, ("https://viewer.example",))
    status, found, body = asked(app, method, host="localhost:8042", **headers)
    assert status == 403
    assert found["content-type"] == "application/problem+json"
    assert json.loads(body)["code"] == "cross-site"


def test_no_origin_and_no_host_are_not_the_same_site() -> None:
    assert asked(Origins(fine, (), ()), "POST", origin="null")[0] == 403
