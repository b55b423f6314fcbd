"""The search port in memory: every search looks at everything, by the reference matcher."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from isocenter.adapters.memory.database import MemoryDatabase, clean, cursor, dumped, position
from isocenter.dicom.attribute_lines import lines_of
from isocenter.dicom.matching import matches, order_value
from isocenter.errors import UnknownCursor
from isocenter.records import Found, ImageRecord, Indexed, LevelRecord, Order, Search, State


class MemorySearchIndex:
    """Search over what a MemoryIndex with the same database keeps."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def search(self, search: Search) -> Found:
        by = [f"{'-' if each.descending else ''}{each.tag:08X}" for each in search.order]
        name = " ".join([search.level, *by])
        after = None if search.after is None else position(name, search.after)
        with self._database.lock:
            scanned = search.scanned
            indexed = [key for key in search.keys if key not in scanned]
            found = [each for each in self._all(search) if _in_scope(each[1], search) and matches(indexed, each[2])]
        by_instance = scanned or any(order.level == "instance" for order in search.order)
        if by_instance and len(found) > search.most_scanned:
            raise search.too_wide()
        found = [each for each in found if matches(scanned, each[2])]
        found.sort(key=lambda each: each[0])
        for order in reversed(search.order):
            _sort(found, order)
        begin = 0
        if after is not None:
            places = [place for place, _, _ in found]
            if not search.order:
                begin = sum(place <= after for place in places)
            elif after in places:
                begin = places.index(after) + 1
            else:
                raise UnknownCursor("what the cursor stood at is no longer found; begin again without it")
        begin += search.offset
        page = found[begin : begin + search.limit]
        if not search.with_above:
            page = [(place, replace(record, above={}), model) for place, record, model in page]
        more = len(found) > begin + search.limit and page
        return Found(tuple(each[1] for each in page), len(found), cursor(name, page[-1][0]) if more else None)

    def names(self) -> frozenset[str]:
        return self._database.search_names

    def complete(self, names: frozenset[str]) -> None:
        self._database.search_names = frozenset(names)

    def reindex(self, batch: Sequence[Indexed]) -> None:
        database = self._database
        with database.lock:
            for each in batch:
                row = database.rows.get(each.id)
                if row is None:
                    continue
                row.attributes, row.study, row.series = map(dumped, (each.instance, each.study, each.series))
            database.speak()

    def _all(self, search: Search) -> Iterator[tuple[int, LevelRecord, dict[str, Any]]]:
        """Every study, series or instance of the store with a current image, and the model it is matched by."""
        held: dict[tuple[str, ...], list[ImageRecord]] = {}
        for row in self._database.rows.values():
            record = row.record
            if record.state is not State.CURRENT or record.store != clean(search.store) or record.study_uid is None:
                continue
            study, series = (record.store, record.study_uid), (record.store, record.study_uid, record.series_uid or "")
            held.setdefault(study, []).append(record)
            held.setdefault(series, []).append(record)
        if search.level != "instance":
            levels = self._database.studies if search.level == "study" else self._database.series
            for key, level in levels.items():
                if key in held:
                    yield (level.position, *self._level(key, held))
            return
        for row in self._database.rows.values():
            record = row.record
            key = (record.store, record.study_uid or "", record.series_uid or "")
            if record.state is State.CURRENT and key in held:
                own, above = json.loads(row.attributes), self._above(key)
                made = LevelRecord(*key, record.sop_instance_uid, record.id, lines_of(own), lines_of(above))
                sop_class = {"00080016": {"vr": "UI", "Value": [record.sop_class_uid]}}
                yield row.position, made, {**above, **self._computed(held[key[:2]]), **own, **sop_class}

    def _level(
        self, key: tuple[str, ...], held: dict[tuple[str, ...], list[ImageRecord]]
    ) -> tuple[LevelRecord, dict[str, Any]]:
        computed = self._computed(held[key[:2]])
        if len(key) == 2:
            own = json.loads(self._database.studies[key[0], key[1]].attributes)
            series = {record.series_uid for record in held[key]}
            made = LevelRecord(
                *key, None, None, None, lines_of(own), {}, self._modalities(held[key]), len(series), len(held[key])
            )
            return made, {**own, **computed}
        own, above = json.loads(self._database.series[key[0], key[1], key[2]].attributes), self._study(key)
        made = LevelRecord(
            key[0], key[1], key[2], None, None, lines_of(own), lines_of(above), self._modalities(held[key]), 1,
            len(held[key]),
        )  # fmt: skip
        return made, {**above, **own, **computed}

    def _computed(self, records: Sequence[ImageRecord]) -> dict[str, Any]:
        classes = sorted({record.sop_class_uid for record in records if record.sop_class_uid})
        return {
            "00080061": {"vr": "CS", "Value": list(self._modalities(records))},
            "00080062": {"vr": "UI", "Value": classes},
        }

    def _above(self, key: tuple[str, ...]) -> dict[str, Any]:
        own = json.loads(self._database.series[key[0], key[1], key[2]].attributes)
        return {**self._study(key), **own}

    def _study(self, key: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._database.studies[key[0], key[1]].attributes)
        return found

    def _modalities(self, records: Sequence[ImageRecord]) -> tuple[str, ...]:
        uids = {(record.store, record.study_uid or "", record.series_uid or "") for record in records}
        found = {self._modality(key) for key in uids}
        return tuple(sorted(each for each in found if each))

    def _modality(self, key: tuple[str, str, str]) -> str | None:
        model = json.loads(self._database.series[key].attributes)
        try:
            value = model["00080060"]["Value"][0]
        except (KeyError, IndexError, TypeError):
            return None
        return value if isinstance(value, str) and value else None


def _sort(found: list[tuple[int, LevelRecord, dict[str, Any]]], order: Order) -> None:
    found.sort(key=lambda each: order_value(each[2], order.tag), reverse=order.descending)


def _in_scope(record: LevelRecord, search: Search) -> bool:
    wanted = (
        (search.study_uids, record.study_uid),
        (search.series_uids, record.series_uid),
        (search.sop_instance_uids, record.sop_instance_uid),
    )
    return all(uids is None or uid in {clean(each) for each in uids} for uids, uid in wanted)
