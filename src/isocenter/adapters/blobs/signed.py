"""Addresses of S3 that bind more than a key: a PUT size, media type, SHA-256 and "only if new", a GET its media type.

obstore signs a method and a key and nothing else. Where its URL points and who signs is taken from it; the signature is
made anew, by botocore, over headers or parameters too.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import obstore
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.session import get_session
from obstore.store import S3Store

from isocenter.errors import Misconfigured
from isocenter.ports.blob_store import SignedPut

_SECRET = ("secret_access_key", "aws_secret_access_key")


def signed_put(
    client: S3Store,
    options: Mapping[str, str],
    key: str,
    size: int,
    seconds: int,
    *,
    media_type: str | None,
    sha256: str | None,
) -> SignedPut:
    """A PUT of exactly so many bytes, of the media type and SHA-256 (hex) if said, to a key that is not there yet."""
    headers = {"if-none-match": "*"}
    if media_type is not None:
        headers["content-type"] = media_type
    if sha256 is not None:
        headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode("ascii")
    bound = {**headers, "content-length": str(size)}
    return SignedPut(_signed(client, options, "PUT", key, seconds, bound, {}), headers)


def signed_get(client: S3Store, options: Mapping[str, str], key: str, seconds: int, media_type: str) -> str:
    """A GET that is answered with this media type."""
    return _signed(client, options, "GET", key, seconds, {}, {"response-content-type": media_type})


def _signed(
    client: S3Store,
    options: Mapping[str, str],
    method: Literal["GET", "PUT"],
    key: str,
    seconds: int,
    headers: Mapping[str, str],
    parameters: Mapping[str, str],
) -> str:
    plain = urlsplit(obstore.sign(client, method, key, timedelta(seconds=seconds)))
    asked = parse_qs(plain.query)
    who, _, region, *_ = asked["X-Amz-Credential"][0].split("/")
    token = asked.get("X-Amz-Security-Token", [None])[0]
    url = plain._replace(query=urlencode(parameters, quote_via=quote)).geturl()
    request = AWSRequest(method, url, dict(headers))
    S3SigV4QueryAuth(Credentials(who, _secret(options, who), token), "s3", region, expires=seconds).add_auth(request)
    return str(request.prepare().url)


def _secret(options: Mapping[str, str], who: str) -> str:
    """The secret key that belongs to an access key: from the options, or found as AWS's own tools find it."""
    given = next((options[name] for name in _SECRET if name in options), None)
    if given is not None:
        return given
    try:
        found = get_session().get_credentials()
        frozen = None if found is None else found.get_frozen_credentials()
    except BotoCoreError as error:
        raise Misconfigured(_NO_SECRET) from error
    if frozen is None or frozen.access_key != who:
        raise Misconfigured(_NO_SECRET)
    return str(frozen.secret_key)


_NO_SECRET = "addresses straight into S3 take credentials that can be read here (setting upload_links)"  # noqa: S105 - words
