"""The harness's HTTP API before the function: tokens of a real little issuer, and pages of other origins."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from tests.aws.test_harness import zipped
from tests.flow.access_world import AUDIENCE, Issuer

from isocenter.testing.aws.cloud import REGION, Cloud, cloud

CODE = """
import json

def handler(event, context):
    told = event["requestContext"].get("authorizer")
    return {"statusCode": 200, "headers": {"access-control-allow-origin": "*", "x-function": "asked"},
            "body": json.dumps(told)}
"""
PAGE = "https://viewer.example.org"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud(tmp_path_factory.mktemp("front")) as found:
        trusted = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
        found.client("iam").create_role(RoleName="f", AssumeRolePolicyDocument=json.dumps({"Statement": [trusted]}))
        found.client("lambda").create_function(
            FunctionName="f", Role="arn:aws:iam::123456789012:role/f", Handler="code.handler", Timeout=3,
            Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}", Code={"ZipFile": zipped(code=CODE)},
        )  # fmt: skip
        yield found


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(aws: Cloud, issuer: Issuer) -> str:
    """An API with a fence, a route that takes a scope besides, and one that is open."""
    client = aws.client("apigatewayv2")
    cors = {"AllowOrigins": [PAGE], "AllowMethods": ["GET", "POST"], "AllowHeaders": ["authorization"]}
    told = {**cors, "ExposeHeaders": ["etag"], "MaxAge": 600}
    api = client.create_api(Name="fenced", ProtocolType="HTTP", CorsConfiguration=told)["ApiId"]
    integration = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", PayloadFormatVersion="2.0",
        IntegrationUri=f"arn:aws:lambda:{REGION}:123456789012:function:f",
    )["IntegrationId"]  # fmt: skip
    fence = client.create_authorizer(
        ApiId=api, AuthorizerType="JWT", Name="jwt", IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Audience": [AUDIENCE, "a-client"], "Issuer": issuer.url},
    )["AuthorizerId"]  # fmt: skip
    target = {"ApiId": api, "Target": f"integrations/{integration}"}
    fenced = {"AuthorizationType": "JWT", "AuthorizerId": fence}
    client.create_route(**target, RouteKey="$default", **fenced)
    client.create_route(**target, RouteKey="GET /scoped", **fenced, AuthorizationScopes=["images:read", "admin"])
    client.create_route(**target, RouteKey="GET /health")
    return aws.api(api)


def asked(address: str, token: str | None = None, path: str = "/a", **headers: str) -> requests.Response:
    if token is not None:
        headers["Authorization"] = token
    return requests.get(address + path, headers=headers, timeout=20)


def calls(aws: Cloud) -> int:
    return len(aws.seen()["reports"])


def test_without_a_token_a_request_does_not_come_to_the_function(aws: Cloud, address: str) -> None:
    before = calls(aws)
    answer = asked(address)
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert calls(aws) == before
    assert asked(address, path="/health").json() is None
    assert calls(aws) == before + 1


def test_with_a_token_it_does_and_the_function_is_told_its_claims(aws: Cloud, address: str, issuer: Issuer) -> None:
    before = calls(aws)
    for form in ("Bearer {}", "bearer {}", "{}"):
        answer = asked(address, form.format(issuer.token("images:read")))
        assert answer.status_code == 200, answer.headers
    told = answer.json()["jwt"]
    assert (told["scopes"], told["claims"]["sub"], told["claims"]["iss"]) == (None, "tester", issuer.url)
    assert all(isinstance(value, str) for value in told["claims"].values())
    assert calls(aws) == before + 3
    assert issuer.asked.count("/keys") == 1  # the issuer's keys are kept


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1}, {"exp": None}, {"nbf": 1 << 33}, {"iss": "https://somebody.example.org/"}, {"aud": "somebody"},
        {"aud": None}, {"aud": "somebody", "client_id": "a-client"}, {"kid": "unknown"},
    ],
)  # fmt: skip
def test_a_token_that_is_over_or_of_or_for_somebody_else_is_turned_away(
    aws: Cloud, address: str, issuer: Issuer, changes: dict[str, Any]
) -> None:
    before = calls(aws)
    key = issuer.keys["rsa"] if "kid" in changes else None
    answer = asked(address, f"Bearer {issuer.token('images:read', key=key, **changes)}")
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert calls(aws) == before


def test_nor_is_one_that_nobody_signed_or_the_wrong_key_or_algorithm(address: str, issuer: Issuer) -> None:
    wrong = Issuer()
    wrong.close()
    tokens = (
        issuer.unsigned("images:read"),
        issuer.token("images:read", key=wrong.keys["rsa"]),
        issuer.token("images:read", kid="ec", algorithm="ES256"),  # AWS takes RSA alone
        "no.token.at-all",
    )
    assert [asked(address, f"Bearer {token}").status_code for token in tokens] == [401] * 4


def test_client_id_counts_where_there_is_no_audience(address: str, issuer: Issuer) -> None:
    token = issuer.token("images:read", aud=None, client_id="a-client", nbf=int(time.time()) - 5)
    assert asked(address, f"Bearer {token}").status_code == 200
    both = issuer.token("images:read", aud=["other", AUDIENCE])
    assert asked(address, f"Bearer {both}").status_code == 200


def test_a_route_with_scopes_takes_one_of_them(address: str, issuer: Issuer) -> None:
    without = asked(address, f"Bearer {issuer.token('jobs:read')}", "/scoped")
    assert (without.status_code, without.json()) == (403, {"message": "Forbidden"})
    assert 'scope="images:read admin" error="insufficient_scope"' in without.headers["www-authenticate"]
    held = asked(address, f"Bearer {issuer.token('jobs:read admin')}", "/scoped")
    assert held.json()["jwt"]["scopes"] == ["admin"]
    listed = asked(address, f"Bearer {issuer.token('', scp=['images:read'])}", "/scoped")
    assert listed.json()["jwt"]["scopes"] == ["images:read"]


def test_a_page_asks_beforehand_and_is_answered_without_the_function(aws: Cloud, address: str) -> None:
    before = calls(aws)
    question = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    answer = requests.options(f"{address}/a", headers=question, timeout=20)
    assert (answer.status_code, answer.content) == (204, b"")
    assert {name: text for name, text in answer.headers.items() if name.startswith("access-control-")} == {
        "access-control-allow-origin": PAGE, "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "authorization", "access-control-max-age": "600",
    }  # fmt: skip
    other = requests.options(f"{address}/a", headers={**question, "Origin": "https://evil.example.org"}, timeout=20)
    assert other.status_code == 204
    assert not [name for name in other.headers if name.lower().startswith("access-control-")]
    assert calls(aws) == before


def test_what_the_function_says_of_origins_is_passed_over(address: str) -> None:
    answer = asked(address, path="/health", Origin=PAGE)
    assert answer.headers["x-function"] == "asked"
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-expose-headers"] == "etag"
    turned = asked(address, Origin=PAGE)  # an error too can be read by the page
    assert (turned.status_code, turned.headers["access-control-allow-origin"]) == (401, PAGE)
    other = asked(address, path="/health", Origin="https://evil.example.org")
    assert "access-control-allow-origin" not in other.headers
