"""Blobs as files under one folder, durable when `commit` returns (see docs/decisions/0002)."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from isocenter.errors import BackendUnavailable, Conflict, NotFound, StorageFull
from isocenter.records import BlobStat

CHUNK = 1 << 20
_INCOMING = "incoming"


@contextmanager
def _translated() -> Iterator[None]:
    """Turns errors of the file system into ours; paths stay out of the message."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("no blob has this key") from error
    except FileExistsError as error:
        raise Conflict("a blob with this key exists") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("the folder that keeps the images is full; free some room", retry_after=60) from error
        name = errno.errorcode.get(error.errno or 0, "unknown")
        raise BackendUnavailable(f"the folder that keeps the images cannot be used ({name})") from error


class FolderWriter:
    """A file in `incoming` until `commit` gives it its name."""

    def __init__(self, store: FolderBlobStore, key: str) -> None:
        self._store = store
        self._key = key
        self._temporary = store.incoming / secrets.token_hex(16)
        self._open = True
        with _translated():
            self._file = os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with _translated():
            written = os.write(self._file, data)
            if written < len(data):
                rest = memoryview(data)[written:]
                while rest:
                    rest = rest[os.write(self._file, rest) :]

    def commit(self) -> None:
        """Name the file first and sync then: one journal commit makes bytes and name durable together.

        A crash in between leaves a file that no row refers to, which `fsck` sweeps.
        """
        with _translated():
            final = self._store.path(self._key)
            folder = self._store.folder_of(final)
            os.link(self._temporary, final)
            os.unlink(self._temporary)
            os.fsync(self._file)
            os.close(self._file)
            self._open = False
            _sync_folder(folder)

    def abort(self) -> None:
        if self._open:
            self._open = False
            os.close(self._file)
            with suppress(FileNotFoundError):
                os.unlink(self._temporary)


class FolderBlobStore:
    """BlobStore on a POSIX file system. Keys are ours: they are checked to stay inside the folder all the same."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / _INCOMING
        self._known: set[str] = set()
        with _translated():
            self.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, key: str) -> str:
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts) or parts[0] == _INCOMING:
            raise NotFound("no blob has this key")
        return os.path.join(self.root, *parts)

    def folder_of(self, final: str) -> str:
        """The folder of a file, made and itself made durable where it is new."""
        folder = os.path.dirname(final)
        if folder not in self._known:
            missing = []
            place = folder
            while not os.path.isdir(place):
                missing.append(place)
                place = os.path.dirname(place)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            for made in missing:
                _sync_folder(os.path.dirname(made))
            self._known.add(folder)
        return folder

    def create(self, key: str) -> FolderWriter:
        self.path(key)
        return FolderWriter(self, key)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        with _translated():
            file = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(file).st_size
                wanted = max(0, size - offset) if length is None else max(0, min(length, size - offset))
                data = os.pread(file, wanted, offset)
                while len(data) < wanted:
                    more = os.pread(file, wanted - len(data), offset + len(data))
                    if not more:
                        break
                    data += more
                return data
            finally:
                os.close(file)

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        with _translated():
            file = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC)
        try:
            left = length if length is not None else 1 << 62
            while left > 0:
                with _translated():
                    data = os.pread(file, min(CHUNK, left), offset)
                if not data:
                    return
                yield data
                offset += len(data)
                left -= len(data)
        finally:
            os.close(file)

    def stat(self, key: str) -> BlobStat:
        with _translated():
            found = os.stat(self.path(key))
        return BlobStat(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def delete(self, key: str) -> None:
        with suppress(NotFound), _translated():
            os.unlink(self.path(key))

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        """Files in progress are listed too, under `incoming/`, where the prefix asks for them by that name."""
        start = prefix.rpartition("/")[0]
        yield from self._walk(os.path.join(self.root, start) if start else str(self.root), prefix)

    def _walk(self, folder: str, prefix: str) -> Iterator[BlobStat]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            key = os.path.relpath(entry.path, self.root).replace(os.sep, "/")
            if entry.is_dir(follow_symlinks=False):
                inside = (key + "/").startswith(prefix) or prefix.startswith(key + "/")
                if inside and (key != _INCOMING or prefix.startswith(_INCOMING)):
                    yield from self._walk(entry.path, prefix)
            elif key.startswith(prefix):
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield BlobStat(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _sync_folder(folder: str) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
