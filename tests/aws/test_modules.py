"""Options of Terraform's modules, on and off, and the values that they refuse: `terraform test`, with AWS mocked."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.aws.conftest import ROOT
from tests.aws.modules import MODULES, TESTED, Module


@pytest.mark.parametrize("name", TESTED)
def test_options_make_what_they_should_and_bad_values_are_refused(name: str, tmp_path: Path) -> None:
    passed, wrong = Module(name, tmp_path).failures()
    assert wrong == []
    written = sum(
        len(re.findall(r"^run ", path.read_text("utf-8"), re.M)) for path in MODULES.glob(f"{name}/tests/*.hcl")
    )
    assert passed == written > 0


def test_each_condition_on_a_variable_is_tried_with_a_value_that_it_refuses() -> None:
    for variables in MODULES.glob("*/variables.tf"):
        validated = {
            name
            for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', variables.read_text("utf-8"), re.M | re.S)
            if "validation {" in body
        }
        tests = "".join(path.read_text("utf-8") for path in variables.parent.glob("tests/*.hcl"))
        refused = {each for found in re.findall(r"expect_failures = \[(.*?)\]", tests) for each in found.split(", ")}
        assert {f"var.{name}" for name in validated} <= refused, variables.parent.name


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The gateway with every option, by the addresses of its resources."""
    return Module("gateway", tmp_path_factory.mktemp("gateway")).made("all_of_it")


def test_what_the_gateway_is_told_comes_to_the_modules_that_do_it(everything: dict[str, Any]) -> None:
    distribution = everything["module.page[0].aws_cloudfront_distribution.this"]
    assert ":global/webacl/fence/" in distribution["web_acl_id"]
    assert distribution["aliases"] == ["images.example.org"]
    functions = {
        key: everything[f'module.functions.aws_lambda_function.this["{key}"]']
        for key in ("api", "upload_event", "step_small", "step_large", "bulk", "maintenance")
    }
    assert {each["vpc_config"][0]["subnet_ids"][0] for each in functions.values()} == {"subnet-0123456789abcdef0"}
    assert functions["step_large"]["package_type"] == "Image"
    assert functions["upload_event"]["reserved_concurrent_executions"] == 5
    assert json.loads(functions["bulk"]["environment"][0]["variables"]["ISOCENTER_PROCESS_URLS"])[1:] == [
        "s3://scans-of-2019"
    ]
    queue = everything["module.intake.aws_lambda_event_source_mapping.incoming"]
    assert queue["scaling_config"][0]["maximum_concurrency"] == 5  # no more than may run
    assert everything["module.functions.aws_lambda_provisioned_concurrency_config.api[0]"]
    assert everything["module.api.aws_apigatewayv2_authorizer.jwt[0]"]["jwt_configuration"] == [
        {"audience": ["isocenter"], "issuer": "https://login.example.org/"}
    ]
    endpoints = {name for name in everything if name.startswith("module.network[0].aws_vpc_endpoint.interface[")}
    assert {
        f'module.network[0].aws_vpc_endpoint.interface["{name}"]' for name in ("rekognition", "ssm", "xray")
    } < endpoints
    assert everything["module.audit[0].aws_cloudtrail.this"]["name"] == "isocenter-test"
    assert everything['module.storage.aws_s3_bucket_replication_configuration.this["raw"]']
    assert everything['module.storage.aws_s3_bucket.this["raw"]']["object_lock_enabled"]
    assert everything["module.index.aws_dynamodb_table.this"]["stream_enabled"]
    assert everything['module.monitoring.aws_sns_topic_subscription.email["a@example.org"]']
    assert everything["module.monitoring.aws_budgets_budget.this[0]"]["limit_amount"] == "100"
    measured = everything["module.monitoring.aws_cloudwatch_metric_alarm.quarantined"]["metric_query"]
    table = everything["module.index.aws_dynamodb_table.this"]["name"]  # under which functions count
    assert {each["metric"][0]["dimensions"]["service"] for each in measured if each["metric"]} == {table}


def test_api_gateway_lets_pages_see_what_the_application_would_let_them_see() -> None:
    """It answers by its own configuration, and passes over what the function says."""
    source = ast.parse((ROOT / "src" / "isocenter" / "web" / "app.py").read_text("utf-8"))
    asked = {
        keyword.arg: {str(each).lower() for each in ast.literal_eval(keyword.value)}
        for call in ast.walk(source)
        if isinstance(call, ast.Call) and any(getattr(each, "id", "") == "CORSMiddleware" for each in call.args)
        for keyword in call.keywords
        if keyword.arg in ("allow_methods", "allow_headers", "expose_headers")
    }
    assert len(asked) == 3
    text = (MODULES / "api" / "main.tf").read_text("utf-8")
    for name, words in asked.items():
        told = re.search(rf"{name}\s*= \[(.*?)\]", text, re.S)
        assert told is not None
        assert words <= {each.lower() for each in re.findall(r'"([^"]+)"', told[1])}, name
