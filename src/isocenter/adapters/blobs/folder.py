"""Blobs as files under one folder, durable when `commit` returns (see docs/decisions/0002)."""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from isocenter.errors import BackendUnavailable, Conflict, IsocenterError, NotFound, StorageFull
from isocenter.records import BlobStat

CHUNK = 1 << 20
_BLOCK = 4096
_UNABLE = (errno.EINVAL, errno.EOPNOTSUPP, errno.EISDIR)  # how file systems refuse O_DIRECT and O_TMPFILE
_AHEAD = 8  # chunks that may wait for the disk
_ABANDONED = 86_400  # seconds after which nobody goes on writing a file in `incoming`
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
                self._waiting.append(view if isinstance(view.obj, bytes) else memoryview(bytes(view)))
                self._waiting_size += len(view)

    def _flush(self, size: int) -> None:
        """Write `size` bytes, a multiple of the block, from what waits; the buffer's rest pads the end."""
        waiting, self._waiting, self._waiting_size = self._waiting, [], 0
        self._put(waiting, size)

    def _put(self, parts: list[memoryview], size: int) -> None:
        buffer, at = _aligned.buffer, 0
        for part in parts:
            buffer[at : at + len(part)] = part
            at += len(part)
        _write_all(self._file, memoryview(buffer)[:size])

    def commit(self) -> None:
        """Name the file first and sync then: one journal commit makes bytes and name durable together.

        A crash in between leaves a file that no row refers to, which `fsck` sweeps.
        """
        with _translated():
            self._end()
            folder = self._named()
            os.fsync(self._file)
            os.close(self._file)
            self._open = False
            _sync_folder(folder)

    def _end(self) -> None:
        """Write what waits, and cut off what filled its last block."""
        if self._waiting_size:
            self._flush(-(-self._waiting_size // _BLOCK) * _BLOCK)
            os.ftruncate(self._file, self._size)

    def _named(self) -> str:
        """Give the file its name; its folder is yet to be synced."""
        final = self._store.path(self._key)
        folder = self._store.folder_of(final)
        if self._name is None:
            # By the descriptor; naming a folder makes Python call linkat, which follows the link in /proc.
            source = f"/proc/self/fd/{self._file}"
            os.link(source, final, src_dir_fd=self._store.descriptor, follow_symlinks=True)
        else:
            os.link(self._name, final)
            os.unlink(self._name)
        return folder

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._waiting = []
            os.close(self._file)
            if self._name is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self._name)


class _Together(FolderWriter):
    """A file of a batch: a thread writes it, and it gets its name with all the others."""

    def __init__(self, store: FolderBlobStore, key: str, batch: FolderBatch) -> None:
        super().__init__(store, key)
        self._batch = batch
        self._failed: IsocenterError | None = None

    def _put(self, parts: list[memoryview], size: int) -> None:
        self._batch.later(lambda: self._tried(lambda: super(_Together, self)._put(parts, size)))

    def _tried(self, step: Callable[[], object]) -> None:
        """A step of the thread; after one that failed the others are left out, and `settle` tells of it."""
        try:
            if self._failed is None:
                with _translated():
                    step()
        except IsocenterError as error:
            self._failed = error

    def commit(self) -> None:
        """End the writing; the blob is there after the batch's `settle`."""
        if self._waiting_size:
            self._flush(-(-self._waiting_size // _BLOCK) * _BLOCK)
            self._batch.later(lambda: self._tried(lambda: os.ftruncate(self._file, self._size)))
        self._batch.ended.append(self)

    def abort(self) -> None:
        self._batch.wait()  # a thread that still wrote would write into whatever gets this descriptor next
        super().abort()

    def sync(self) -> None:
        """Make the bytes durable, which have no name yet."""
        self._tried(lambda: os.fsync(self._file))

    def name(self, folders: set[str]) -> IsocenterError | None:
        """Name what is durable, note the folder that is to be synced for it, and give the file back."""
        self._tried(lambda: folders.add(self._named()))
        super().abort()  # after its name it only closes the file
        return self._failed


class FolderBatch:
    """Blobs that become durable together: all bytes first, then all names, for a fraction of the syncs.

    A thread writes, so that whoever makes the bytes does not wait for the disk. One call that syncs the whole file
    system (syncfs) would be less still, but waits for what everyone else has written too. After a crash files
    without names are gone; where the file system has none, they lie in `incoming` until a later batch sweeps them.
    """

    def __init__(self, store: FolderBlobStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1)
        self._room = threading.BoundedSemaphore(_AHEAD)
        self.ended: list[_Together] = []
        store.sweep(_ABANDONED)

    def create(self, key: str) -> _Together:
        self._store.path(key)
        return _Together(self._store, key, self)

    def later(self, step: Callable[[], None]) -> None:
        """Have the thread do this, in order; waits where too much waits already."""
        self._room.acquire()
        self._thread.submit(step).add_done_callback(lambda _: self._room.release())

    def wait(self) -> None:
        """Wait until all that was to be done is done."""
        self._thread.submit(lambda: None).result()

    def settle(self) -> list[IsocenterError | None]:
        """Make all that was committed durable and readable: what went wrong with each, in their order."""
        ended, self.ended = self.ended, []
        return self._thread.submit(self._settled, ended).result()

    def _settled(self, ended: list[_Together]) -> list[IsocenterError | None]:
        for writer in ended:
            writer.sync()
        folders: set[str] = set()
        found = [writer.name(folders) for writer in ended]
        with _translated():
            for folder in folders:
                _sync_folder(folder)
        return found


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

    def together(self) -> FolderBatch:
        """A batch of blobs that become durable together."""
        return FolderBatch(self)

    def sweep(self, older: float) -> None:
        """Take away files in progress that nobody has written to for so many seconds."""
        with _translated(), os.scandir(self.incoming) as found:
            for entry in found:
                with suppress(FileNotFoundError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > older:
                        os.unlink(entry.path)

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
