"""Policies evaluated as IAM does, as far as roles of functions and policies of buckets go."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

Context = Mapping[str, str]


def evaluate(
    policies: Iterable[str | Mapping[str, Any]],
    action: str,
    resource: str,
    context: Context,
    principal: str | None = None,
) -> str | None:
    """Deny, Allow, or None where no statement applies, which denies too. A Deny wins over every Allow."""
    verdict = None
    for policy in policies:
        document = json.loads(policy) if isinstance(policy, str) else policy
        for statement in _list(document["Statement"]):
            if _applies(statement, action, resource, context, principal):
                if statement["Effect"] == "Deny":
                    return "Deny"
                verdict = "Allow"
    return verdict


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _like(pattern: str, value: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value, re.DOTALL) is not None


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Context, principal: str | None) -> bool:
    if "Action" in statement and not any(_like(each.lower(), action.lower()) for each in _list(statement["Action"])):
        return False
    if "NotAction" in statement and any(_like(each.lower(), action.lower()) for each in _list(statement["NotAction"])):
        return False
    if "Resource" in statement and not any(_like(each, resource) for each in _list(statement["Resource"])):
        return False
    if "Principal" in statement and not _names(statement["Principal"], principal):
        return False
    return _holds(statement.get("Condition", {}), context)


def _names(principal: Any, who: str | None) -> bool:
    if principal == "*":
        return True
    named = (
        [each for kind in principal.values() for each in _list(kind)] if isinstance(principal, Mapping) else [principal]
    )
    return who is not None and any(each in ("*", who) for each in named)


_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda wanted, value: value == wanted,
    "StringNotEquals": lambda wanted, value: value != wanted,
    "StringLike": _like,
    "StringNotLike": lambda wanted, value: not _like(wanted, value),
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": lambda wanted, value: value.lower() == wanted.lower(),
}


def _holds(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    for operator, keys in conditions.items():
        test = _TESTS[operator.removesuffix("IfExists")]
        negated = "Not" in operator
        for key, wanted in keys.items():
            value = context.get(key.lower())
            if value is None:
                if operator.endswith("IfExists") or negated:
                    continue
                return False
            hits = [test(str(each), value) for each in _list(wanted)]
            if not (all(hits) if negated else any(hits)):
                return False
    return True
