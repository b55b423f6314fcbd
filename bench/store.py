"""STOW-RS as clients do it: single instances from 1, 4 or 16 clients, batches of tiny ones, one very large."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.client import Address, Answer, Client, WrongAnswer
from bench.corpus import Corpus, Identity, MultiFrame, Template
from bench.measure import NO_GOAL, Figures, Goal, Meter
from bench.servers import Server

SECTION = "Store"
LARGE = "stow-large"
FRAMES = 1200  # of the multi-frame for which there is a goal
_BOUNDARY = "bench"
_HEAD = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()
_HEADERS = {
    "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
    "Accept": "application/dicom+json",
}


@dataclass(frozen=True)
class Plan:
    """Instances to store: how many a request, from how many clients at once."""

    name: str
    title: str
    template: Template
    identities: Sequence[Identity]
    clients: int = 1
    per_request: int = 1
    goal: Goal = NO_GOAL


def plans(corpus: Corpus, run: int, count: int) -> list[Plan]:
    """What a fresh server is sent; a run of a hundred numbers is used up."""
    ct = Goal(cpu_ms=2.0)
    found = [
        Plan(
            f"stow-ct-{clients}", f"one 0.5 MB CT a request, {clients} client{'s' * (clients > 1)}", corpus.ct,
            identities(run + clients, count), clients, goal=ct,
        )
        for clients in (1, 4, 16)
    ]  # fmt: skip
    tiny = identities(run + 50, count)
    goal = Goal(cpu_ms=0.8)
    return [*found, Plan("stow-tiny", "tiny instances, 10 a request, 1 client", corpus.tiny, tiny, 1, 10, goal)]


def identities(run: int, count: int) -> list[Identity]:
    """Instances in studies of a hundred."""
    return [Identity(run, n // 100, n // 100, n) for n in range(count)]


def store(server: Server, plan: Plan, turn: int) -> Figures:
    """Send a plan and measure; CPU for each instance."""
    meter, count = Meter(server), len(plan.identities)
    with meter.running():
        send(server, plan)
    blank = Figures(SECTION, plan.name, plan.title, plan.goal, server.name, turn)
    return meter.figures(blank, count, count * plan.template.size)


def send(server: Server, plan: Plan) -> None:
    """Store by as many clients as the plan says, each a process."""
    shares = [share for n in range(plan.clients) if (share := plan.identities[n :: plan.clients])]
    if len(shares) == 1:
        _client(server.address, plan, shares[0])
        return
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_client, args=(server.address, plan, share)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise WrongAnswer(f"{server.name} refused instances")


def _client(address: Address, plan: Plan, share: Sequence[Identity]) -> None:
    client = Client(address)
    for start in range(0, len(share), plan.per_request):
        sent = share[start : start + plan.per_request]
        body = _HEAD + (b"\r\n" + _HEAD).join(map(plan.template.instance, sent)) + _TAIL
        _accepted(client.post("/studies", body, _HEADERS), len(sent))
    client.close()


def store_large(server: Server, what: MultiFrame, identity: Identity, turn: int) -> Figures:
    """One large multi-frame, sent as it is made."""

    def body() -> Iterator[bytes]:
        yield _HEAD
        yield from what.chunks(identity)
        yield _TAIL

    length = len(_HEAD) + what.size + len(_TAIL)
    client, meter = Client(server.address), Meter(server)
    with meter.running():
        answer = client.post("/studies", body(), {**_HEADERS, "Content-Length": str(length)})
    client.close()
    _accepted(answer, 1)
    title = f"one enhanced multi-frame of {what.size / 1e6:.0f} MB, {what.frames:,} frames"
    goal = Goal(cpu_ms=1500, growth_mb=64) if what.frames == FRAMES else NO_GOAL
    return meter.figures(Figures(SECTION, LARGE, title, goal, server.name, turn), 1, what.size)


def _accepted(answer: Answer, count: int) -> None:
    """Every instance must be in the Referenced SOP Sequence."""
    if answer.status != 200:
        raise WrongAnswer(f"{answer.status}: {answer.body[:300]!r}")
    told: dict[str, Any] = json.loads(answer.body)
    if len(told.get("00081199", {}).get("Value", [])) != count:
        raise WrongAnswer(f"not all of {count} instances were stored: {answer.body[:300]!r}")
