"""STOW-RS as clients do it: single instances from 1, 4 or 16 clients, batches of tiny ones, one very large."""

from __future__ import annotations

import http.client
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench import corpus
from bench.servers import Server

_BOUNDARY = "bench"
_HEAD = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()
_HEADERS = {
    "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
    "Accept": "application/dicom+json",
}


@dataclass
class Figures:
    """One measurement; CPU is the server's, user and system, for each instance."""

    server: str
    work: str
    clients: int
    instances: int
    cpu_ms: float
    per_second: float
    megabytes_per_second: float
    peak_growth_mb: float


def store_many(server: Server, work: str, run: int, count: int, *, clients: int, per_request: int = 1) -> Figures:
    template = corpus.tiny() if work == "tiny" else corpus.ct()
    before, memory = server.cpu_seconds(), server.memory("VmHWM")
    share = count // clients
    jobs = [(server.port, server.root, template, run, n * share, share, per_request) for n in range(clients)]
    started = time.perf_counter()
    if clients == 1:
        _client(*jobs[0])
    else:
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=_client, args=job) for job in jobs]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise RuntimeError(f"{server.name} refused instances")
    seconds = time.perf_counter() - started
    done = share * clients
    return Figures(
        server.name, work, clients, done,
        cpu_ms=1000 * (server.cpu_seconds() - before) / done,
        per_second=done / seconds,
        megabytes_per_second=done * len(template.data) / seconds / 1e6,
        peak_growth_mb=(server.memory("VmHWM") - memory) / 1e6,
    )  # fmt: skip


def _client(port: int, root: str, template: corpus.Template, run: int, first: int, count: int, per: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for start in range(first, first + count, per):
        parts = [template.instance(run, start // 100, n) for n in range(start, min(start + per, first + count))]
        body = _HEAD + (b"\r\n" + _HEAD).join(parts) + _TAIL
        connection.request("POST", f"{root}/studies", body, _HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {text[:300]!r}")


def store_large(server: Server, run: int) -> Figures:
    """One 629 MB multi-frame, sent as it is made."""
    what = corpus.multi_frame(run)
    length = len(_HEAD) + what.size + len(_TAIL)
    before, memory = server.cpu_seconds(), server.memory("VmHWM")
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)

    def body() -> Iterator[bytes]:
        yield _HEAD
        yield from what.chunks()
        yield _TAIL

    connection.request("POST", f"{server.root}/studies", body(), {**_HEADERS, "Content-Length": str(length)})
    answer = connection.getresponse()
    text = answer.read()
    seconds = time.perf_counter() - started
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {text[:300]!r}")
    return Figures(
        server.name, "large", 1, 1,
        cpu_ms=1000 * (server.cpu_seconds() - before),
        per_second=1 / seconds,
        megabytes_per_second=what.size / seconds / 1e6,
        peak_growth_mb=(server.memory("VmHWM") - memory) / 1e6,
    )  # fmt: skip
