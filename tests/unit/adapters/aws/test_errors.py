"""What becomes of AWS's errors: away, busy and contended are told apart, and no value is in a text or a traceback."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from urllib3 import HTTPResponse

from isocenter.adapters.aws.errors import ConditionFailed, meaning, translated
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.secrets import SecretsManagerSecrets
from isocenter.adapters.aws.table import ABSENT, Delete, Put, Table, dynamodb
from isocenter.errors import BackendUnavailable, IsocenterError, Misconfigured, Saturated
from isocenter.records import ImageQuery, Search
from isocenter.testing.aws_server import aws_server
from isocenter.testing.records import new_entry, new_image
from isocenter.testing.server import free_port

KEY = b"audit key"
CANARY = "CANARY1867"
NOBODY = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
QUICK = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}, parameter_validation=False)


def refusal(code: str, status: int = 400, **more: Any) -> ClientError:
    answer = {"Error": {"Code": code, "Message": CANARY}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(answer, "TransactWriteItems")


def cancelled(*codes: str) -> ClientError:
    return refusal("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


class Refusing:
    """A client that first answers with these errors."""

    def __init__(self, client: Any, refusals: Sequence[Exception]) -> None:
        self._client = client
        self.left = list(refusals)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**asked: Any) -> Any:
            if self.left:
                raise self.left.pop(0)
            return getattr(self._client, name)(**asked)

        return call


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (refusal("ThrottlingException"), Saturated), (refusal("ProvisionedThroughputExceededException"), Saturated),
        (refusal("InternalServerError", 500), BackendUnavailable), (refusal("Unheard", 503), BackendUnavailable),
        (refusal("AccessDeniedException"), BackendUnavailable), (refusal("ResourceNotFoundException"), Misconfigured),
        (refusal("ValidationException"), IsocenterError),
    ],
)  # fmt: skip
def test_each_error_has_its_meaning_and_none_its_message(error: ClientError, wanted: type[IsocenterError]) -> None:
    found = meaning(error)
    assert type(found) is wanted
    assert CANARY not in found.detail
    with pytest.raises(wanted) as raised, translated():
        raise error
    assert CANARY not in "".join(traceback.format_exception(raised.value))


@contextmanager
def told_nothing() -> Iterator[None]:
    with pytest.raises(BackendUnavailable) as raised:
        yield
    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert CANARY not in told
    assert raised.value.__cause__ is None


def test_a_server_that_is_not_there_is_unavailable() -> None:
    options = {**NOBODY, "endpoint_url": f"http://127.0.0.1:{free_port()}", "config": QUICK}
    table = Table("table", KEY, **options)
    index = DynamoIndex(table, KEY)
    new = new_image(subject=CANARY, study=CANARY, instance=CANARY)
    for call in (
        lambda: index.commit([(new, new_entry())]),
        lambda: index.get(CANARY),
        lambda: index.images(ImageQuery(subject_id=CANARY)),
        lambda: index.details([CANARY]),
        lambda: DynamoSearchIndex(table).search(Search("study", "raw", study_uids=(CANARY,))),
        lambda: table.write(Put({"pk": CANARY, "sk": CANARY})),
        lambda: table.write_all([Delete((CANARY, CANARY))]),
        lambda: SecretsManagerSecrets(**options).get("name"),
    ):
        with told_nothing():
            call()
    table.close()


def test_a_server_that_goes_away_is_unavailable_and_what_was_stored_is_known() -> None:
    with aws_server() as server:
        client = dynamodb(**{**server.options, "config": QUICK})
        table = Table("table", KEY, client=client)
        with pytest.raises(Misconfigured) as raised:  # nobody has made it
            DynamoIndex(table, KEY).get("id")
        assert raised.value.code == "table-missing"
    with told_nothing():
        DynamoIndex(table, KEY).commit([(new_image(subject=CANARY), new_entry())])
    client.close()


@pytest.mark.parametrize(
    "refusals",
    [
        [cancelled("None", "TransactionConflict"), cancelled("TransactionConflict")],
        [cancelled("ThrottlingError", "None"), refusal("ThrottlingException")],
        [refusal("TransactionInProgressException")],
        [cancelled("ProvisionedThroughputExceeded", "TransactionConflict")],
    ],
)
def test_a_transaction_that_was_in_the_way_of_another_is_tried_again(table: Table, refusals: list[Exception]) -> None:
    busy = Refusing(table.client, refusals)
    Table(table.name, KEY, client=busy).transact([Put({"pk": "a", "sk": "b"}, ABSENT)])
    assert busy.left == []
    assert table.get(("a", "b")) == {"pk": "a", "sk": "b"}


def test_a_single_change_waits_for_the_transaction_in_its_way(table: Table) -> None:
    busy = Refusing(table.client, [refusal("TransactionConflictException")] * 2)
    Table(table.name, KEY, client=busy).write(Put({"pk": "a", "sk": "b"}))
    assert busy.left == []
    busy.left = [refusal("TransactionConflictException")]
    assert [Table(table.name, KEY, client=busy).next_number(("n", "n")) for _ in range(3)] == [1, 2, 3]
    busy.left = [refusal("ValidationException")]
    with pytest.raises(IsocenterError):
        Table(table.name, KEY, client=busy).next_number(("n", "n"))


def test_a_transaction_whose_condition_fails_is_not_tried_again_as_it_is(table: Table) -> None:
    table.write(Put({"pk": "a", "sk": "b"}))
    with pytest.raises(ConditionFailed):
        table.transact([Put({"pk": "a", "sk": "b"}, ABSENT), Put({"pk": "a", "sk": "c"})])
    assert table.get(("a", "c")) is None
    with pytest.raises(ConditionFailed):  # with a conflict besides, what was read is old all the same
        mixed = [cancelled("ConditionalCheckFailed", "TransactionConflict")]
        Table(table.name, KEY, client=Refusing(table.client, mixed)).transact([Delete(("a", "b"))])


def test_a_transaction_refused_for_good_is_said_to_be(table: Table) -> None:
    with pytest.raises(BackendUnavailable) as raised:
        Table(table.name, KEY, client=Refusing(table.client, [cancelled("ValidationError")])).transact(
            [Delete(("a", "b"))]
        )
    assert raised.value.__context__ is None


def test_a_transaction_repeated_after_a_lost_answer_has_the_same_token(table: Table, client: Any) -> None:
    told: list[str] = []

    def lose_the_first_answer(request: Any, **_: Any) -> Any:
        told.append(json.loads(request.body)["ClientRequestToken"])
        return (
            AWSResponse(request.url, 500, {}, HTTPResponse(BytesIO(), preload_content=False))
            if len(told) == 1
            else None
        )

    client.meta.events.register("before-send.dynamodb.TransactWriteItems", lose_the_first_answer)
    table.transact([Put({"pk": "a", "sk": "b"}, ABSENT)])
    assert len(told) == 2
    assert len(set(told)) == 1


def test_who_never_comes_through_is_told_after_a_while(table: Table) -> None:
    endless = Refusing(table.client, [cancelled("TransactionConflict")] * 1000)
    with pytest.raises(BackendUnavailable) as raised:
        Table(table.name, KEY, client=endless, patience=0.05).transact([Delete(("a", "b"))])
    assert raised.value.code == "table-contended"


def test_what_the_service_leaves_over_is_asked_for_again(table: Table) -> None:
    class Half:
        """A client that serves the first half of a batch."""

        def batch_get_item(self, RequestItems: dict[str, Any]) -> Any:
            wanted = RequestItems[table.name]
            half = -(-len(wanted["Keys"]) // 2)
            answer = table.client.batch_get_item(RequestItems={table.name: {**wanted, "Keys": wanted["Keys"][:half]}})
            rest = {**wanted, "Keys": wanted["Keys"][half:]}
            return {**answer, "UnprocessedKeys": {table.name: rest} if rest["Keys"] else {}}

        def batch_write_item(self, RequestItems: dict[str, Any]) -> Any:
            wanted = RequestItems[table.name]
            assert len(wanted) <= 25
            half = -(-len(wanted) // 2)
            table.client.batch_write_item(RequestItems={table.name: wanted[:half]})
            return {"UnprocessedItems": {table.name: wanted[half:]} if wanted[half:] else {}}

    halting = Table(table.name, KEY, client=Half())
    halting.write_all([Put({"pk": "a", "sk": f"{number:03d}"}) for number in range(60)])
    assert len(list(table.query("a"))) == 60
    assert len(halting.get_all(("a", f"{number:03d}") for number in range(250))) == 60


def test_a_first_read_of_a_head_that_is_old_costs_a_retry_and_nothing_else(table: Table) -> None:
    """Two without a lock in common, who each see the other's commit too late."""
    one, other = (DynamoIndex(Table(table.name, KEY, client=table.client), KEY) for _ in range(2))
    images = [new_image() for _ in range(6)]
    for number, image in enumerate(images):
        (one, other)[number % 2].commit([(image, new_entry())])
    assert [each.id for each in one.images(ImageQuery()).items] == [each.record.id for each in images]
