"""What a step of a pipeline is: a chunk of images in, an answer for each out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller
from isocenter.deid.source import InMemory, Readable
from isocenter.errors import Corrupted, IsocenterError, NotFound, Rejected, Unavailable
from isocenter.jobs import Job
from isocenter.records import ImageRecord

_HELD = 64 << 20  # an image up to this size is read once and held while its chunk is worked on


@dataclass(frozen=True, slots=True)
class Stored:
    """A large image, read by position from where it is kept."""

    retrieve: Retrieve
    record: ImageRecord

    @property
    def size(self) -> int:
        return self.record.blob.size

    def read(self, offset: int, length: int) -> bytes:
        span = self.retrieve.original(self.record).span
        assert span is not None
        return b"".join(span(offset, min(offset + length, self.size)))


@dataclass
class Item:
    """One image under way."""

    record: ImageRecord
    retrieve: Retrieve

    @property
    def id(self) -> str:
        return self.record.id

    @cached_property
    def source(self) -> Readable:
        """Its bytes, checked against the checksum taken when they came in where they are held."""
        if self.record.blob.size > _HELD:
            return Stored(self.retrieve, self.record)
        return InMemory(b"".join(self.retrieve.original(self.record).chunks))


@dataclass(frozen=True, slots=True)
class Done:
    """An image passed a step. `produced` are the images made of it, which go on in its place."""

    produced: tuple[str, ...] | None = None
    findings: int = 0
    documents: tuple[tuple[str, str, bytes], ...] = ()  # image, kind and JSON of what is said of an image


@dataclass(frozen=True, slots=True)
class Refused:
    """An image did not pass; `documents` say more."""

    error: IsocenterError
    documents: tuple[tuple[str, str, bytes], ...] = ()


Answer = Done | Refused


@dataclass(frozen=True)
class Context:
    """What a step knows of its job. `stopped` says that the job was paused, cancelled or taken over meanwhile."""

    job: Job
    step: str
    caller: Caller
    timeout_seconds: float
    stopped: Callable[[], bool] = field(default=lambda: False)


class Step(Protocol):
    """One kind of step with its parameters; used from several threads, each with another chunk."""

    def run(self, items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        """An answer for each item by its id; what Unavailable refused is tried again by the caller.

        May be run twice for an item, which changes nothing more. Where `context.stopped()` it may end early.
        """


class Stopped(Exception):
    """The work on a chunk is given up, unrecorded."""


def each(items: Sequence[Item], context: Context, work: Callable[[Item], Done]) -> dict[str, Answer]:
    """Each item alone: what one of them is refused for touches no other."""
    return dict(_answers(items, context, work))


def _answers(items: Sequence[Item], context: Context, work: Callable[[Item], Done]) -> Iterator[tuple[str, Answer]]:
    for item in items:
        if context.stopped():
            raise Stopped
        try:
            yield item.id, work(item)
        except (Rejected, Unavailable, Corrupted, NotFound) as error:
            yield item.id, Refused(error)
