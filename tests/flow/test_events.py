"""The change feed as it grows: what is told, to whom, from where on."""

from __future__ import annotations

import json
import threading
import time
from http.client import HTTPConnection
from typing import Any

from isocenter.testing.instances import ct_slice
from isocenter.testing.server import Server


def events(server: Server, query: str, **headers: str) -> list[Any]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/events/stream{query}", headers=headers)
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    blocks = answer.read().decode().split("\n\n")
    connection.close()
    found = []
    for block in blocks:
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            told = json.loads(lines["data"])
            assert (int(lines["id"]), lines["event"]) == (told["sequence"], told["type"])
            found.append(told)
    return found


def test_each_change_is_told_once_in_order_and_from_where_one_left(own_server: Server) -> None:
    for number in (1, 2):
        assert own_server.stow(ct_slice(1, number, size=16)).status == 200
    seen = events(own_server, "?seconds=0")
    assert [event["type"] for event in seen] == ["image.stored"] * 2
    assert seen == own_server.request("GET", "/events").json()["events"]
    assert events(own_server, f"?seconds=0&after={seen[0]['sequence']}") == seen[1:]
    last = str(seen[1]["sequence"])
    assert events(own_server, "?seconds=0", **{"Last-Event-ID": last}) == []

    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.extend(events(own_server, "?seconds=6", **{"Last-Event-ID": last})))
    reader.start()
    time.sleep(1)
    assert own_server.stow(ct_slice(1, 3, size=16)).status == 200
    reader.join()
    assert [event["type"] for event in found] == ["image.stored"]
    assert found[0]["sequence"] > int(last)
    for odd in ("x", "-1", "", "9" * 40):  # nobody is told such an id: they begin where `after` says, or at the end
        assert len(events(own_server, "?seconds=0", **{"Last-Event-ID": odd})) == (0 if odd.startswith("9") else 3)
