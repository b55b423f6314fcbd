"""The search port on DynamoDB: what the narrowest partitions lead to, held against the reference matcher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.candidates import Candidates, Hit
from isocenter.adapters.aws.cursor import cursor, position
from isocenter.adapters.aws.head import Head, Journal
from isocenter.adapters.aws.levels import Level, Levels
from isocenter.adapters.aws.reading import parts
from isocenter.adapters.aws.rows import record_in
from isocenter.adapters.aws.table import Table
from isocenter.adapters.aws.text import clean, dumped, expanded, squeezed
from isocenter.dicom.attribute_lines import Lines, lines_in, text_of
from isocenter.dicom.matching import matches, order_value
from isocenter.errors import UnknownCursor
from isocenter.records import Found, Indexed, LevelRecord, Search

_AT_ONCE = 10  # images that one transaction reindexes
_PAGE = 1000  # items of one request at most
_COUNTED = {"study": "studies", "series": "series", "instance": "images"}


class DynamoSearchIndex:
    """Search over what a DynamoIndex on the same table keeps."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._journal = Journal(table)

    def search(self, search: Search) -> Found:
        return _Searching(self._table, search).found()

    def names(self) -> frozenset[str]:
        item = self._table.get(keys.NAMES)
        return frozenset() if item is None else frozenset(expanded(item["dat"]))

    def complete(self, names: frozenset[str]) -> None:
        def keep(head: Head) -> None:
            head.revise({"pk": keys.NAMES[0], "sk": keys.NAMES[1], "dat": squeezed(sorted(names))})

        self._journal.change(keep, [keys.NAMES])

    def reindex(self, batch: Sequence[Indexed]) -> None:
        for some in parts(batch, _AT_ONCE):

            def replace_all(head: Head, some: Sequence[Indexed] = some) -> None:
                self._replace(head, some)

            self._journal.change(replace_all, [keys.image(self._table, clean(each.id)) for each in some])

    def _replace(self, head: Head, some: Sequence[Indexed]) -> None:
        items = {each.id: head.at(keys.image(self._table, clean(each.id))) for each in some}
        records = {id: record_in(item["rec"]) for id, item in items.items() if item is not None}
        levels = Levels(head)
        levels.prepare(records.values())
        for each in some:
            item = items[each.id]
            member = None if item is None else keys.member(self._table, records[each.id], item["pos"])
            kept = None if member is None else head.at(member)
            if item is None or member is None or kept is None:
                continue
            values, _ = expanded(self._table.unpacked(kept))
            data = self._table.packed(squeezed([values, text_of(each.instance, dumped)]))
            head.revise({"pk": member[0], "sk": member[1], **data})
            levels.retold(records[each.id], item["pos"], (each.study, each.series))


class _Searching:
    """One search."""

    def __init__(self, table: Table, search: Search) -> None:
        self._table = table
        self._search = search
        self._candidates = Candidates(table, search)
        uids = (search.study_uids, search.series_uids, search.sop_instance_uids)
        self._is_whole = not search.keys and all(each is None for each in uids)
        self._is_nothing = () in uids
        self._instance_keys = [key for key in search.keys if key.level == "instance"]
        self._looked_at = bool(search.scanned) or any(order.level == "instance" for order in search.order)

    def found(self) -> Found:
        search = self._search
        after = None if search.after is None else position(self._list, search.after)
        if self._is_nothing:
            return Found((), 0)
        if not search.order and self._is_whole:
            return self._streamed(self._everything(after or 0), self._count())
        if search.level != "instance":
            hits = self._candidates.studies() if search.level == "study" else self._candidates.series()
            return self._sorted(list(hits), after)
        if search.sop_instance_uids is not None:
            return self._sorted(self._looked_through(self._candidates.named()), after)
        series = [hit.series for hit in self._candidates.series() if hit.series is not None]
        held = sum(level.held for level in series)
        if not search.order and not self._instance_keys:
            within = self._candidates.within(series, after or 0, self._page)
            return self._streamed(within, held)
        if held > search.most_scanned:
            raise search.too_wide()
        return self._sorted(self._looked_through(self._candidates.within(series, 0, _PAGE)), after)

    @property
    def _list(self) -> str:
        by = [f"{'-' if each.descending else ''}{each.tag:08X}" for each in self._search.order]
        return " ".join([self._search.level, *by])

    @property
    def _page(self) -> int:
        return min(self._search.offset + self._search.limit + 1, _PAGE)

    def _count(self) -> int:
        counts = self._table.get(keys.counts(self._table, clean(self._search.store)))
        return 0 if counts is None else int(counts.get(_COUNTED[self._search.level], 0))

    def _everything(self, after: int) -> Iterator[Hit]:
        if self._search.level == "study":
            return self._candidates.studies(after, self._page)
        if self._search.level == "series":
            return self._candidates.series(after, self._page)
        return self._candidates.arrived(after, self._page)

    def _streamed(self, hits: Iterator[Hit], total: int) -> Found:
        """A page of what comes in order of arrival; no more is read than it takes."""
        search = self._search
        if search.offset >= total:
            return Found((), total)
        found = list(islice(hits, search.offset, search.offset + search.limit + 1))
        return self._answer(found[: search.limit], total, len(found) > search.limit)

    def _looked_through(self, hits: Iterator[Hit]) -> list[Hit]:
        """Instances that meet the keys of their own attributes."""
        search, found = self._search, list[Hit]()
        indexed = [key for key in self._instance_keys if key not in search.scanned]
        for hit in hits:
            if not indexed or matches(indexed, hit.model("instance")):
                found.append(hit)
                if self._looked_at and len(found) > search.most_scanned:
                    raise search.too_wide()
        scanned = search.scanned
        return [hit for hit in found if matches(scanned, hit.model("instance"))] if scanned else found

    def _sorted(self, hits: list[Hit], after: int | None) -> Found:
        search = self._search
        hits.sort(key=lambda hit: hit.place)
        for order in reversed(search.order):
            values = {hit.place: order_value(hit.model(order.level), order.tag) for hit in hits}
            hits.sort(key=lambda hit: values[hit.place], reverse=order.descending)
        begin = 0
        if after is not None:
            places = [hit.place for hit in hits]
            if not search.order:
                begin = sum(place <= after for place in places)
            elif after in places:
                begin = places.index(after) + 1
            else:
                raise UnknownCursor("what the cursor stood at is no longer found; begin again without it")
        begin += search.offset
        return self._answer(hits[begin : begin + search.limit], len(hits), len(hits) > begin + search.limit)

    def _answer(self, hits: Sequence[Hit], total: int, more: bool) -> Found:
        make = {"study": _study, "series": _series, "instance": _instance}[self._search.level]
        items = tuple(make(hit, with_above=self._search.with_above) for hit in hits)
        return Found(items, total, cursor(self._list, hits[-1].place) if more and hits else None)


def _study(hit: Hit, *, with_above: bool) -> LevelRecord:
    level = hit.study
    assert level is not None
    return LevelRecord(
        level.store, level.study_uid, None, None, None, lines_in(level.text), {}, tuple(sorted(level.modalities)),
        level.series, level.held,
    )  # fmt: skip


def _series(hit: Hit, *, with_above: bool) -> LevelRecord:
    level = hit.series
    assert level is not None
    return LevelRecord(
        level.store, level.study_uid, level.series_uid, None, None, lines_in(level.text),
        _lines(hit.study) if with_above else {}, (level.modality,) if level.modality else (), 1, level.held,
    )  # fmt: skip


def _instance(hit: Hit, *, with_above: bool) -> LevelRecord:
    record = hit.image
    assert record is not None
    above = {**_lines(hit.study), **_lines(hit.series)} if with_above else {}
    return LevelRecord(
        record.store, record.study_uid or "", record.series_uid, record.sop_instance_uid, record.id,
        lines_in(hit.text), above,
    )  # fmt: skip


def _lines(level: Level | None) -> Lines:
    return {} if level is None else lines_in(level.text)
