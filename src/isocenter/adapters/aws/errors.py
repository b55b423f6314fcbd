"""What the errors of AWS mean to us: translated here, in one context manager."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from isocenter.errors import BackendUnavailable, IsocenterError, LimitExceeded, Misconfigured, Saturated

BUSY = frozenset(
    (
        "LimitExceededException", "ProvisionedThroughputExceededException", "ProvisionedThroughputExceeded",
        "RequestLimitExceeded", "ThrottledException", "ThrottlingError", "ThrottlingException",
        "TooManyRequestsException",
    )
)  # fmt: skip
_AWAY = frozenset(
    (
        "AccessDeniedException", "ExpiredTokenException", "InternalServerError", "InternalServiceError",
        "RequestTimeout", "ServiceUnavailable", "TransactionCanceledException", "TransactionConflictException",
        "TransactionInProgressException", "UnrecognizedClientException",
    )
)  # fmt: skip


class ConditionFailed(Exception):
    """Something is no longer as it was read: read it again."""


@contextmanager
def translated(service: str = "DynamoDB") -> Iterator[None]:
    """Turn what botocore raises into our errors, without their texts, which may quote keys and values."""
    try:
        yield
    except ClientError as error:
        raise meaning(error, service) from None
    except BotoCoreError as error:
        raise BackendUnavailable(f"{service} cannot be reached ({type(error).__name__}).") from None


def code_of(error: ClientError) -> str:
    """The code of an error, which is one of a fixed list of the service's."""
    return str(error.response.get("Error", {}).get("Code", ""))[:64]


def meaning(error: ClientError, service: str = "DynamoDB") -> IsocenterError:
    """Our error for one of AWS's; one that should not happen becomes a bare IsocenterError."""
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in BUSY:
        return Saturated(f"{service} is asked more than it takes ({code}).")
    if code in _AWAY or status >= 500:
        return BackendUnavailable(f"{service} did not answer ({code}).")
    if code == "ResourceNotFoundException":
        return Misconfigured(f"{service} has nothing of the name that the settings give.", code="table-missing")
    if code == "ItemCollectionSizeLimitExceededException":
        return LimitExceeded(f"A value is larger than {service} takes.")
    return IsocenterError(f"{service} refused a request ({code}).")
