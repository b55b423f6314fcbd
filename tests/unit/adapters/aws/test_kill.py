"""A batch larger than a transaction may be cut off between two: what went in is whole, and the rest goes in later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.events import DynamoEventFeed
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.table import Put, Table
from isocenter.adapters.aws.text import expanded, squeezed
from isocenter.dicom.attribute_lines import model_of
from isocenter.errors import Conflict
from isocenter.records import Details, ImageQuery, NewImage, Search, State
from isocenter.testing.chain import assert_chained
from isocenter.testing.records import new_entry, new_image, new_uid
from isocenter.testing.threads import together

KEY = b"audit key"


class Mortal:
    """A client whose process is killed after so many transactions, before or after the next one is carried out."""

    def __init__(self, client: Any, transactions: int, *, after: bool) -> None:
        self._client, self._left, self._after = client, transactions, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **asked: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            if self._after:
                self._client.transact_write_items(**asked)
            raise KeyboardInterrupt
        return self._client.transact_write_items(**asked)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("transactions", [0, 1, 3])
def test_a_commit_cut_off_anywhere_is_whole_and_can_be_repeated(table: Table, transactions: int, after: bool) -> None:
    study = new_uid()
    batch = [(new_image(study=study), new_entry()) for _ in range(60)]
    cut = DynamoIndex(Table(table.name, KEY, client=Mortal(table.client, transactions, after=after)), KEY)
    with pytest.raises(KeyboardInterrupt):
        cut.commit(batch)
    index, search = DynamoIndex(table, KEY), DynamoSearchIndex(table)

    def held() -> int:
        there = index.images(ImageQuery(limit=100)).items
        assert [each.id for each in there] == [image.record.id for image, _ in batch[: len(there)]]
        assert DynamoEventFeed(table).last() == len(there)
        studies = search.search(Search("study", "raw"))
        assert sum(each.number_of_instances for each in studies.items) == len(there)
        assert search.search(Search("instance", "raw", limit=1)).total == len(there)
        return len(there)

    before = held()
    assert (before > 0) == (transactions + after > 0)
    assert before < 60
    assert len(assert_chained(DynamoAuditLog(table, KEY), KEY)) == before
    answers = index.commit(batch)
    assert [each.outcome.value for each in answers] == ["duplicate"] * before + ["stored"] * (60 - before)
    assert held() == 60
    assert len(assert_chained(DynamoAuditLog(table, KEY), KEY)) == before + 60


def test_a_deletion_cut_off_goes_on_where_it_was(table: Table) -> None:
    index, batch = DynamoIndex(table, KEY), [new_image() for _ in range(50)]
    index.commit([(new, new_entry()) for new in batch])
    ids = [new.record.id for new in batch]
    cut = DynamoIndex(Table(table.name, KEY, client=Mortal(table.client, 2, after=True)), KEY)
    with pytest.raises(KeyboardInterrupt):
        cut.transition(ids, State.DELETED, new_entry())
    left = [each.id for each in index.images(ImageQuery(limit=100)).items]
    assert 0 < len(left) < 50
    assert [each.id for each in index.transition(ids, State.DELETED, new_entry())] == left
    assert DynamoSearchIndex(table).search(Search("study", "raw")).total == 0
    assert_chained(DynamoAuditLog(table, KEY), KEY)


def test_a_restoring_of_many_that_meets_a_taken_identity_changes_nothing(table: Table) -> None:
    index, batch = DynamoIndex(table, KEY), [new_image() for _ in range(40)]
    index.commit([(new, new_entry()) for new in batch])
    ids = [new.record.id for new in batch]
    index.transition(ids, State.DELETED, new_entry())
    index.commit([(new_image(instance=batch[-1].record.sop_instance_uid), new_entry())])
    with pytest.raises(Conflict):
        index.transition(ids, State.CURRENT, new_entry())
    assert len(index.images(ImageQuery(states=(State.DELETED,))).items) == 40


def test_a_batch_of_many_with_a_taken_id_changes_nothing(table: Table) -> None:
    index, first = DynamoIndex(table, KEY), new_image()
    index.commit([(first, new_entry())])
    with pytest.raises(Conflict):
        index.commit([(new, new_entry()) for new in (*(new_image() for _ in range(40)), new_image(id=first.record.id))])
    assert len(index.images(ImageQuery()).items) == 1


@pytest.mark.parametrize("same_study", [True, False])
def test_processes_that_share_nothing_come_through_at_once(table: Table, same_study: bool) -> None:
    ways = [DynamoIndex(Table(table.name, KEY, client=table.client), KEY) for _ in range(8)]
    study = new_uid() if same_study else None

    def write(i: int) -> None:
        for number in range(5):  # batches of different sizes, whose numbers overlap without being the same
            ways[i].commit([(new_image(study=study), new_entry()) for _ in range(1 + (i + number) % 3)])

    together(write, range(8))
    written = sum(1 + (i + number) % 3 for i in range(8) for number in range(5))
    found = DynamoSearchIndex(table).search(Search("study", "raw"))
    assert found.total == (1 if same_study else written)
    assert sum(each.number_of_instances for each in found.items) == written
    assert len(assert_chained(DynamoAuditLog(table, KEY), KEY)) == written
    assert len(DynamoEventFeed(table).read(limit=1000)) == DynamoEventFeed(table).last() == written
    assert len(DynamoIndex(table, KEY).images(ImageQuery(limit=1000)).items) == written


def test_entries_of_processes_that_share_nothing_are_one_chain(table: Table) -> None:
    ways = [DynamoAuditLog(Table(table.name, KEY, client=table.client), KEY) for _ in range(8)]

    def write(i: int) -> None:
        for number in range(6):
            ways[i].append([new_entry() for _ in range(1 + (i + number) % 4)])

    together(write, range(8))
    written = sum(1 + (i + n) % 4 for i in range(8) for n in range(6))
    assert len(assert_chained(ways[0], KEY)) == written


def test_who_was_overtaken_reads_again_and_leaves_nothing_behind(table: Table) -> None:
    first, late = (large_image(instance="1.2.3") for _ in range(2))
    overtaking = [(first, new_entry())]

    class Overtaken:
        """A client before whose first transaction another's takes place."""

        def __getattr__(self, name: str) -> Any:
            return getattr(table.client, name)

        def transact_write_items(self, **asked: Any) -> Any:
            if overtaking:
                DynamoIndex(table, KEY).commit([overtaking.pop()])
            return table.client.transact_write_items(**asked)

    (answer,) = DynamoIndex(Table(table.name, KEY, client=Overtaken()), KEY).commit([(late, new_entry())])
    assert (answer.outcome.value, answer.record) == ("duplicate", first.record)
    found = table.client.scan(TableName=table.name, ProjectionExpression="pk")["Items"]
    assert len([item for item in found if item["pk"]["S"].startswith("PART#")]) == 2
    assert DynamoIndex(table, KEY).details([first.record.id]) == {first.record.id: first.details}


def test_what_was_read_too_early_is_not_written_back(table: Table) -> None:
    """Of two transactions one may see the head of the other before all that it wrote."""
    new = new_image()
    DynamoIndex(table, KEY).commit([(new, new_entry())])
    at = keys.member(table, new.record, 1)
    assert at is not None
    item = table.get(at)
    assert item is not None
    values, _ = expanded(item["dat"])
    later = [Put({**item, "rev": item["rev"] + 1, "dat": squeezed([values, '{"00280010":{"vr":"US","Value":[7]}}'])})]

    class Early:
        """A client whose first transaction comes when what it read has become old."""

        def __getattr__(self, name: str) -> Any:
            return getattr(table.client, name)

        def transact_write_items(self, **asked: Any) -> Any:
            if later:
                table.write(later.pop())
            return table.client.transact_write_items(**asked)

    DynamoIndex(Table(table.name, KEY, client=Early()), KEY).transition([new.record.id], State.DELETED, new_entry())
    DynamoIndex(table, KEY).transition([new.record.id], State.CURRENT, new_entry())
    (found,) = DynamoSearchIndex(table).search(Search("instance", "raw")).items
    assert model_of(found.attributes)["00280010"]["Value"] == [7]


def large_image(**changes: Any) -> NewImage:
    return replace(new_image(**changes), details=Details(bytes(400_000)))
