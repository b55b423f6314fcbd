"""How long-running processes keep house: what the allocator holds on to, and how often garbage is looked for."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_MALLOC = {-8: 2, -3: 2 << 20, -1: 8 << 20}  # malloc.h: M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD in bytes


def calm_collector() -> None:
    """What was made at start stays for good, so the collector need not look at it again; and a request makes
    thousands of short-lived objects in no cycle, which is no reason to look for cycles three times."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def lean_heap() -> None:
    """Keep glibc from holding on to what large images needed: a heap for every thread, and buffers of megabytes,
    which it would keep once it has seen a few of them and now gives back as soon as they are free."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for parameter, value in _MALLOC.items():
            library.mallopt(parameter, value)
