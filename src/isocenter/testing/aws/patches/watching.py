"""CloudWatch and Budgets: kept and given back, where moto does not know them at all."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from moto.budgets.responses import BudgetsResponse
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import EmptyResult
from moto.logs.responses import LogsResponse

from isocenter.testing.aws.patches import replaced


def patch() -> None:
    """Put it all in place."""
    _composite_alarms()
    _queries()
    _budgets()


def _composite_alarms() -> None:
    """moto's alarms have a rule, and no way to set it."""
    responses: Any = CloudWatchResponse

    def put(self: Any) -> EmptyResult:
        given = self._get_param
        self.cloudwatch_backend.put_metric_alarm(
            name=given("AlarmName"), rule=given("AlarmRule"), description=given("AlarmDescription"), namespace="",
            metric_name="", comparison_operator="", evaluation_periods=1, period=60, threshold=0, statistic="",
            dimensions=[], alarm_actions=given("AlarmActions", []), ok_actions=given("OKActions", []),
            insufficient_data_actions=given("InsufficientDataActions", []), tags=given("Tags", []),
            actions_enabled=given("ActionsEnabled", True),
        )  # fmt: skip
        return EmptyResult()

    responses.put_composite_alarm = put


def _queries() -> None:
    """Saved queries of Logs Insights."""
    responses: Any = LogsResponse
    kept: dict[str, dict[str, Any]] = {}

    def put(self: Any) -> str:
        given = self._get_param
        id = given("queryDefinitionId") or str(uuid4())
        kept[id] = {
            "queryDefinitionId": id,
            "name": given("name"),
            "queryString": given("queryString"),
            "logGroupNames": given("logGroupNames") or [],
        }
        return json.dumps({"queryDefinitionId": id})

    responses.put_query_definition = put
    responses.describe_query_definitions = lambda self: json.dumps({"queryDefinitions": list(kept.values())})
    responses.delete_query_definition = lambda self: json.dumps(
        {"success": kept.pop(self._get_param("queryDefinitionId"), None) is not None}
    )


def _budgets() -> None:
    """moto knows budgets, and neither their tags nor who is told of them, both of which Terraform reads."""
    responses: Any = BudgetsResponse
    tags: dict[str, list[Any]] = {}
    told: dict[tuple[str, str, float], list[Any]] = {}

    def which(self: Any) -> tuple[str, str, float]:
        notification = self._get_param("Notification")
        return self._get_param("BudgetName"), notification["NotificationType"], float(notification["Threshold"])

    def create(self: Any) -> Any:
        tags[self._get_param("Budget")["BudgetName"]] = self._get_param("ResourceTags") or []
        return create_before(self)

    def notify(self: Any) -> Any:
        told[which(self)] = self._get_param("Subscribers")
        return notify_before(self)

    create_before = replaced(responses, "create_budget", create)
    notify_before = replaced(responses, "create_notification", notify)
    responses.describe_subscribers_for_notification = lambda self: json.dumps(
        {"Subscribers": told.get(which(self), [])}
    )
    responses.list_tags_for_resource = lambda self: json.dumps(
        {"ResourceTags": tags.get(self._get_param("ResourceARN").rpartition("/")[2], [])}
    )
