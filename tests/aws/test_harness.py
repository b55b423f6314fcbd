"""The harness itself, with a function of a few lines: what AWS refuses it refuses, and packages run as on Lambda."""

from __future__ import annotations

import base64
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from isocenter.testing.aws.cloud import REGION, Cloud, cloud
from isocenter.testing.aws.state import Faults

CODE = """
import json, os, time
import within_layer

def handler(event, context):
    if "Records" in event:
        bodies = [json.loads(each["body"]) for each in event["Records"]]
        again = [each["messageId"] for each, body in zip(event["Records"], bodies) if body.get("bad")]
        print("took", len(bodies) - len(again))
        return {"batchItemFailures": [{"itemIdentifier": id} for id in again]}
    match event.get("do"):
        case "sleep": time.sleep(30)
        case "exit": os._exit(3)
        case "raise": raise ValueError("on purpose")
        case "large": return "x" * 7_000_000
        case "read":
            import urllib.request
            return {"pid": os.getpid(), "home": os.environ["WHERE"]}
    if "rawPath" in event:
        return {"statusCode": 201, "headers": {"x-path": event["rawPath"]}, "body": event.get("body", ""),
                "isBase64Encoded": event["isBase64Encoded"]}
    return {"said": within_layer.WORD, "left": context.get_remaining_time_in_millis()}
"""
ALLOWED = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::images/open/*"}


def zipped(**files: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as made:
        for name, text in files.items():
            made.writestr(name.replace("__", "/") + ".py", text)
    return written.getvalue()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud(tmp_path_factory.mktemp("harness")) as found:
        iam = found.client("iam")
        trusted = {
            "Statement": [
                {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
            ]
        }
        iam.create_role(RoleName="f", AssumeRolePolicyDocument=json.dumps(trusted))
        queue = {
            "Effect": "Allow",
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
            "Resource": "*",
        }
        document = {"Version": "2012-10-17", "Statement": [ALLOWED, queue]}
        iam.put_role_policy(RoleName="f", PolicyName="f", PolicyDocument=json.dumps(document))
        client = found.client("lambda")
        layer = client.publish_layer_version(
            LayerName="l", Content={"ZipFile": zipped(python__within_layer="WORD = 'here'")}
        )
        client.create_function(
            FunctionName="f", Role="arn:aws:iam::123456789012:role/f", Handler="code.handler", Timeout=3,
            Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}", Code={"ZipFile": zipped(code=CODE)},
            Layers=[layer["LayerVersionArn"]], Environment={"Variables": {"WHERE": "/tmp/isocenter"}},
        )  # fmt: skip
        found.client("s3").create_bucket(Bucket="images")
        found.client("s3").put_object(Bucket="images", Key="open/a", Body=b"a")
        found.client("s3").put_object(Bucket="images", Key="shut/a", Body=b"a")
        yield found


@pytest.fixture
def call(aws: Cloud) -> Iterator[Callable[[Any], dict[str, Any]]]:
    def ask(event: Any) -> dict[str, Any]:
        answer = aws.client("lambda").invoke(FunctionName="f", Payload=json.dumps(event), LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode()
        return {"payload": json.load(answer["Payload"]), "error": answer.get("FunctionError"), "log": log}

    aws.forget()
    yield ask
    aws.ask(Faults())
    aws.forget()


def test_a_function_runs_with_its_layer_and_the_time_it_has_left(call: Callable[[Any], dict[str, Any]]) -> None:
    answer = call({})
    assert answer["payload"]["said"] == "here"
    assert 0 < answer["payload"]["left"] <= 3000
    assert "REPORT RequestId" in answer["log"]


def test_an_environment_is_used_again_and_its_tmp_is_its_own(call: Callable[[Any], dict[str, Any]], aws: Cloud) -> None:
    first, second = call({"do": "read"})["payload"], call({"do": "read"})["payload"]
    assert first == second
    assert first["home"] != "/tmp/isocenter"
    assert first["home"].endswith("/isocenter")
    assert len(aws.seen()["reports"]) == 2


@pytest.mark.parametrize(
    ("do", "kind"),
    [
        ("raise", "ValueError"),
        ("exit", "Runtime.ExitError"),
        ("sleep", "Sandbox.Timedout"),
        ("large", "Function.ResponseSizeTooLarge"),
    ],
)
def test_what_goes_wrong_is_told_as_lambda_tells_it(call: Callable[[Any], dict[str, Any]], do: str, kind: str) -> None:
    answer = call({"do": do})
    assert (answer["error"], answer["payload"]["errorType"]) == ("Unhandled", kind)
    assert call({})["error"] is None


def test_failures_can_be_asked_for(call: Callable[[Any], dict[str, Any]], aws: Cloud) -> None:
    aws.ask(Faults(failing={"f": 1.0}))
    assert call({})["payload"]["errorType"] == "Lambda.ServiceException"
    assert aws.seen()["injected"] == 1


def as_role(aws: Cloud, service: str) -> Any:
    known = aws.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/f", RoleSessionName="test")[
        "Credentials"
    ]
    return boto3.client(
        service, endpoint_url=aws.endpoint, region_name=REGION, config=Config(signature_version="s3v4"),
        aws_access_key_id=known["AccessKeyId"], aws_secret_access_key=known["SecretAccessKey"],
        aws_session_token=known["SessionToken"],
    )  # fmt: skip


def test_a_role_may_do_what_its_policy_says_and_nothing_else(aws: Cloud) -> None:
    s3 = as_role(aws, "s3")
    assert s3.get_object(Bucket="images", Key="open/a")["Body"].read() == b"a"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket="images", Key="shut/a")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket="images", Key="open/a", Body=b"b")
    assert [line.split(" ", 1)[1] for line in aws.seen()["denied"]] == [
        "s3:GetObject arn:aws:s3:::images/shut/a",
        "s3:PutObject arn:aws:s3:::images/open/a",
    ]
    aws.forget()


def test_an_address_works_until_it_is_over_and_for_nothing_else(aws: Cloud) -> None:
    s3 = as_role(aws, "s3")
    signed = s3.generate_presigned_url("get_object", Params={"Bucket": "images", "Key": "open/a"}, ExpiresIn=2)
    assert requests.get(signed, timeout=10).content == b"a"
    assert requests.get(signed.replace("open/a", "open/b"), timeout=10).status_code == 403
    assert requests.get(signed[:-1] + ("0" if signed[-1] != "0" else "1"), timeout=10).status_code == 403
    assert requests.get(signed.replace("X-Amz-Expires=2", "X-Amz-Expires=2000"), timeout=10).status_code == 403
    shut = s3.generate_presigned_url("get_object", Params={"Bucket": "images", "Key": "shut/a"}, ExpiresIn=60)
    assert requests.get(shut, timeout=10).status_code == 403
    time.sleep(2.5)
    assert requests.get(signed, timeout=10).status_code == 403
    aws.forget()


def test_a_wrong_secret_signs_nothing(aws: Cloud) -> None:
    wrong = boto3.client(
        "s3", endpoint_url=aws.endpoint, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="other"
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.get_object(Bucket="images", Key="open/a")


def test_objects_come_by_event_and_queue_and_a_hopeless_message_becomes_a_dead_letter(aws: Cloud) -> None:
    sqs, s3, events = aws.client("sqs"), aws.client("s3"), aws.client("events")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:123456789012:dead", "maxReceiveCount": "2"}
    queue = sqs.create_queue(QueueName="q", Attributes={"RedrivePolicy": json.dumps(redrive)})["QueueUrl"]
    s3.create_bucket(Bucket="events")
    s3.put_bucket_notification_configuration(
        Bucket="events", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"object": {"key": [{"prefix": "incoming/"}]}},
    }
    events.put_rule(Name="r", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": f"arn:aws:sqs:{REGION}:123456789012:q"}])
    aws.forget()
    aws.ask(Faults(event_copies=3, shuffled=True))
    s3.put_object(Bucket="events", Key="elsewhere/a", Body=b"a")
    s3.put_object(Bucket="events", Key="incoming/a b+c", Body=b"a")
    counted = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert counted == {"ApproximateNumberOfMessages": "3"}
    aws.ask(Faults())
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"bad": True}))
    aws.client("lambda").create_event_source_mapping(
        EventSourceArn=f"arn:aws:sqs:{REGION}:123456789012:q", FunctionName="f", BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )  # fmt: skip
    end = time.monotonic() + 30
    letters: list[Any] = []
    while not letters and time.monotonic() < end:
        letters = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=1).get("Messages", [])
    assert [json.loads(each["Body"]) for each in letters] == [{"bad": True}]
    left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert left == {"ApproximateNumberOfMessages": "0"}
    assert aws.seen()["errors"] == []


def test_an_http_api_calls_the_function_and_bytes_stay_bytes(aws: Cloud) -> None:
    client = aws.client("apigatewayv2")
    api = client.create_api(Name="a", ProtocolType="HTTP")["ApiId"]
    integration = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", PayloadFormatVersion="2.0",
        IntegrationUri=f"arn:aws:lambda:{REGION}:123456789012:function:f",
    )["IntegrationId"]  # fmt: skip
    client.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
    sent = bytes(range(256))
    answer = requests.post(
        f"{aws.api(api)}/a%20b", data=sent, headers={"content-type": "application/dicom"}, timeout=10
    )
    assert (answer.status_code, answer.headers["x-path"], answer.content) == (201, "/a b", sent)
    too_much = requests.post(f"{aws.api(api)}/a", data=b"0" * (10 * 1024 * 1024 + 1), timeout=30)
    assert too_much.status_code == 413


def test_what_the_harness_printed_lies_in_its_folder(aws: Cloud) -> None:
    assert isinstance(aws.log, Path)
    assert aws.log.exists()
