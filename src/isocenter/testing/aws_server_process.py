"""moto's server with what it lacks of DynamoDB, as a process: atomic transactions, the limits, reads by partition."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Mapping
from typing import Any

import orjson
from moto.core.responses import BaseResponse
from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    ItemSizeTooLarge,
    MockValidationException,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler, DynamoResult
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

_MOST_WRITTEN = 25  # items of one BatchWriteItem
_LARGEST_TRANSACTION = 4 << 20


def _serve(port: int) -> None:
    mend()
    MotoRequestHandler.protocol_version = "HTTP/1.1"  # connections stay open
    app = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)


def mend(answering: type[BaseResponse] = BaseResponse) -> None:
    """Make moto's transactions atomic between threads and as strict as the service, and its reads less than linear."""

    lock, act, query, write = threading.RLock(), answering.call_action, Table.query, DynamoHandler.batch_write_item
    serialized = DynamoHandler.serialized

    def one_at_a_time(self: Any) -> Any:
        with lock:
            return act(self)

    def within_partition(self: Any, hash_key: Any, *arguments: Any, **named: Any) -> Any:
        self.all_items = lambda: iter(self.items.get(hash_key, {}).values())
        try:
            return query(self, hash_key, *arguments, **named)
        finally:
            del self.all_items

    def few_enough(self: Any) -> Any:

        if sum(map(len, self.body["RequestItems"].values())) > _MOST_WRITTEN:
            raise MockValidationException("Too many items requested for the BatchWriteItem call")
        return write(self)

    def are_twice(_: Any, asked: list[Any]) -> bool:
        return len(set(map(str, asked))) < len(asked)

    def quickly(self: Any, answer: Any) -> Any:
        if not isinstance(answer, DynamoResult) or self._get_action() not in ("BatchGetItem", "GetItem", "Query"):
            return serialized(self, answer)
        body = orjson.dumps(answer.result, default=lambda value: base64.b64encode(value).decode())
        return 200, {"Content-Type": "application/x-amz-json-1.0", **self.response_headers}, body.decode()

    for owner, name, mended in (
        (DynamoHandler, "serialized", quickly),
        (answering, "call_action", one_at_a_time),
        (Table, "query", within_partition),
        (DynamoHandler, "batch_write_item", few_enough),
        (DynamoHandler, "_contains_duplicates", are_twice),
        (DynamoDBBackend, "transact_write_items", _transact),
    ):
        setattr(owner, name, mended)


def _transact(self: Any, actions: list[dict[str, Any]]) -> None:
    """TransactWriteItems: every condition against what is there, then every action. moto would copy whole tables."""
    if len(actions) > 100:
        raise TooManyTransactionsException
    errors: list[tuple[str | None, str | None, Any]] = []
    seen, size = set(), 0
    for action in actions:
        ((kind, op),) = action.items()
        key = {name: op["Item"][name] for name in ("pk", "sk")} if kind == "Put" else op["Key"]
        name = (op["TableName"], str(sorted(key.items())))
        if name in seen:
            raise MultipleTransactionsException
        seen.add(name)
        one = _size(op.get("Item", {}))
        size += one
        if one > 400 << 10:
            raise ItemSizeTooLarge
        condition = op.get("ConditionExpression")
        met = True
        if condition is not None:
            names, values = op.get("ExpressionAttributeNames"), op.get("ExpressionAttributeValues")
            current = self.get_item(op["TableName"], key)
            met = bool(get_filter_expression(condition, names, values).expr(current))
        errors.append((None, None, None) if met else ("ConditionalCheckFailed", "The conditional request failed", None))
    if size > _LARGEST_TRANSACTION:
        raise MockValidationException("Transaction request exceeds 4 MB")
    if any(code is not None for code, _, _ in errors):
        raise TransactionCanceledException(errors)
    for action in actions:
        ((kind, op),) = action.items()
        if kind == "Put":
            self.get_table(op["TableName"]).put_item(op["Item"], overwrite=True)
        elif kind == "Delete":
            self.delete_item(op["TableName"], op["Key"])
        elif kind == "Update":
            self.update_item(
                op["TableName"],
                op["Key"],
                update_expression=op["UpdateExpression"],
                expression_attribute_names=op.get("ExpressionAttributeNames"),
                expression_attribute_values=op.get("ExpressionAttributeValues"),
            )


def _size(item: Mapping[str, Any]) -> int:
    total = 0
    for name, typed in item.items():
        ((kind, value),) = typed.items()
        size = len(value) if isinstance(value, bytes) else len(str(value).encode())
        total += len(name) + (size * 3 // 4 if kind == "B" and isinstance(value, str) else size)
    return total


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
