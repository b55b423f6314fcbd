"""What functions count, as CloudWatch finds it in their logs: dashboard and alarms ask for that, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from tests.aws.conftest import ROOT, Deployed, api_key
from tests.aws.modules import Module
from tests.aws.test_flow import keys, until

from isocenter.adapters.aws.metrics import NAMESPACE
from isocenter.pipeline.steps.parameters import PARAMETERS
from isocenter.records import CommitOutcome
from isocenter.testing.instances import ct_slice

SERVICE = "isocenter-dev"
FUNCTIONS = ROOT / "src" / "isocenter" / "bootstrap" / "functions"


class Metric(NamedTuple):
    """A metric as CloudWatch tells it from others."""

    name: str
    dimensions: frozenset[tuple[str, str]]


def alone(*names: str, service: str = SERVICE) -> set[Metric]:
    return {Metric(name, frozenset({("service", service)})) for name in names}


def by_step(*names: str, service: str = SERVICE) -> set[Metric]:
    return {Metric(name, frozenset({("service", service), ("step", step)})) for name in names for step in PARAMETERS}


def written_by_the_code() -> set[Metric]:
    """Names by their calls in the source; those of steps from the one place where a step is told of."""
    sources = {path.stem: path.read_text("utf-8") for path in FUNCTIONS.glob("*.py")}
    counted = {name for text in sources.values() for name in re.findall(r'metrics\.count\(\s*"(\w+)"', text)}
    of_steps = set(re.findall(r'"(Images\w+)"', sources["step"])) | {"StepTime"}
    outcomes = {str(each) for each in CommitOutcome} - {"conflict"} | {"rejected", "failed"}
    assert len(counted) >= 7
    assert len(of_steps) == 4
    return alone(*counted, *(f"Images{outcome.title()}" for outcome in outcomes)) | by_step(*of_steps)


def of_widgets(body: str) -> Iterator[Metric]:
    for widget in json.loads(body)["widgets"]:
        for namespace, name, *told in widget["properties"]["metrics"]:
            if namespace == NAMESPACE:
                yield Metric(name, frozenset(zip(told[::2], told[1::2], strict=True)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The module's resources by address, as Terraform makes them."""
    return Module("monitoring", tmp_path_factory.mktemp("monitoring")).made("what_is_measured")


def test_each_metric_of_ours_is_on_the_dashboard_and_each_on_the_dashboard_is_written(made: dict[str, Any]) -> None:
    asked = list(of_widgets(made["aws_cloudwatch_dashboard.this"]["dashboard_body"]))
    assert len(asked) == len(set(asked))
    assert set(asked) == written_by_the_code()


def test_alarms_ask_for_what_is_written(made: dict[str, Any]) -> None:
    asked = []
    for address, alarm in made.items():
        if not address.startswith("aws_cloudwatch_metric_alarm."):
            continue
        queries = [each for query in alarm["metric_query"] or () for each in query["metric"] or ()]
        for each in (alarm, *queries):
            if each.get("namespace") == NAMESPACE:
                asked.append(Metric(each["metric_name"], frozenset(each["dimensions"].items())))
    assert set(asked) == alone("ImagesDamaged", "ObjectsTaken", "ObjectsQuarantined")
    assert set(asked) <= written_by_the_code()


def lines(deployed: Deployed, function: str) -> Iterator[dict[str, Any]]:
    """What a function wrote that CloudWatch makes metrics of."""
    group = deployed.outputs["log_groups"][function]
    pages = deployed.cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    for page in pages:
        for event in page["events"]:
            if event["message"].startswith('{"_aws"'):
                yield json.loads(event["message"])


def of_line(line: dict[str, Any]) -> set[Metric]:
    """As CloudWatch reads it: each metric, under each set of dimensions, whose values are members of the line."""
    found = set()
    for told in line["_aws"]["CloudWatchMetrics"]:
        assert told["Namespace"] == NAMESPACE
        for dimensions in told["Dimensions"]:
            values = frozenset((name, line[name]) for name in dimensions)
            for metric in told["Metrics"]:
                assert all(isinstance(value, float | int) for value in line[metric["Name"]])
                assert metric["Unit"] in ("Count", "Milliseconds")
                found.add(Metric(metric["Name"], values))
    return found


def test_functions_write_lines_that_cloudwatch_makes_those_metrics_of(deployed: Deployed, tmp_path: Path) -> None:
    s3, bucket = deployed.cloud.client("s3"), deployed.outputs["buckets"]["raw"]
    before = len(keys(deployed, "deidentified", "deidentified/"))
    s3.put_object(Bucket=bucket, Key="incoming/counted.dcm", Body=ct_slice(seed=21, number=1))
    s3.put_object(Bucket=bucket, Key="incoming/counted.txt", Body=b"no image")
    table, prefix = deployed.outputs["table"], deployed.outputs["secrets_prefix"]
    key = api_key(deployed.cloud, table, prefix, tmp_path / "home", "images:write", "images:read")
    kind = 'multipart/related; type="application/dicom"; boundary=part'
    body = b"--part\r\nContent-Type: application/dicom\r\n\r\n" + ct_slice(seed=22, number=1) + b"\r\n--part--"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": kind}
    stored = requests.post(f"{deployed.api}/dicomweb/studies", body, headers=headers, timeout=60)
    assert stored.status_code == 200, stored.text
    assert until(lambda: len(keys(deployed, "deidentified", "deidentified/")) > before, 60), deployed.cloud.seen()
    assert deployed.invoke("maintenance", {})[1] is None
    dashboard = deployed.cloud.client("cloudwatch").get_dashboard(DashboardName=deployed.outputs["dashboard"])
    known = set(of_widgets(dashboard["DashboardBody"]))

    def told(*functions: str) -> set[Metric]:
        return {each for function in functions for line in lines(deployed, function) for each in of_line(line)}

    assert told(*deployed.outputs["functions"]) <= known
    # What is nothing is not written: an image that is damaged, or a job given again, would be.
    assert alone("ObjectsTaken", "ObjectsQuarantined") <= told("upload_event")
    assert alone("ImagesStored") <= told("api")
    assert alone("ImagesChecked") <= told("maintenance")
    steps = {
        each
        for each in by_step("ImagesDone", "StepTime")
        if dict(each.dimensions)["step"] in ("validate", "deidentify")
    }
    assert until(lambda: told("step_large") >= steps, 30)
