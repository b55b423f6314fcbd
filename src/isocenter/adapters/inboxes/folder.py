"""The inbox port on a folder: a claim is a rename and a lock, which ends with its watcher however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from isocenter.errors import BackendUnavailable, Misconfigured, NotFound
from isocenter.ports.inbox import Waiting

CLAIMED, PROCESSED, FAILED = ".claimed", "processed", "failed"
_CHUNK = 1 << 20
_PARTIAL = (".part", ".partial", ".tmp", ".crdownload", ".filepart")


class FolderInbox:
    """Files anywhere below `folder`, but for hidden ones and those whose names say that they are being written.

    A file is whole when two looks in a row see it with the same size and time of change. What is claimed lies in
    `.claimed`, what ended in `processed` and `failed`, all with the folders they came in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[int, int]] = {}
        self._own: dict[str, int] = {}  # what is claimed here: open files, whose locks end with this process
        try:
            for place in (CLAIMED, PROCESSED, FAILED):
                (folder / place).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"the folder to watch cannot be written to ({error.strerror})") from None

    def look(self, limit: int) -> Sequence[Waiting]:
        found: list[tuple[int, Waiting]] = []
        seen: dict[str, tuple[int, int]] = {}
        for name, about in self._files(self._folder):
            seen[name] = state = (about.st_size, about.st_mtime_ns)
            if self._seen.get(name) == state:
                found.append((about.st_mtime_ns, Waiting(name, about.st_size)))
        self._seen = seen
        for name, about in self._files(self._folder / CLAIMED):
            if name not in self._own and not (self._folder / name).exists():
                found.append((about.st_mtime_ns, Waiting(name, about.st_size)))
        found.sort(key=lambda entry: (entry[0], entry[1].name))
        return [waiting for _, waiting in found[:limit]]

    def _files(self, root: Path) -> Iterator[tuple[str, os.stat_result]]:
        for place, folders, files in os.walk(root):
            top = place == str(self._folder)
            folders[:] = [
                each for each in folders if not each.startswith(".") and not (top and each in (PROCESSED, FAILED))
            ]
            for file in files:
                path = os.path.join(place, file)
                if file.startswith(".") or file.lower().endswith(_PARTIAL) or os.path.islink(path):
                    continue
                with suppress(OSError):  # it went away this moment
                    yield os.path.relpath(path, root), os.stat(path)

    def claim(self, waiting: Waiting) -> bool:
        claimed = self._folder / CLAIMED / waiting.name
        if waiting.name in self._own:
            return False
        try:
            claimed.parent.mkdir(parents=True, exist_ok=True)
            if not claimed.exists():
                os.rename(self._folder / waiting.name, claimed)
            file = os.open(claimed, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise BackendUnavailable(f"a file cannot be claimed ({error.strerror})") from None
        if not _held(file, claimed):
            os.close(file)
            return False
        self._own[waiting.name] = file
        return True

    def read(self, waiting: Waiting) -> Iterator[bytes]:
        try:
            with open(self._folder / CLAIMED / waiting.name, "rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except FileNotFoundError:
            raise NotFound("what was claimed is gone") from None
        except OSError as error:
            raise BackendUnavailable(f"a file cannot be read ({error.strerror})") from None

    def processed(self, waiting: Waiting) -> None:
        self._end(waiting, PROCESSED)

    def failed(self, waiting: Waiting, code: str) -> None:
        target = self._end(waiting, FAILED)
        if target is not None:
            target.with_name(f"{target.name}.reason.txt").write_text(f"{code}\n", "ascii")

    def _end(self, waiting: Waiting, place: str) -> Path | None:
        claimed, target = self._folder / CLAIMED / waiting.name, self._folder / place / waiting.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            number = 1
            while target.exists():  # another file of that name ended before: both are kept
                number += 1
                target = target.with_name(f"{Path(waiting.name).stem}.{number}{Path(waiting.name).suffix}")
            os.rename(claimed, target)
        except FileNotFoundError:
            target = None  # type: ignore[assignment]  # it was ended before
        except OSError as error:
            raise BackendUnavailable(f"a file cannot be moved ({error.strerror})") from None
        file = self._own.pop(waiting.name, None)
        if file is not None:
            os.close(file)
        return target


def _held(file: int, path: Path) -> bool:
    """Lock a claimed file; False where another watcher holds it, or ended it a moment ago."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file).st_ino == os.stat(path).st_ino
    except OSError:
        return False
