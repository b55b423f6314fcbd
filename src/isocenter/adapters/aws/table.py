"""The one table in DynamoDB: its client, conditional transactions, batches, queries, and values larger than an item."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from random import SystemRandom
from typing import Any, Final, TypeVar
from uuid import uuid4

from botocore.config import Config
from botocore.exceptions import ClientError

from isocenter.adapters.aws import clients
from isocenter.adapters.aws.errors import BUSY, ConditionFailed, code_of, meaning, translated
from isocenter.adapters.aws.wire import plain, wired, wired_key
from isocenter.errors import BackendUnavailable, IsocenterError

Item = dict[str, Any]  # attributes: text, whole numbers, bytes
Key = tuple[str, str]

# What Terraform declares too: both keys are texts, expiry stands in `ttl` as seconds since 1970, paid by the request.
PARTITION_KEY: Final = "pk"
SORT_KEY: Final = "sk"
EXPIRY: Final = "ttl"

MOST_ACTIONS: Final = 100  # of one transaction
MOST_TRANSACTED: Final = 3_500_000  # bytes; the service takes 4 MB
_MOST_READ, _MOST_WRITTEN = 100, 25
_LARGEST = 350_000  # bytes of a value within one item; the service takes items of 400 KB
_PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LAST = "\U0010ffff"
T = TypeVar("T")
_jitter = SystemRandom().uniform


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of the item that is there for an action to be carried out."""

    expression: str
    values: Mapping[str, Any]


ABSENT: Final = Condition("attribute_not_exists(pk)", {})


def unchanged(item: Item) -> Condition:
    """That the item still has the revision that it was read with."""
    return Condition("rev = :rev", {":rev": item["rev"]})


@dataclass(frozen=True, slots=True)
class Put:
    item: Item
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    key: Key
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Update:
    key: Key
    expression: str
    values: Mapping[str, Any]
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class ConditionCheck:
    """Changes nothing, and within a transaction only."""

    key: Key
    condition: Condition


Action = Put | Delete | Update | ConditionCheck


class Table:
    """The table of one archive; safe to share between threads.

    `key` makes keys of what identifies a person: a partition key stands in access logs. Region, endpoint and
    credentials are botocore's to find, unless `options` (of its `create_client`) say otherwise or a `client` is given.
    `patience` is how many seconds a change waits for those of others before it raises BackendUnavailable.
    """

    def __init__(self, name: str, key: bytes, *, client: Any = None, patience: float = 20.0, **options: Any) -> None:
        self.name = name
        self.patience = patience
        self.turn = threading.Lock()  # writers of one process queue here instead of conflicting
        self._key = hmac.new(key, b"keys of the table", "sha256").digest()
        self._given = client
        self._options = options
        self._making = threading.Lock()

    @property
    def client(self) -> Any:
        if self._given is not None:
            return self._given
        with self._making:  # making one is not safe to do twice at once
            return self._client

    @cached_property
    def _client(self) -> Any:
        return dynamodb(**self._options)

    def close(self) -> None:
        """Give back the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    def hashed(self, *parts: str) -> str:
        """What stands in a key for texts that nobody shall read or guess there."""
        message = b"".join(b"%d:%s," % (len(part), part) for part in (each.encode() for each in parts))
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:40]

    def named(self, id: str) -> str:
        """An id of ours as part of a key; whatever else a caller gives is hashed."""
        return id if _PLAIN.fullmatch(id) else "~" + self.hashed("name", id)

    def get(self, key: Key, only: str | None = None) -> Item | None:
        asked: dict[str, Any] = {"TableName": self.name, "Key": wired_key(key), "ConsistentRead": True}
        if only is not None:
            asked["ProjectionExpression"] = f"pk, sk, {only}"
        with translated():
            found = self.client.get_item(**asked)
        return plain(found["Item"]) if "Item" in found else None

    def get_all(self, keys: Iterable[Key], only: str | None = None) -> dict[Key, Item]:
        """Those of these items that there are; of `only` these attributes, where it names some beside pk and sk."""
        found: dict[Key, Item] = {}
        rest = list(dict.fromkeys(keys))
        deadline, pause = time.monotonic() + self.patience, 0.02
        while rest:
            part, rest = rest[:_MOST_READ], rest[_MOST_READ:]
            wanted: dict[str, Any] = {"Keys": [wired_key(key) for key in part], "ConsistentRead": True}
            if only is not None:
                wanted["ProjectionExpression"] = f"pk, sk, {only}"
            with translated():
                answer = self.client.batch_get_item(RequestItems={self.name: wanted})
            for each in answer["Responses"].get(self.name, ()):
                item = plain(each)
                found[item["pk"], item["sk"]] = item
            left = [(each["pk"]["S"], each["sk"]["S"]) for each in _left(answer, "UnprocessedKeys", self.name)]
            rest = left + rest
            if len(left) == len(part):
                pause = self.wait(deadline, pause)
        return found

    def query(
        self,
        partition: str,
        *,
        begins: str = "",
        low: str | None = None,
        high: str | None = None,
        descending: bool = False,
        page: int | None = None,
        only: str | None = None,
    ) -> Iterator[Item]:
        """Items of a partition by their sort key, from `low` to `high` (both included); `page` is how many at once."""
        asked: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": partition}},
            "ConsistentRead": True,
            "ScanIndexForward": not descending,
        }
        if begins or low is not None or high is not None:
            asked["KeyConditionExpression"] += " AND sk BETWEEN :low AND :high"
            asked["ExpressionAttributeValues"][":low"] = {"S": low or begins or " "}
            asked["ExpressionAttributeValues"][":high"] = {"S": high if high is not None else begins + _LAST}
            if (low or begins or " ") > (high if high is not None else begins + _LAST):
                return
        if page is not None:
            asked["Limit"] = page
        if only is not None:
            asked["ProjectionExpression"] = f"pk, sk, {only}"
        while True:
            with translated():
                answer = self.client.query(**asked)
            yield from map(plain, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def write(self, action: Put | Delete | Update) -> None:
        """One action; raises ConditionFailed where its condition does not hold."""
        ((kind, asked),) = self._wired(action).items()
        call = {"Put": "put_item", "Delete": "delete_item", "Update": "update_item"}[kind]
        _, refused = self._answer(call, asked)
        if refused is not None:
            if code_of(refused) == "ConditionalCheckFailedException":
                raise ConditionFailed
            raise meaning(refused)

    def next_number(self, key: Key) -> int:
        """A number higher than any that an item gave before; some may never be used."""
        added = Update(key, "ADD num :one", {":one": 1})
        answer, refused = self._answer("update_item", {**self._wired(added)["Update"], "ReturnValues": "UPDATED_NEW"})
        if refused is not None:
            raise meaning(refused)
        return int(answer["Attributes"]["num"]["N"])

    def write_all(self, actions: Sequence[Put | Delete]) -> None:
        """Put and delete without condition and without transaction, each item once."""
        rest = [self._wired_for_batch(action) for action in actions]
        deadline, pause = time.monotonic() + self.patience, 0.02
        while rest:
            part, rest = rest[:_MOST_WRITTEN], rest[_MOST_WRITTEN:]
            with translated():
                answer = self.client.batch_write_item(RequestItems={self.name: part})
            left = _left(answer, "UnprocessedItems", self.name)
            rest = left + rest
            if left:
                pause = self.wait(deadline, pause)

    def transact(self, actions: Sequence[Action]) -> None:
        """All actions or none, durably. Raises ConditionFailed where a condition does not hold.

        A conflict with another transaction and throttling are waited out; botocore repeats a request whose answer was
        lost with the same token, so that it is carried out once.
        """
        if len(actions) > MOST_ACTIONS:
            raise IsocenterError("a transaction has more actions than DynamoDB takes")
        asked = {"TransactItems": [self._wired(action) for action in actions]}
        deadline, pause = time.monotonic() + self.patience, 0.01
        while (refused := self._asked("transact_write_items", asked)[1]) is not None:
            if not _passes(refused):
                raise meaning(refused)
            pause = self.wait(deadline, pause)

    def retried(self, work: Callable[[], T]) -> T:
        """What `work` returns; it is called again, after a while, for as long as it raises ConditionFailed."""
        deadline, pause = time.monotonic() + self.patience, 0.005
        while True:
            with suppress(ConditionFailed):
                return work()
            pause = self.wait(deadline, pause)

    def packed(self, data: bytes) -> Item:
        """Attributes that hold these bytes.

        What is larger than an item goes into items of its own, written at once: nobody finds them before the item
        that has the attributes is there.
        """
        if len(data) <= _LARGEST:
            return {"dat": data}
        parts = [data[start : start + _LARGEST] for start in range(0, len(data), _LARGEST)]
        name = uuid4().hex
        for number, part in enumerate(parts):  # one by one, as 25 at once may be more than the 16 MB of a batch
            self.write(Put({"pk": f"PART#{name}", "sk": f"{number:06d}", "dat": part}))
        return {"part": name, "parts": len(parts)}

    def unpacked(self, item: Item) -> bytes:
        """The bytes that `packed` was given."""
        if "part" not in item:
            return bytes(item["dat"])
        parts = [bytes(each["dat"]) for each in self.query(f"PART#{item['part']}")]
        if len(parts) != item["parts"]:
            raise BackendUnavailable("A value is being written or removed.")
        return b"".join(parts)

    def part_keys(self, item: Item) -> list[Key]:
        """The items beside this one that hold its bytes."""
        return [(f"PART#{item['part']}", f"{number:06d}") for number in range(item["parts"])] if "part" in item else []

    def _answer(self, call: str, asked: Mapping[str, Any]) -> tuple[Any, ClientError | None]:
        """The answer to a single change, once no transaction is in its way, or what the service says against it."""
        deadline, pause = time.monotonic() + self.patience, 0.01
        while True:
            answer, refused = self._asked(call, asked)
            if refused is None or code_of(refused) != "TransactionConflictException":
                return answer, refused
            pause = self.wait(deadline, pause)

    def _asked(self, call: str, asked: Mapping[str, Any]) -> tuple[Any, ClientError | None]:
        """Make a call and give back what the service says against it, so that no error is raised while it is held."""
        with translated():
            try:
                return getattr(self.client, call)(**asked), None
            except ClientError as error:
                return None, error

    def wait(self, deadline: float, pause: float) -> float:
        """Sleep for a while, and tell the next while."""
        if time.monotonic() > deadline:
            raise BackendUnavailable("DynamoDB has more changes than it takes.", code="table-contended")
        time.sleep(_jitter(pause / 2, pause))
        return min(pause * 2, 0.5)

    def _wired(self, action: Action) -> dict[str, dict[str, Any]]:
        """An action as TransactWriteItems and the single requests take it."""
        values: dict[str, Any] = {}
        asked: dict[str, Any] = {"TableName": self.name}
        if isinstance(action, Put):
            asked["Item"] = wired(action.item)
        else:
            asked["Key"] = wired_key(action.key)
        if isinstance(action, Update):
            asked["UpdateExpression"] = action.expression
            values |= action.values
        if action.condition is not None:
            asked["ConditionExpression"] = action.condition.expression
            values |= action.condition.values
        if values:
            asked["ExpressionAttributeValues"] = wired(values)
        return {type(action).__name__: asked}

    def _wired_for_batch(self, action: Put | Delete) -> dict[str, Any]:
        if isinstance(action, Put):
            return {"PutRequest": {"Item": wired(action.item)}}
        return {"DeleteRequest": {"Key": wired_key(action.key)}}


def dynamodb(**options: Any) -> Any:
    """A client that gives up in a bounded time."""
    config = Config(
        connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 4}, max_pool_connections=50,
        parameter_validation=False,
    )  # fmt: skip
    with translated():
        return clients.client("dynamodb", config=options.pop("config", config), **options)


def create_table(client: Any, name: str) -> None:
    """Make the table, as Terraform does, and wait until it is there."""
    keys = {PARTITION_KEY: "HASH", SORT_KEY: "RANGE"}
    with translated():
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        )
        client.get_waiter("table_exists").wait(TableName=name)
        client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRY})


def _passes(error: ClientError) -> bool:
    """Whether a transaction may go through when tried again; ConditionFailed where things have to be read again."""
    code = code_of(error)
    if code in BUSY or code in ("TransactionInProgressException", "TransactionConflictException"):
        return True
    if code != "TransactionCanceledException":
        return False
    reasons = {str(each.get("Code")) for each in error.response.get("CancellationReasons", ())} - {"None"}
    if "ConditionalCheckFailed" in reasons:
        raise ConditionFailed
    return not reasons - {"TransactionConflict"} - BUSY


def _left(answer: Mapping[str, Any], name: str, table: str) -> list[Any]:
    left = answer.get(name, {}).get(table, ())
    return list(left["Keys"] if isinstance(left, Mapping) else left)
