"""The packages, made once, and AWS with environments/dev applied to it, once for all tests of this folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isocenter.testing.aws.cloud import REGION, Cloud, cloud
from isocenter.testing.aws.terraform import Terraform, lacking

ROOT = Path(__file__).parents[2]
STATE = "state-of-terraform"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes the packages in one process, as they are made once; the rest by file."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            shared = "packages" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("aws" if shared else f"aws-{item.path.stem}"))


@dataclass(frozen=True)
class Deployed:
    """AWS as Terraform left it."""

    cloud: Cloud
    terraform: Terraform
    outputs: dict[str, Any]

    @property
    def api(self) -> str:
        return self.cloud.api(self.outputs["api_id"])

    def invoke(self, function: str, event: dict[str, Any]) -> tuple[Any, str | None]:
        """What a function answers to an event, and its error."""
        name = self.outputs["functions"][function]
        answer = self.cloud.client("lambda").invoke(FunctionName=name, Qualifier="live", Payload=json.dumps(event))
        return json.load(answer["Payload"]), answer.get("FunctionError")


def api_key(aws: Cloud, table: str, secrets_prefix: str, home: Path, *scopes: str) -> str:
    """An API key as whoever deployed makes one: by the command line, with their own credentials."""
    settings = {
        **aws.environment,
        "ISOCENTER_HOME": str(home),
        "ISOCENTER_DATABASE_URL": f"dynamodb://{table}",
        "ISOCENTER_SECRETS_PREFIX": secrets_prefix,
        "ISOCENTER_AUTH": "keys",
    }
    variables = [f"{name}={value}" for name, value in settings.items()]
    asked = [part for scope in scopes for part in ("--scope", scope)]
    verb = ["-c", "from isocenter.cli.main import main; main()", "keys", "new", "--label", "a test", *asked]
    done = subprocess.run(
        ["/usr/bin/env", *variables, sys.executable, *verb], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def packages() -> Path:
    """build/lambda; what did not change since is not made again."""
    command = [sys.executable, str(ROOT / "scripts" / "lambda-packages")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return ROOT / "build" / "lambda"


@pytest.fixture(scope="session")
def deployed(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """environments/dev as it is: endpoints by the environment, the state in a bucket of the same AWS."""
    why = lacking()
    if why is not None:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("aws")
    with cloud(folder) as aws:
        aws.client("s3").create_bucket(Bucket=STATE)
        dev = ROOT / "infra" / "terraform" / "environments" / "dev"
        terraform = Terraform(dev, folder / "terraform", aws.environment)
        terraform.init(f"-backend-config=bucket={STATE}", f"-backend-config=region={REGION}")
        terraform.apply()
        yield Deployed(aws, terraform, terraform.outputs())
        seen = aws.seen()
        assert (seen["errors"], seen["denied"], seen["lacking"]) == ([], [], [])
        _destroyed(aws, terraform)


def _destroyed(aws: Cloud, terraform: Terraform) -> None:
    """By destroy.sh: first with the data kept, then, the state laid back, with all of it."""
    s3, key = aws.client("s3"), "isocenter/dev.tfstate"
    state = s3.get_object(Bucket=STATE, Key=key)["Body"].read()
    _destroy_script(terraform)
    assert aws.client("lambda").list_functions()["Functions"] == []
    left = {each["Name"] for each in s3.list_buckets()["Buckets"]}
    assert {"isocenter-dev-raw-123456789012", "isocenter-dev-deidentified-123456789012"} <= left
    assert aws.client("dynamodb").list_tables()["TableNames"] == ["isocenter-dev"]
    s3.put_object(Bucket=STATE, Key=key, Body=state)
    _destroy_script(terraform, "--with-data")
    assert terraform.run("state", "list").stdout == ""
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == [STATE]
    assert aws.client("dynamodb").list_tables()["TableNames"] == []
    assert aws.seen()["lacking"] == []


def _destroy_script(terraform: Terraform, *options: str) -> None:
    command = [str(ROOT / "infra" / "scripts" / "destroy.sh"), "dev", *options]

    def typed(word: str) -> subprocess.CompletedProcess[str]:
        given: Any = {"input": f"{word}\n", "env": terraform.variables, "capture_output": True, "text": True}
        return subprocess.run(command, check=False, timeout=300, **given)

    refused, done = typed("prod"), typed("dev")
    assert (refused.returncode, refused.stderr) == (1, "nothing was done\n")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
