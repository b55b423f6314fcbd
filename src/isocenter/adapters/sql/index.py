"""The index port on SQL: images, their details, studies and series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    bindparam,
    delete,
    literal_column,
    select,
    update,
)

from isocenter.adapters.sql.commit import Committing
from isocenter.adapters.sql.cursor import cursor, position
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.head import Head, HeadLock
from isocenter.adapters.sql.levels import follow, forget_empty_levels
from isocenter.adapters.sql.rows import CHUNK, chunks, image_record, parts, raw_record, same_identity
from isocenter.adapters.sql.sized import Sized
from isocenter.adapters.sql.tables import details, images
from isocenter.adapters.sql.text import clean
from isocenter.errors import Conflict
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


class SqlIndex:
    """The index on SQLite or PostgreSQL; `audit_key` is the HMAC key of the audit chain."""

    def __init__(self, database: Database, audit_key: bytes) -> None:
        self._database = database
        self._lock = HeadLock(database, audit_key)
        self._commit = Committing(database, self._lock)
        # What nearly every retrieve asks for: SQLAlchemy would take several times as long as the database.
        current = (images.c.state == literal_column("'current'", Text()), images.c.sop_instance_uid.is_not(None))
        one = (images.c.sop_instance_uid == bindparam("sop_instance_uid"), images.c.store == bindparam("store"))
        self._instance = database.compiled(select(images).where(*one, *current))
        self._get = database.compiled(select(images).where(images.c.id == bindparam("id")))
        self._series = database.compiled(_of_level(current, "study_uid", "series_uid"))
        self._study = database.compiled(_of_level(current, "study_uid"))
        beside = select(images.c.id, details.c.metadata, details.c.frames).join_from(images, details)
        self._details = Sized(database, lambda ids: beside.where(images.c.id.in_(ids)))

    def commit(self, new: Sequence[tuple[NewImage, AuditEntry]], *, keep_versions: bool = False) -> Sequence[Committed]:
        return self._commit(new, keep_versions)

    def get(self, id: str) -> ImageRecord | None:
        rows = self._database.fetched(self._get, (clean(id),))
        return raw_record(rows[0]) if rows else None

    def images(self, query: ImageQuery) -> Page[ImageRecord]:
        after = 0 if query.after is None else position("images", query.after)
        if query.limit < 1:
            return Page(())
        if (one := _one_instance(query)) is not None:
            return self._one(query, *one)
        if (level := _one_level(query)) is not None:
            statement = self._study if query.series_uid is None else self._series
            rows: Sequence[Any] = self._database.fetched(statement, (*level, after, query.limit + 1))
        else:
            rows = self._chosen(query, after)
        page = rows[: query.limit]
        following = cursor("images", page[-1][0]) if len(rows) > query.limit else None
        return Page(tuple(map(raw_record, page)), following)

    def _one(self, query: ImageQuery, uid: str, store: str) -> Page[ImageRecord]:
        rows = self._database.fetched(self._instance, (uid, store))
        if not rows:
            return Page(())
        record = raw_record(rows[0])
        study, series = query.study_uid, query.series_uid
        fits = study in (None, record.study_uid) and series in (None, record.series_uid)
        return Page((record,) if fits else ())

    def _chosen(self, query: ImageQuery, after: int) -> Sequence[Any]:
        """Rows that any query asks for, one more than its limit, by their positions, which stand first."""
        rows: list[Row[Any]] = []
        with self._database.reading() as connection:
            # Each part gives its first rows, so that the first rows of all parts are the first rows of all.
            for part in parts(query, sqlite=self._database.is_sqlite):
                chosen = part.where(images.c.position > after).order_by(images.c.position)
                rows += connection.execute(chosen.limit(query.limit + 1)).all()
        return sorted(rows, key=itemgetter(0))

    def details(self, ids: Sequence[str]) -> Mapping[str, Details]:
        found: dict[str, Details] = {}
        for part in chunks(clean(id) for id in ids):
            for id, metadata, frames in self._database.fetched(*self._details.of(part)):
                found[id] = Details(metadata, frames)
        return {id: found[id] for id in ids if id in found}

    def transition(self, ids: Sequence[str], to: State, entry: AuditEntry) -> Sequence[ImageRecord]:
        if to not in _LEAVES:
            raise ValueError(f"images are deleted or restored, not made {to.value}")
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            found = _in_states(connection, ids, (_LEAVES[to],))
            changed = [replace(record, state=to, changed=entry.at) for record in found]
            if to is State.CURRENT:
                _free_identities(connection, changed)
            values = {"state": to.value, "changed": entry.at}
            for part in chunks(record.id for record in changed):
                connection.execute(update(images).where(images.c.id.in_(part)).values(values))
            _tell(head, changed, _EVENTS[to], entry)
            follow(connection, changed)
        return changed

    def purge(self, ids: Sequence[str], entry: AuditEntry) -> Sequence[ImageRecord]:
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            gone = _in_states(connection, ids, (State.DELETED, State.SUPERSEDED))
            for part in chunks(record.id for record in gone):
                connection.execute(delete(images).where(images.c.id.in_(part)))
            forget_empty_levels(connection, gone)
            _tell(head, gone, "image.purged", entry)
        return gone

    def blob_keys(self) -> Iterator[str]:
        chosen = select(images.c.position, images.c.blob_key).order_by(images.c.position).limit(CHUNK)
        after = 0
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(chosen.where(images.c.position > after)).all()
            if not rows:
                return
            yield from (row.blob_key for row in rows)
            after = rows[-1].position


def _one_instance(query: ImageQuery) -> tuple[str, str] | None:
    """UID and store where a query names one current instance by them; study and series may be named besides."""
    uids, stores = query.sop_instance_uids, query.stores
    if uids is None or stores is None or len(uids) != 1 or len(stores) != 1:
        return None
    plain = ImageQuery(
        stores, study_uid=query.study_uid, series_uid=query.series_uid, sop_instance_uids=uids, limit=query.limit
    )
    return (clean(uids[0]), clean(stores[0])) if query == plain else None


def _one_level(query: ImageQuery) -> tuple[str, ...] | None:
    """Store, study and maybe series where a query asks for all current instances of one of these."""
    stores, study, series = query.stores, query.study_uid, query.series_uid
    if stores is None or len(stores) != 1 or study is None:
        return None
    plain = ImageQuery(stores, study_uid=study, series_uid=series, after=query.after, limit=query.limit)
    named = (stores[0], study) if series is None else (stores[0], study, series)
    return tuple(map(clean, named)) if query == plain else None


def _of_level(current: Sequence[ColumnElement[bool]], *uids: str) -> Select[Any]:
    """A page of the current instances of a study or series."""
    same = [images.c[name] == bindparam(name) for name in ("store", *uids)]
    chosen = select(images).where(*same, *current, images.c.position > bindparam("after"))
    # SQLite takes no limit without an offset, which SQLAlchemy would bind.
    return chosen.order_by(images.c.position).limit(bindparam("limit", type_=Integer())).offset(literal_column("0"))


def _in_states(connection: Connection, ids: Sequence[str], states: Sequence[State]) -> list[ImageRecord]:
    """The images with these ids that are in one of the states, in the order of the ids."""
    chosen = select(images).where(images.c.state.in_([state.value for state in states]))
    found: dict[str, ImageRecord] = {}
    for part in chunks(clean(id) for id in ids):
        for row in connection.execute(chosen.where(images.c.id.in_(part))):
            found[row.id] = image_record(row)
    return [found[id] for id in dict.fromkeys(ids) if id in found]


def _free_identities(connection: Connection, restored: Sequence[ImageRecord]) -> None:
    taken = len({(record.store, record.identity) for record in restored}) < len(restored)
    if taken or any(connection.execute(same_identity(record)).first() is not None for record in restored):
        raise Conflict("Another current image has the identity of one to be restored.", code="identity-taken")


def _tell(head: Head, changed: Sequence[ImageRecord], event: str, entry: AuditEntry) -> None:
    """One event and one audit entry for each image; nothing where nothing changed."""
    for record in changed:
        head.tell(Event(event, record.store, record.id, entry.at))
        head.note(replace(entry, store=record.store, image=record.id))
    if changed:
        head.save()
