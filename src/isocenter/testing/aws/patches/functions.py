"""Lambda: the packages are run, under their role; an event source is a poller; more of what was configured is told."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Any, Final
from uuid import uuid4

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from moto.awslambda import models
from moto.core.utils import unix_time_millis, utcnow
from moto.sqs.models import sqs_backends
from moto.sts.models import sts_backends

from isocenter.testing.aws.actions import ACCOUNT
from isocenter.testing.aws.host import Function, Host
from isocenter.testing.aws.patches import replaced
from isocenter.testing.aws.state import SEEN

KEPT: Final = ("DeadLetterConfig", "LoggingConfig")  # what moto's functions forget of their configuration
POLLERS: Final = 3
SOON: Final = 1  # seconds after which a failed message is brought again, in place of its queue's visibility time-out


def credentials(role: str, session: str) -> dict[str, str]:
    """Credentials of a role, as the service that runs something in its name is given them; made once for each."""
    backend: Any = sts_backends[ACCOUNT]["aws"]
    with _LOCK:
        known = next(
            (each for each in backend.assumed_roles if (each.role_arn, each.session_name) == (role, session)), None
        )
        if known is None:
            known = backend.assume_role(
                region_name="us-east-1",
                role_session_name=session,
                role_arn=role,
                policy="",
                duration=43200,
                external_id="",
            )
    return {
        "AWS_ACCESS_KEY_ID": known.access_key_id,
        "AWS_SECRET_ACCESS_KEY": known.secret_access_key,
        "AWS_SESSION_TOKEN": known.session_token,
    }


_LOCK = threading.Lock()


def patch(host: Host, endpoint: str) -> None:
    """Put it all in place."""
    _run_packages(host, endpoint)
    _keep_configuration()
    _answer_calls()
    _poll_queues(endpoint)


def _run_packages(host: Host, endpoint: str) -> None:
    """moto would run functions in Docker, without roles."""

    def run(self: Any, event: Any = None) -> tuple[str, bool, str]:
        payload = (
            event
            if isinstance(event, bytes)
            else event.encode()
            if isinstance(event, str)
            else json.dumps(event).encode()
        )
        layers = tuple(self.logs_layers_bytes(each["Arn"]) for each in self.layers)
        environment = {
            **credentials(self.role, self.function_name),
            "AWS_ENDPOINT_URL": endpoint,
            "ISOCENTER_BLOBS_OPTIONS": '{"allow_http": "true"}',  # obstore takes no address without TLS unless told
            **self.environment_vars,
        }
        version = str(self.version)
        function = Function(
            self.function_name, self.function_arn, version, self.handler, self.run_time, float(self.timeout),
            int(self.memory_size), self.code_bytes, layers, environment,
        )  # fmt: skip
        outcome = host.invoke(function, payload)
        _log(self, outcome.log, version)
        return outcome.result.decode(), outcome.error is not None, "\n".join(outcome.log)[-4096:]

    def layer(self: Any, arn: str) -> bytes:
        found: Any = models.lambda_backends[self.account_id][self.region].layers_versions_by_arn(arn)
        return bytes(found.code_bytes) if not isinstance(found.code_bytes, bytes) else found.code_bytes

    functions: Any = models.LambdaFunction
    functions.logs_layers_bytes = layer
    replaced(functions, "_invoke_lambda", run)


def _log(function: Any, lines: list[str], version: str) -> None:
    """CloudWatch Logs keeps what the function printed, in its log group."""
    group = (getattr(function, "kept", {}).get("LoggingConfig") or {}).get("LogGroup") or function.logs_group_name
    stream = f"{utcnow():%Y/%m/%d}/[{version}]{uuid4().hex}"
    function.logs_backend.ensure_log_group(group)
    function.logs_backend.create_log_stream(group, stream)
    function.logs_backend.put_log_events(
        group, stream, [{"timestamp": unix_time_millis(), "message": line} for line in lines]
    )


def _keep_configuration() -> None:
    """Without these a second plan would want to set them again."""
    functions: Any = models.LambdaFunction

    def begin(self: Any, account_id: str, spec: dict[str, Any], region: str, version: int = 1) -> None:
        self.kept = {name: spec[name] for name in KEPT if name in spec}
        begin_before(self, account_id, spec, region, version)

    def told(self: Any, on_create: bool = False) -> dict[str, Any]:
        return {**told_before(self, on_create), **getattr(self, "kept", {})}

    def update(self: Any, updates: dict[str, Any]) -> Any:
        self.kept = {**getattr(self, "kept", {}), **{name: updates[name] for name in KEPT if name in updates}}
        return update_before(self, updates)

    begin_before = replaced(functions, "__init__", begin)
    told_before = replaced(functions, "get_configuration", told)
    update_before = replaced(functions, "update_configuration", update)


def _answer_calls() -> None:
    """moto would wait for a call that is not to be waited for, and knows neither its retries nor its dead letters."""

    def invoke(
        self: Any, function_name: str, qualifier: str | None, body: Any, headers: Any, response_headers: Any
    ) -> bytes:
        function = self.get_function(function_name, qualifier)
        if headers.get("X-Amz-Invocation-Type") == "Event":
            threading.Thread(target=unawaited, args=(function, body), daemon=True).start()
            return b""
        result, failed, log = function._invoke_lambda(body or "{}")
        if failed:
            response_headers["x-amz-function-error"] = "Unhandled"
        response_headers["x-amz-executed-version"] = str(function.version)
        response_headers["x-amz-log-result"] = base64.b64encode(log.encode()).decode()
        answer = bytes(result.encode())
        response_headers["Content-Length"] = str(len(answer))
        return answer

    replaced(models.LambdaBackend, "invoke", invoke)


def unawaited(function: Any, body: Any) -> None:
    """Called, twice again where it fails, and then a dead letter."""
    for _ in range(3):
        result, failed, _ = function._invoke_lambda(body)
        if not failed:
            return
        time.sleep(0.2)
    target = (getattr(function, "kept", {}).get("DeadLetterConfig") or {}).get("TargetArn")
    if target is None:
        SEEN.error(f"{function.function_name}: {result}")
    else:
        queues: Any = sqs_backends[function.account_id][function.region]
        queues.send_message(target.rpartition(":")[2], body if isinstance(body, str) else body.decode())


def _poll_queues(endpoint: str) -> None:
    """moto calls the function at every read of the queue, forgets the alias, and knows no partial failures."""

    def create(self: Any, spec: dict[str, Any]) -> Any:
        mapping = create_before(self, spec)
        if spec["FunctionName"].startswith("arn:"):
            mapping.function_arn = spec["FunctionName"]  # with its alias, as Terraform reads it back
        mapping.scaling_config = spec.get("ScalingConfig", {})
        if ":sqs:" in mapping.event_source_arn:
            for queue in sqs_backends[self.account_id][self.region_name].queues.values():
                queue.lambda_event_source_mappings = {}
            for _ in range(POLLERS):
                threading.Thread(target=_poll, args=(self, mapping, endpoint), daemon=True).start()
        return mapping

    create_before = replaced(models.LambdaBackend, "create_event_source_mapping", create)


def _poll(backend: Any, mapping: Any, endpoint: str) -> None:
    """Reads batches until the mapping is gone. The queue is read in the name of the function's role, as Lambda does."""
    arn: str = mapping.event_source_arn
    function = backend.get_function(mapping.function_arn)
    known = credentials(function.role, "poller")
    client: Any = boto3.client(
        "sqs", region_name=backend.region_name, endpoint_url=endpoint, aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"], aws_session_token=known["AWS_SESSION_TOKEN"],
    )  # fmt: skip
    url = f"{endpoint}/{ACCOUNT}/{arn.rpartition(':')[2]}"
    while mapping.uuid in backend._event_source_mappings:
        try:
            asked = {"QueueUrl": url, "MaxNumberOfMessages": min(10, mapping.batch_size), "WaitTimeSeconds": 1}
            messages = client.receive_message(**asked, AttributeNames=["All"]).get("Messages", [])
            if messages and mapping.enabled:
                _bring(backend.get_function(mapping.function_arn), mapping, messages, arn, client, url)
        except (BotoCoreError, ClientError) as error:
            if mapping.uuid in backend._event_source_mappings:
                SEEN.error(f"poller: {error}")
                time.sleep(0.5)


def _bring(function: Any, mapping: Any, messages: list[Any], arn: str, client: Any, url: str) -> None:
    records = [
        {
            "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
            "attributes": message.get("Attributes", {}), "messageAttributes": {}, "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs", "eventSourceARN": arn, "awsRegion": function.region,
        }
        for message in messages
    ]  # fmt: skip
    result, failed, _ = function._invoke_lambda(json.dumps({"Records": records}))
    again = {message["MessageId"] for message in messages} if failed else set()
    if not failed and "ReportBatchItemFailures" in (mapping.function_response_types or []):
        again = {each["itemIdentifier"] for each in (json.loads(result) or {}).get("batchItemFailures", [])}
    for message in messages:
        handle = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
        if message["MessageId"] in again:
            client.change_message_visibility(**handle, VisibilityTimeout=SOON)
        else:
            client.delete_message(**handle)
