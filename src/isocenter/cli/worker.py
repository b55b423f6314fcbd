"""`isocenter worker`: takes the tasks of jobs until it is stopped."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import structlog
import typer

from isocenter.adapters.worker_process import WorkerLock
from isocenter.bootstrap.backends import open_backends
from isocenter.bootstrap.notifying import worker_needed
from isocenter.bootstrap.pipelines import open_worker
from isocenter.cli.memory import calm_collector, lean_heap
from isocenter.cli.serve import configure_logs
from isocenter.errors import IsocenterError, Saturated
from isocenter.settings import load


def worker(
    home: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=64, help="Tasks worked on at once.")] = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Do the work of jobs until stopped. On PostgreSQL any number may run, on any machines; on SQLite one.

    `isocenter serve` starts one by itself where there is work.
    """
    settings = load(home=home, worker_slots=slots)
    lean_heap()
    configure_logs(settings.log_level)
    alone = settings.database_url is None or settings.database_url.get_secret_value().startswith("sqlite")
    backends = open_backends(settings)
    lock = WorkerLock(settings.home)
    if (alone or with_parent) and not lock.take():
        backends.close()
        raise Saturated("another worker is at work on this home folder; one is enough, and on SQLite one is all")
    made = open_worker(settings, backends)

    def stop(*_: object) -> None:
        made.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN if with_parent else stop)
    if with_parent:
        idle = settings.worker_idle_seconds

        def has_work() -> bool:
            return worker_needed(backends.platform, soon=idle)

        threading.Thread(target=_end_with_parent, args=(made.stop,), daemon=True).start()
        threading.Thread(target=_end_idle, args=(made.stop, has_work, idle), daemon=True).start()
    structlog.get_logger().info("working", slots=settings.worker_slots)
    calm_collector()
    try:
        made.run()
    finally:
        lock.free()
        backends.close()


def _end_with_parent(stop: Callable[[], None]) -> None:
    """Standard input is a pipe from the server that started this worker; it ends when the server does."""
    sys.stdin.buffer.read()
    stop()


def _end_idle(stop: Callable[[], None], has_work: Callable[[], bool], seconds: float) -> None:
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(min(1.0, seconds / 4))
        try:
            if has_work():
                since = time.monotonic()
        except IsocenterError:
            since = time.monotonic()  # a database that does not answer is no sign that there is nothing to do
    stop()
