"""The API keys port on DynamoDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.head import Head, Journal
from isocenter.adapters.aws.rows import from_micros, micros_or_none, moment_or_none, to_micros
from isocenter.adapters.aws.table import Item, Key, Table
from isocenter.adapters.aws.text import clean, expanded, squeezed
from isocenter.errors import Conflict, NotFound
from isocenter.records import ApiKey, AuditEntry


class DynamoApiKeys:
    """API keys in one partition, each change with its audit entry."""

    def __init__(self, table: Table, audit_key: bytes) -> None:
        self._table = table
        self._journal = Journal(table, audit_key)

    def add(self, key: ApiKey, entry: AuditEntry) -> None:
        kept, at = replace(key, label=clean(key.label)), self._at(key.id)

        def add(head: Head) -> None:
            there = head.at(at)
            if there is None:
                head.revise({"pk": at[0], "sk": at[1], "dat": squeezed(_values(kept))})
                head.note(entry)
            elif _key(there) != kept:
                raise Conflict("Another API key has this id already.", code="id-taken")

        self._journal.change(add, [at])

    def get(self, id: str) -> ApiKey | None:
        item = self._table.get(self._at(clean(id)))
        return None if item is None else _key(item)

    def revoke(self, id: str, entry: AuditEntry) -> ApiKey:
        at = self._at(clean(id))

        def revoke(head: Head) -> ApiKey:
            there = head.at(at)
            if there is None:
                raise NotFound("No API key has this id.")
            key = _key(there)
            if key.revoked is None:
                key = replace(key, revoked=entry.at)
                head.revise({**there, "dat": squeezed(_values(key))})
                head.note(entry)
            return key

        return self._journal.change(revoke, [at])

    def all(self) -> Sequence[ApiKey]:
        found = map(_key, self._table.query(keys.API_KEYS))
        return sorted(found, key=lambda key: (key.created, key.id))

    def _at(self, id: str) -> Key:
        return keys.API_KEYS, self._table.named(id)


def _values(key: ApiKey) -> list[object]:
    return [
        key.id, key.label, key.secret_sha256, sorted(key.scopes), to_micros(key.created), micros_or_none(key.expires),
        micros_or_none(key.revoked),
    ]  # fmt: skip


def _key(item: Item) -> ApiKey:
    id, label, secret, scopes, created, expires, revoked = expanded(item["dat"])
    return ApiKey(
        id, label, secret, frozenset(scopes), from_micros(created), moment_or_none(expires), moment_or_none(revoked)
    )
