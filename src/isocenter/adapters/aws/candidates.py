"""What a search looks at: the studies, series and instances that the narrowest partitions lead to and that match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.levels import Level, level_key, level_of
from isocenter.adapters.aws.lookups import leading
from isocenter.adapters.aws.reading import Member, arrivals, member_of, merged, parts
from isocenter.adapters.aws.rows import record_in
from isocenter.adapters.aws.table import Item, Table
from isocenter.adapters.aws.text import clean
from isocenter.dicom.matching import Key, matches
from isocenter.records import ImageRecord, Search, State

_FEW = 20  # studies whose series are read study by study; of more, all series of the store are
_TOGETHER = 100


@dataclass(frozen=True, slots=True)
class Hit:
    """One result; `text` is what an instance has of attributes."""

    place: int
    study: Level | None
    series: Level | None = None
    image: ImageRecord | None = None
    text: str = "{}"

    def model(self, level: str) -> Mapping[str, Any]:
        """What keys of a level are held against."""
        if level == "study":
            return {} if self.study is None else study_model(self.study)
        if level == "series":
            return {} if self.series is None else self.series.model
        found: dict[str, Any] = orjson.loads(self.text)
        sop_class = None if self.image is None else self.image.sop_class_uid
        return {**found, "00080016": {"vr": "UI", "Value": [sop_class]}}


def study_model(study: Level) -> dict[str, Any]:
    """The attributes of a study, with ModalitiesInStudy and SOPClassesInStudy of what it holds."""
    return {
        **study.model,
        "00080061": {"vr": "CS", "Value": sorted(study.modalities)},
        "00080062": {"vr": "UI", "Value": sorted(study.classes)},
    }


class Candidates:
    """What one search looks at; all that it yields holds a current image and meets the keys of its level and above."""

    def __init__(self, table: Table, search: Search) -> None:
        self._table = table
        self._search = search
        self._store = clean(search.store)
        self._keys: dict[str, list[Key]] = {"study": [], "series": [], "instance": []}
        for key in search.keys:
            self._keys[key.level].append(key)
        self._study_uids = _cleaned(search.study_uids)
        self._series_uids = _cleaned(search.series_uids)
        self._studies: dict[int, Level] = {}  # by place, matching or not
        self._series: dict[tuple[str, str], Level] = {}  # by UIDs, matching or not

    def studies(self, after: int = 0, page: int | None = None) -> Iterator[Hit]:
        """In order of arrival."""
        narrow = self._narrow()
        found = self._all("study", after, page) if narrow is None else self._levels("study", narrow)
        return (Hit(level.place, level) for level in found if self._study_fits(level))

    def series(self, after: int = 0, page: int | None = None) -> Iterator[Hit]:
        """In order of arrival."""
        found = (level for level in self._candidate_series(after, page) if self._series_fits(level))
        for some in parts(found, min(page or _TOGETHER, _TOGETHER)):
            self._load_studies({level.study_place for level in some})
            for level in some:
                study = self._studies.get(level.study_place)
                if study is not None and self._study_fits(study):
                    yield Hit(level.place, study, level)

    def arrived(self, after: int, page: int) -> Iterator[Hit]:
        """Every instance of the store, in order of arrival."""
        listed = arrivals(self._table, after, page)
        here = ((at, keys.padded(place)) for place, _, store, at in listed if at is not None and store == self._store)
        for wanted in parts(here, min(page, _TOGETHER)):
            there = self._table.get_all(wanted)
            yield from self._instances(member_of(self._table, there[key]) for key in wanted if key in there)

    def named(self) -> Iterator[Hit]:
        """The instances that the search has the UIDs of, in any order."""
        uids = _cleaned(self._search.sop_instance_uids) or ()
        found = self._table.get_all(keys.instance(self._table, self._store, uid) for uid in uids)
        ids = [keys.image(self._table, item["id"]) for item in found.values()]
        images = self._table.get_all(ids, only="pos, rec").values()
        wanted = [keys.member(self._table, record_in(item["rec"]), item["pos"]) for item in images]
        there = self._table.get_all(key for key in wanted if key is not None)
        return self._instances(member_of(self._table, item) for item in there.values())

    def within(self, series: Sequence[Level], after: int, page: int) -> Iterator[Hit]:
        """The instances of these series, in order of arrival."""
        return self._instances(merged(self._table, series, after, page), page)

    def _instances(self, members: Iterable[Member], page: int = _TOGETHER) -> Iterator[Hit]:
        """Instances that are current, of series and studies that match."""
        for some in parts((each for each in members if each[1].state is State.CURRENT), min(page, _TOGETHER)):
            self._load([record for _, record, _ in some])
            for place, record, text in some:
                series = self._series.get((record.study_uid or "", record.series_uid or ""))
                study = None if series is None else self._studies.get(series.study_place)
                if series is not None and study is not None and self._series_fits(series) and self._study_fits(study):
                    yield Hit(place, study, series, record, text)

    def _study_fits(self, level: Level) -> bool:
        if not level.held or (self._study_uids is not None and level.study_uid not in self._study_uids):
            return False
        self._studies[level.place] = level
        return not self._keys["study"] or matches(self._keys["study"], study_model(level))

    def _series_fits(self, level: Level) -> bool:
        if not level.held or (self._series_uids is not None and level.series_uid not in self._series_uids):
            return False
        self._series[level.study_uid, level.series_uid or ""] = level
        return not self._keys["series"] or matches(self._keys["series"], level.model)

    def _narrow(self) -> list[int] | None:
        """The places of the studies that may match; None where they all may."""
        if self._study_uids is not None:
            wanted = [keys.study_place(self._table, self._store, uid) for uid in self._study_uids]
            return sorted(item["pos"] for item in self._table.get_all(wanted).values())
        partitions = leading(self._table, self._store, self._keys["study"])
        return None if partitions is None else self._places(partitions)

    def _places(self, partitions: Iterable[str]) -> list[int]:
        return sorted({int(item["sk"]) for each in partitions for item in self._table.query(each)})

    def _candidate_series(self, after: int, page: int | None) -> Iterable[Level]:
        narrow, uids = self._narrow(), self._series_uids
        if narrow is None and uids is not None:
            partitions = [keys.series_named(self._table, self._store, uid) for uid in uids]
            return self._levels("series", self._places(partitions))
        if narrow is None and not self._keys["study"]:
            return self._all("series", after, page)
        studies = [hit.study for hit in self.studies() if hit.study is not None]
        if len(studies) > _FEW:
            wanted = {study.place for study in studies}
            return (each for each in self._all("series", after, page) if each.study_place in wanted)
        if uids is not None:
            named = [keys.series_place(self._table, self._store, study.study_uid, u) for study in studies for u in uids]
            pointers: list[Item] = list(self._table.get_all(named).values())
        else:
            held = [keys.held_by(self._table, self._store, study.study_uid) for study in studies]
            pointers = [item for each in held for item in self._table.query(each, begins="SERIES#")]
        return self._levels("series", sorted(item["pos"] for item in pointers))

    def _all(self, name: str, after: int, page: int | None) -> Iterator[Level]:
        """Every study or series of the store, in order of arrival."""
        listed = keys.listed(self._table, name, self._store)
        for item in self._table.query(listed, low=keys.padded(after + 1), page=page):
            yield level_of(self._table, item)

    def _levels(self, name: str, places: Iterable[int]) -> list[Level]:
        wanted = [level_key(self._table, name, self._store, place) for place in places]
        there = self._table.get_all(wanted)
        return [level_of(self._table, there[key]) for key in wanted if key in there]

    def _load_studies(self, places: Iterable[int]) -> None:
        for level in self._levels("study", [place for place in places if place not in self._studies]):
            self._studies[level.place] = level

    def _load(self, records: Iterable[ImageRecord]) -> None:
        """Know the series and studies of these images."""
        uids = {(record.study_uid or "", record.series_uid or "") for record in records} - self._series.keys()
        wanted = [keys.series_place(self._table, self._store, *each) for each in sorted(uids)]
        places = [item["pos"] for item in self._table.get_all(wanted).values()]
        for level in self._levels("series", places):
            self._series[level.study_uid, level.series_uid or ""] = level
        self._load_studies({level.study_place for level in self._series.values()})


def _cleaned(uids: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if uids is None else tuple(dict.fromkeys(map(clean, uids)))
