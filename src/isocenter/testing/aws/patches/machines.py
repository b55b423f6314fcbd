"""Step Functions: machines are executed, in the name of their role; what moto does not answer is answered."""

from __future__ import annotations

import sys
from typing import Any

import boto3
from botocore.config import Config
from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.responses import StepFunctionResponse

from isocenter.testing.aws.patches import replaced
from isocenter.testing.aws.patches.functions import credentials


def patch(endpoint: str) -> None:
    """Put it all in place; before anything loads moto's executor, which takes the client's maker by name."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    _call_as_the_role(endpoint)
    _answer_more()


def _call_as_the_role(endpoint: str) -> None:
    """moto calls with keys that may do everything."""

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        role = getattr(state_credentials, "role_arn", None)
        given = {"aws_access_key_id": "harness", "aws_secret_access_key": "harness"}
        if role:
            known = credentials(role, "machine")
            given = {name.lower(): text for name, text in known.items()}
        config = Config(
            parameter_validation=False, retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=900
        )
        return boto3.client(service, region_name=region, endpoint_url=endpoint, config=config, **given)

    maker = boto_client.boto_client_for
    for module in list(sys.modules.values()):  # those that were loaded with the parser have it by name already
        if getattr(module, "boto_client_for", None) is maker:
            replaced(module, "boto_client_for", client_for)


def _answer_more() -> None:
    """Terraform asks for both before and after it makes a machine."""
    responses: Any = StepFunctionResponse

    def validate(self: Any) -> ActionResult:
        parser: Any = AmazonStateLanguageParser
        parser.parse(self._get_param("definition"))  # what is no machine fails the plan
        return ActionResult({"result": "OK", "diagnostics": [], "truncated": False})

    def versions(self: Any) -> ActionResult:
        machine = self.stepfunction_backend.describe_state_machine(self._get_param("stateMachineArn"))
        found = [
            {"stateMachineVersionArn": version.arn, "creationDate": version.creation_date}
            for version in getattr(machine, "versions", {}).values()
        ]
        return ActionResult({"stateMachineVersions": found})

    responses.validate_state_machine_definition = validate
    responses.list_state_machine_versions = versions
