"""Identities and their pseudonyms in a folder, encrypted: what re-identification looks up."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from secrets import token_bytes, token_hex

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from isocenter.errors import Corrupted, Misconfigured

Entry = tuple[int, str, str]  # tag, what stood there, its pseudonym
_NONCE = 12


class FolderVault:
    """Appends to a file of its own (AES-256-GCM, RFC 5116, one line a batch); reads all files of the folder."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._cipher = AESGCM(key)
        self._waiting: list[Entry] = []
        self._known: set[Entry] = set()
        self._file: int | None = None

    def add(self, entries: Iterable[Entry]) -> None:
        """Note identities; `settle` makes them durable."""
        for entry in entries:
            if entry not in self._known:
                self._known.add(entry)
                self._waiting.append(entry)

    def settle(self) -> None:
        """Encrypt and write what was noted."""
        if not self._waiting:
            return
        plain = json.dumps(self._waiting, ensure_ascii=False).encode("utf-8", "surrogatepass")
        nonce = token_bytes(_NONCE)
        line = base64.b64encode(nonce + self._cipher.encrypt(nonce, plain, None)) + b"\n"
        if self._file is None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                path = self._folder / f"{token_hex(16)}.vault"
                self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise Misconfigured("the vault cannot be written to (setting home)") from error
        os.write(self._file, line)
        os.fsync(self._file)
        self._waiting = []
        if len(self._known) > 1_000_000:
            self._known.clear()  # an entry may then be kept twice, which harms nobody

    def entries(self) -> Iterator[Entry]:
        """Everything kept, of all runs. Raises Corrupted where a file was changed or another key made it."""
        for path in sorted(self._folder.glob("*.vault")):
            for line in path.read_bytes().split(b"\n"):
                if not line:
                    continue
                yield from self._opened(line)

    def _opened(self, line: bytes) -> list[Entry]:
        try:
            raw = base64.b64decode(line, validate=True)
            plain = self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], None)
        except (InvalidTag, ValueError, binascii.Error):
            told = "the vault does not open: it was changed, or this is not the project's key"
            raise Corrupted(told, code="vault-closed") from None
        return [(tag, original, pseudonym) for tag, original, pseudonym in json.loads(plain)]

    def close(self) -> None:
        self.settle()
        if self._file is not None:
            os.close(self._file)
            self._file = None
