"""environments/dev, applied unchanged: what it makes stays as it is, and functions find what they need."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from tests.aws.conftest import ROOT, STATE, Deployed

from isocenter.testing.aws.terraform import lacking

TERRAFORM = ROOT / "infra" / "terraform"


def test_every_file_is_formatted_as_terraform_formats() -> None:
    if (why := lacking()) is not None:
        pytest.skip(why)
    command = ["/usr/bin/env", "-u", "TF_CLI_CONFIG_FILE", "terraform", "fmt", "-check", "-recursive", str(TERRAFORM)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_second_plan_would_change_nothing(deployed: Deployed) -> None:
    assert deployed.terraform.changes() == ""


def test_the_state_lies_in_a_bucket_and_no_lock_is_left(deployed: Deployed) -> None:
    listed = deployed.cloud.client("s3").list_objects_v2(Bucket=STATE)["Contents"]
    assert [each["Key"] for each in listed] == ["isocenter/dev.tfstate"]


def test_outputs_name_what_was_made(deployed: Deployed) -> None:
    outputs = deployed.outputs
    assert outputs["url"].startswith("https://")
    assert set(outputs["buckets"]) == {"raw", "deidentified", "logs", "packages"}
    found = {each["Name"] for each in deployed.cloud.client("s3").list_buckets()["Buckets"]}
    assert set(outputs["buckets"].values()) <= found
    table = deployed.cloud.client("dynamodb").describe_table(TableName=outputs["table"])["Table"]
    assert {each["AttributeName"]: each["KeyType"] for each in table["KeySchema"]} == {"pk": "HASH", "sk": "RANGE"}


def test_each_plan_has_two_machines_which_call_an_alias(deployed: Deployed) -> None:
    client = deployed.cloud.client("stepfunctions")
    plans = {path.stem for path in (ROOT / "src" / "isocenter" / "pipeline" / "plans").glob("*.yaml")}
    machines = deployed.outputs["machines"]
    assert set(machines) == plans | {f"{plan}.express" for plan in plans}
    for plan, arn in machines.items():
        told = client.describe_state_machine(stateMachineArn=arn)
        assert told["type"] == ("EXPRESS" if plan.endswith(".express") else "STANDARD")
        assert ":live" in told["definition"]
        assert "${" not in told["definition"]


def test_the_machine_of_bulks_is_no_plans_and_calls_an_alias(deployed: Deployed) -> None:
    arn = deployed.outputs["bulk_machine"]
    assert arn not in deployed.outputs["machines"].values()
    told = deployed.cloud.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    assert told["type"] == "STANDARD"
    assert f"{deployed.outputs['functions']['bulk']}:live" in told["definition"]
    assert "${" not in told["definition"]


def test_functions_are_told_of_all_of_it(deployed: Deployed) -> None:
    for name in deployed.outputs["functions"].values():
        told = deployed.cloud.client("lambda").get_function_configuration(FunctionName=name)
        settings = told["Environment"]["Variables"]
        assert settings["ISOCENTER_DATABASE_URL"] == f"dynamodb://{deployed.outputs['table']}"
        assert settings["ISOCENTER_BLOBS_URL"] == f"s3://{deployed.outputs['buckets']['raw']}"
        assert json.loads(settings["ISOCENTER_STATE_MACHINES"]) == deployed.outputs["machines"]
        assert settings["ISOCENTER_AUTH"] == "keys"
        assert len(told["Layers"]) == 1


def test_no_policy_of_ours_allows_everything_or_everything_of_a_service(deployed: Deployed) -> None:
    """A resource may be `*` only for actions that know no other."""
    without_resource = {
        "secretsmanager:ListSecrets", "xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules",
        "xray:GetSamplingTargets", "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    }  # fmt: skip
    client = deployed.cloud.client("iam")
    looked = 0
    for role in client.list_roles()["Roles"]:
        for name in client.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            document = client.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
            for statement in document["Statement"]:
                actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
                assert not [action for action in actions if "*" in action], role["RoleName"]
                if statement["Resource"] == "*":
                    assert set(actions) <= without_resource, role["RoleName"]
                looked += 1
    assert looked > 30


def test_each_function_has_a_role_of_its_own(deployed: Deployed) -> None:
    roles = deployed.outputs["roles"]
    assert len(set(roles.values())) == len(roles) == len(deployed.outputs["functions"]) == 6


def test_the_tables_of_the_readme_are_those_of_the_code() -> None:
    command = [sys.executable, str(ROOT / "infra" / "scripts" / "document"), "--print"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert made == (TERRAFORM / "README.md").read_text("utf-8")


def test_checkov_finds_nothing_that_is_not_answered_for() -> None:
    """A check that is passed over says why, in its resource."""
    checkov = shutil.which("checkov")
    for path in TERRAFORM.rglob("*.tf"):
        for line in path.read_text("utf-8").splitlines():
            if "checkov:skip" in line:
                assert re.fullmatch(r"\s*#checkov:skip=CKV2?_AWS_\d+:\S.{10,}", line), f"{path.name}: {line}"
    if checkov is None:
        pytest.skip("checkov is not installed")
    command = [checkov, "-d", str(TERRAFORM), "--skip-download", "--framework", "terraform", "--compact", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
