"""The harness's evaluation of policies: it has to deny, or it proves nothing."""

from __future__ import annotations

import pytest

from isocenter.testing.aws.actions import of_s3, of_service
from isocenter.testing.aws.iam import evaluate
from isocenter.testing.aws.signatures import Asked

TLS = {"aws:securetransport": "true"}


def policy(**statement: object) -> dict[str, object]:
    return {"Statement": {"Effect": "Allow", **statement}}


@pytest.mark.parametrize(
    ("statement", "action", "resource", "expected"),
    [
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::raw/*"}, "s3:GetObject", "arn:aws:s3:::raw/a/b", "Allow"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::raw/*"}, "s3:GetObject", "arn:aws:s3:::raw", None),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::raw/*"}, "s3:PutObject", "arn:aws:s3:::raw/a", None),
        ({"Action": ["s3:Get*"], "Resource": "*"}, "s3:getobject", "arn:aws:s3:::raw/a", "Allow"),
        ({"NotAction": "s3:Get*", "Resource": "*"}, "s3:GetObject", "arn:aws:s3:::raw/a", None),
        ({"Action": "a:b", "Resource": "x?z"}, "a:b", "xyz", "Allow"),
        ({"Action": "a:b", "Resource": "x.z"}, "a:b", "xyz", None),
        ({"Effect": "Deny", "Action": "a:b", "Resource": "*"}, "a:b", "x", "Deny"),
    ],
)
def test_actions_and_resources_match_as_patterns(
    statement: dict[str, object], action: str, resource: str, expected: str | None
) -> None:
    assert evaluate([policy(**statement)], action, resource, TLS) == expected


def test_a_deny_wins_and_a_deny_whose_condition_is_not_met_does_nothing() -> None:
    allow = policy(Action="s3:*", Resource="*")
    clear = {"Bool": {"aws:SecureTransport": "false"}}
    only_tls = policy(Effect="Deny", Action="s3:*", Resource="*", Principal="*", Condition=clear)
    assert evaluate([allow, only_tls], "s3:GetObject", "x", TLS) == "Allow"
    assert evaluate([allow, only_tls], "s3:GetObject", "x", {"aws:securetransport": "false"}) == "Deny"
    assert evaluate([only_tls, allow], "s3:GetObject", "x", {"aws:securetransport": "false"}) == "Deny"


def test_a_condition_on_what_is_not_told_is_not_met_unless_it_says_if_exists() -> None:
    for operator, expected in (("StringEquals", None), ("StringEqualsIfExists", "Allow"), ("StringNotEquals", "Allow")):
        asked = policy(Action="a:b", Resource="*", Condition={operator: {"aws:SourceAccount": "1"}})
        assert evaluate([asked], "a:b", "x", {}) == expected


def test_a_transaction_takes_the_permissions_of_what_it_does() -> None:
    asked = Asked("POST", "/", "", {"x-amz-target": "DynamoDB_20120810.TransactWriteItems"})
    body = b'{"TransactItems": [{"Put": {"TableName": "t"}}, {"ConditionCheck": {"TableName": "t"}}]}'
    table = "arn:aws:dynamodb:us-east-1:123456789012:table/t"
    assert of_service("dynamodb", "us-east-1", asked, body) == [
        ("dynamodb:ConditionCheckItem", table),
        ("dynamodb:PutItem", table),
    ]


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/raw", "list-type=2", ("s3:ListBucket", "arn:aws:s3:::raw")),
        ("HEAD", "/raw/a%20b", "", ("s3:GetObject", "arn:aws:s3:::raw/a b")),
        ("PUT", "/raw/a", "partNumber=1&uploadId=x", ("s3:PutObject", "arn:aws:s3:::raw/a")),
        ("DELETE", "/raw/a", "uploadId=x", ("s3:AbortMultipartUpload", "arn:aws:s3:::raw/a")),
        ("DELETE", "/raw/a", "versionId=x", ("s3:DeleteObjectVersion", "arn:aws:s3:::raw/a")),
        ("POST", "/raw/a", "uploads", ("s3:PutObject", "arn:aws:s3:::raw/a")),
    ],
)
def test_requests_to_s3_are_the_actions_of_iam(method: str, path: str, query: str, expected: tuple[str, str]) -> None:
    assert of_s3(Asked(method, path, query, {})) == [expected]


def test_who_deletes_many_has_to_be_allowed_to_delete_each() -> None:
    body = b"<Delete><Object><Key>uploads/a</Key></Object><Object><Key>raw/b &amp; c</Key></Object></Delete>"
    assert of_s3(Asked("POST", "/raw", "delete", {}), body) == [
        ("s3:DeleteObject", "arn:aws:s3:::raw/uploads/a"),
        ("s3:DeleteObject", "arn:aws:s3:::raw/raw/b & c"),
    ]
