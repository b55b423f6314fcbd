"""Bodies made while they are sent, ranges of them, and parts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Request

from isocenter.archive.retrieve import Content
from isocenter.errors import Corrupted
from isocenter.web.sending import BodyPart, content_response, multipart_response, not_modified, requested_range
from isocenter.web.streaming import HEADERS_ALONE, Streamed

BIG = 3 << 20


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw})


async def sent(
    response: Any, *, leave_after: int | None = None, slow: float = 0.0, **scope: Any
) -> tuple[dict[str, str], list[bytes]]:
    """Headers and chunks of an answer; the client leaves after so many chunks."""
    left, chunks, headers = asyncio.Event(), list[bytes](), dict[str, str]()

    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers.update({name.decode(): value.decode() for name, value in message["headers"]})
            return
        chunks.append(message["body"])
        await asyncio.sleep(slow)
        if leave_after is not None and len(chunks) >= leave_after:
            left.set()
            await asyncio.sleep(0)

    await response({"type": "http", **scope}, receive, send)
    return headers, chunks


def run(response: Any, **how: Any) -> tuple[dict[str, str], bytes]:
    headers, chunks = asyncio.run(sent(response, **how))
    return headers, b"".join(chunks)


@pytest.mark.parametrize("sizes", [[], [0], [5], [5, 0, 7], [BIG], [BIG, 1, BIG, 1, 1, BIG], [100] * 60_000])
def test_chunks_arrive_in_order_whatever_their_sizes(sizes: list[int]) -> None:
    chunks = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    headers, body = run(Streamed(iter(chunks)))
    assert body == b"".join(chunks)
    assert "content-length" not in headers or int(headers["content-length"]) == len(body)
    assert run(Streamed(iter(chunks), size=len(body)))[0]["content-length"] == str(len(body))


def test_small_bodies_need_no_thread() -> None:
    where = []

    def chunks() -> Iterator[bytes]:
        where.append(threading.get_ident())
        yield b"x"

    run(Streamed(chunks()))
    assert where == [threading.get_ident()]


def test_what_is_slow_to_make_goes_out_as_it_comes() -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(4):
            yield b"picture"
            time.sleep(0.03)

    _, pieces = asyncio.run(sent(Streamed(chunks())))
    assert len([piece for piece in pieces if piece]) >= 3


def test_a_fault_before_the_first_piece_is_raised_at_once_and_one_later_breaks_off() -> None:
    def chunks(good: int) -> Iterator[bytes]:
        yield from [bytes(BIG)] * good
        raise Corrupted("it was altered")

    with pytest.raises(Corrupted):
        Streamed(chunks(0))
    with pytest.raises(Corrupted):
        run(Streamed(chunks(5)))


def test_when_the_client_leaves_nothing_more_is_made_and_the_source_is_closed() -> None:
    made, closed = [], []

    def chunks() -> Iterator[bytes]:
        try:
            for number in range(100):
                made.append(number)
                yield bytes(BIG)
        finally:
            closed.append(True)

    run(Streamed(chunks()), leave_after=2)
    assert len(made) < 12
    assert closed == [True]


def test_for_headers_alone_nothing_is_made_behind_the_first_piece_and_the_source_is_closed() -> None:
    made, closed = [], []

    def chunks() -> Iterator[bytes]:
        try:
            for number in range(100):
                made.append(number)
                yield bytes(BIG)
        finally:
            closed.append(threading.get_ident())

    before = threading.get_ident()
    headers, body = run(Streamed(chunks(), size=100 * BIG), **{HEADERS_ALONE: True})
    assert (headers["content-length"], body) == (str(100 * BIG), b"")
    assert made == [0]
    assert len(closed) == 1
    assert closed != [before]  # closing may reach out to a blob store: not in the event loop's thread


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", (0, 1)), ("bytes=5-", (5, 100)), ("bytes=-10", (90, 100)), ("bytes=-1000", (0, 100)),
        ("bytes=0-1000", (0, 100)), ("bytes=100-", (100, 100)), ("bytes=200-300", (100, 100)), ("bytes=-0", (100, 100)),
        ("bytes=9-5", None), ("bytes=0-1,5-6", None), ("bytes=", None), ("bytes=-", None), ("items=0-1", None),
        ("bytes=x-1", None), ("bytes=" + "9" * 30 + "-", None), ("", None),
    ],
)  # fmt: skip
def test_a_range_is_read_as_http_says(header: str, wanted: tuple[int, int] | None) -> None:
    assert requested_range(request(range=header), '"a"', 100) == wanted


def test_if_range_holds_a_range_to_the_state_it_was_begun_with() -> None:
    for condition, wanted in (('"a"', (0, 1)), ('"b"', None), ('W/"a"', None), ("Wed, 21 Oct 2015 07:28:00 GMT", None)):
        assert requested_range(request(range="bytes=0-0", if_range=condition), '"a"', 9) == wanted


@pytest.mark.parametrize(
    ("given", "known"), [('"a"', True), ('W/"a"', True), ('"b", W/"a"', True), ("*", True), ('"b"', False)]
)
def test_validators_are_compared_weakly(given: str, known: bool) -> None:
    assert not_modified(request(if_none_match=given), 'W/"a"') is known
    assert not_modified(request(if_none_match=given), '"a"') is known


def test_a_range_reads_no_more_than_itself() -> None:
    asked = []

    def span(start: int, stop: int) -> Iterator[bytes]:
        asked.append((start, stop))
        yield bytes(stop - start)

    def whole() -> Iterator[bytes]:
        asked.append((0, 50))
        yield bytes(50)

    content = Content(whole(), 50, "etag", None, span)
    answer = content_response(request(range="bytes=10-19"), content, "application/dicom", {})
    assert (answer.status_code, asked) == (206, [(10, 20)])
    assert answer.headers["content-range"] == "bytes 10-19/50"
    answer = content_response(request(range="bytes=50-"), content, "application/dicom", {})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */50")
    answer = content_response(request(if_none_match='"etag"'), content, "application/dicom", {})
    assert (answer.status_code, asked) == (304, [(10, 20)])


def test_parts_of_known_sizes_have_a_length_together() -> None:
    parts = [BodyPart("a/b", (b"one", b"two"), 6, {"Content-Location": "x"}), BodyPart("a/c", (b"three",), 5)]
    headers, body = run(multipart_response(list(parts), "a/b"))
    assert int(headers["content-length"]) == len(body)
    assert body.count(b"Content-Length: ") == 2
    assert b"Content-Location: x\r\n\r\nonetwo\r\n--" in body
    parts = [BodyPart("a/b", (bytes(BIG),), BIG), BodyPart("a/b", (b"unknown",))]
    headers, body = run(multipart_response(list(parts), "a/b"))
    assert "content-length" not in headers
    assert body.endswith(b"unknown\r\n--" + headers["content-type"].rpartition("=")[2].encode() + b"--\r\n")
