"""The deliveries port on DynamoDB."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.cursor import cursor, position
from isocenter.adapters.aws.head import Head, Journal
from isocenter.adapters.aws.reading import parts
from isocenter.adapters.aws.rows import from_micros, to_micros
from isocenter.adapters.aws.table import Delete, Item, Table, unchanged
from isocenter.adapters.aws.text import clean, expanded, squeezed
from isocenter.errors import NotFound
from isocenter.records import AuditEntry, Delivery, Page

_NAMES = tuple(field.name for field in fields(Delivery))
_MOMENTS = ("created", "expires", "revoked")
_FORGOTTEN = timedelta(days=90)  # after expiry, where nobody swept


class DynamoDeliveries:
    """Deliveries, each change with its audit entry; they are listed by the number of the entry that they came with."""

    def __init__(self, table: Table, audit_key: bytes) -> None:
        self._table = table
        self._journal = Journal(table, audit_key)

    def create(self, delivery: Delivery, images: Sequence[str], entry: AuditEntry) -> Delivery:
        at = keys.delivery(self._table, delivery.id)
        known = self._table.get(at)
        if known is not None:
            return _delivery(known)
        listed = self._table.packed(squeezed(list(images)))
        forget = int((delivery.expires + _FORGOTTEN).timestamp())

        def create(head: Head) -> Delivery:
            there = head.at(at)
            if there is not None:
                return _delivery(there)
            head.note(entry)
            item = {"pk": at[0], "sk": at[1], "del": squeezed(_values(delivery)), "num": head.noted, "ttl": forget}
            head.revise({**item, **listed})
            place = keys.padded(head.noted)
            told = {"pk": keys.DELIVERIES, "sk": place, "id": delivery.id, "exp": to_micros(delivery.expires)}
            head.put({**told, "ttl": forget})
            return delivery

        made = self._journal.change(create, [at])
        if made is not delivery:
            self._table.write_all([Delete(key) for key in self._table.part_keys(listed)])
        return made

    def get(self, id: str) -> Delivery | None:
        item = self._table.get(keys.delivery(self._table, clean(id)), only="del")
        return None if item is None else _delivery(item)

    def holds(self, id: str, image: str) -> bool:
        return clean(image) in self._images(id)

    def images(self, id: str, *, after: int = 0, limit: int = 1000) -> Sequence[str]:
        return self._images(id)[max(0, after) :][: max(0, limit)]

    def page(
        self, *, stores: Collection[str] | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Delivery]:
        before = None if after is None else position("deliveries", after)
        if limit < 1:
            return Page(())
        high = None if before is None else keys.padded(before - 1)
        listed = self._table.query(keys.DELIVERIES, high=high, descending=True, page=min(limit + 1, 1000))
        wanted = (each for each in self._read(listed) if stores is None or each[1].store in stores)
        found = list(islice(wanted, limit + 1))
        following = cursor("deliveries", found[limit - 1][0]) if len(found) > limit else None
        return Page(tuple(each for _, each in found[:limit]), following)

    def revoke(self, id: str, entry: AuditEntry) -> Delivery:
        at = keys.delivery(self._table, clean(id))

        def revoke(head: Head) -> Delivery:
            there = head.at(at)
            if there is None:
                raise NotFound("no delivery has this id")
            known = _delivery(there)
            if known.revoked is None:
                known = replace(known, revoked=entry.at)
                head.revise({**there, "del": squeezed(_values(known))})
                head.note(entry)
            return known

        return self._journal.change(revoke, [at])

    def sweep(self, before: datetime) -> int:
        moment, swept = to_micros(before), 0
        for listed in list(self._table.query(keys.DELIVERIES)):
            if listed["exp"] < moment:
                swept += self._table.retried(partial(self._forget, listed))
        return swept

    def _forget(self, listed: Item) -> int:
        """Forget one; 0 where somebody else did."""
        item = self._table.get(keys.delivery(self._table, listed["id"]))
        pointer = Delete((keys.DELIVERIES, listed["sk"]))
        if item is None:
            self._table.write(pointer)
            return 0
        self._table.transact([Delete((item["pk"], item["sk"]), unchanged(item)), pointer])
        self._table.write_all([Delete(key) for key in self._table.part_keys(item)])
        return 1

    def _images(self, id: str) -> list[str]:
        item = self._table.get(keys.delivery(self._table, clean(id)), only="dat, part, parts")
        found: list[str] = [] if item is None else expanded(self._table.unpacked(item))
        return found

    def _read(self, listed: Iterator[Item]) -> Iterator[tuple[int, Delivery]]:
        for some in parts(listed, 100):
            wanted = {each["sk"]: keys.delivery(self._table, each["id"]) for each in some}
            there = self._table.get_all(wanted.values(), only="del")
            yield from ((int(place), _delivery(there[key])) for place, key in wanted.items() if key in there)


def _values(delivery: Delivery) -> list[Any]:
    values = {name: getattr(delivery, name) for name in _NAMES}
    return [_micros(value) if name in _MOMENTS else value for name, value in values.items()]


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _delivery(item: Item) -> Delivery:
    values = dict(zip(_NAMES, expanded(item["del"]), strict=True))
    for name in _MOMENTS:
        values[name] = None if values[name] is None else from_micros(values[name])
    return Delivery(**values)
