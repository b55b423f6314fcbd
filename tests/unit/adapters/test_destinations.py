"""What peers and listeners may answer, by a server of the tests' own."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from isocenter.adapters.destinations.calling import Remote
from isocenter.adapters.destinations.stow import StowPeer
from isocenter.adapters.destinations.webhook import SIGNATURE, Webhook, signature
from isocenter.errors import BackendUnavailable, Conflict, IsocenterError, Misconfigured, Rejected
from isocenter.records import Parcel
from isocenter.testing.destination_contract import bytes_of, new_parcels

SECRET = b"a secret of both sides"
Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Other:
    """The other side: what it was asked, and how it answers."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    reply: Callable[[str, str, bytes], Reply] = lambda method, path, body: (200, {}, b"")


@pytest.fixture
def other() -> Iterator[Other]:
    made = Other()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.asked.append((self.command, self.path, dict(self.headers), body))
            status, headers, answer = made.reply(self.command, self.path, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/there"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def told(stored: list[Parcel] = [], failed: dict[str, int] | None = None) -> bytes:  # noqa: B006  # never changed
    """A Store Instances Response (PS3.18 10.5.3)."""

    def item(uid: str, **more: Any) -> dict[str, Any]:
        return {"00081155": {"vr": "UI", "Value": [uid]}, **more}

    model: dict[str, Any] = {}
    if stored:
        model["00081199"] = {"vr": "SQ", "Value": [item(p.uids[2]) for p in stored if p.uids]}
    if failed:
        reasons = [item(u, **{"00081197": {"vr": "US", "Value": [r]}}) for u, r in failed.items()]
        model["00081198"] = {"vr": "SQ", "Value": reasons}
    return json.dumps(model).encode()


def uid(parcel: Parcel) -> str:
    assert parcel.uids is not None
    return parcel.uids[2]


def sent(other: Other, parcels: list[Parcel], **options: Any) -> dict[str, str | IsocenterError]:
    return dict(StowPeer("peer", Remote(other.url, "token", seconds=5), other.url, **options).put(parcels))


def test_a_peer_that_takes_some_is_told_apart_by_instance(other: Other) -> None:
    parcels = new_parcels(4)
    failed = {uid(parcels[1]): 0xA900, uid(parcels[2]): 0xA700}
    other.reply = lambda *_: (202, {}, told(parcels[:1], failed))
    said = sent(other, parcels)
    assert said[parcels[0].id] == other.url
    codes = [(type(said[p.id]), said[p.id].code) for p in parcels[1:]]  # type: ignore[union-attr]  # they all failed
    assert codes == [
        (Rejected, "destination-a900"), (BackendUnavailable, "destination-a700"),
        (BackendUnavailable, "destination-silent"),
    ]  # fmt: skip
    ((method, path, headers, body),) = other.asked
    assert (method, path, headers["Authorization"]) == ("POST", "/there/studies", "Bearer token")
    assert int(headers["Content-Length"]) == len(body)
    assert all(bytes_of(parcel) in body for parcel in parcels)


def test_a_duplicate_is_done_only_with_the_same_bytes(other: Other) -> None:
    parcels = new_parcels(3)
    kept = {uid(parcels[0]): bytes_of(parcels[0]), uid(parcels[1]): b"other bytes"}

    def reply(method: str, path: str, body: bytes) -> Reply:
        if method == "POST":
            return 409, {}, told(failed={uid(parcel): 0x0111 for parcel in parcels})
        data = kept.get(path.rpartition("/")[2])
        if data is None:
            return 404, {}, b""
        part = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--b--"
        return 200, {"Content-Type": 'multipart/related; type="application/dicom"; boundary="b"'}, part

    other.reply = reply
    said = sent(other, parcels)
    assert said[parcels[0].id] == other.url
    assert isinstance(said[parcels[1].id], Conflict)
    assert isinstance(said[parcels[2].id], Conflict)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>", BackendUnavailable),
        (200, b"[[]]", BackendUnavailable),
        (200, b'{"00081198": {"Value": [{}]}}', BackendUnavailable),
        (200, b"{}", BackendUnavailable),
        (401, b"", BackendUnavailable),
        (500, b"", BackendUnavailable),
        (503, b"", BackendUnavailable),
        (415, b"", Rejected),
        (302, b"", BackendUnavailable),
    ],
)
def test_no_odd_answer_counts_as_stored(other: Other, status: int, body: bytes, kind: type[IsocenterError]) -> None:
    other.reply = lambda *_: (status, {"Location": "http://127.0.0.1:1/elsewhere"}, body)
    parcels = new_parcels(2)
    assert {type(said) for said in sent(other, parcels).values()} == {kind}


def test_requests_stay_within_their_sizes(other: Other) -> None:
    parcels = new_parcels(5)
    other.reply = lambda method, path, body: (200, {}, told([p for p in parcels if bytes_of(p) in body]))
    assert set(sent(other, parcels, most_images=2).values()) == {other.url}
    assert len(other.asked) == 3
    sent(other, parcels, most_bytes=1)
    assert len(other.asked) == 3 + 5


def test_a_body_too_large_for_the_peer_is_sent_image_by_image(other: Other) -> None:
    parcels = new_parcels(3)

    def reply(method: str, path: str, body: bytes) -> Reply:
        there = [parcel for parcel in parcels if bytes_of(parcel) in body]
        return (413, {}, b"") if len(there) > 1 else (200, {}, told(there))

    other.reply = reply
    assert set(sent(other, parcels).values()) == {other.url}


def test_a_notice_is_signed_and_carries_ids_alone(other: Other) -> None:
    parcels = new_parcels(2)
    hook = Webhook("listener", Remote(other.url, seconds=5), SECRET, clock=lambda: 1_700_000_000.9)
    assert hook.put(parcels) == dict.fromkeys((parcel.id for parcel in parcels), "notified")
    assert hook.put([]) == {}
    ((_, path, headers, body),) = other.asked
    mac = hmac.new(SECRET, b"1700000000." + body, hashlib.sha256).hexdigest()
    assert (path, headers[SIGNATURE]) == ("/there", f"t=1700000000,v1={mac}")
    notice = json.loads(body)
    assert [set(image) for image in notice["images"]] == [{"id", "media_type", "size", "sha256"}] * 2
    assert not any(part.encode() in body for parcel in parcels for part in parcel.uids or ())
    hook.put(parcels)
    assert json.loads(other.asked[1][3])["id"] == notice["id"]
    assert signature(SECRET, 1, b"x") != signature(SECRET, 2, b"x")


def test_a_listener_that_does_not_take_it_is_told_again(other: Other) -> None:
    other.reply = lambda *_: (500, {}, b"")
    parcels = new_parcels(1)
    said = Webhook("listener", Remote(other.url), SECRET).put(parcels)
    assert isinstance(said[parcels[0].id], BackendUnavailable)
    nobody = Webhook("listener", Remote("http://127.0.0.1:9", seconds=1), SECRET).put(parcels)
    assert isinstance(nobody[parcels[0].id], BackendUnavailable)


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "https://u:p@x/", "https://x/?a=b", "https://x:99999/", "https://x/#y", ""]
)
def test_an_odd_address_is_no_destination(url: str) -> None:
    with pytest.raises(Misconfigured):
        Remote(url)
