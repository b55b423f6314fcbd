"""What a server does by itself: sweeps what interrupted uploads left, and purges what was deleted long enough ago."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from isocenter.archive.check import Check, Report
from isocenter.archive.delete import Delete
from isocenter.archive.store import Caller
from isocenter.errors import IsocenterError
from isocenter.ports.platform import Platform
from isocenter.records import now

log = structlog.get_logger()

_PERIOD_SECONDS = 600.0
_DELIVERIES_SHOWN = timedelta(days=1)


class Housekeeping:
    """A thread beside the server. `sweep_before`: nobody works on blobs last changed before that moment.

    `also` is done each round too.
    """

    def __init__(
        self,
        platform: Platform,
        delete: Delete,
        *,
        sweep_before: datetime | None,
        also: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._platform = platform
        self._delete = delete
        self._sweep_before = sweep_before
        self._also = also
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        if self._sweep_before is not None:
            self._guarded(self._sweep)
        while not self._closing.is_set():
            self.round()
            self._closing.wait(_PERIOD_SECONDS)

    def round(self) -> None:
        """Do once what is done every ten minutes."""
        for task in (self._purge, self._sweep_deliveries, *self._also):
            self._guarded(task)

    def _guarded(self, task: object) -> None:
        assert callable(task)
        try:
            task()
        except IsocenterError as error:
            log.warning("housekeeping failed", code=error.code)

    def _sweep(self) -> None:
        report = Report()
        Check(self._platform).sweep(report, self._sweep_before)
        if report.swept:
            log.info("swept what interrupted uploads left", blobs=report.swept, bytes=report.unreferenced_bytes)

    def _sweep_deliveries(self) -> None:
        """What expired a day ago: until then lists still show it."""
        swept = self._platform.deliveries.sweep(now() - _DELIVERIES_SHOWN)
        if swept:
            log.info("forgot deliveries that are over", deliveries=swept)

    def _purge(self) -> None:
        purged = self._delete.purge_expired(Caller("housekeeping"))
        if purged:
            log.info("purged deleted images", images=purged)
