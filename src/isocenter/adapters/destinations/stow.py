"""Another archive as a destination: STOW-RS (PS3.18 10.5), and WADO-RS to look at what it calls a duplicate."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from typing import Any

import orjson

from isocenter.adapters.destinations.calling import Called, Remote, refusal
from isocenter.adapters.destinations.stored import digest_of
from isocenter.errors import BackendUnavailable, Conflict, Corrupted, IsocenterError, Rejected, Unsupported
from isocenter.records import Parcel

_REFERENCED, _FAILED = "00081199", "00081198"
_INSTANCE, _REASON = "00081155", "00081197"
_DUPLICATE = 0x0111  # Duplicate SOP Instance (PS3.7 C.5.8)
_OUT_OF_RESOURCES = 0xA700  # and the 255 above it
_ALL = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class _UnreadError(Exception):
    """One image cannot be read to be sent, which is no fault of those beside it."""

    def __init__(self, why: IsocenterError) -> None:
        super().__init__(why.code)
        self.why = why


class StowPeer:
    """A DICOMweb server; `remote` is at its root, the address that /studies comes behind.

    `verify` reads back what it says it stored: some answer so, and keep what they had under the UID.
    """

    def __init__(
        self,
        name: str,
        remote: Remote,
        root: str,
        *,
        verify: bool = False,
        most_images: int = 64,
        most_bytes: int = 256 << 20,
    ) -> None:
        self.name = name
        self._remote = remote
        self._root = root
        self._verify = verify
        self._most_images, self._most_bytes = most_images, most_bytes

    def put(self, parcels: Sequence[Parcel]) -> Mapping[str, str | IsocenterError]:
        found: dict[str, str | IsocenterError] = {
            parcel.id: Unsupported("a DICOMweb server takes DICOM instances alone", code="not-dicom")
            for parcel in parcels
            if parcel.uids is None
        }
        for batch in self._batches([parcel for parcel in parcels if parcel.uids is not None]):
            try:
                found |= self._send(batch)
            except (Rejected, Corrupted, _UnreadError) as error:
                if len(batch) > 1:  # whose fault it is shows when each goes alone
                    found |= {id: told for parcel in batch for id, told in self.put([parcel]).items()}
                else:
                    found[batch[0].id] = error.why if isinstance(error, _UnreadError) else error
            except IsocenterError as error:
                found |= {parcel.id: error for parcel in batch}
        return found

    def close(self) -> None:
        """No connection outlives its request."""

    def _batches(self, parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
        """Those of a size for one request; two of one SOP Instance never share one, as the answer tells no more."""
        batch: list[Parcel] = []
        for parcel in parcels:
            full = len(batch) == self._most_images or sum(each.size for each in batch) + parcel.size > self._most_bytes
            if batch and (full or _uid(parcel) in {_uid(each) for each in batch}):
                yield batch
                batch = []
            batch.append(parcel)
        if batch:
            yield batch

    def _send(self, batch: Sequence[Parcel]) -> dict[str, str | IsocenterError]:
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
        end = f"--{boundary}--\r\n".encode("ascii")
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(sum(len(head) + parcel.size + 2 for parcel in batch) + len(end)),
            "Accept": "application/dicom+json",
        }

        def body() -> Iterator[bytes]:
            for parcel in batch:
                yield head
                try:
                    yield from _whole(parcel)
                except IsocenterError as error:
                    raise _UnreadError(error) from None
                yield b"\r\n"
            yield end

        answer = self._remote.call("POST", "/studies", headers, body())
        if answer.status not in (200, 202, 409):
            raise refusal(answer.status)
        stored, failed = _told(answer)
        return {parcel.id: self._outcome(parcel, stored, failed) for parcel in batch}

    def _outcome(self, parcel: Parcel, stored: set[str], failed: Mapping[str, int]) -> str | IsocenterError:
        uid = _uid(parcel)
        if uid in failed:
            reason = failed[uid]
            if reason == _DUPLICATE:
                return self._read_back(parcel)
            code = f"destination-{reason:04x}"
            if reason & 0xFF00 == _OUT_OF_RESOURCES:
                return BackendUnavailable("the destination has no room for it", code=code)
            return Rejected(f"the destination refuses it with Failure Reason {reason:04X}H", code=code)
        if uid in stored:
            return self._read_back(parcel) if self._verify else self._root
        return BackendUnavailable("the destination did not say what became of it", code="destination-silent")

    def _read_back(self, parcel: Parcel) -> str | IsocenterError:
        """Done where the peer has these very bytes: some call so what is the same, some what is other."""
        assert parcel.uids is not None
        study, series, instance = parcel.uids
        path = f"/studies/{study}/series/{series}/instances/{instance}"
        conflict = Conflict("the destination has another instance of this UID", code="destination-conflict")
        try:
            answer = self._remote.call("GET", path, {"Accept": _ALL}, most=parcel.size + (64 << 10))
        except Rejected:  # longer than ours
            return conflict
        except IsocenterError as error:
            return error
        if answer.status >= 500 or answer.status == 429:
            return refusal(answer.status)
        part = _only_part(answer) if answer.status == 200 else None
        ours = parcel.sha256 or digest_of(parcel.chunks())
        return self._root if part is not None and hashlib.sha256(part).hexdigest() == ours else conflict


def _uid(parcel: Parcel) -> str:
    assert parcel.uids is not None
    return parcel.uids[2]


def _whole(parcel: Parcel) -> Iterator[bytes]:
    """Its bytes; a request that would come out of another length is broken off, so that nothing half is stored."""
    size = 0
    for chunk in parcel.chunks():
        size += len(chunk)
        yield chunk
    if size != parcel.size:
        raise Corrupted("what was read to be sent is not what was kept")


def _told(answer: Called) -> tuple[set[str], dict[str, int]]:
    """SOP Instance UIDs that are stored, and the Failure Reasons of those that are not (PS3.18 10.5.3)."""
    try:
        read = orjson.loads(answer.body)
        models: list[dict[str, Any]] = read if isinstance(read, list) else [read]
        stored: set[str] = set()
        failed: dict[str, int] = {}
        for model in models:
            stored |= {_first(item, _INSTANCE) for item in model.get(_REFERENCED, {}).get("Value", [])}
            for item in model.get(_FAILED, {}).get("Value", []):
                failed[_first(item, _INSTANCE)] = int(_first(item, _REASON))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise BackendUnavailable(
            f"the destination's answer is no Store Instances Response ({type(error).__name__})",
            code="destination-answer",
        ) from None
    return stored, failed


def _first(item: Mapping[str, Any], tag: str) -> str:
    return str(item[tag]["Value"][0])


def _only_part(answer: Called) -> bytes | None:
    """The body of a multipart/related answer that has one part."""
    kind = Message()
    kind["Content-Type"] = answer.content_type
    boundary = kind.get_param("boundary")
    if not isinstance(boundary, str):
        return None
    mark = b"--" + boundary.encode("ascii", "replace")
    _, _, rest = answer.body.partition(mark)
    _, _, content = rest.partition(b"\r\n\r\n")
    part, found, after = content.rpartition(b"\r\n" + mark)
    return part if found and after.startswith(b"--") else None
