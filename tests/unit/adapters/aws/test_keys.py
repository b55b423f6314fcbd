"""Keys stand in access logs: none has a value of an attribute in it."""

from __future__ import annotations

import json
from typing import Any

from isocenter.adapters.aws.deliveries import DynamoDeliveries
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.job_ledger import DynamoJobLedger
from isocenter.adapters.aws.results import DynamoResults
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.table import Table
from isocenter.dicom.matching import make_key
from isocenter.jobs import Result
from isocenter.records import ImageQuery, Search, State
from isocenter.testing.records import new_delivery, new_entry, new_image, new_job, new_moment, new_volume

KEY = b"audit key"
CANARY = "CANARY1867"


def canaries(table: Table, client: Any) -> None:
    """Store, find, delete and restore images whose every attribute has the canary in it."""
    value = {"vr": "LO", "Value": [f"{CANARY}^value"]}
    model = dict.fromkeys(("00100020", "00080050", "00080020", "00100010", "00081030"), value)
    batch = [
        new_image(
            study=f"1.{CANARY}.1", series=f"1.{CANARY}.2", instance=f"1.{CANARY}.{number}", subject=CANARY,
            study_model=model, series_model=model, instance_model=model,
        )
        for number in (3, 4)
    ]  # fmt: skip
    volume = new_volume(subject=f"{CANARY} volume", image=f"{CANARY}.nii")
    index, search = DynamoIndex(table, KEY), DynamoSearchIndex(table)
    index.commit([(new, new_entry()) for new in (*batch, volume)])
    index.transition([batch[0].record.id, volume.record.id], State.DELETED, new_entry())
    index.transition([batch[0].record.id], State.CURRENT, new_entry())
    for query in (
        ImageQuery(subject_id=CANARY), ImageQuery(study_uid=f"1.{CANARY}.1"), ImageQuery(series_uid=f"1.{CANARY}.2"),
        ImageQuery(sop_instance_uids=(f"1.{CANARY}.3",)), ImageQuery(image_id=f"{CANARY}.nii"),
    ):  # fmt: skip
        index.images(query)
    for tag in (0x00100020, 0x00100010):
        key = make_key((tag,), "study", f"{CANARY}^value")
        assert key is not None
        search.search(Search("instance", "raw", (key,)))
    search.search(Search("instance", "raw", study_uids=(f"1.{CANARY}.1",), series_uids=(f"1.{CANARY}.2",)))
    index.get(f"{CANARY} as an id")
    DynamoDeliveries(table, KEY).create(new_delivery(), [batch[0].record.id], new_entry())
    DynamoJobLedger(table).create(new_job(), [[batch[0].record.id]])
    DynamoResults(table).put([Result("image", "job", "step", "findings", CANARY.encode(), new_moment())])


def test_no_key_has_a_value_in_it(table: Table, client: Any) -> None:
    keys: list[str] = []

    def told(params: dict[str, Any], **_: Any) -> None:
        body = json.loads(params["body"])
        keys.extend(_keys(body))
        keys.append(json.dumps(body.get("ExpressionAttributeValues", {}).get(":pk", "")))
        keys.append(json.dumps([body.get("ExpressionAttributeValues", {}).get(name, "") for name in (":low", ":high")]))

    client.meta.events.register("before-call.dynamodb", told)
    canaries(table, client)
    assert len(set(keys)) > 40
    assert not [each for each in keys if CANARY in each]


def test_keys_of_another_table_key_are_others(table: Table) -> None:
    other = Table(table.name, b"another key", client=table.client)
    assert table.hashed("a", "b") == table.hashed("a", "b")
    assert len({table.hashed("a", "b"), table.hashed("ab", ""), table.hashed("a"), other.hashed("a", "b")}) == 4


def test_an_id_that_is_none_of_ours_is_hashed(table: Table) -> None:
    assert table.named("0123abcd") == "0123abcd"
    for odd in ("", "a b", "x" * 65, "\u00e9", "a#b", "a/b"):
        assert table.named(odd).startswith("~")
        assert odd not in table.named(odd) or not odd
        assert len(table.named(odd)) == 41


def _keys(value: Any) -> list[str]:
    """Every pk and sk anywhere in a request."""
    if isinstance(value, dict):
        here = [json.dumps(each) for name, each in value.items() if name in ("pk", "sk")]
        return here + [key for each in value.values() for key in _keys(each)]
    return [key for each in value for key in _keys(each)] if isinstance(value, list) else []
