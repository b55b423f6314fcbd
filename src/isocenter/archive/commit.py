"""Group commit: callers that arrive while a transaction is being synced share the next one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from isocenter.errors import IsocenterError, Unavailable
from isocenter.ports.index import Index
from isocenter.records import AuditEntry, Committed, NewImage

Item = tuple[NewImage, AuditEntry]
_MOST = 256  # images in one transaction


class _Ticket:
    __slots__ = ("answer", "done", "error", "items")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.answer: Sequence[Committed] = ()
        self.error: Exception | None = None
        self.done = False


class GroupCommit:
    """Commits images; one transaction at a time, each for all who wait when it begins."""

    def __init__(self, index: Index, *, keep_versions: bool = False) -> None:
        self._index = index
        self._keep_versions = keep_versions
        self._waiting: list[_Ticket] = []
        self._enqueue = threading.Lock()
        self._turn = threading.Lock()

    def commit(self, items: Sequence[Item]) -> Sequence[Committed]:
        """One answer per item, in order, once all of them are durable."""
        if not items:
            return ()
        ticket = _Ticket(items)
        with self._enqueue:
            self._waiting.append(ticket)
        with self._turn:
            if not ticket.done:
                self._run()
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer

    def _run(self) -> None:
        with self._enqueue:
            batch: list[_Ticket] = []
            count = 0
            while self._waiting and (not batch or count + len(self._waiting[0].items) <= _MOST):
                batch.append(self._waiting.pop(0))
                count += len(batch[-1].items)
        try:
            self._together(batch)
        except IsocenterError as error:
            if len(batch) == 1 or isinstance(error, Unavailable):
                for ticket in batch:
                    ticket.error, ticket.done = error, True
                return
            for ticket in batch:  # one caller's fault must not fail the others
                self._alone(ticket)
        except BaseException as error:
            for ticket in batch:
                ticket.done = True
                ticket.error = error if isinstance(error, Exception) else RuntimeError("the commit was interrupted")
            raise

    def _together(self, batch: list[_Ticket]) -> None:
        items = [item for ticket in batch for item in ticket.items]
        answers = self._index.commit(items, keep_versions=self._keep_versions)
        at = 0
        for ticket in batch:
            ticket.answer = answers[at : at + len(ticket.items)]
            ticket.done = True
            at += len(ticket.items)

    def _alone(self, ticket: _Ticket) -> None:
        try:
            ticket.answer = self._index.commit(ticket.items, keep_versions=self._keep_versions)
        except IsocenterError as error:
            ticket.error = error
        ticket.done = True
