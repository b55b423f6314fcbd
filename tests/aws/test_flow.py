"""Objects put into the bucket of what Terraform made: event, queue, function, machine, table, and out de-identified."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from tests.aws.conftest import ROOT, Deployed, api_key

from isocenter.testing.aws.state import Faults
from isocenter.testing.instances import ct_slice

OBJECTS = int(os.environ.get("ISOCENTER_TEST_AWS_OBJECTS", "60"))


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true. Each look costs the server, the more the longer it takes: the waits grow."""
    end, wait = time.monotonic() + seconds, 0.25
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(wait)
        wait = min(wait * 1.3, 5.0)
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
        for page in client.get_paginator("list_executions").paginate(stateMachineArn=arn)
        for each in page["executions"]
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
    taken = len(keys(deployed, "raw", "processed/"))
    refused = len(keys(deployed, "raw", "quarantine/"))
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
    assert len(keys(deployed, "raw", "processed/")) == taken + 5
    quarantined = keys(deployed, "raw", "quarantine/")
    assert len(quarantined) == refused + 4
    assert len([key for key in quarantined if key.endswith(".reason.txt")]) == refused // 2 + 2
    assert waiting(deployed, "dead_letters_url") == 0
    deployed.cloud.ask(Faults())


def redriven(deployed: Deployed) -> int:
    """What an operator does with dead letters: have them brought again; how many there were."""
    sqs = deployed.cloud.client("sqs")
    dead, queue = deployed.outputs["dead_letters_url"], deployed.outputs["queue_url"]
    moved = 0
    while found := sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages", []):
        for message in found:
            sqs.send_message(QueueUrl=queue, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def test_a_thousand_objects_at_once_tripled_shuffled_and_with_failures_are_each_there_once(
    deployed: Deployed, tmp_path: Path
) -> None:
    before = set(keys(deployed, "deidentified", "deidentified/")), set(keys(deployed, "raw", "raw/"))
    deployed.cloud.ask(
        Faults(event_copies=3, shuffled=True, failing={"step-large": 0.05, "upload-event": 0.05}, seed=3)
    )
    s3, bucket = deployed.cloud.client("s3"), deployed.outputs["buckets"]["raw"]

    def put(number: int) -> None:
        s3.put_object(Bucket=bucket, Key=f"incoming/{number}.dcm", Body=ct_slice(seed=11, number=number, size=32))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(1, OBJECTS + 1)))
    there = len(before[0]) + OBJECTS
    seconds = 60 + 2 * OBJECTS
    assert until(lambda: len(keys(deployed, "deidentified", "deidentified/")) >= there, seconds), deployed.cloud.seen()
    assert until(lambda: waiting(deployed, "queue_url") == 0 and "RUNNING" not in executions(deployed), 120)
    if redriven(deployed):
        assert until(lambda: waiting(deployed, "queue_url") == 0 and "RUNNING" not in executions(deployed), 120)
    seen = deployed.cloud.seen()
    assert seen["injected"] >= OBJECTS // 50  # the failures that were asked for did happen
    assert set(executions(deployed)) == {"SUCCEEDED"}
    assert waiting(deployed, "dead_letters_url") == 0
    assert keys(deployed, "raw", "incoming/") == []
    assert len(set(keys(deployed, "deidentified", "deidentified/")) - before[0]) == OBJECTS
    assert len(set(keys(deployed, "raw", "raw/")) - before[1]) == OBJECTS
    scopes = ("images:read", "identified:read")
    key = api_key(
        deployed.cloud, deployed.outputs["table"], deployed.outputs["secrets_prefix"], tmp_path / "home", *scopes
    )
    headers = {"Authorization": f"Bearer {key}"}
    found = requests.get(f"{deployed.api}/dicomweb/instances", params={"limit": 1}, headers=headers, timeout=60)
    assert int(found.headers["X-Total-Count"]) >= OBJECTS
    deployed.cloud.ask(Faults())


def bulk(deployed: Deployed, manifest: str) -> Any:
    """What came of a manifest: by the script where AWS's command line is installed, else as the script does it."""
    if subprocess.run(["aws", "--version"], capture_output=True, check=False).returncode == 0:
        command = [str(ROOT / "infra" / "scripts" / "bulk.sh"), "dev", manifest]
        variables = {**deployed.terraform.variables, "BULK_LOOK": "0.5"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])
    client, arn = deployed.cloud.client("stepfunctions"), deployed.outputs["bulk_machine"]
    begun = client.start_execution(stateMachineArn=arn, input=json.dumps({"manifest": manifest}))["executionArn"]

    def told() -> dict[str, Any]:
        return dict(client.describe_execution(executionArn=begun))

    assert until(lambda: told()["status"] == "SUCCEEDED", 300), told()
    return json.loads(told()["output"])


def test_a_manifest_takes_in_what_lies_in_a_bucket_batch_by_batch(deployed: Deployed) -> None:
    s3, bucket = deployed.cloud.client("s3"), deployed.outputs["buckets"]["raw"]
    before = set(keys(deployed, "deidentified", "deidentified/"))
    names = [f"bulk/some folder/b+{number}.dcm" for number in range(1, 61)]
    for number, name in enumerate(names, 1):
        s3.put_object(Bucket=bucket, Key=name, Body=ct_slice(seed=12, number=number, size=32))
    s3.put_object(Bucket=bucket, Key="bulk/letter.txt", Body=b"no image")
    lines = [f"s3://{bucket}/{name}" for name in (*names, "bulk/letter.txt", "bulk/gone.dcm")]
    s3.put_object(Bucket=bucket, Key="bulk/list", Body="\n".join(lines).encode())
    deployed.cloud.ask(Faults(failing={"bulk": 0.1}))
    assert bulk(deployed, f"s3://{bucket}/bulk/list") == {"taken": 60, "refused": 2, "left": 0}
    assert until(lambda: len(set(keys(deployed, "deidentified", "deidentified/")) - before) == 60, 60)
    (report,) = [key for key in keys(deployed, "raw", "bulk-state/") if key.endswith("report.csv")]
    told = s3.get_object(Bucket=bucket, Key=report)["Body"].read().decode()
    assert told == "line,code\n61,not-an-image\n62,no-such-object\n"
    assert set(names) < set(keys(deployed, "raw", "bulk/"))  # what a manifest names stays where it lies
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
