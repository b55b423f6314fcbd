"""The head and the logs: what is altered stays seen, and nobody reads past a gap."""

from __future__ import annotations

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.events import DynamoEventFeed
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.table import Put, Table
from isocenter.records import Event
from isocenter.testing.chain import all_entries, broken_at
from isocenter.testing.records import new_entry, new_image, new_moment

KEY = b"audit key"


def test_what_is_appended_to_an_altered_head_does_not_make_it_whole(table: Table) -> None:
    audit = DynamoAuditLog(table, KEY)
    for _ in range(3):
        audit.append([new_entry()])
    head = table.get(keys.HEAD)
    assert head is not None
    cut = all_entries(audit)[1]
    table.write(Put({**head, "aud": cut.sequence, "dig": cut.digest}))
    table.client.delete_item(
        TableName=table.name, Key={"pk": {"S": keys.block("AUDIT", 3)}, "sk": {"S": keys.padded(3)}}
    )
    audit.append([new_entry()])
    assert broken_at(all_entries(audit), audit.head(), KEY) is not None


def test_an_event_appended_alone_leaves_the_seal_as_it_was(table: Table) -> None:
    index, audit, feed = DynamoIndex(table, KEY), DynamoAuditLog(table, KEY), DynamoEventFeed(table)
    new = new_image()
    index.commit([(new, new_entry())])
    assert feed.append(Event("study.complete", "raw", new.record.id, new_moment()))
    index.commit([(new_image(), new_entry())])
    assert broken_at(all_entries(audit), audit.head(), KEY) is None
    assert [each.sequence for each in feed.read()] == [1, 2, 3]


def test_a_reader_stops_before_what_cannot_be_seen_yet(table: Table) -> None:
    index, feed = DynamoIndex(table, KEY), DynamoEventFeed(table)
    for _ in range(4):
        index.commit([(new_image(), new_entry())])
    at = (keys.block("EVENTS", 3), keys.padded(3))
    hidden = table.get(at)
    assert hidden is not None
    table.client.delete_item(TableName=table.name, Key={"pk": {"S": at[0]}, "sk": {"S": at[1]}})
    assert [each.sequence for each in feed.read()] == [1, 2]
    assert list(feed.read(2)) == []
    table.write(Put(hidden))
    assert [each.sequence for each in feed.read(1)] == [2, 3, 4]


def test_logs_go_on_from_block_to_block(table: Table) -> None:
    audit = DynamoAuditLog(table, KEY)
    number = keys.BLOCK - 3
    audit.append([new_entry()])
    head = table.get(keys.HEAD)
    assert head is not None
    # As if so many had been there before.
    DynamoIndex(table, KEY).commit([(new_image(), new_entry())])
    head = table.get(keys.HEAD)
    assert head is not None
    table.write(Put({**head, "evt": number, "pos": number}))
    index = DynamoIndex(table, KEY)
    batch = [new_image() for _ in range(8)]
    index.commit([(new, new_entry()) for new in batch[:5]])
    index.commit([(new, new_entry()) for new in batch[5:]])
    feed = DynamoEventFeed(table)
    assert [each.image for each in feed.read(number)] == [new.record.id for new in batch]
    assert [each.sequence for each in feed.read(number + 4, 3)] == [number + 5, number + 6, number + 7]
