"""Guards around pydicom, put in place before it reads anything that came from outside."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom.dataset
import pydicom.filewriter
from pydicom.tag import BaseTag


@contextmanager
def _plain_context(tag: BaseTag) -> Iterator[None]:
    yield


def guard_pydicom() -> None:
    """Let errors pass through nested Data Sets as they are.

    pydicom 3.0's own `tag_in_exception` puts the whole traceback into the message at each level of nesting, which
    multiplies it by 2.6 a level: a file of 461 bytes takes all memory. Safe to call more than once.
    """
    # Its warnings quote values; what is odd about a file we tell ourselves.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    for module in (pydicom.dataset, pydicom.filewriter):
        vars(module)["tag_in_exception"] = _plain_context
