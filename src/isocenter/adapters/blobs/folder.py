"""Blobs as files under one folder, durable when `commit` returns (see docs/decisions/0002)."""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from isocenter.errors import BackendUnavailable, Conflict, NotFound, StorageFull
from isocenter.records import BlobStat

CHUNK = 1 << 20
_BLOCK = 4096
_INCOMING = "incoming"


@contextmanager
def _translated() -> Iterator[None]:
    """Turns errors of the file system into ours; paths stay out of the message."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound("no blob has this key") from error
    except FileExistsError as error:
        raise Conflict("a blob with this key exists") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("the folder that keeps the images is full; free some room", retry_after=60) from error
        name = errno.errorcode.get(error.errno or 0, "unknown")
        raise BackendUnavailable(f"the folder that keeps the images cannot be used ({name})") from error


class _Aligned(threading.local):
    """A page-aligned buffer for each thread, as direct writes need one."""

    def __init__(self) -> None:
        self.buffer = mmap.mmap(-1, CHUNK)


_aligned = _Aligned()


class FolderWriter:
    """A file in `incoming` until `commit` gives it its name.

    Written past the page cache where the file system can (O_DIRECT): measured, that takes a third of the CPU time
    of a buffered write and its sync, and one large upload does not push everything else out of memory.
    """

    def __init__(self, store: FolderBlobStore, key: str) -> None:
        self._store = store
        self._key = key
        self._temporary = store.incoming / secrets.token_hex(16)
        self._size = 0
        self._rest = b""  # less than a block, still to be written
        self._open = True
        with _translated():
            self._file, self._direct = _create(self._temporary)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._size += len(data)
        with _translated():
            if not self._direct:
                _write_all(self._file, memoryview(data))
                return
            rest, view = self._rest, memoryview(data)
            at = 0
            while len(rest) + len(view) - at >= _BLOCK:
                take = min(CHUNK - len(rest), len(view) - at)
                whole = (len(rest) + take) // _BLOCK * _BLOCK
                take = whole - len(rest)
                buffer = _aligned.buffer
                buffer[: len(rest)] = rest
                buffer[len(rest) : whole] = view[at : at + take]
                _write_all(self._file, memoryview(buffer)[:whole])
                rest, at = b"", at + take
            self._rest = rest + bytes(view[at:])

    def commit(self) -> None:
        """Name the file first and sync then: one journal commit makes bytes and name durable together.

        A crash in between leaves a file that no row refers to, which `fsck` sweeps.
        """
        with _translated():
            if self._rest:
                _aligned.buffer[: len(self._rest)] = self._rest
                _write_all(self._file, memoryview(_aligned.buffer)[:_BLOCK])
                os.ftruncate(self._file, self._size)
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


def _create(path: Path) -> tuple[int, bool]:
    """A new file, and whether it is written past the page cache."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    direct = getattr(os, "O_DIRECT", 0)
    if direct:
        try:
            return os.open(path, flags | direct, 0o600), True
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: this file system has no direct writes
                raise
            with suppress(FileNotFoundError):  # some make the file before they refuse
                os.unlink(path)
    return os.open(path, flags, 0o600), False


def _write_all(file: int, view: memoryview) -> None:
    while view:
        view = view[os.write(file, view) :]


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
            file = _open_blob(self.path(key))
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
            file = _open_blob(self.path(key))
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
            if stat.S_ISDIR(found.st_mode):
                raise NotFound("no blob has this key")
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
            with _translated(), os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except NotFound:
            return
        for entry in entries:
            key = os.path.relpath(entry.path, self.root).replace(os.sep, "/")
            if entry.is_dir(follow_symlinks=False):
                inside = (key + "/").startswith(prefix) or prefix.startswith(key + "/")
                if inside and (key != _INCOMING or prefix.startswith(_INCOMING)):
                    yield from self._walk(entry.path, prefix)
            elif key.startswith(prefix):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield BlobStat(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _open_blob(path: str) -> int:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(file).st_mode):
        os.close(file)
        raise NotFound("no blob has this key")
    return file


def _sync_folder(folder: str) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
