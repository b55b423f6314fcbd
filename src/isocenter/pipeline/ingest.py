"""The one front door: every image that comes in, by whatever way, comes through here."""

from __future__ import annotations

from isocenter.archive.store import Arrived, Caller, Placement, Store
from isocenter.errors import FailureReason, IsocenterError, Rejected, Unavailable
from isocenter.records import Committed, Receipt

_FLUSH_IMAGES = 64
_FLUSH_BYTES = 32 << 20


class Ingest:
    """Makes batches; one for each process."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def batch(self, caller: Caller) -> Batch:
        return Batch(self.store, caller)


class Intake:
    """One image of a batch. After a failure it takes the rest of the bytes and forgets them."""

    def __init__(self, batch: Batch, number: int, source: str, placement: Placement) -> None:
        self._batch = batch
        self._number = number
        self._source = source
        self._arrival = batch.store.begin(placement)
        self.failure: IsocenterError | None = None

    def write(self, chunk: bytes | memoryview) -> None:
        if self.failure is None:
            try:
                self._arrival.write(chunk)
            except (Rejected, Unavailable) as error:
                self.fail(error)
            except BaseException:
                self._arrival.abort()
                raise

    def fail(self, error: IsocenterError) -> None:
        """Give this image up for a reason."""
        if self.failure is None:
            self.failure = _freed(error)
            sop = self._arrival.sop
            self._arrival.abort()
            self._batch.failed(self._number, self._source, error, *sop)

    def abandon(self) -> None:
        """Leave nothing of what has come."""
        self._arrival.abort()

    def finish(self) -> None:
        """The image has been written to its end."""
        if self.failure is not None:
            return
        try:
            new = self._arrival.finish()
        except (Rejected, Unavailable) as error:
            self.fail(error)
        except BaseException:
            self._arrival.abort()
            raise
        else:
            self._batch.arrived(self._number, self._source, (self._arrival, new))


class Batch:
    """Images that came in together and are committed together; one bad image fails alone."""

    def __init__(self, store: Store, caller: Caller) -> None:
        self.store = store
        self._caller = caller
        self._count = 0
        self._bytes = 0
        self._open: Intake | None = None
        self._waiting: list[tuple[int, str, Arrived]] = []
        self._receipts: dict[int, Receipt] = {}

    def begin(self, source: str, placement: Placement) -> Intake:
        self._count += 1
        self._open = Intake(self, self._count, source, placement)
        return self._open

    def failed(
        self,
        number: int,
        source: str,
        error: IsocenterError,
        sop_class_uid: str | None = None,
        sop_instance_uid: str | None = None,
    ) -> None:
        self._receipts[number] = _refusal(source, error, sop_class_uid, sop_instance_uid)

    def arrived(self, number: int, source: str, arrived: Arrived) -> None:
        self._waiting.append((number, source, arrived))
        self._bytes += arrived[1].record.blob.size
        if len(self._waiting) >= _FLUSH_IMAGES or self._bytes >= _FLUSH_BYTES:
            self._flush()

    def close(self) -> list[Receipt]:
        """Commit what is left and say what became of each image, in the order they were begun."""
        self._flush()
        return [self._receipts[number] for number in sorted(self._receipts)]

    def abandon(self) -> None:
        """Leave nothing of the images that are not committed yet (the sender went away)."""
        if self._open is not None:
            self._open.abandon()
        for _, _, (arrival, _) in self._waiting:
            arrival.abort()
        self._waiting = []

    def _flush(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting:
            return
        answers = self.store.commit([arrived for _, _, arrived in waiting], self._caller)
        for (number, source, (_, new)), answer in zip(waiting, answers, strict=True):
            if isinstance(answer, Committed):
                self._receipts[number] = Receipt(
                    source, str(answer.outcome), answer.record,
                    sop_class_uid=new.record.sop_class_uid, sop_instance_uid=new.record.sop_instance_uid,
                    warnings=new.warnings,
                )  # fmt: skip
            else:
                self._receipts[number] = _refusal(source, answer, new.record.sop_class_uid, new.record.sop_instance_uid)


def _freed(error: IsocenterError) -> IsocenterError:
    """The error without its tracebacks, which would hold on to all that was read of the image."""
    found: BaseException | None = error
    while found is not None:
        found.__traceback__ = None
        found = found.__cause__ or found.__context__
    return error


def _refusal(
    source: str, error: IsocenterError, sop_class_uid: str | None = None, sop_instance_uid: str | None = None
) -> Receipt:
    rejected = isinstance(error, Rejected)
    return Receipt(
        source,
        "rejected" if rejected else "failed",
        reason=int(error.reason if isinstance(error, Rejected) else FailureReason.OUT_OF_RESOURCES),
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        error=error,
    )
