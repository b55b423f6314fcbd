"""De-identifies sources into a destination: each released durably with its evidence, or kept back with a reason."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from isocenter.deid.engine import Deidentifier, Released
from isocenter.deid.evidence import Evidence
from isocenter.deid.identifiers import Known
from isocenter.deid.source import Readable
from isocenter.errors import Conflict, IsocenterError, Rejected, Unavailable
from isocenter.ports.blob_store import BlobStore, BlobWriter

Kind = Literal["released", "duplicate", "quarantined", "failed"]
# Where a released instance goes: its key in the destination, by its evidence and the name of its source.
Layout = Callable[[Evidence, str], str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source. `identity` is for a vault: it holds what the destination may not."""

    source: str
    kind: Kind
    code: str | None = None
    detail: str | None = None
    key: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    identity: tuple[tuple[int, str, str], ...] = ()


class Batch(Protocol):
    """Blobs that become durable together."""

    def create(self, key: str) -> BlobWriter:
        """Begin a blob whose `commit` only ends the writing."""

    def settle(self) -> list[IsocenterError | None]:
        """Make all that was committed durable and readable: what went wrong with each, in their order."""


@runtime_checkable
class Gathering(Protocol):
    """A destination to which many blobs at once cost less than each alone."""

    def together(self) -> Batch: ...


class Deidentify:
    """De-identifies into one destination; without one it only says what would happen."""

    def __init__(self, deidentifier: Deidentifier, destination: BlobStore | None, layout: Layout) -> None:
        self.deidentifier = deidentifier
        self._destination = destination
        self._layout = layout
        self._batch = destination.together() if isinstance(destination, Gathering) else None

    def settled(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """What became of the sources taken since this was last called: nothing is released before."""
        if self._batch is None:
            return list(outcomes)
        try:
            errors = self._batch.settle()
        except Unavailable as error:
            return [self._unsettled(outcome, error) if outcome.kind == "released" else outcome for outcome in outcomes]
        each = iter(errors)
        found = [
            outcome if outcome.kind != "released" else self._unsettled(outcome, next(each)) for outcome in outcomes
        ]
        assert next(each, self) is self, "each blob of the batch is of one outcome"
        return found

    def _unsettled(self, outcome: Outcome, error: IsocenterError | None) -> Outcome:
        if error is None:
            return outcome
        if isinstance(error, Conflict):
            return self._there_already(outcome)
        return Outcome(outcome.source, "failed", error.code, error.detail)

    def take(self, name: str, source: Readable, known: Known | None) -> Outcome:
        """One source, by the name under which its outcome is told. Never raises for what one source is about.

        What is told as released is so once `settled` has borne it out.
        """
        try:
            released = self.deidentifier.deidentify(source, known)
            return self._put(name, released)
        except Rejected as error:
            return Outcome(name, "quarantined", error.code, error.detail)
        except Unavailable as error:
            return Outcome(name, "failed", error.code, error.detail)
        except OSError as error:
            return Outcome(name, "failed", "unreadable", f"it cannot be read ({error.strerror})")

    def _put(self, name: str, released: Released) -> Outcome:
        identity = tuple(released.identity)
        if self._destination is None:
            evidence = released.write(lambda piece: None)
            return Outcome(name, "released", None, None, self._layout(evidence, name), evidence.model(), identity)
        key = self._layout(released.evidence, name)
        writer = (self._batch or self._destination).create(key)
        try:
            evidence = released.write(writer.write)
            outcome = Outcome(name, "released", None, None, key, evidence.model(), identity)
            writer.commit()
        except Conflict:
            writer.abort()
            return self._there_already(outcome)
        except BaseException:  # whatever it was, Ctrl-C too: nothing half written is left, and it goes on up
            writer.abort()
            raise
        return outcome

    def _there_already(self, outcome: Outcome) -> Outcome:
        """The same instance again, or after a run that was cut short, is no error; other bytes of its name are."""
        assert self._destination is not None
        assert outcome.key is not None
        digest = hashlib.sha256()
        for chunk in self._destination.stream(outcome.key):
            digest.update(chunk)
        if hmac.compare_digest(digest.hexdigest(), outcome.evidence["output"]["sha256"]):
            return Outcome(outcome.source, "duplicate", None, None, outcome.key, outcome.evidence)
        return Outcome(
            outcome.source,
            "quarantined",
            "conflict",
            "the destination holds another instance of this SOPInstanceUID, profile or key; it was left as it is",
        )
