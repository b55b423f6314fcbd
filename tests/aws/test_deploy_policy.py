"""What may deploy may make what the Terraform makes, under our names, and hand roles to the services that use them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tests.aws.conftest import ROOT

POLICY = json.loads((ROOT / "infra" / "deploy-policy.json").read_text("utf-8"))
STATEMENTS = POLICY["Statement"]
# The service of IAM by what a resource type of Terraform begins with, the longest first.
SERVICES = {
    "apigatewayv2": "apigateway", "budgets": "budgets", "cloudfront": "cloudfront", "cloudtrail": "cloudtrail",
    "cloudwatch_event": "events", "cloudwatch_log": "logs", "cloudwatch_query": "logs", "cloudwatch": "cloudwatch",
    "dynamodb": "dynamodb", "iam": "iam", "kms": "kms", "lambda": "lambda", "s3": "s3", "scheduler": "scheduler",
    "security_group": "ec2", "vpc": "ec2", "sfn": "states", "sns": "sns", "sqs": "sqs",
}  # fmt: skip
# What is made before it has a name of ours, or knows no resource.
UNNAMED = {"QueueIntoFunction", "MachinesChecked", "KeysAndLists", "PageByOption", "NetworkByOption"}


def services() -> Iterator[str]:
    for path in (ROOT / "infra" / "terraform" / "modules").rglob("*.tf"):
        for kind in re.findall(r'^resource "aws_(\w+)"', path.read_text("utf-8"), re.M):
            yield next(service for prefix, service in SERVICES.items() if kind.startswith(prefix))


def test_each_service_of_the_terraform_is_allowed_and_no_other() -> None:
    allowed = {action.partition(":")[0] for statement in STATEMENTS for action in statement["Action"]}
    assert allowed - {"sts"} == set(services())


def test_no_action_has_a_wildcard_and_resources_are_ours() -> None:
    for statement in STATEMENTS:
        assert not [action for action in statement["Action"] if "*" in action], statement["Sid"]
        assert len(set(statement["Action"])) == len(statement["Action"]), statement["Sid"]
        if statement["Resource"] == ["*"]:
            assert statement["Sid"] in UNNAMED
            continue
        for resource in statement["Resource"]:
            ours = "isocenter-" in resource or resource.startswith("arn:aws:apigateway:") or resource.endswith(":key/*")
            assert ours, resource


def test_roles_are_handed_to_the_services_that_the_terraform_trusts() -> None:
    (handed,) = (statement for statement in STATEMENTS if "iam:PassRole" in statement["Action"])
    assert handed["Action"] == ["iam:PassRole"]
    trusted: set[str] = set()
    for path in (ROOT / "infra" / "terraform" / "modules").rglob("*.tf"):
        text = path.read_text("utf-8")
        for found in re.finditer(
            r'"sts:AssumeRole"\]\s+principals \{\s+type\s+= "Service"\s+identifiers = \["([^"]+)"', text
        ):
            trusted.add(found[1])
    assert set(handed["Condition"]["StringEquals"]["iam:PassedToService"]) == trusted


def test_it_fits_into_a_role() -> None:
    assert len(json.dumps(POLICY, separators=(",", ":"))) <= 10_240
