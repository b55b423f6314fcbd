"""`isocenter cost`: sums that can be done by hand, what stands when nothing comes, and the tables of docs/cost.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isocenter.cli import cost_model
from isocenter.cli.cost_model import PLAN, Estimate, Prices, Workload, estimate, transitions
from isocenter.cli.main import app
from isocenter.errors import BadRequest
from isocenter.pipeline.plan import Plans

ROOT = Path(__file__).parents[3]
PRICES = Prices.load()
PLAIN = Workload(1_000_000, months=1, cold=0)


def dollars(found: Estimate, part: str, what: str) -> float:
    return sum(line.dollars for line in found.lines if (line.part, line.what) == (part, what))


def test_a_million_images_by_hand() -> None:
    """0.5 MB each, one month, no cold starts; prices are those of the file, written out."""
    found = estimate(PLAIN, PRICES)
    taken_in = {
        "lambda.requests": 0.20,
        "lambda.gb_seconds.x86_64": 120_000 * 0.0000166667,
        "s3.puts": 5 * 5.0,  # the client's, the image's, processed/, a claim, a listing
        "s3.gets": 7 * 0.4,
        "dynamodb.writes": 40 * 0.625,
        "dynamodb.reads": 14 * 0.125,
        "events.published": 6.0,
        "sqs.requests": 1.2,
    }
    for what, expected in taken_in.items():
        assert dollars(found, "taking in", what) == pytest.approx(expected, rel=1e-6), what
    assert dollars(found, "de-identifying", "states.express.requests") == pytest.approx(1.0)
    assert dollars(found, "de-identifying", "lambda.gb_seconds.x86_64") == pytest.approx(500_000 * 0.0000166667)
    gigabytes = 1e6 * 0.5e6 / 2**30
    assert dollars(found, "reading", "out.internet") == pytest.approx(gigabytes * 0.09)
    assert dollars(found, "keeping", "s3.standard") == pytest.approx(
        3 * gigabytes * 0.023
    )  # both copies, and processed/


def test_twice_as_many_images_cost_twice_as_much_and_no_more_stands() -> None:
    one, two = (estimate(replace(PLAIN, images=images, months=18), PRICES) for images in (70_000, 140_000))
    assert two.variable == pytest.approx(2 * one.variable)
    assert two.idle == pytest.approx(one.idle)
    assert two.per_million == pytest.approx(one.per_million)


def test_with_no_images_nothing_is_computed_for_anybody() -> None:
    found = estimate(Workload(0), PRICES)
    assert {line.part for line in found.lines} == {"standing"}
    assert (found.variable, found.per_million) == (0, None)
    assert found.idle_compute_paid == 0  # the sweep lies within the free tier
    assert 0 < found.idle_compute < 0.10
    assert found.idle < 11


def test_what_is_kept_warm_is_paid_while_idle() -> None:
    found = estimate(Workload(0, provisioned=2), PRICES)
    assert found.idle_compute_paid == pytest.approx(2 * 730 * 3600 * 0.0000041667, rel=1e-6)


def test_storage_walks_down_the_tiers_month_by_month() -> None:
    kept = estimate(Workload(1000, deidentified=0, months=6, way_in="api"), PRICES)
    month = 1000 * 0.5e6 / 2**30
    found = {line.what: line.amount for line in kept.lines if line.part == "keeping"}
    assert found["s3.standard"] == pytest.approx(month)
    assert found["s3.tiering.frequent"] == pytest.approx(month)
    assert found["s3.tiering.infrequent"] == pytest.approx(2 * month)
    assert found["s3.tiering.archive_instant"] == pytest.approx(2 * month)
    assert found["s3.monitoring"] == 5 * 1000


def test_images_that_tiering_passes_over_stay_in_standard() -> None:
    kept = estimate(Workload(1000, megabytes=0.1, deidentified=0, months=6, way_in="api"), PRICES)
    found = {line.what: line.amount for line in kept.lines if line.part == "keeping"}
    assert found["s3.standard"] == pytest.approx(6 * 1000 * 1e5 / 2**30)
    assert "s3.monitoring" not in found


def test_a_large_image_goes_by_a_session_and_leaves_by_the_bucket() -> None:
    small, large = (estimate(Workload(1000, megabytes=size, way_in="api"), PRICES) for size in (4, 20))
    assert dollars(small, "taking in", "api.requests") == pytest.approx(8 * 1000 / 1e6)  # 512 KB each
    assert dollars(large, "taking in", "api.requests") == pytest.approx(2 * 1000 / 1e6)
    assert dollars(large, "reading", "s3.puts") == pytest.approx((3 + 2) * 1000 * 0.005 / 1000)
    assert dollars(small, "reading", "s3.puts") == 0


def test_transitions_are_those_of_the_machine() -> None:
    plan = Plans().load(PLAN)
    assert transitions(plan, 1) == 5  # the map, its one chunk, the end, the choice, done
    assert transitions(plan, 100) == 104
    standard = estimate(replace(PLAIN, workflow="standard"), PRICES)
    assert dollars(standard, "de-identifying", "states.transitions") == pytest.approx(125)


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ({"web_acl": True}, "waf.acl"), ({"web_acl": True}, "waf.requests"), ({"nat": 1}, "nat.hours"),
        ({"cloudfront": True}, "cloudfront.out"), ({"zones": 2}, "endpoint.hours"),
        ({"trail": True}, "trail.data_events"),
        ({"provisioned": 1}, "lambda.provisioned.x86_64"), ({"processor": "arm64"}, "lambda.gb_seconds.arm64"),
    ],
)  # fmt: skip
def test_what_is_optional_is_paid_where_it_is_asked_for(option: dict[str, object], what: str) -> None:
    with_it, without = (
        {line.what for line in estimate(replace(PLAIN, **given), PRICES).lines}  # type: ignore[arg-type]
        for given in (option, {})
    )
    assert what in with_it - without


def test_what_stands_is_what_terraform_makes() -> None:
    modules = ROOT / "infra" / "terraform" / "modules"
    monitoring = (modules / "monitoring" / "main.tf").read_text("utf-8")
    functions = len(re.findall(r"handler = \"isocenter", (modules / "functions" / "main.tf").read_text("utf-8")))
    machines = len(list((modules / "workflow" / "machines").glob("*.asl.json"))) + 1  # that of bulks
    by_function, by_machine = (
        len(re.findall(rf"for key, dimensions in local\.{name} :", monitoring)) for name in ("functions", "machines")
    )
    alone = len(re.findall(r'^      "[a-z0-9-]+" = \{', monitoring, re.M)) + monitoring.count('_alarm" "p99"')
    share = re.search(r'_alarm" "quarantined" .*?for_each = \{(.*?)\}', monitoring, re.S)
    assert share is not None
    alone += share[1].count("=")  # an alarm on an expression is paid for each metric in it
    assert functions * by_function + machines * by_machine + alone == cost_model.ALARMS
    assert monitoring.count('"aws_cloudwatch_dashboard"') == cost_model.DASHBOARDS
    network = (modules / "network" / "main.tf").read_text("utf-8")
    interfaces = re.search(r"interfaces = toset\(concat\(\[(.*?)\]", network)
    assert interfaces is not None
    assert interfaces[1].count('"') == 2 * cost_model.ENDPOINTS
    assert 'default     = "rate(10 minutes)"' in (modules / "functions" / "variables.tf").read_text("utf-8")


def test_a_price_says_what_it_is_of_and_where_it_is_published() -> None:
    for name, entry in PRICES.entries.items():
        assert set(entry) == {"price", "per", "unit", "page"}, name
        assert entry["price"] > 0, name
        assert entry["per"] >= 1, name
        assert entry["page"].startswith(("AWS ", "Amazon ")), name
    assert re.fullmatch(r"\d{4}-\d{2}", PRICES.as_of)


def test_every_price_is_used() -> None:
    everything: set[str] = set()
    for way_in in ("bucket", "api"):
        for workflow in ("express", "standard"):
            for processor in ("x86_64", "arm64"):
                for cloudfront in (False, True):
                    load = Workload(
                        1000, 1.0, way_in=way_in, workflow=workflow, processor=processor, cloudfront=cloudfront,
                        provisioned=1, web_acl=True, nat=1, zones=1, trail=True,
                    )  # fmt: skip
                    everything |= {line.what for line in estimate(load, PRICES).lines}
    assert everything == set(PRICES.entries)


def test_another_region_is_a_file_of_the_same_form(tmp_path: Path) -> None:
    shipped = ROOT / "src" / "isocenter" / "cli" / "prices" / "us-east-1.json"
    told = json.loads(shipped.read_text("utf-8"))
    told["region"] = "eu-central-1"
    told["prices"]["s3.standard"]["price"] = 0.0245
    (tmp_path / "prices.json").write_text(json.dumps(told))
    arguments = ["cost", "--images", "1000", "--json", "--prices", str(tmp_path / "prices.json")]
    found = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert found["region"] == "eu-central-1"
    assert found["month"] > json.loads(CliRunner().invoke(app, arguments[:4]).stdout)["month"]


@pytest.mark.parametrize("text", ["no json", "{}", '{"region": "x", "as_of": "2026-06", "prices": {}}'])
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "prices.json").write_text(text)
    with pytest.raises(BadRequest):
        estimate(PLAIN, Prices.load(tmp_path / "prices.json"))
    with pytest.raises(BadRequest):
        Prices.load(tmp_path / "absent.json")


@pytest.mark.parametrize("wrong", [{"images": -1}, {"months": 0}, {"deidentified": 1.1}, {"cold": -0.1}])
def test_numbers_that_make_no_sense_are_told(wrong: dict[str, float]) -> None:
    with pytest.raises(BadRequest):
        Workload(**{"images": 1, **wrong})  # type: ignore[arg-type]


def test_the_tables_of_the_page_are_those_of_the_command() -> None:
    page = (ROOT / "docs" / "cost.md").read_text("utf-8")
    assert len(re.findall(r"^isocenter cost --images", page, re.M)) >= 3
    command = [sys.executable, str(ROOT / "scripts" / "cost-tables"), "--print"]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == page
