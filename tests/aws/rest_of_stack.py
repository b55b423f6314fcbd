"""What moto's CloudFormation passes over of a template, made by API calls from the same template.

It knows no HTTP APIs and no bucket policies, and of buckets, tables and functions it sets only a part. Everything is
taken from the template with its references resolved; nothing is said here that is not said there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfnlint.decode import decode  # type: ignore[import-untyped]

from isocenter.testing.aws.actions import ACCOUNT
from isocenter.testing.aws.cloud import REGION, Cloud

# Types of the template that moto's CloudFormation makes nothing of.
LACKING = {"AWS::S3::BucketPolicy", "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Integration"} | {
    f"AWS::ApiGatewayV2::{kind}" for kind in ("Authorizer", "Route", "Stage")
}
NOTHING = object()


def template_of(path: Path) -> dict[str, Any]:
    """The template with its functions in their long form."""
    found, faults = decode(str(path))
    assert not faults
    return dict(json.loads(json.dumps(found)))


@dataclass
class RestOfStack:
    """A stack whose resources have the names that `physical` says, by their names in the template."""

    cloud: Cloud
    template: dict[str, Any]
    name: str
    parameters: dict[str, Any]
    physical: dict[str, str]
    attributes: dict[str, str] = field(default_factory=dict)  # as "Name.Attribute"

    def __post_init__(self) -> None:
        given = {name: each.get("Default") for name, each in self.template["Parameters"].items()}
        self._known: dict[str, Any] = {
            **given, **self.parameters, "AWS::StackName": self.name, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com", "AWS::NoValue": NOTHING,
        }  # fmt: skip

    def resolved(self, value: Any) -> Any:
        """A part of the template with parameters, names and conditions put in."""
        match value:
            case {"Ref": str(name)}:
                return self._known[name] if name in self._known else self.physical[name]
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return self.attributes[f"{name}.{attribute}"]
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self._put_in(found[1])), text)
            case {"Fn::If": [str(condition), yes, no]}:
                return self.resolved(yes if self._holds(self.template["Conditions"][condition]) else no)
            case dict():
                found = {name: self.resolved(each) for name, each in value.items()}
                return {name: each for name, each in found.items() if each is not NOTHING}
            case list():
                return [each for each in map(self.resolved, value) if each is not NOTHING]
        return value

    def _put_in(self, name: str) -> Any:
        return self.resolved({"Fn::GetAtt": name.split(".")} if "." in name else {"Ref": name})

    def _holds(self, condition: Any) -> bool:
        match condition:
            case {"Fn::Equals": [left, right]}:
                return bool(self.resolved(left) == self.resolved(right))
            case {"Fn::Not": [inner]}:
                return not self._holds(inner)
        raise AssertionError(condition)

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of the resources of a type that there are under these parameters, resolved."""
        return {
            name: self.resolved(each["Properties"])
            for name, each in self.template["Resources"].items()
            if each["Type"] == kind
            and ("Condition" not in each or self._holds(self.template["Conditions"][each["Condition"]]))
        }

    def make(self) -> None:
        """All of it; functions come to their layer last."""
        self._role()
        self._bucket()
        self._table()
        self._functions()
        self._api()

    def _role(self) -> None:
        """moto keeps a role's policy as Python writes it, not as JSON."""
        client = self.cloud.client("iam")
        for name, given in self.of_type("AWS::IAM::Role").items():
            for policy in given["Policies"]:
                client.put_role_policy(
                    RoleName=self.physical[name],
                    PolicyName=policy["PolicyName"],
                    PolicyDocument=json.dumps(policy["PolicyDocument"]),
                )

    def _bucket(self) -> None:
        client = self.cloud.client("s3")
        for name, given in self.of_type("AWS::S3::Bucket").items():
            bucket = self.physical[name]
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=given["VersioningConfiguration"])
            client.put_public_access_block(
                Bucket=bucket, PublicAccessBlockConfiguration=given["PublicAccessBlockConfiguration"]
            )
            client.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=given["OwnershipControls"])
        for given in self.of_type("AWS::S3::BucketPolicy").values():
            client.put_bucket_policy(Bucket=given["Bucket"], Policy=json.dumps(given["PolicyDocument"]))

    def _table(self) -> None:
        client = self.cloud.client("dynamodb")
        for name, given in self.of_type("AWS::DynamoDB::Table").items():
            client.update_time_to_live(
                TableName=self.physical[name], TimeToLiveSpecification=given["TimeToLiveSpecification"]
            )

    def _functions(self) -> None:
        client = self.cloud.client("lambda")
        for name, given in self.of_type("AWS::Lambda::Function").items():
            client.update_function_configuration(FunctionName=self.physical[name], Layers=given["Layers"])

    def _api(self) -> None:
        client = self.cloud.client("apigatewayv2")
        for kind, call, id in (
            ("Api", client.create_api, "ApiId"),
            ("Integration", client.create_integration, "IntegrationId"),
            ("Authorizer", client.create_authorizer, "AuthorizerId"),
            ("Route", client.create_route, "RouteId"),
            ("Stage", client.create_stage, "StageName"),
        ):
            for name, given in self.of_type(f"AWS::ApiGatewayV2::{kind}").items():
                self.physical[name] = call(**given)[id]
