"""Objects put into the bucket of what Terraform made: event, queue, function, machine, table, and out de-identified."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import requests
from tests.aws.conftest import Deployed

from isocenter.testing.aws.state import Faults
from isocenter.testing.instances import ct_slice


def until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.25)
    return true()


def keys(deployed: Deployed, bucket: str, prefix: str) -> list[str]:
    pages = deployed.cloud.client("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=deployed.outputs["buckets"][bucket], Prefix=prefix)
    return [each["Key"] for page in found for each in page.get("Contents", ())]


def executions(deployed: Deployed) -> list[str]:
    client = deployed.cloud.client("stepfunctions")
    return [
        each["status"]
        for arn in deployed.outputs["machines"].values()
        for each in client.list_executions(stateMachineArn=arn)["executions"]
    ]


def waiting(deployed: Deployed, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = deployed.outputs[queue]
    told = deployed.cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(map(int, told.values()))


def test_the_api_answers(deployed: Deployed) -> None:
    answer = requests.get(f"{deployed.api}/health", timeout=60)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert requests.get(f"{deployed.api}/dicomweb/studies", timeout=60).status_code == 401


def test_maintenance_has_nothing_to_complain_of(deployed: Deployed) -> None:
    answer, error = deployed.invoke("maintenance", {})
    assert (error, answer["given"]) == (None, 0)


def test_each_object_is_once_in_the_deidentified_bucket_whatever_comes_twice_or_fails(deployed: Deployed) -> None:
    before = len(keys(deployed, "deidentified", "deidentified/"))
    deployed.cloud.ask(Faults(event_copies=3, shuffled=True, failing={"step-large": 0.05}))
    s3 = deployed.cloud.client("s3")
    bucket = deployed.outputs["buckets"]["raw"]
    for number in range(1, 6):
        s3.put_object(Bucket=bucket, Key=f"incoming/some folder/a+{number}.dcm", Body=ct_slice(seed=7, number=number))
    s3.put_object(Bucket=bucket, Key="incoming/empty", Body=b"")
    s3.put_object(Bucket=bucket, Key="incoming/what.txt", Body=b"no image")
    assert until(lambda: len(keys(deployed, "deidentified", "deidentified/")) == before + 5, 60), deployed.cloud.seen()
    assert until(lambda: "RUNNING" not in executions(deployed) and waiting(deployed, "queue_url") == 0, 60)
    assert set(executions(deployed)) == {"SUCCEEDED"}
    assert len(keys(deployed, "deidentified", "deidentified/")) == before + 5
    assert keys(deployed, "raw", "incoming/") == []
    assert len(keys(deployed, "raw", "processed/")) == 5
    quarantined = keys(deployed, "raw", "quarantine/")
    assert len([key for key in quarantined if key.endswith(".reason.txt")]) == 2
    assert waiting(deployed, "dead_letters_url") == 0
    deployed.cloud.ask(Faults())


def test_without_one_permission_the_same_would_fail(deployed: Deployed) -> None:
    """The fence stands: a role that may not read the table cannot take anything in."""
    seen = deployed.cloud.seen()
    assert (seen["errors"], seen["denied"], seen["lacking"]) == ([], [], [])
    iam = deployed.cloud.client("iam")
    role = deployed.outputs["roles"]["maintenance"].rpartition("/")[2]
    asked: dict[str, Any] = {"RoleName": role, "PolicyName": "what-it-does"}
    document = iam.get_role_policy(**asked)["PolicyDocument"]
    less = {**document, "Statement": [each for each in document["Statement"] if each["Sid"] != "Table"]}
    iam.put_role_policy(**asked, PolicyDocument=json.dumps(less))
    try:
        _, error = deployed.invoke("maintenance", {})
        assert error is not None
        assert any("dynamodb:" in line for line in deployed.cloud.seen()["denied"])
    finally:
        iam.put_role_policy(**asked, PolicyDocument=json.dumps(document))
        deployed.cloud.forget()
