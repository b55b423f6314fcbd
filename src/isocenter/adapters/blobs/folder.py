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
_UNABLE = (errno.EINVAL, errno.EOPNOTSUPP, errno.EISDIR)  # how file systems refuse O_DIRECT and O_TMPFILE
INCOMING = "incoming"


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
    """A file without a name, or where the file system has no such files one in `incoming`, until `commit`.

    Written past the page cache where the file system can (O_DIRECT): measured, that takes a third of the CPU time
    of a buffered write and its sync, and one large upload does not push everything else out of memory.
    """

    def __init__(self, store: FolderBlobStore, key: str) -> None:
        self._store = store
        self._key = key
        self._size = 0
        self._waiting: list[memoryview] = []  # up to CHUNK bytes, so that most blobs are one write
        self._waiting_size = 0
        self._open = True
        with _translated():
            self._file, self._name, self._direct = _create(store.incoming)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._size += len(data)
        with _translated():
            if not self._direct:
                _write_all(self._file, memoryview(data))
                return
            view = memoryview(data)
            while self._waiting_size + len(view) >= CHUNK:
                room = CHUNK - self._waiting_size
                self._waiting.append(view[:room])
                self._flush(CHUNK)
                view = view[room:]
            if len(view):
                # What a caller may change afterwards is copied.
                self._waiting.append(view if isinstance(data, bytes) else memoryview(bytes(view)))
                self._waiting_size += len(view)

    def _flush(self, size: int) -> None:
        """Write `size` bytes, a multiple of the block, from what waits; the buffer's rest pads the end."""
        buffer, at = _aligned.buffer, 0
        for part in self._waiting:
            buffer[at : at + len(part)] = part
            at += len(part)
        _write_all(self._file, memoryview(buffer)[:size])
        self._waiting, self._waiting_size = [], 0

    def commit(self) -> None:
        """Name the file first and sync then: one journal commit makes bytes and name durable together.

        A crash in between leaves a file that no row refers to, which `fsck` sweeps.
        """
        with _translated():
            if self._waiting_size:
                self._flush(-(-self._waiting_size // _BLOCK) * _BLOCK)
                os.ftruncate(self._file, self._size)
            final = self._store.path(self._key)
            folder = self._store.folder_of(final)
            if self._name is None:
                # By the descriptor; naming a folder makes Python call linkat, which follows the link in /proc.
                source = f"/proc/self/fd/{self._file}"
                os.link(source, final, src_dir_fd=self._store.descriptor, follow_symlinks=True)
            else:
                os.link(self._name, final)
                os.unlink(self._name)
            os.fsync(self._file)
            os.close(self._file)
            self._open = False
            _sync_folder(folder)

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._waiting = []
            os.close(self._file)
            if self._name is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self._name)


def _create(folder: Path) -> tuple[int, str | None, bool]:
    """A new file: its descriptor, its name if it has one, and whether it is written past the page cache.

    A file without a name leaves nothing behind when the process dies. What a file system cannot do it says so.
    """
    direct, nameless = getattr(os, "O_DIRECT", 0), getattr(os, "O_TMPFILE", 0)
    flags = os.O_WRONLY | os.O_CLOEXEC
    for extra in (direct, 0) if nameless else ():
        try:
            return os.open(folder, flags | nameless | extra, 0o600), None, bool(extra)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
    name = str(folder / secrets.token_hex(16))
    for extra in (direct, 0):
        try:
            return os.open(name, flags | extra | os.O_CREAT | os.O_EXCL, 0o600), name, bool(extra)
        except OSError as error:
            if not extra or error.errno != errno.EINVAL:
                raise
            with suppress(FileNotFoundError):  # some make the file before they refuse
                os.unlink(name)
    raise AssertionError("the last way either opens the file or raises")


def _write_all(file: int, view: memoryview) -> None:
    while view:
        view = view[os.write(file, view) :]


class FolderBlobStore:
    """BlobStore on a POSIX file system. Keys are ours: they are checked to stay inside the folder all the same.

    `read_only` touches nothing, so that what lies on a medium that cannot be written to is read as well.
    """

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.root = root
        self.incoming = root / INCOMING
        self._known: set[str] = set()
        self._making = threading.Lock()
        with _translated():
            if not read_only:
                self.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
            if not read_only:
                _sync_folder(str(root.absolute().parent))

    def path(self, key: str) -> str:
        """The file of a key; files in progress have none."""
        if key.partition("/")[0] == INCOMING:
            raise NotFound("no blob has this key")
        return self._inside(key)

    def _inside(self, key: str) -> str:
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise NotFound("no blob has this key")
        return os.path.join(self.root, *parts)

    def folder_of(self, final: str) -> str:
        """The folder of a file, made where it is new and itself durable."""
        folder = os.path.dirname(final)
        if folder not in self._known:
            with self._making:
                os.makedirs(folder, mode=0o700, exist_ok=True)
                # Also where it is there: whoever made it may not have come to sync it yet.
                place = folder
                while place != str(self.root):
                    place = os.path.dirname(place)
                    _sync_folder(place)
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
            os.unlink(self._inside(key))  # what was left in `incoming` too: `fsck` sweeps it

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
                if inside and (key != INCOMING or prefix.startswith(INCOMING)):
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
