"""The home folder of one installation: private, locked while in use, and holding the key of the audit chain."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from isocenter.errors import Misconfigured
from isocenter.records import now


class Home:
    """A folder that any number of our processes share.

    `alone_since` is set where no other process had it open when this one came: whatever an upload left there
    before that moment nobody is working on any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Misconfigured(
                "the home folder cannot be made or written to (setting home)", code="home-unusable"
            ) from error
        self.alone_since = self._try_alone()
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _try_alone(self) -> datetime | None:
        with suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return now()
        return None

    def audit_key(self) -> bytes:
        """256 random bits, made at first use and readable by the owner alone."""
        path = self.folder / "audit.key"
        with suppress(FileNotFoundError):
            return path.read_bytes()
        temporary = self.folder / f"audit.key.{secrets.token_hex(8)}"
        file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, secrets.token_bytes(32))
            os.fsync(file)
        finally:
            os.close(file)
        with suppress(FileExistsError):  # another process was faster: its key counts
            os.link(temporary, path)
        os.unlink(temporary)
        return path.read_bytes()

    def close(self) -> None:
        os.close(self._lock)
