"""What a measurement takes for an answer, and what a page says of it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bench.client import Address, Answer, Client, Request, WrongAnswer
from bench.measure import Checked, Figures, Goal, Work, measure
from bench.plots import draw
from bench.processes import Processes
from bench.report import rows, write
from bench.servers import Running


class Handler(BaseHTTPRequestHandler):
    """/N answers N bytes; /status/N that status; /less says more bytes than come; /shrink gives less each time."""

    protocol_version = "HTTP/1.1"
    left = 1000

    def do_GET(self) -> None:
        word = self.path.rpartition("/")[2]
        status, size, stated = 200, 0, None
        if "/status/" in self.path:
            status = int(word)
        elif word == "less":
            size, stated = 10, 20
        elif word == "shrink":
            size, Handler.left = Handler.left, Handler.left // 2
        else:
            size = int(word)
        self.send_response(status)
        self.send_header("Content-Length", str(size if stated is None else stated))
        self.end_headers()
        self.wfile.write(b"x" * size)
        self.close_connection = stated is not None

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@contextmanager
def serving() -> Iterator[Running]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Running("Isocenter", Address.parse(f"http://127.0.0.1:{server.server_port}/web"), None)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def work(path: str, count: int = 500) -> Work:
    def expect(answer: Answer, number: int) -> None:
        if len(answer.body) != count:
            raise WrongAnswer("too short")

    return Work("wado-x", "Retrieve", "x", lambda n: Request(path), expect, Goal(cpu_ms=1))


def test_what_is_answered_rightly_is_counted() -> None:
    with serving() as server:
        found = measure(server, work("/500"), 0, Checked(), 0.05)
    assert found.note == ""
    assert found.bytes == 500
    assert found.operations > 1
    assert found.cpu_ms is None  # no process was named
    assert found.wall_ms is not None


@pytest.mark.parametrize(
    ("path", "note"),
    [
        ("/status/404", "not offered (404)"),
        ("/status/406", "not offered (406)"),
        ("/status/501", "not offered (501)"),
        ("/status/500", "refused (500)"),
        ("/499", "wrong: too short"),
        ("/less", "wrong: 10 bytes came of 20"),
    ],
)
def test_other_answers_are_no_figures(path: str, note: str) -> None:
    with serving() as server:
        found = measure(server, work(path), 0, Checked(), 0.05)
    assert (found.note, found.operations) == (note, 0)


def test_an_answer_that_becomes_another_is_an_error() -> None:
    Handler.left = 1000
    with serving() as server:
        found = measure(server, work("/shrink", 1000), 0, Checked(), 0.05)
    assert found.note == "wrong: status 200 with 500 bytes instead of 1000"


def test_parts_of_a_multipart_answer_are_read_and_a_cut_one_is_seen() -> None:
    with serving() as server:
        client = Client(server.address)
        answer = client.get(Request("/1"), keep=True)
        client.close()
    body = b"--b\r\nContent-Type: x\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
    answer.headers["Content-Type"] = 'multipart/related; type="x"; boundary=b'
    assert replace(answer, body=body).parts() == [b"one", b"two"]
    with pytest.raises(WrongAnswer):
        replace(answer, body=body[:-8]).parts()


def test_the_clock_of_processes_counts_threads_that_have_ended() -> None:
    own = Processes(os.getpid())
    before, used = own.cpu_seconds(), time.process_time()

    def burn() -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    assert own.cpu_seconds() - before == pytest.approx(time.process_time() - used, abs=0.03)
    assert own.resident() > 1 << 20


def figures(turn: int, cpu: float, server: str = "Isocenter") -> Figures:
    goal = Goal(cpu_ms=2)
    return Figures("Search", "qido-x", "a search", goal, server, turn, 10, cpu, 5.0, 200.0, 1.0, 4.0, 0.0, 100)


def test_a_page_has_medians_with_least_and_most_and_says_whether_goals_are_met(tmp_path: Path) -> None:
    found = rows([*(figures(n, cpu) for n, cpu in enumerate((3.0, 1.0, 1.5))), figures(0, 9.0, "Orthanc")])
    draw(tmp_path, found)
    write(tmp_path, found, machine="a machine", versions=("one 1",), day="2026-11-20", how="So.")
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| a search | Isocenter | 1.50 (1.00 to 3.00) | 5.00 | 200 | 1.00 | 0 | ≤ 2 ms CPU: met |" in page
    assert "| a search | Orthanc | 9.00 (9.00 to 9.00) | 5.00 | 200 | 1.00 | 0 |  |" in page
    assert "![Search: CPU for each operation](benchmarks/search.png)" in page
    assert (tmp_path / "benchmarks" / "search.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert [figure["cpu_ms"] for figure in told["figures"]] == [3.0, 1.0, 1.5, 9.0]


def test_what_is_not_offered_stands_in_the_page_and_only_ours_must_not_refuse() -> None:
    note = replace(figures(0, 1.0), cpu_ms=None, note="refused (500)")
    ours, theirs = rows([note, replace(note, server="Orthanc")])
    assert ours.cells()[2] == "refused (500)"
    assert (ours.is_wrong, theirs.is_wrong) == (True, False)
