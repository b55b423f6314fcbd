"""Images that have to lie in a file while they are worked on."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import IO


def nameless(held: ExitStack) -> tuple[IO[bytes], str]:
    """A file without a name and a path to it: killed at any moment, we leave no image behind.

    Where there is no /proc it has a name for as long as it is open.
    """
    file = held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  `held` closes it
    path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
    if os.path.exists(path):
        return file, path
    named = held.enter_context(tempfile.NamedTemporaryFile(prefix="isocenter-"))  # noqa: SIM115  as above
    return named.file, named.name
