"""Every error Isocenter raises on purpose, as one tree.

    IsocenterError
    ├── Rejected                the data's fault: kept out or quarantined with a reason, never retried
    │   ├── NotAnImage          no kind of image Isocenter knows
    │   ├── Malformed           a known kind, but broken
    │   ├── LimitExceeded       larger, deeper or more numerous than the settings allow
    │   ├── Unsupported         whole, but of a form this version cannot process
    │   ├── OtherStudy          it belongs to another study than the one it was sent to
    │   └── Conflict            another object with other bytes already has this identity
    ├── Unavailable             the surroundings' fault: may be tried again
    │   ├── Saturated           too much at once; the caller waits
    │   ├── StorageFull         no room to keep it durably
    │   └── BackendUnavailable  database, object store or worker did not answer
    ├── RequestError            the caller's fault: the request cannot be carried out as it stands
    │   ├── BadRequest (UnknownCursor), NotFound, NotAcceptable, UnsupportedMediaType, PayloadTooLarge
    │   ├── Unauthenticated     nobody we know
    │   └── Forbidden           somebody we know, without the scope
    ├── Corrupted               what was stored is no longer what was put in
    └── Misconfigured           the settings cannot work together

A message names keywords, limits and what to do; it never repeats an attribute's value.
"""

from __future__ import annotations

import traceback
from enum import IntEnum
from pathlib import PurePath
from typing import Any


class FailureReason(IntEnum):
    """Failure Reason (0008,1197) and Warning Reason, PS3.18 Table 10.5.3-1 and PS3.7 Annex C."""

    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000


class IsocenterError(Exception):
    """Base of all; `code` is a stable slug for machines, `detail` a sentence for people."""

    code = "error"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code


class Rejected(IsocenterError):
    """The data cannot be accepted; trying again will not help."""

    code = "rejected"
    reason = FailureReason.CANNOT_UNDERSTAND


class NotAnImage(Rejected):
    code = "not-an-image"


class Malformed(Rejected):
    code = "malformed"


class LimitExceeded(Rejected):
    code = "limit-exceeded"
    reason = FailureReason.OUT_OF_RESOURCES


class Unsupported(Rejected):
    code = "unsupported"
    reason = FailureReason.SOP_CLASS_NOT_SUPPORTED


class OtherStudy(Rejected):
    code = "other-study"
    reason = FailureReason.DATA_SET_DOES_NOT_MATCH_SOP_CLASS


class Conflict(Rejected):
    code = "conflict"
    reason = FailureReason.DUPLICATE_SOP_INSTANCE


class Unavailable(IsocenterError):
    """Something we depend on did not answer; `retry_after` is in seconds."""

    code = "unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: int = 5) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class Saturated(Unavailable):
    code = "saturated"


class StorageFull(Unavailable):
    code = "storage-full"


class BackendUnavailable(Unavailable):
    code = "backend-unavailable"


class RequestError(IsocenterError):
    """The request cannot be carried out as it stands."""

    code = "bad-request"


class BadRequest(RequestError):
    pass


class UnknownCursor(BadRequest):
    """The page asked for does not exist: its cursor is not one of ours."""

    code = "unknown-cursor"


class NotFound(RequestError):
    code = "not-found"


class NotAcceptable(RequestError):
    code = "not-acceptable"


class UnsupportedMediaType(RequestError):
    code = "unsupported-media-type"


class PayloadTooLarge(RequestError):
    code = "payload-too-large"


class Unauthenticated(RequestError):
    code = "unauthenticated"


class Forbidden(RequestError):
    code = "forbidden"


class Corrupted(IsocenterError):
    """A stored object's bytes no longer match the checksum taken when it came in."""

    code = "stored-object-altered"


class Misconfigured(IsocenterError):
    code = "misconfigured"


def traced(error: BaseException | None) -> dict[str, Any]:
    """Types and places of an exception and its causes; their messages may quote what was sent."""
    kinds: list[str] = []
    places: list[list[str]] = []
    while error is not None and len(kinds) < 5:
        kinds.append(type(error).__qualname__)
        frames = traceback.extract_tb(error.__traceback__)[-12:]
        places.append([f"{PurePath(each.filename).name}:{each.lineno} {each.name}" for each in frames])
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return {"fault": kinds, "where": places}
