"""Which actions of IAM a request takes, on which resources."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import unescape

from isocenter.testing.aws.signatures import Asked

ACCOUNT: Final = "123456789012"
Needed = tuple[str, str]  # action and resource
_BATCHES: Final = {"BatchGetItem", "BatchWriteItem"}
_TRANSACTED: Final = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def of_s3(asked: Asked, body: bytes = b"") -> list[Needed]:
    """A request to S3, path style; the body of one that deletes many names them."""
    query = dict(parse_qsl(asked.query, keep_blank_values=True))
    bucket, _, key = unquote(asked.path).lstrip("/").partition("/")
    if not key:
        if asked.method == "POST" and "delete" in query:
            keys = [unescape(each) for each in re.findall(r"<Key>([^<]*)</Key>", body.decode())]
            return [("s3:DeleteObject", f"arn:aws:s3:::{bucket}/{each}") for each in keys]
        if "uploads" in query:
            return [("s3:ListBucketMultipartUploads", f"arn:aws:s3:::{bucket}")]
        verb = "ListBucket" if asked.method in ("GET", "HEAD") else f"{asked.method.title()}Bucket"
        return [(f"s3:{verb}", f"arn:aws:s3:::{bucket}")]
    needed = [(f"s3:{_object_action(asked.method, query)}", f"arn:aws:s3:::{bucket}/{key}")]
    source = asked.headers.get("x-amz-copy-source")
    if source:
        needed.append(("s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/').split('?')[0]}"))
    return needed


def _object_action(method: str, query: Mapping[str, str]) -> str:
    if "tagging" in query:
        return {"GET": "GetObjectTagging", "PUT": "PutObjectTagging"}.get(method, "DeleteObjectTagging")
    if "uploadId" in query and method in ("GET", "DELETE"):
        return "ListMultipartUploadParts" if method == "GET" else "AbortMultipartUpload"
    verb = {"GET": "Get", "HEAD": "Get", "PUT": "Put", "POST": "Put", "DELETE": "Delete"}[method]
    return f"{verb}ObjectVersion" if "versionId" in query and verb != "Put" else f"{verb}Object"


def of_service(service: str, region: str, asked: Asked, body: bytes) -> list[Needed]:
    """A request to any other service that our functions and machines call."""
    base = f"arn:aws:{service}:{region}:{ACCOUNT}:"
    target = asked.headers.get("x-amz-target")
    if target is not None:
        operation, given = target.rpartition(".")[2], json.loads(body or b"{}")
        if service == "dynamodb":
            return _of_dynamodb(operation, given, f"{base}table/")
        return [(f"{service}:{operation}", _resource(service, base, given))]
    if service == "lambda":
        found = re.search(r"/functions/([^/]+)/invocations", unquote(asked.path))
        if found is None:
            return []
        name = found[1] if found[1].startswith("arn:") else f"{base}function:{found[1]}"
        qualifier = dict(parse_qsl(asked.query)).get("Qualifier")
        return [
            (
                "lambda:InvokeFunction",
                f"{name}:{qualifier}" if qualifier and not name.endswith(f":{qualifier}") else name,
            )
        ]
    operation = dict(parse_qsl(body.decode("utf-8", "replace"))).get("Action", "")
    return [(f"{ {'monitoring': 'cloudwatch'}.get(service, service) }:{operation}", "*")]


def _resource(service: str, base: str, given: Mapping[str, Any]) -> str:
    match service:
        case "sqs":
            return base + str(given["QueueUrl"]).rpartition("/")[2]
        case "kms":
            return str(given["KeyId"])
        case "states":
            return str(given.get("executionArn") or given.get("stateMachineArn") or "*")
        case "ssm":
            return f"{base}parameter{given.get('Name') or given.get('Path') or '*'}"
        case "secretsmanager":
            name = str(given.get("SecretId") or given.get("Name") or "")
            return "*" if not name else name if name.startswith("arn:") else f"{base}secret:{name}-AbCdEf"
    return "*"


def _of_dynamodb(operation: str, given: Mapping[str, Any], base: str) -> list[Needed]:
    """Transactions take the permissions of what they do; a batch that of itself for each table."""
    if "TransactItems" in given:
        parts = [part for item in given["TransactItems"] for part in item.items()]
        return sorted({(f"dynamodb:{_TRANSACTED[kind]}", base + each["TableName"]) for kind, each in parts})
    if operation in _BATCHES:
        return [(f"dynamodb:{operation}", base + name) for name in given["RequestItems"]]
    index = f"/index/{given['IndexName']}" if "IndexName" in given else ""
    return (
        [(f"dynamodb:{operation}", base + given["TableName"] + index)]
        if "TableName" in given
        else [(f"dynamodb:{operation}", "*")]
    )
