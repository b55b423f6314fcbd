"""What a step of a pipeline is: a chunk of images in, an answer for each out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Protocol

from isocenter.archive.recognise import HEAD, kind_of
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller
from isocenter.deid.source import InMemory, Readable
from isocenter.errors import Corrupted, Forbidden, IsocenterError, NotFound, Rejected, Unavailable, Unsupported
from isocenter.jobs import Job
from isocenter.pipeline.locations import InBucket, OnHost
from isocenter.records import ImageRecord, Kind

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
    """One image under way: kept here, or lying outside, where `outside` says."""

    id: str
    opened: Callable[[], Readable]
    kept: ImageRecord | None = None
    outside: InBucket | OnHost | None = None

    @classmethod
    def of_record(cls, record: ImageRecord, retrieve: Retrieve) -> Item:
        return cls(record.id, partial(_kept_bytes, record, retrieve), kept=record)

    @cached_property
    def source(self) -> Readable:
        """Its bytes, read once; of what is kept here checked against the checksum where they are held."""
        return self.opened()

    @property
    def record(self) -> ImageRecord:
        """What is known of an image that is kept here; Unsupported for any other."""
        if self.kept is None:
            raise Unsupported("this step takes images that are kept here", code="not-kept-here")
        return self.kept

    @cached_property
    def kind(self) -> Kind:
        """What it is, told by its content; Rejected where it is no image."""
        if self.kept is not None:
            return self.kept.kind
        return kind_of(self.source.read(0, HEAD))


def _kept_bytes(record: ImageRecord, retrieve: Retrieve) -> Readable:
    if record.blob.size > _HELD:
        return Stored(retrieve, record)
    return InMemory(b"".join(retrieve.original(record).chunks))


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
        except (Rejected, Unavailable, Corrupted, NotFound, Forbidden) as error:
            yield item.id, Refused(error)
