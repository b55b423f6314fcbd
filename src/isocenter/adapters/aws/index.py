"""The index port on DynamoDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.commit import Committing, leave, restate
from isocenter.adapters.aws.cursor import cursor, position
from isocenter.adapters.aws.errors import ConditionFailed
from isocenter.adapters.aws.head import Head, Journal, TooLarge
from isocenter.adapters.aws.levels import Levels, parted
from isocenter.adapters.aws.reading import RECORD, arrivals, found, parts
from isocenter.adapters.aws.rows import cleaned_query, record_in
from isocenter.adapters.aws.table import ABSENT, MOST_ACTIONS, Condition, Delete, Item, Key, Table
from isocenter.adapters.aws.text import clean, expanded, squeezed
from isocenter.errors import Conflict, LimitExceeded
from isocenter.records import (
    AuditEntry,
    Committed,
    Details,
    Event,
    ImageQuery,
    ImageRecord,
    NewImage,
    Page,
    State,
)

_LEAVES = {State.DELETED: State.CURRENT, State.CURRENT: State.DELETED}
_EVENTS = {State.DELETED: "image.deleted", State.CURRENT: "image.restored"}
_AT_ONCE = 14
_ROOM = 16  # actions that one more image takes, and what `save` adds
# What one image's change puts: it says whether it was one.
_Change = Callable[[Head, Levels, Item, ImageRecord], ImageRecord | None]


class DynamoIndex:
    """The index on DynamoDB; `audit_key` is the HMAC key of the audit chain."""

    def __init__(self, table: Table, audit_key: bytes) -> None:
        self._table = table
        self._journal = Journal(table, audit_key)
        self._commit = Committing(self._journal)

    def commit(self, new: Sequence[tuple[NewImage, AuditEntry]], *, keep_versions: bool = False) -> Sequence[Committed]:
        return self._commit(new, keep_versions)

    def get(self, id: str) -> ImageRecord | None:
        item = self._table.get(keys.image(self._table, clean(id)), only=RECORD)
        return None if item is None else record_in(item["rec"])

    def images(self, query: ImageQuery) -> Page[ImageRecord]:
        after = 0 if query.after is None else position("images", query.after)
        if query.limit < 1:
            return Page(())
        placed = list(islice(found(self._table, cleaned_query(query), after), query.limit + 1))
        page = placed[: query.limit]
        following = cursor("images", page[-1][0]) if len(placed) > query.limit else None
        return Page(tuple(record for _, record in page), following)

    def details(self, ids: Sequence[str]) -> Mapping[str, Details]:
        wanted = {id: keys.image(self._table, clean(id)) for id in ids}
        there = self._table.get_all(wanted.values(), only="dat, part, parts")
        kept = {key: parted(self._table.unpacked(item)) for key, item in there.items()}
        return {id: Details(*kept[key]) for id, key in wanted.items() if key in kept}

    def transition(self, ids: Sequence[str], to: State, entry: AuditEntry) -> Sequence[ImageRecord]:
        if to not in _LEAVES:
            raise ValueError(f"images are deleted or restored, not made {to.value}")
        if to is State.CURRENT and len(ids) > 1:
            self._check_free(ids)

        def change(head: Head, levels: Levels, item: Item, record: ImageRecord) -> ImageRecord | None:
            if record.state is not _LEAVES[to]:
                return None
            changed = replace(record, state=to, changed=entry.at)
            restate(head, changed, item)
            if to is State.DELETED:
                head.delete(keys.identity(self._table, record), Condition("id = :was", {":was": record.id}))
                leave(head, levels, changed, item["pos"])
            else:
                self._restore(head, levels, changed, item["pos"])
            return changed

        return self._changed(ids, change, _EVENTS[to], entry)

    def purge(self, ids: Sequence[str], entry: AuditEntry) -> Sequence[ImageRecord]:
        over: list[Key] = []

        def change(head: Head, levels: Levels, item: Item, record: ImageRecord) -> ImageRecord | None:
            if record.state is State.CURRENT:
                return None
            self._forget(head, levels, item, record)
            over.extend(self._table.part_keys(item))
            return record

        gone = self._changed(ids, change, "image.purged", entry)
        self._table.write_all([Delete(key) for key in dict.fromkeys(over)])
        return gone

    def blob_keys(self) -> Iterator[str]:
        for part in parts(arrivals(self._table, 0), 100):
            there = self._table.get_all((keys.image(self._table, id) for _, id, _, _ in part), only=RECORD)
            for item in there.values():
                yield record_in(item["rec"]).blob.key

    def _changed(self, ids: Sequence[str], change: _Change, event: str, entry: AuditEntry) -> list[ImageRecord]:
        """Those of the images that `change` changed, as many in one transaction as it takes."""
        rest = list(dict.fromkeys(ids))
        changed: list[ImageRecord] = []
        most = _AT_ONCE
        while rest:
            some = rest[:most]

            def work(head: Head, some: Sequence[str] = some) -> tuple[int, list[ImageRecord]]:
                return self._change_some(head, some, change, event, entry)

            try:
                passed, told = self._journal.change(
                    work, [keys.image(self._table, id) for id in some if id == clean(id)]
                )
            except TooLarge:
                if most == 1:
                    raise LimitExceeded("What is told of one image is larger than a transaction takes.") from None
                most = max(1, len(some) // 2)
                continue
            changed += told
            rest = rest[passed:]
        return changed

    def _change_some(
        self, head: Head, ids: Sequence[str], change: _Change, event: str, entry: AuditEntry
    ) -> tuple[int, list[ImageRecord]]:
        """How many of the first ids one transaction had room for, and what changed."""
        there = {id: head.at(keys.image(self._table, id)) for id in ids if id == clean(id)}
        items = {id: item for id, item in there.items() if item is not None}
        records = {id: record_in(item["rec"]) for id, item in items.items()}
        levels = Levels(head)
        self._prepare(head, levels, items, records)
        told: list[ImageRecord] = []
        for number, id in enumerate(ids):
            if number and head.actions + levels.owed + _ROOM > MOST_ACTIONS:
                return number, told
            if id not in items:
                continue
            changed = change(head, levels, items[id], records[id])
            if changed is not None:
                told.append(changed)
                head.tell(Event(event, changed.store, changed.id, entry.at))
                head.note(replace(entry, store=changed.store, image=changed.id))
        return len(ids), told

    def _prepare(
        self, head: Head, levels: Levels, items: Mapping[str, Item], records: Mapping[str, ImageRecord]
    ) -> None:
        """Read what the changes will need in few requests."""
        wanted: list[Key] = []
        for id, record in records.items():
            member = keys.member(self._table, record, items[id]["pos"])
            wanted += [_arrival(items[id])] if member is None else [_arrival(items[id]), member]
            wanted += [keys.identity(self._table, record)] if record.state is State.DELETED else []
        head.read(wanted)
        levels.prepare(records.values())

    def _check_free(self, ids: Sequence[str]) -> None:
        """Raise Conflict, before anything is changed, where an identity to be restored is taken, or twice the same."""
        there = self._table.get_all((keys.image(self._table, id) for id in ids if id == clean(id)), only=RECORD)
        records = [record_in(item["rec"]) for item in there.values()]
        wanted = [keys.identity(self._table, record) for record in records if record.state is State.DELETED]
        if len(set(wanted)) < len(wanted) or self._table.get_all(wanted):
            raise _taken()

    def _restore(self, head: Head, levels: Levels, record: ImageRecord, place: int) -> None:
        identity = keys.identity(self._table, record)
        if head.at(identity) is not None:
            raise _taken()
        head.put({"pk": identity[0], "sk": identity[1], "id": record.id, "sha": record.blob.sha256}, ABSENT)
        self._no_longer_gone(head, record, place)
        levels.returned(record, place)

    def _forget(self, head: Head, levels: Levels, item: Item, record: ImageRecord) -> None:
        head.remove((item["pk"], item["sk"]))
        member = keys.member(self._table, record, item["pos"])
        if member is not None:
            head.remove(member)
        subject, image = record.subject_id, record.image_id
        for pk in (keys.subject(self._table, subject), keys.image_of(self._table, subject, image)):
            head.delete((pk, keys.padded(item["pos"])))
        self._no_longer_gone(head, record, item["pos"])
        arrival = head.at(_arrival(item))
        if arrival is None:
            raise ConditionFailed
        left = [each for each in expanded(arrival["dat"]) if each[0] != item["pos"]]
        if left:
            head.revise({**arrival, "dat": squeezed(left)})
        else:
            head.remove(_arrival(item))
        levels.forgotten(record)

    def _no_longer_gone(self, head: Head, record: ImageRecord, place: int) -> None:
        head.delete((keys.GONE, keys.padded(place)))
        head.delete((keys.past(keys.identity(self._table, record)), keys.padded(place)))


def _arrival(item: Item) -> Key:
    return keys.block("ARRIVAL", item["arr"]), keys.padded(item["arr"])


def _taken() -> Conflict:
    return Conflict("Another current image has the identity of one to be restored.", code="identity-taken")
