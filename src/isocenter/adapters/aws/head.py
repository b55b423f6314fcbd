"""The head: one item that numbers images, events and audit entries, and with which every change agrees."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.errors import ConditionFailed
from isocenter.adapters.aws.rows import entry_values, event_values
from isocenter.adapters.aws.table import (
    ABSENT,
    MOST_ACTIONS,
    MOST_TRANSACTED,
    Action,
    Condition,
    Delete,
    Item,
    Key,
    Put,
    Table,
    Update,
    unchanged,
)
from isocenter.adapters.aws.text import clean, clean_or_none, squeezed
from isocenter.adapters.aws.wire import size_of
from isocenter.errors import BackendUnavailable
from isocenter.records import AuditEntry, AuditHead, Event

T = TypeVar("T")
ALTERED = "altered"  # stands for a digest that no entry can have, so that verification stops there for good
_TOGETHER = 500  # events or entries in one item
_LARGEST_LOG = 300_000  # bytes of them


class TooLarge(Exception):
    """More than one transaction takes: do less at once."""


class Journal:
    """Makes changes to what the archive knows, one after the other.

    `audit_key` is the HMAC key of the chain; who notes nothing needs none.
    """

    def __init__(self, table: Table, audit_key: bytes | None = None) -> None:
        self.table = table
        self.key = audit_key

    def change(self, work: Callable[[Head], T], first: Iterable[Key] = ()) -> T:
        """What `work` returns, once all that it put is written in one transaction; nothing is where it put nothing.

        `first` are items read together with the head. When somebody else changes the archive meanwhile, all is read
        again and `work` called anew.
        """
        wanted = [keys.HEAD, *first]
        deadline, pause = time.monotonic() + self.table.patience, 0.005
        if not self.table.turn.acquire(timeout=self.table.patience):
            raise BackendUnavailable("The table is being changed by another thread.", code="table-contended")
        try:
            while True:
                with suppress(ConditionFailed):
                    head = Head(self, wanted)
                    result = work(head)
                    head.save()
                    return result
                pause = self.table.wait(deadline, pause)
        finally:
            self.table.turn.release()


class Head:
    """What one transaction reads and puts; nothing is written before `save`."""

    def __init__(self, journal: Journal, first: Sequence[Key]) -> None:
        self.table = journal.table
        self._key = journal.key
        self._known: dict[Key, Item | None] = {}
        self._puts: dict[Key, Action] = {}
        self._adds: dict[Key, dict[str, int]] = {}
        self._before_save: list[Callable[[], None]] = []
        self._events: list[Event] = []
        self._entries: list[AuditEntry] = []
        self.read(first)
        found = self._known[keys.HEAD]
        self._found = found
        self.stores: list[str] = [] if found is None else orjson.loads(found["sts"])
        self.position: int = 0 if found is None else found["pos"]
        self._event: int = 0 if found is None else found["evt"]
        self._audit: int = 0 if found is None else found["aud"]
        self._digest: str = "" if found is None else found["dig"]
        self._seal: str = "" if found is None else found["sea"]
        self._began = (self.position, self._event, self._audit)

    def _is_sealed(self) -> bool:
        """Whether the head is the one we left. What is appended to an altered one must not make it whole again."""
        if self._audit == 0:
            return self._digest == ""
        return hmac.compare_digest(self._sealed(), self._seal)

    def _sealed(self) -> str:
        assert self._key is not None
        return AuditHead.sealed(self._key, self._audit, self._digest).seal

    def read(self, wanted: Iterable[Key]) -> None:
        """Read these items at once, those that are not known yet."""
        missing = [key for key in dict.fromkeys(wanted) if key not in self._known]
        if missing:
            found = self.table.get_all(missing)
            self._known.update({key: found.get(key) for key in missing})

    def at(self, key: Key) -> Item | None:
        """An item as it will be after what was put so far."""
        if key not in self._known:
            self.read([key])
        return self._known[key]

    def pending(self, partition: str) -> list[Item]:
        """The items of a partition that were put so far."""
        return [action.item for key, action in self._puts.items() if key[0] == partition and isinstance(action, Put)]

    def put(self, item: Item, condition: Condition | None = None) -> None:
        key = (item["pk"], item["sk"])
        there = self._puts.get(key)
        self._puts[key] = Put(item, condition if there is None else there.condition)
        self._known[key] = item

    def revise(self, item: Item) -> None:
        """Put an item that was read before, or is new, on condition that nobody changed it meanwhile."""
        before = self.at((item["pk"], item["sk"]))
        made = {**item, "rev": 1 if before is None else before["rev"] + 1}
        self.put(made, ABSENT if before is None else unchanged(before))

    def update(self, key: Key, **values: Any) -> None:
        """Set some attributes of an item that was read before, on condition that nobody changed it meanwhile."""
        before = self.at(key)
        assert before is not None
        there = self._puts.get(key)
        if isinstance(there, Put):
            self.put({**there.item, **values})
            return
        known = {**before, **values, "rev": before["rev"] + (there is None)}
        told = {**(there.values if isinstance(there, Update) else {}), **{f":n_{n}": v for n, v in values.items()}}
        told[":n_rev"] = known["rev"]
        setting = ", ".join(f"{name[3:]} = {name}" for name in told)
        condition = unchanged(before) if there is None else there.condition
        self._puts[key] = Update(key, f"SET {setting}", told, condition)
        self._known[key] = known

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        there = self._puts.get(key)
        self._puts[key] = Delete(key, condition if there is None else there.condition)
        self._known[key] = None

    def remove(self, key: Key) -> None:
        """Delete an item that was read before, on condition that nobody changed it meanwhile."""
        before = self.at(key)
        if before is not None:
            self.delete(key, unchanged(before))

    def add(self, key: Key, **numbers: int) -> None:
        """Add to numbers that no transaction reads."""
        sums = self._adds.setdefault(key, {})
        for name, number in numbers.items():
            sums[name] = sums.get(name, 0) + number

    def before_save(self, finish: Callable[[], None]) -> None:
        """Have `finish` put what is left to put, when all else was."""
        if finish not in self._before_save:
            self._before_save.append(finish)

    def tell(self, event: Event) -> None:
        self._event += 1
        self._events.append(replace(event, sequence=self._event))

    def note(self, entry: AuditEntry) -> None:
        """Chain an entry; its text is cleaned first so that the digest is over what is kept."""
        assert self._key is not None
        if not self._entries and not self._is_sealed():
            self._digest = ALTERED
        self._audit += 1
        kept = _cleaned(entry).chained(self._key, self._digest, self._audit)
        self._digest = kept.digest
        self._entries.append(kept)

    @property
    def noted(self) -> int:
        """The number of the last entry noted."""
        return self._audit

    @property
    def actions(self) -> int:
        """About how many actions the transaction has so far."""
        logs = -(-len(self._events) // _TOGETHER) - (-len(self._entries) // _TOGETHER)
        return len(self._puts) + len(self._adds) + logs + 1

    @property
    def bytes(self) -> int:
        """About how many bytes it has so far."""
        return sum(size_of(each.item) for each in self._puts.values() if isinstance(each, Put))

    def save(self) -> None:
        """Write what was put, told and noted, with the numbers reached; raises TooLarge, and writes nothing then."""
        for finish in self._before_save:
            finish()
        if not self._puts and (self.position, self._event, self._audit) == self._began:
            return
        self._log("EVENTS", [event_values(each) for each in self._events])
        self._log("AUDIT", [entry_values(each) for each in self._entries])
        found = self._found
        seal = self._sealed() if self._entries else self._seal
        self.put(
            {
                "pk": keys.HEAD[0], "sk": keys.HEAD[1], "rev": 1 if found is None else found["rev"] + 1,
                "pos": self.position, "evt": self._event, "aud": self._audit, "dig": self._digest, "sea": seal,
                "sts": orjson.dumps(self.stores).decode(),
            },
            ABSENT if found is None else unchanged(found),
        )  # fmt: skip
        actions = [*self._puts.values(), *(_added(key, numbers) for key, numbers in self._adds.items())]
        if len(actions) > MOST_ACTIONS or self.bytes > MOST_TRANSACTED:
            raise TooLarge
        self.table.transact(actions)

    def _log(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        data = squeezed(rows) if len(rows) <= _TOGETHER else None
        if data is None or (len(data) > _LARGEST_LOG and len(rows) > 1):
            middle = len(rows) // 2
            self._log(name, rows[:middle])
            self._log(name, rows[middle:])
            return
        last = rows[-1][0]
        self.put({"pk": keys.block(name, last), "sk": keys.padded(last), "dat": data}, ABSENT)


def _added(key: Key, numbers: Mapping[str, int]) -> Update:
    adding = ", ".join(f"{name} :{name}" for name in numbers)
    return Update(key, f"ADD {adding}", {f":{name}": number for name, number in numbers.items()})


def _cleaned(entry: AuditEntry) -> AuditEntry:
    return replace(
        entry,
        actor=clean(entry.actor),
        action=clean(entry.action),
        outcome=clean(entry.outcome),
        store=clean_or_none(entry.store),
        image=clean_or_none(entry.image),
        request_id=clean_or_none(entry.request_id),
        address=clean_or_none(entry.address),
    )
