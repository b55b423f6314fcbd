"""The functions of AWS in this process, on moto's server: the same code as in their packages, without those."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import boto3
import pytest

from isocenter.adapters.aws.table import create_table, dynamodb
from isocenter.pipeline.plan import Plans
from isocenter.testing.aws_server import AwsServer

PLAN = "validate-deidentify"
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


@dataclass
class Context:
    """What Lambda hands to a handler beside the event."""

    seconds: float = 60.0
    aws_request_id: str = field(default_factory=lambda: token_hex(8))

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@dataclass
class Cloud:
    """A table, two buckets and two state machines, with settings that name them."""

    server: AwsServer
    settings: Mapping[str, str]
    raw: str
    deidentified: str
    table: str

    def client(self, service: str) -> Any:
        return boto3.client(service, **self.server.options)

    def put(self, key: str, data: bytes) -> None:
        self.client("s3").put_object(Bucket=self.raw, Key=key, Body=data)

    def keys(self, bucket: str | None = None, prefix: str = "") -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket or self.raw, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def started(self) -> list[dict[str, Any]]:
        """The inputs of all executions that were started."""
        service = self.client("stepfunctions")
        found = []
        for name, arn in json.loads(self.settings["ISOCENTER_STATE_MACHINES"]).items():
            for page in service.get_paginator("list_executions").paginate(stateMachineArn=arn):
                for one in page["executions"]:
                    told = service.describe_execution(executionArn=one["executionArn"])
                    found.append({**json.loads(told["input"]), "machine": name})
        return found


@contextmanager
def cloud(server: AwsServer, monkeypatch: pytest.MonkeyPatch, home: str) -> Iterator[Cloud]:
    """All that Terraform makes and a function is told of, by boto3."""
    mark = token_hex(6)
    table, raw, deidentified = f"table-{mark}", f"raw-{mark}", f"deidentified-{mark}"
    create_table(dynamodb(**server.options), table)
    storage = boto3.client("s3", **server.options)
    machines = boto3.client("stepfunctions", **server.options)
    for bucket in (raw, deidentified):
        storage.create_bucket(Bucket=bucket)
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 900, "End": True}}})
    arns = {
        name: machines.create_state_machine(
            name=f"{name.replace('.', '-')}-{mark}", definition=definition,
            roleArn="arn:aws:iam::123456789012:role/any",
        )["stateMachineArn"]
        for name in (PLAN, f"{PLAN}.express")
    }  # fmt: skip
    settings = {
        "ISOCENTER_HOME": home,
        "ISOCENTER_DATABASE_URL": f"dynamodb://{table}",
        "ISOCENTER_BLOBS_URL": f"s3://{raw}",
        "ISOCENTER_BLOBS_URLS": json.dumps({"deidentified": f"s3://{deidentified}"}),
        "ISOCENTER_BLOBS_OPTIONS": json.dumps(
            {
                "endpoint": server.endpoint, "region": "us-east-1", "access_key_id": "test",
                "secret_access_key": "test", "allow_http": "true", "virtual_hosted_style_request": "false",
            }
        ),
        "ISOCENTER_SECRETS_PREFIX": f"{mark}/",
        "ISOCENTER_STATE_MACHINES": json.dumps(arns),
        "ISOCENTER_INCOMING_URL": f"s3://{raw}",
        "ISOCENTER_INCOMING_PIPELINE": PLAN,
        "ISOCENTER_UPLOAD_LINKS": "presigned",
        "ISOCENTER_AUTH": "keys",
        "ISOCENTER_LOG_LEVEL": "warning",
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield Cloud(server, settings, raw, deidentified, table)


def told(*keys: str, bucket: str, form: str = "eventbridge") -> dict[str, Any]:
    """A batch of SQS messages, each of one object."""
    return {
        "Records": [{"messageId": f"m{number}", "body": body(bucket, key, form)} for number, key in enumerate(keys)]
    }


def body(bucket: str, key: str, form: str) -> str:
    if form == "eventbridge":
        return json.dumps(
            {"detail-type": "Object Created", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}
        )
    encoded = key.replace("+", "%2B").replace(" ", "+")
    return json.dumps({"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": encoded}}}]})


def carried_out(step: Handler, executions: Sequence[Mapping[str, Any]]) -> list[int]:
    """Do what these executions' machines do: bring each chunk of each stage, then the end; how many were left."""
    stages = len(Plans().load(PLAN).stages)
    left = []
    for one in executions:
        for stage in range(stages):
            for chunk in one["chunks"]:
                step({"job": one["job"], "attempt": one["attempt"], "stage": stage, "chunk": chunk}, Context())
        left.append(step({"job": one["job"], "attempt": one["attempt"], "end": True}, Context())["left"])
    return left


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
