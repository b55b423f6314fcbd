"""In front of moto: signatures of S3 are checked, and roles may do what their policies allow. moto does neither."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qs

from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.sts.models import sts_backends

from isocenter.testing.aws.actions import ACCOUNT, Needed, of_s3, of_service
from isocenter.testing.aws.iam import evaluate
from isocenter.testing.aws.signatures import Asked, Refused, signer
from isocenter.testing.aws.state import SEEN

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
OPEN: Final = {"test": "test", "harness": "harness"}  # whoever deploys and looks on, and the harness itself
CONTEXT: Final = {"aws:securetransport": "true"}
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")


class Gate:
    """Lets through what AWS would; what it would not is answered as AWS does, and kept in SEEN.denied."""

    def __init__(self, behind: Wsgi) -> None:
        self._behind = behind

    def __call__(self, environ: Environ, start: Any) -> Iterable[bytes]:
        asked = _asked(environ)
        found = _CREDENTIAL.search(asked.headers.get("authorization", ""))
        service = found[3] if found else None
        if asked.path.startswith("/moto-api"):
            return self._behind(environ, start)
        by_address = "X-Amz-Signature=" in asked.query or "AWSAccessKeyId=" in asked.query
        try:
            if service == "s3" or by_address:
                key = signer(asked, _secret)
                needed = of_s3(asked, _body(environ) if _deletes_many(asked) else b"")
                needed += [each for one in needed for each in _of_kms(one)]
                self._allow(key, needed)
            elif found is not None and service is not None and _role(found[1]) is not None:
                self._allow(found[1], of_service(service, found[2], asked, _body(environ)))
        except Refused as refused:
            return _answer(refused, start, xml=service == "s3" or by_address)
        return self._behind(environ, start)

    def _allow(self, key: str | None, needed: Iterable[Needed]) -> None:
        role = None if key is None else _role(key)
        if role is None:
            return
        policies = _policies(role.role_arn)
        for action, resource in needed:
            if evaluate(policies, action, resource, CONTEXT) != "Allow":
                SEEN.deny(role.role_arn, action, resource)
                raise Refused("AccessDenied", f"{role.role_arn} may not {action} on {resource}")


def _asked(environ: Environ) -> Asked:
    path, _, query = (environ.get("RAW_URI") or environ["PATH_INFO"]).partition("?")
    headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    headers["content-length"] = environ.get("CONTENT_LENGTH", "")
    return Asked(environ["REQUEST_METHOD"], path, query or environ.get("QUERY_STRING", ""), headers)


def _deletes_many(asked: Asked) -> bool:
    return asked.method == "POST" and "delete" in parse_qs(asked.query, keep_blank_values=True)


def _body(environ: Environ) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _role(key: str) -> Any:
    return next((each for each in sts_backends[ACCOUNT]["aws"].assumed_roles if each.access_key_id == key), None)


def _secret(key: str) -> tuple[str, str | None] | None:
    if key in OPEN:
        return OPEN[key], None
    role = _role(key)
    return None if role is None else (role.secret_access_key, role.session_token)


def _policies(arn: str) -> list[Any]:
    role: Any = iam_backends[ACCOUNT]["aws"].get_role_by_arn(arn)
    attached = [
        version.document
        for policy in role.managed_policies.values()
        for version in policy.versions
        if version.version_id == policy.default_version_id
    ]
    return [*role.policies.values(), *attached]


def _of_kms(needed: Needed) -> list[Needed]:
    """What an object in a bucket with a key of KMS takes besides."""
    action, resource = needed
    name = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
    bucket: Any = s3_backends[ACCOUNT]["aws"].buckets.get(name)
    key = re.search(r"arn:aws:kms:[^\"]+", json.dumps(bucket.encryption or {}, default=str)) if bucket else None
    verb = {"s3:PutObject": "kms:GenerateDataKey", "s3:GetObject": "kms:Decrypt"}.get(action)
    return [] if key is None or verb is None else [(verb, key[0])]


def _answer(refused: Refused, start: Any, *, xml: bool) -> list[bytes]:
    if xml:
        body = f"<Error><Code>{refused.code}</Code><Message>{refused.message}</Message></Error>".encode()
        kind, status = "application/xml", refused.status
    else:
        code = f"{refused.code}Exception"
        body = json.dumps({"__type": code, "message": refused.message}).encode()
        kind, status = "application/x-amz-json-1.1", 400
    reason = {400: "Bad Request", 403: "Forbidden"}[status]
    headers = [("Content-Type", kind), ("x-amzn-errortype", refused.code), ("Content-Length", str(len(body)))]
    start(f"{status} {reason}", headers)
    return [body]
