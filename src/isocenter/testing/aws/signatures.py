"""AWS Signature Version 4 of requests to S3: in headers, and in addresses with a time after which they are over."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote, unquote_plus

Secret = Callable[[str], tuple[str, str | None] | None]  # access key -> (secret, session token) if it is known


class Refused(Exception):
    """A request that AWS would not have carried out: the error's code, and what S3 says of it."""

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Asked:
    """A request as it came: path and query still encoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


def signer(asked: Asked, secret: Secret, now: datetime | None = None) -> str | None:
    """The access key that signed it, or None where nobody did. Raises Refused where the signature is not right."""
    given = dict(parse_qsl(asked.query, keep_blank_values=True))
    if "X-Amz-Signature" in given:
        return _of_address(asked, given, secret, now or datetime.now(UTC))
    if "AWSAccessKeyId" in given:
        raise Refused("InvalidArgument", "Requests with KMS keys take Signature Version 4", 400)
    header = asked.headers.get("authorization", "")
    if not header.startswith("AWS4-HMAC-SHA256"):
        return None
    parts = dict(part.strip().split("=", 1) for part in header.split(" ", 1)[1].split(","))
    key, scope = parts["Credential"].split("/", 1)
    token = asked.headers.get("x-amz-security-token")
    content = asked.headers.get("x-amz-content-sha256", "")
    _check(
        asked,
        asked.query,
        key,
        scope,
        asked.headers["x-amz-date"],
        parts["SignedHeaders"],
        content,
        secret,
        token,
        parts["Signature"],
    )
    return key


def _of_address(asked: Asked, given: Mapping[str, str], secret: Secret, now: datetime) -> str:
    key, scope = given["X-Amz-Credential"].split("/", 1)
    signed = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if now > signed + timedelta(seconds=int(given["X-Amz-Expires"])):
        raise Refused("AccessDenied", "Request has expired")
    rest = "&".join(part for part in asked.query.split("&") if not part.startswith("X-Amz-Signature="))
    token = given.get("X-Amz-Security-Token")
    _check(
        asked,
        rest,
        key,
        scope,
        given["X-Amz-Date"],
        given["X-Amz-SignedHeaders"],
        "UNSIGNED-PAYLOAD",
        secret,
        token,
        given["X-Amz-Signature"],
    )
    return key


def _check(
    asked: Asked, query: str, key: str, scope: str, date: str, signed: str, content: str,
    secret: Secret, token: str | None, signature: str,
) -> None:  # fmt: skip
    known = secret(key)
    if known is None:
        raise Refused("InvalidAccessKeyId", "The access key is not known")
    if known[1] != token:
        raise Refused("InvalidToken", "The session token does not belong to the access key", 400)
    day, region, service, _ = scope.split("/")
    text = "\n".join(("AWS4-HMAC-SHA256", date, scope, _canonical(asked, query, signed, content)))
    made = f"AWS4{known[0]}".encode()
    for part in (day, region, service, "aws4_request", text):
        made = hmac.new(made, part.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(made.hex(), signature):
        raise Refused("SignatureDoesNotMatch", "The signature is not that of this request")


def _canonical(asked: Asked, query: str, signed: str, content: str) -> str:
    pairs = (part.partition("=")[::2] for part in query.split("&") if part)
    parameters = "&".join(
        sorted(f"{_quoted(unquote_plus(name))}={_quoted(unquote_plus(value))}" for name, value in pairs)
    )
    headers = "".join(f"{name}:{' '.join(asked.headers.get(name, '').split())}\n" for name in signed.split(";"))
    parts = (asked.method, quote(unquote(asked.path), "/-_.~"), parameters, headers, signed, content)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _quoted(text: str) -> str:
    return quote(text, "-_.~")
