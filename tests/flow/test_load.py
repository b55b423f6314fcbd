"""The load scripts against a real server: they count what the server did, and keep the key off command lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from isocenter.testing.server import Server, running

ROOT = Path(__file__).parents[2]
SCRIPT, SCENARIOS = ROOT / "load" / "curl_load.py", ROOT / "load" / "artillery.yml"
KINDS = {"stow": 2, "images": 2, "search": 3, "retrieve": 3, "process": 1}


def load(url: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.defpath, **environment}
    command = [sys.executable, str(SCRIPT), url, "--side", "32", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=180, env=variables)


def steps(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("load") / "home") as found:
        yield found


def requests_of(server: Server) -> Counter[tuple[str, str]]:
    lines = (json.loads(line) for line in server.log.read_text().splitlines() if '"request"' in line)
    return Counter((line["method"], line["route"]) for line in lines if line["event"] == "request")


def test_every_request_is_made_once_and_counted_by_kind_and_status(server: Server) -> None:
    before = requests_of(server)
    done = load(server.url, "--ramp", "1,3", "--requests", "22", "--json")
    assert (done.returncode, done.stderr) == (0, "0 of 44 failed\n")
    found = steps(done)
    assert [step["clients"] for step in found] == [1, 3]
    for step in found:
        assert step["requests"] == 22
        assert {kind: one["requests"] for kind, one in step["kinds"].items()} == {
            kind: 2 * many for kind, many in KINDS.items()
        }
        for one in step["kinds"].values():
            assert one["failed"] == 0
            assert 0 < one["p50_ms"] <= one["p90_ms"] <= one["p99_ms"] <= one["longest_ms"]
        assert step["kinds"]["images"]["statuses"] == {"201": 4}
        assert step["kinds"]["images"]["sent_a_second"] > 0
        assert step["kinds"]["retrieve"]["received_a_second"] > 0
    served = requests_of(server) - before
    assert served["POST", "/dicomweb/studies"] == 8
    assert served["POST", "/images"] == 8 + 1  # and the first, which is retrieved
    assert served["POST", "/process"] == 4
    others = ("/health", "/openapi.json")  # of the tests before: lines come after their answers
    gets = {route: many for (method, route), many in served.items() if method == "GET" and route not in others}
    assert sum(gets.values()) == 24
    assert len(gets) == 6


def test_too_many_failures_are_an_exit_code(server: Server) -> None:
    """A limit below the first answer: every request is given up, and that is what is counted."""
    done = load(server.url, "--ramp", "2", "--requests", "6", "--timeout", "0.001", "--json")
    assert done.returncode == 1
    (step,) = steps(done)
    assert sum(one["failed"] for one in step["kinds"].values()) == step["requests"] == 6
    assert {status for one in step["kinds"].values() for status in one["statuses"]} == {"000"}
    borne = load(server.url, "--ramp", "2", "--requests", "6", "--timeout", "0.001", "--errors", "1")
    assert borne.returncode == 0


def test_where_nobody_listens_it_says_so(tmp_path: Path) -> None:
    done = load("http://127.0.0.1:9", "--requests", "1")
    assert done.returncode == 1
    assert "the first image was not kept" in done.stderr


def test_the_key_is_read_from_the_environment_or_a_file_and_stands_on_no_command_line(tmp_path: Path) -> None:
    curl = shutil.which("curl")
    assert curl is not None
    spy, seen = tmp_path / "bin" / "curl", tmp_path / "arguments"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nenv >> {seen}\nexec {curl} "$@"\n')
    spy.chmod(spy.stat().st_mode | stat.S_IXUSR)
    path = f"{spy.parent}:{os.defpath}"
    with running(tmp_path / "home", ISOCENTER_AUTH="keys") as server:
        scopes = [
            part
            for scope in ("images:read", "identified:read", "images:write", "process")
            for part in ("--scope", scope)
        ]
        key = server.run("keys", "new", "--label", "load", *scopes).stdout.decode().strip()
        options = ("--ramp", "2", "--requests", "11")
        refused = load(server.url, *options, PATH=path)
        assert refused.returncode == 1
        assert "401" in refused.stderr
        (tmp_path / "key").write_text(key + "\n")
        done = load(server.url, *options, PATH=path, ISOCENTER_LOAD_KEY_FILE=str(tmp_path / "key"))
        assert (done.returncode, done.stderr) == (0, "0 of 11 failed\n")
        assert key not in seen.read_text() + done.stdout + done.stderr
        assert load(server.url, *options, PATH=path, ISOCENTER_LOAD_KEY=key).returncode == 0
        assert not re.search(rf"curl.*{re.escape(key)}", seen.read_text())
        assert key not in server.log.read_text()


def test_nothing_of_what_is_sent_or_answered_is_printed(server: Server) -> None:
    done = load(server.url, "--ramp", "2", "--requests", "11")
    assert done.returncode == 0
    words = {"subject", "Load^Test", "isocenter:", "PatientID", '"id"', "load-"}
    assert not [word for word in words if word in done.stdout + done.stderr]


def test_a_mix_that_is_none_is_refused() -> None:
    for mix in ("walk=1", "images=x", "images=0"):
        done = load("http://127.0.0.1:9", "--mix", mix)
        assert done.returncode == 2, mix
        assert "usage" in done.stderr


def flows(scenario: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for step in scenario["flow"]:
        ((method, asked),) = step.items()
        found.append((method, asked["url"].partition("?")[0]))
    return found


def test_artillerys_scenarios_ask_for_routes_that_there_are(server: Server) -> None:
    told = yaml.safe_load(SCENARIOS.read_text("utf-8"))
    paths = json.loads(server.request("GET", "/openapi.json").body)["paths"]
    patterns = {re.sub(r"\{[^}]+\}", "[^/]+", path): operations for path, operations in paths.items()}
    asked = flows(told["before"]) + [each for scenario in told["scenarios"] for each in flows(scenario)]
    for method, path in asked:
        plain = re.sub(r"\{\{.*?\}\}", "x", path)
        operations = [patterns[pattern] for pattern in patterns if re.fullmatch(pattern, plain)]
        assert any(method in each for each in operations), (method, path)
    assert {scenario["name"]: scenario["weight"] for scenario in told["scenarios"]} == KINDS
    processor = (SCENARIOS.parent / told["config"]["processor"]).read_text("utf-8")
    exported = re.search(r"module\.exports = \{(.*?)\}", processor)
    assert exported is not None
    hooks = set(re.findall(r"\w+", exported[1]))
    assert set(re.findall(r"beforeRequest: \[([^\]]*)\]", SCENARIOS.read_text("utf-8"))) <= {
        "authorize", "authorize, image", "authorize, stow",
    }  # fmt: skip
    assert {"authorize", "image", "stow"} <= hooks


def test_artillerys_images_are_images(server: Server, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    script = f"process.stdout.write(require({json.dumps(str(SCENARIOS.parent / 'artillery.cjs'))}).picture())"
    made = subprocess.run([node, "-e", script], capture_output=True, check=True, timeout=60).stdout
    assert server.stow(made).status == 200


def test_artillery_itself_runs_the_scenarios(server: Server, tmp_path: Path) -> None:
    artillery = shutil.which("artillery")
    if artillery is None:
        pytest.skip("Artillery is not installed (npm install --global artillery)")
    report = tmp_path / "report.json"
    command = [artillery, "run", "--environment", "short", "--output", str(report), str(SCENARIOS)]
    environment = {**os.environ, "ISOCENTER_LOAD_URL": server.url, "ARTILLERY_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    counters = json.loads(report.read_text())["aggregate"]["counters"]
    statuses = {name.rpartition(".")[2] for name in counters if name.startswith("http.codes.")}
    assert statuses <= {"200", "201"}, counters
    assert counters["vusers.failed"] == 0


def test_the_page_reads_what_lines_and_dashboard_have(server: Server) -> None:
    page = (SCENARIOS.parent / "README.md").read_text("utf-8")
    server.request("GET", "/health")
    fields = {name for line in server.log.read_text().splitlines() if line.startswith("{") for name in json.loads(line)}
    source = ROOT / "src" / "isocenter"
    assert "joined(context, job=" in (source / "bootstrap" / "functions" / "step.py").read_text("utf-8")
    assert 'log.error("request failed", code=' in (source / "web" / "errors.py").read_text("utf-8")
    queries = re.findall(r"```\n((?:filter|fields) .*)\n```", page)
    assert len(queries) >= 5
    for query in queries:
        words = set(re.findall(r"(?<![@\w\".])([a-z_]+)(?![\w(\"])", re.sub(r'"[^"]*"', "", query)))
        words -= {"filter", "fields", "stats", "sort", "limit", "by", "and", "desc", "asc", "count", "pct", "max"}
        assert words <= fields | {"job", "code"}, query
    monitoring = (ROOT / "infra" / "terraform" / "modules" / "monitoring" / "main.tf").read_text("utf-8")
    numbered = re.findall(r"^\d\. \*\*([^*]+)\*\*", page, re.M)
    assert len(numbered) >= 4
    for title in numbered:
        assert f'title = "{title}' in monitoring, title
    assert '"slow beginnings"' in monitoring
