"""The webhooks port on DynamoDB."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.errors import ConditionFailed
from isocenter.adapters.aws.head import Head, Journal
from isocenter.adapters.aws.reading import parts
from isocenter.adapters.aws.rows import from_micros, moment_or_none, to_micros
from isocenter.adapters.aws.table import Action, Condition, Delete, Item, Put, Table, Update
from isocenter.adapters.aws.text import clean, expanded, squeezed
from isocenter.errors import NotFound
from isocenter.ports.webhooks import Letter, Standing, Subscription
from isocenter.records import AuditEntry

_DUE, _DEAD = "DUE#", "DEAD#"
_AT_ONCE = 40  # dead letters of one transaction, which takes two actions for each


class DynamoWebhooks:
    """Subscriptions, each with its letters in a partition; claims run out by the clocks of those who claim."""

    def __init__(self, table: Table, audit_key: bytes) -> None:
        self._table = table
        self._journal = Journal(table, audit_key)

    def add(self, subscription: Subscription, cursor: int, entry: AuditEntry) -> None:
        at = keys.webhook(self._table, subscription.id)

        def add(head: Head) -> None:
            if head.at(at) is not None:
                return
            head.note(entry)
            told = {"dat": squeezed(_values(subscription)), "cur": cursor, "num": head.noted, "til": 0, "own": ""}
            head.revise({"pk": at[0], "sk": at[1], **told})
            head.put({"pk": keys.WEBHOOKS, "sk": keys.padded(head.noted), "id": subscription.id})

        self._journal.change(add, [at])

    def remove(self, id: str, entry: AuditEntry) -> None:
        at = keys.webhook(self._table, clean(id))

        def remove(head: Head) -> None:
            item = head.at(at)
            if item is None:
                raise _unknown()
            head.remove(at)
            head.delete((keys.WEBHOOKS, keys.padded(item["num"])))
            head.note(entry)

        self._journal.change(remove, [at])
        self._table.write_all([Delete((each["pk"], each["sk"])) for each in self._table.query(at[0], only="rev")])

    def all(self) -> Sequence[Standing]:
        found: list[Standing] = []
        for some in parts(self._table.query(keys.WEBHOOKS), 100):
            wanted = [keys.webhook(self._table, each["id"]) for each in some]
            there = self._table.get_all(wanted)
            found += [self._standing(there[key]) for key in wanted if key in there]
        return found

    def claim(self, id: str, owner: str, seconds: float) -> int | None:
        at, moment = keys.webhook(self._table, clean(id)), _now()
        free = Condition("attribute_exists(pk) AND (own = :own OR til <= :now)", {":now": moment})
        told = {":own": owner, ":til": moment + int(seconds * 1_000_000)}
        try:
            self._table.write(Update(at, "SET own = :own, til = :til", told, free))
        except ConditionFailed:
            return None
        item = self._table.get(at)  # nobody else moves the cursor now
        return None if item is None else int(item["cur"])

    def record(
        self,
        id: str,
        owner: str,
        seconds: float,
        *,
        cursor: int | None = None,
        letter: Letter | None = None,
        delivered: int | None = None,
    ) -> bool:
        at = keys.webhook(self._table, clean(id))
        item = self._table.get(at)
        if item is None or item["own"] != owner:
            return False
        told = {":til": _now() + int(seconds * 1_000_000), ":cur": max(item["cur"], cursor or 0)}
        held = Condition("own = :own", {":own": owner})
        actions: list[Action] = [Update(at, "SET til = :til, cur = :cur", told, held)]
        gone = set() if delivered is None else {(at[0], f"{kind}{keys.padded(delivered)}") for kind in (_DUE, _DEAD)}
        if letter is not None:
            kept = _item(at[0], letter)
            actions.append(Put(kept))
            gone |= {(at[0], f"{kind}{keys.padded(letter.sequence)}") for kind in (_DUE, _DEAD)}
            gone -= {(kept["pk"], kept["sk"])}
        try:
            self._table.transact([*actions, *map(Delete, sorted(gone))])
        except ConditionFailed:
            return False
        return True

    def due(self, id: str, before: datetime, limit: int = 100) -> Sequence[Letter]:
        waiting = [each for each in self._letters(id, _DUE) if each.due is not None and each.due < before]
        return sorted(waiting, key=lambda each: (each.due, each.sequence))[: max(0, limit)]

    def dead(self, id: str, *, after: int = 0, limit: int = 100) -> Sequence[Letter]:
        return list(islice(self._letters(id, _DEAD, after), max(0, limit)))

    def redrive(self, id: str, entry: AuditEntry) -> int:
        at = keys.webhook(self._table, clean(id))
        dead = [each.sequence for each in self._letters(id, _DEAD)]

        def redrive(some: Sequence[int], *, first: bool) -> None:
            def again(head: Head) -> None:
                if head.at(at) is None:
                    raise _unknown()
                for sequence in some:
                    self._again(head, at[0], sequence, entry.at)
                if first and some:
                    head.note(replace(entry, count=len(dead)))

            self._journal.change(again, [at])

        for number, some in enumerate(list(parts(dead, _AT_ONCE)) or [[]]):
            redrive(some, first=number == 0)
        return len(dead)

    def _again(self, head: Head, partition: str, sequence: int, moment: datetime) -> None:
        there = head.at((partition, f"{_DEAD}{keys.padded(sequence)}"))
        if there is not None:
            letter = _letter(there)
            head.delete((there["pk"], there["sk"]))
            head.put(_item(partition, Letter(letter.sequence, 0, letter.code, letter.at, moment)))

    def _standing(self, item: Item) -> Standing:
        subscription = _subscription(item)
        due = [each.due for each in self._letters(subscription.id, _DUE) if each.due is not None]
        dead = sum(1 for _ in self._table.query(item["pk"], begins=_DEAD, only="rev"))
        return Standing(subscription, item["cur"], len(due), dead, min(due) if due else None)

    def _letters(self, id: str, kind: str, after: int = -1) -> Iterator[Letter]:
        partition = keys.webhook(self._table, clean(id))[0]
        low = f"{kind}{keys.padded(max(after, -1) + 1)}"
        return map(_letter, self._table.query(partition, begins=kind, low=low))


def _now() -> int:
    return time.time_ns() // 1000


def _unknown() -> NotFound:
    return NotFound("no webhook has this id")


def _item(partition: str, letter: Letter) -> Item:
    due = None if letter.due is None else to_micros(letter.due)
    told = squeezed([letter.sequence, letter.attempts, letter.code, to_micros(letter.at), due])
    kind = _DEAD if letter.due is None else _DUE
    return {"pk": partition, "sk": f"{kind}{keys.padded(letter.sequence)}", "dat": told}


def _letter(item: Item) -> Letter:
    sequence, attempts, code, at, due = expanded(item["dat"])
    return Letter(sequence, attempts, code, from_micros(at), moment_or_none(due))


def _values(subscription: Subscription) -> list[Any]:
    return [
        subscription.id, subscription.url, sorted(subscription.events), to_micros(subscription.created),
        subscription.store, subscription.actor,
    ]  # fmt: skip


def _subscription(item: Item) -> Subscription:
    id, url, events, created, store, actor = expanded(item["dat"])
    return Subscription(id, url, frozenset(events), from_micros(created), store, actor)
