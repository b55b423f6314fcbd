"""On whose behalf the command line works."""

from __future__ import annotations

from getpass import getuser

from isocenter.archive.store import Caller


def caller() -> Caller:
    """The operating system's user, as the audit log names them."""
    try:
        user = getuser()
    except (KeyError, OSError):
        user = "unknown"
    return Caller(f"cli:{user}")
