"""gateway.yaml: sound, the same table as Terraform's, and a gateway that takes images in and gives them back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from tests.aws.conftest import ROOT
from tests.aws.rest_of_stack import LACKING, RestOfStack, template_of

from isocenter.adapters.aws.table import create_table
from isocenter.testing.aws.cloud import REGION, Cloud, cloud
from isocenter.testing.instances import ct_slice

GATEWAY = ROOT / "infra" / "cloudformation" / "gateway.yaml"
MODULES = ROOT / "infra" / "terraform" / "modules"
STACK, PACKAGES = "gateway", "packages-for-a-stack"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return template_of(GATEWAY)


def test_cfn_lint_finds_nothing_in_any_region() -> None:
    text = GATEWAY.read_text("utf-8")
    assert "cfn-lint" not in text  # nothing is passed over
    linter = Path(sys.executable).parent / "cfn-lint"
    command = [str(linter), "--include-checks", "I", "--regions", "ALL_REGIONS", "--", str(GATEWAY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_parameter_is_described_and_bounded(template: dict[str, Any]) -> None:
    for name, given in template["Parameters"].items():
        assert given["Description"].endswith((".", ").")), name
        if given["Type"] == "Number":
            assert "AllowedValues" in given or {"MinValue", "MaxValue"} <= given.keys(), name
        else:
            re.compile(given["AllowedPattern"])
            assert given["ConstraintDescription"], name
        if "Default" in given and given["Type"] == "String":
            assert re.fullmatch(given["AllowedPattern"], given["Default"]), name
    shown = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in shown for name in group["Parameters"]) == sorted(template["Parameters"])


def test_the_page_lists_every_parameter(template: dict[str, Any]) -> None:
    page = (GATEWAY.parent / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]+)`|none|required) \| (.*) \|$", page, re.M)
    assert rows == [
        (name, str(given.get("Default", "")), given["Description"]) for name, given in template["Parameters"].items()
    ]


def test_the_table_is_that_of_terraform_and_that_of_the_code(template: dict[str, Any]) -> None:
    given = template["Resources"]["Table"]["Properties"]
    told = (MODULES / "index" / "main.tf").read_text("utf-8")
    keys = {each["KeyType"]: each["AttributeName"] for each in given["KeySchema"]}
    assert dict(re.findall(r'(hash|range)_key\s+= "(\w+)"', told)) == {
        kind.lower(): name for kind, name in keys.items()
    }
    attributes = re.findall(r'attribute \{\s+name = "(\w+)"\s+type = "(\w)"', told)
    assert [(each["AttributeName"], each["AttributeType"]) for each in given["AttributeDefinitions"]] == attributes
    assert re.findall(r'attribute_name = "(\w+)"', told) == [given["TimeToLiveSpecification"]["AttributeName"]]
    assert re.findall(r'billing_mode\s+= "(\w+)"', told) == [given["BillingMode"]]
    assert "secondary_index" not in told
    assert not {"GlobalSecondaryIndexes", "LocalSecondaryIndexes"} & given.keys()
    assert given["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True

    asked: dict[str, Any] = {}
    create_table(_Told(asked), "any")
    for name in ("KeySchema", "AttributeDefinitions", "BillingMode"):
        assert asked[name] == given[name], name
    assert asked["TimeToLiveSpecification"] == given["TimeToLiveSpecification"]


class _Told:
    """A client that notes what it is asked."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        def call(**given: Any) -> Any:
            self._asked.update(given)
            return {"Table": {"TableStatus": "ACTIVE"}}

        return call

    def get_waiter(self, name: str) -> Any:
        return type("Waiter", (), {"wait": lambda self, **_: None})()


def statements(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = template["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    return {each["Sid"]: each for one in found for each in [one["Fn::If"][1] if "Fn::If" in one else one]}


def test_the_role_may_do_no_more_than_that_of_terraform(template: dict[str, Any]) -> None:
    roles = (MODULES / "functions" / "roles.tf").read_text("utf-8")
    allowed = set(re.findall(r'"([a-z0-9]+:[A-Za-z]+)"', roles))
    own = statements(template)
    for sid, each in own.items():
        assert not [action for action in each["Action"] if "*" in action], sid
        assert set(each["Action"]) <= allowed, sid
        assert "*" not in each["Resource"], sid
    assert set(own) == {"OwnLogs", "Table", "ImagesByKey", "ImagesListed", "Secrets", "Key"}
    assert not [each for each in own["Table"]["Action"] if each.endswith("Scan")]


def test_a_wildcard_has_its_reason_above_it() -> None:
    lines = GATEWAY.read_text("utf-8").splitlines()
    found = [
        number
        for number, line in enumerate(lines)
        if re.search(r'(Action|Principal|Resource|SourceArn).*\*"?\]?$', line)
    ]
    assert len(found) >= 3
    for number in found:
        assert (
            any(line.strip().startswith("#") for line in lines[number - 3 : number])
            or "Resource: [!GetAtt Images.Arn" in lines[number]
        )


def test_nobody_comes_in_without_a_key_or_a_token(template: dict[str, Any]) -> None:
    for function in ("ApiFunction", "MaintenanceFunction"):
        settings = template["Resources"][function]["Properties"]["Environment"]["Variables"]
        assert settings["ISOCENTER_AUTH"] == {"Fn::If": ["ByTokens", "oidc", "keys"]}
    assert template["Resources"]["EverythingRoute"]["Properties"]["AuthorizationType"] == {
        "Fn::If": ["ByTokens", "JWT", "NONE"]
    }
    told = (MODULES / "api" / "variables.tf").read_text("utf-8")
    default = re.search(r'variable "open_routes".*?default\s+= \[(.*?)\]', told, re.S)
    assert default is not None
    open_routes = {
        each["Properties"]["RouteKey"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::ApiGatewayV2::Route" and each.get("Condition") == "ByTokens"
    }
    assert open_routes == set(re.findall(r'"([^"]+)"', default[1]))


@dataclass(frozen=True)
class Stack:
    """The template as AWS made it."""

    cloud: Cloud
    outputs: Mapping[str, str]
    rest: RestOfStack
    key: str

    @property
    def url(self) -> str:
        return self.cloud.api(self.rest.physical["Api"])

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **more)


def _key(aws: Cloud, rest: RestOfStack, home: Path) -> str:
    """An API key as whoever deployed makes one: by the command line, with their own credentials."""
    settings = {
        **aws.environment,
        "ISOCENTER_HOME": str(home),
        "ISOCENTER_DATABASE_URL": f"dynamodb://{rest.physical['Table']}",
        "ISOCENTER_SECRETS_PREFIX": f"{rest.name}/",
        "ISOCENTER_AUTH": "keys",
    }
    variables = [f"{name}={value}" for name, value in settings.items()]
    scopes = [
        part
        for each in ("images:read", "identified:read", "images:write", "images:delete")
        for part in ("--scope", each)
    ]
    verb = ["-c", "from isocenter.cli.main import main; main()", "keys", "new", "--label", "a test", *scopes]
    done = subprocess.run(
        ["/usr/bin/env", *variables, sys.executable, *verb], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def stack(packages: Path, template: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Made by CloudFormation, completed by what moto's passes over, and deleted in the end."""
    folder = tmp_path_factory.mktemp("stack")
    with cloud(folder) as aws:
        s3, formation = aws.client("s3"), aws.client("cloudformation")
        s3.create_bucket(Bucket=PACKAGES)
        for name in ("isocenter.zip", "dependencies.zip"):
            s3.upload_file(str(packages / name), PACKAGES, f"1/{name}")
        told = json.loads((packages / "packages.json").read_text())
        parameters = {
            "PackagesBucket": PACKAGES, "CodeKey": "1/isocenter.zip", "LayerKey": "1/dependencies.zip",
            "PythonVersion": told["python"], "Architecture": told["architecture"],
        }  # fmt: skip
        formation.create_stack(
            StackName=STACK, TemplateBody=GATEWAY.read_text("utf-8"), Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": text} for name, text in parameters.items()],
        )  # fmt: skip
        made = formation.describe_stacks(StackName=STACK)["Stacks"][0]
        assert made["StackStatus"] == "CREATE_COMPLETE", made
        outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}
        rest = _rest(aws, template, parameters)
        rest.make()
        yield Stack(aws, outputs, rest, _key(aws, rest, folder / "home"))
        seen = aws.seen()
        assert (seen["errors"], seen["denied"], seen["lacking"]) == ([], [], [])
        _deleted(aws, rest)


def _rest(aws: Cloud, template: dict[str, Any], parameters: dict[str, str]) -> RestOfStack:
    listed = aws.client("cloudformation").list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    physical = {
        each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed if each["ResourceType"] not in LACKING
    }
    # moto gives the layer another name than the template and does not tell it.
    layers = aws.client("lambda").list_layers()["Layers"]
    physical["Dependencies"] = layers[0]["LatestMatchingVersion"]["LayerVersionArn"]
    arn = f"arn:aws:lambda:{REGION}:123456789012:function:"
    attributes = {f"{name}.Arn": arn + physical[name] for name in ("ApiFunction", "MaintenanceFunction")}
    attributes["Images.Arn"] = f"arn:aws:s3:::{physical['Images']}"
    attributes["Role.Arn"] = f"arn:aws:iam::123456789012:role/{physical['Role']}"
    attributes["Table.Arn"] = f"arn:aws:dynamodb:{REGION}:123456789012:table/{physical['Table']}"
    for name in ("ApiLog", "MaintenanceLog", "AccessLog"):
        attributes[f"{name}.Arn"] = f"arn:aws:logs:{REGION}:123456789012:log-group:{physical[name]}:*"
    return RestOfStack(aws, template, STACK, parameters, physical, attributes)


def _deleted(aws: Cloud, rest: RestOfStack) -> None:
    """Functions and role are gone; bucket and table stay, as their DeletionPolicy says."""
    before = len(aws.client("s3").list_objects_v2(Bucket=rest.physical["Images"])["Contents"])
    aws.client("cloudformation").delete_stack(StackName=STACK)
    assert aws.client("lambda").list_functions()["Functions"] == []
    assert [each["RoleName"] for each in aws.client("iam").list_roles()["Roles"]] == []
    assert len(aws.client("s3").list_objects_v2(Bucket=rest.physical["Images"])["Contents"]) == before > 0
    assert aws.client("dynamodb").list_tables()["TableNames"] == [rest.physical["Table"]]


def test_outputs_name_what_was_made(stack: Stack) -> None:
    assert stack.outputs["Bucket"] == stack.rest.physical["Images"]
    assert stack.outputs["Table"] == stack.rest.physical["Table"]
    assert stack.outputs["SecretsPrefix"] == f"{STACK}/"
    assert set(stack.outputs) == {"Url", "Bucket", "Table", "SecretsPrefix", "ApiFunctionName"}


def test_only_who_holds_a_key_comes_in(stack: Stack) -> None:
    assert requests.get(f"{stack.url}/health", timeout=60).json() == {"status": "ok"}
    refused = requests.get(f"{stack.url}/images", params={"subject_id": "S1"}, timeout=60)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert stack.ask("GET", "/images?subject_id=S1").status_code == 200


def test_an_image_of_a_subject_goes_in_is_listed_and_comes_back(stack: Stack) -> None:
    image = ct_slice(seed=11, number=1)
    kept = stack.ask(
        "POST", "/images?subject_id=S1&image_id=one", data=image, headers={"Content-Type": "application/dicom"}
    )
    assert (kept.status_code, kept.json()["outcome"]) == (201, "stored")
    encoded = {"data": base64.b64encode(image).decode()}
    assert stack.ask("POST", "/images?subject_id=S1&image_id=one", json=encoded).json()["outcome"] == "duplicate"
    listed = stack.ask("GET", "/images?subject_id=S1").json()
    assert [(each["subject_id"], each["image_id"]) for each in listed["images"]] == [("S1", "one")]
    assert listed["next"] is None
    given = stack.ask("GET", "/images/content?subject_id=S1&image_id=one")
    assert base64.b64decode(given.json()["data"]) == image
    plain = stack.ask("GET", "/images/content?subject_id=S1&image_id=one", headers={"Accept": "application/dicom"})
    assert plain.content == image


def one_is_kept(stack: Stack) -> None:
    headers = {"Content-Type": "application/dicom"}
    path = "/images?subject_id=S3&image_id=one"
    assert stack.ask("POST", path, data=ct_slice(seed=12, number=1), headers=headers).status_code in (200, 201)


def test_what_nobody_kept_is_not_found_or_an_empty_list(stack: Stack) -> None:
    unknown = stack.ask("GET", "/images/content?subject_id=S1&image_id=nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")
    assert stack.ask("GET", "/images?subject_id=nobody").json() == {"images": [], "next": None}


def test_an_answer_that_is_too_large_for_a_function_comes_from_the_bucket(stack: Stack) -> None:
    picture = _large_picture()
    kept = stack.ask(
        "POST", "/images?subject_id=S2&image_id=large", data=picture, headers={"Content-Type": "image/png"}
    )
    assert kept.status_code == 413  # more than a function is handed over; an upload session takes it
    sha256 = hashlib.sha256(picture).hexdigest()
    file = {"name": "large.png", "size": len(picture), "sha256": sha256, "subject_id": "S2", "image_id": "large"}
    begun = stack.ask("POST", "/uploads", json={"files": [file]}).json()
    (part,) = begun["files"][0]["parts"]
    assert requests.put(part["url"], data=picture, headers=part["headers"], timeout=60).status_code == 200
    done = stack.ask("POST", f"/uploads/{begun['id']}/complete").json()
    assert [each["outcome"] for each in done["receipts"]] == ["stored"], done
    given = stack.ask(
        "GET", "/images/content?subject_id=S2&image_id=large", headers={"Accept": "image/png"}, allow_redirects=False
    )
    assert given.status_code == 307
    assert requests.get(given.headers["location"], timeout=60).content == picture


def _large_picture() -> bytes:
    """7 MB of a PNG that does not compress."""
    import numpy as np
    from imagecodecs import png_encode

    noise = np.random.default_rng(3).integers(0, 256, (1500, 1600, 3), dtype=np.uint8)
    return bytes(png_encode(noise))


def test_maintenance_runs(stack: Stack) -> None:
    answer = stack.cloud.client("lambda").invoke(FunctionName=f"{STACK}-maintenance", Payload=b"{}")
    assert answer.get("FunctionError") is None, answer["Payload"].read()
    rules = stack.cloud.client("events").list_targets_by_rule(Rule=stack.rest.physical["MaintenanceHour"])
    assert [each["Arn"].rpartition(":")[2] for each in rules["Targets"]] == [f"{STACK}-maintenance"]


def test_the_bucket_is_private_versioned_and_refuses_what_is_not_tls(stack: Stack) -> None:
    one_is_kept(stack)
    s3, bucket = stack.cloud.client("s3"), stack.rest.physical["Images"]
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert requests.get(f"{stack.cloud.endpoint}/{bucket}/{listed[0]['Key']}", timeout=60).status_code == 403


def test_without_one_permission_the_gateway_would_not_do(stack: Stack) -> None:
    """The fence stands: the role is what lets it in."""
    one_is_kept(stack)
    iam, role = stack.cloud.client("iam"), stack.rest.physical["Role"]
    asked: dict[str, Any] = {"RoleName": role, "PolicyName": "what-it-does"}
    document = iam.get_role_policy(**asked)["PolicyDocument"]
    less = {**document, "Statement": [each for each in document["Statement"] if each["Sid"] != "ImagesByKey"]}
    iam.put_role_policy(**asked, PolicyDocument=json.dumps(less))
    try:
        refused = stack.ask("GET", "/images/content?subject_id=S3&image_id=one")
        assert refused.status_code == 503
        assert any("s3:GetObject" in line for line in stack.cloud.seen()["denied"])
    finally:
        iam.put_role_policy(**asked, PolicyDocument=json.dumps(document))
        stack.cloud.forget()


def test_issuer_and_audience_make_a_second_fence_of_api_gateway(template: dict[str, Any], tmp_path: Path) -> None:
    """Not exercised: the harness does no authorizers. What the template says under these parameters is looked at."""
    given = {"Issuer": "https://login.example.org/", "Audience": "isocenter"}
    named = {name: name for name in template["Resources"]}
    attributes = {f"{name}.Arn": f"arn:{name}" for name in template["Resources"]}
    fenced = RestOfStack(Cloud(1, tmp_path), template, STACK, given, named, attributes)
    routes = fenced.of_type("AWS::ApiGatewayV2::Route")
    assert routes["EverythingRoute"]["AuthorizationType"] == "JWT"
    assert routes["EverythingRoute"]["AuthorizerId"] == "Tokens"
    assert {name for name, each in routes.items() if each["AuthorizationType"] == "NONE"} == {
        "HealthRoute", "ReadyRoute", "DeliveredRoute", "DeliveredHeadRoute",
    }  # fmt: skip
    assert fenced.of_type("AWS::ApiGatewayV2::Authorizer")["Tokens"]["JwtConfiguration"] == {
        "Issuer": "https://login.example.org/",
        "Audience": ["isocenter"],
    }
    settings = fenced.of_type("AWS::Lambda::Function")["ApiFunction"]["Environment"]["Variables"]
    assert (settings["ISOCENTER_AUTH"], settings["ISOCENTER_OIDC_AUDIENCE"]) == ("oidc", "isocenter")


def test_a_parameter_that_is_missing_makes_no_stack(stack: Stack) -> None:
    with pytest.raises(ClientError):
        stack.cloud.client("cloudformation").create_stack(StackName="other", TemplateBody=GATEWAY.read_text("utf-8"))
