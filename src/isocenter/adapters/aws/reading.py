"""Images in order of arrival, by the narrowest partitions that a query allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush, merge
from itertools import islice
from operator import itemgetter
from typing import TypeVar

import orjson

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.levels import Level, level_key, level_of
from isocenter.adapters.aws.rows import matches_query, record_in, record_of
from isocenter.adapters.aws.table import Item, Key, Table
from isocenter.adapters.aws.text import expanded
from isocenter.records import ImageQuery, ImageRecord, State

T = TypeVar("T")
RECORD = "rev, pos, arr, rec"  # attributes of an image's item without its details
Member = tuple[int, ImageRecord, str]
_Placed = tuple[int, ImageRecord]


def found(table: Table, query: ImageQuery, after: int) -> Iterator[_Placed]:
    """Images that a cleaned query asks for, behind a place, each with its place."""
    if not query.states or query.stores == () or query.sop_instance_uids == ():
        return
    for place, record in _candidates(table, query, after):
        if place > after and matches_query(record, query):
            yield place, record


def _candidates(table: Table, query: ImageQuery, after: int) -> Iterator[_Placed]:
    page = min(max(query.limit + 1, 20), 200)
    if query.sop_instance_uids is not None:
        return iter(_by_uid(table, query))
    if query.study_uid is not None and query.series_uid is not None:
        return ((place, record) for place, record, _ in _of_series(table, query, after, page))
    if query.study_uid is not None or query.series_uid is not None:
        return ((place, record) for place, record, _ in merged(table, _series_of(table, query), after, page))
    if query.subject_id is not None:
        return _of_subject(table, query, after, page)
    if State.CURRENT not in query.states:
        listed = table.query(keys.GONE, low=keys.padded(after + 1), page=page)
        return _records(table, (each["id"] for each in listed), page)
    return _arrived(table, query, after, page)


def _stores(table: Table, query: ImageQuery) -> Sequence[str]:
    if query.stores is not None:
        return query.stores
    head = table.get(keys.HEAD)
    return () if head is None else tuple(orjson.loads(head["sts"]))


def _by_uid(table: Table, query: ImageQuery) -> list[_Placed]:
    identities = [
        keys.instance(table, store, uid) for store in _stores(table, query) for uid in query.sop_instance_uids or ()
    ]
    ids: list[str] = []
    if State.CURRENT in query.states:
        ids += [item["id"] for item in table.get_all(identities).values()]
    if set(query.states) - {State.CURRENT}:
        ids += [item["id"] for identity in identities for item in table.query(keys.past(identity))]
    return sorted(_records(table, ids, len(ids)), key=lambda each: each[0])


def _of_series(table: Table, query: ImageQuery, after: int, page: int) -> Iterator[Member]:
    """The images of one series of a study, in whatever store."""
    study, series = query.study_uid or "", query.series_uid or ""
    partitions = [keys.members(table, store, study, series) for store in _stores(table, query)]
    return merge(*(_members(table, each, after, page) for each in partitions), key=itemgetter(0))


def _series_of(table: Table, query: ImageQuery) -> Iterator[Level]:
    """The series of a study, or those that have a UID."""
    for store in _stores(table, query):
        if query.study_uid is None:
            pointers = table.query(keys.series_named(table, store, query.series_uid or ""))
            places = [int(item["sk"]) for item in pointers]
        else:
            held = table.query(keys.held_by(table, store, query.study_uid), begins="SERIES#")
            places = [item["pos"] for item in held]
        listed = table.get_all(level_key(table, "series", store, place) for place in places)
        yield from (level_of(table, item) for item in listed.values())


def merged(table: Table, series: Iterable[Level], after: int, page: int) -> Iterator[Member]:
    """All images of these series behind a place, by place.

    A series is not read before the place where it begins is reached; those of one image are read together.
    """
    behind = [level for level in series if level.last > after]
    single = [level for level in behind if level.rows == level.held == 1]
    waiting = [
        (level.place, _members(table, _partition(table, level), after, page))
        for level in behind
        if level.rows + level.held != 2
    ]
    if single:
        single.sort(key=lambda level: level.speaker)
        waiting.append((single[0].speaker, _singles(table, single, page)))
    waiting.sort(key=lambda each: -each[0])
    begun: list[tuple[int, int, Member, Iterator[Member]]] = []
    while waiting or begun:
        while waiting and (not begun or waiting[-1][0] <= begun[0][0]):
            _advance(begun, len(waiting), waiting.pop()[1])
        if begun:
            _, number, member, rest = heappop(begun)
            yield member
            _advance(begun, number, rest)


def _advance(begun: list[tuple[int, int, Member, Iterator[Member]]], number: int, rest: Iterator[Member]) -> None:
    for member in islice(rest, 1):
        heappush(begun, (member[0], number, member, rest))


def _partition(table: Table, level: Level) -> str:
    return keys.members(table, level.store, level.study_uid, level.series_uid or "")


def _members(table: Table, partition: str, after: int, page: int) -> Iterator[Member]:
    for item in table.query(partition, low=keys.padded(after + 1), page=page):
        yield member_of(table, item)


def _singles(table: Table, levels: Sequence[Level], page: int) -> Iterator[Member]:
    for some in parts(levels, min(page, 100)):
        wanted = [(_partition(table, each), keys.padded(each.speaker)) for each in some]
        there = table.get_all(wanted)
        yield from (member_of(table, there[key]) for key in wanted if key in there)


def member_of(table: Table, item: Item) -> Member:
    """Place, record and attributes of an image as its series has it."""
    values, text = expanded(table.unpacked(item))
    return int(item["sk"]), record_of(values), text


def _of_subject(table: Table, query: ImageQuery, after: int, page: int) -> Iterator[_Placed]:
    subject = query.subject_id or ""
    of_one = None if query.image_id is None else keys.image_of(table, subject, query.image_id)
    listed = table.query(of_one or keys.subject(table, subject), low=keys.padded(after + 1), page=page)
    return _records(table, (each["id"] for each in listed if query.stores is None or each["sto"] in query.stores), page)


def _arrived(table: Table, query: ImageQuery, after: int, page: int) -> Iterator[_Placed]:
    listed = arrivals(table, after, page)
    return _records(table, (id for _, id, store, _ in listed if query.stores is None or store in query.stores), page)


def arrivals(table: Table, after: int, page: int | None = None) -> Iterator[tuple[int, str, str, str | None]]:
    """Place, id, store and partition within its series of every image behind a place."""
    head = table.get(keys.HEAD)
    last = 0 if head is None else head["pos"]
    for number in range((after + 1) // keys.BLOCK, last // keys.BLOCK + 1):
        for item in table.query(keys.block("ARRIVAL", number * keys.BLOCK), low=keys.padded(after + 1), page=page):
            for place, id, store, partition in expanded(item["dat"]):
                if place > after:
                    yield place, id, store, partition


def _records(table: Table, ids: Iterable[str], page: int) -> Iterator[_Placed]:
    """The images with these ids in their order, read so many at a time; those gone meanwhile are left out."""
    for part in parts(ids, min(max(page, 1), 100)):
        wanted: list[Key] = [keys.image(table, id) for id in part]
        there = table.get_all(wanted, only=RECORD)
        for key in wanted:
            if key in there:
                yield there[key]["pos"], record_in(there[key]["rec"])


def parts(values: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
