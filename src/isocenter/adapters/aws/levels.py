"""Studies and series as items: what they hold is counted as it changes, and they go with their last image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.errors import ConditionFailed
from isocenter.adapters.aws.head import Head
from isocenter.adapters.aws.lookups import lookups_of
from isocenter.adapters.aws.rows import record_of
from isocenter.adapters.aws.table import ABSENT, Item, Key, Table
from isocenter.adapters.aws.text import clean, dumped, expanded, squeezed
from isocenter.dicom.attribute_lines import text_of
from isocenter.dicom.attributes import Named, of_level
from isocenter.dicom.instance import Metadata
from isocenter.records import ImageRecord, State

_MODALITY = "00080060"
_LOOKED_UP = 3  # lookups that a study has most of the time


@dataclass
class Level:
    """One study, or one series where it has a `series_uid`.

    `speaker` is the place of the earliest image that is current, whose attributes are those of the level.
    """

    store: str
    study_uid: str
    series_uid: str | None
    place: int
    study_place: int
    rows: int = 0  # images in any state
    held: int = 0  # images that are current
    last: int = 0  # the place of the last image that came
    speaker: int = 0
    speaker_id: str = ""
    text: str = "{}"  # attributes, as dicom.attribute_lines writes them
    modality: str | None = None  # of a series
    series: int = 0  # of a study: those that hold a current image
    modalities: dict[str, int] = field(default_factory=dict)  # of a study: of so many of its series
    classes: dict[str, int] = field(default_factory=dict)  # of a study: SOP classes of so many of its images

    @property
    def name(self) -> str:
        return "study" if self.series_uid is None else "series"

    @property
    def model(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.text)
        return found


def level_key(table: Table, name: str, store: str, place: int) -> Key:
    return keys.listed(table, name, store), keys.padded(place)


def level_of(table: Table, item: Item) -> Level:
    return Level(*expanded(table.unpacked(item)))


class Levels:
    """The studies and series that one transaction changes."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._table = head.table
        self._known: dict[tuple[str, ...], Level] = {}
        self._new: set[tuple[str, ...]] = set()
        self._looked_up_before: dict[tuple[str, ...], set[str]] = {}
        self._looked_up: dict[tuple[str, ...], set[str]] = {}  # partitions that lead to each study
        self._unsure: dict[tuple[str, ...], int] = {}  # the speaker has to be looked for, from this place on
        self._first: dict[tuple[str, ...], tuple[int, str]] = {}  # place and id of the one that came to speak
        head.before_save(self._finish)

    @property
    def owed(self) -> int:
        """How many actions `_finish` puts besides, about."""
        return sum(self._cost(key, level) for key, level in self._known.items())

    def cost(self, record: ImageRecord, study: Mapping[str, Any]) -> int:
        """How many more an image that is new brings."""
        if keys.member(self._table, record, 0) is None:
            return 0
        there = [self._level(key) is not None for key in self._keys_of(record)]
        return (1 if there[0] else 2 + len(lookups_of(self._table, record.store, study))) + (1 if there[1] else 3)

    def _cost(self, key: tuple[str, ...], level: Level) -> int:
        if key in self._new or level.rows == 0:
            return len(key) + len(self._looked_up[key])  # with its pointers
        may_be_looked_up_anew = len(key) == 2 and level.held and (key in self._unsure or key in self._first)
        return 1 + 2 * _LOOKED_UP * bool(may_be_looked_up_anew)

    def prepare(self, records: Iterable[ImageRecord]) -> None:
        """Read the levels of these images in two requests."""
        of = [record for record in records if keys.member(self._table, record, 0) is not None]
        pointers = [key for record in of for key in self._pointers(record)]
        self._head.read(pointers)
        listed = []
        for record in of:
            for name, pointer in zip(("study", "series"), self._pointers(record), strict=True):
                found = self._head.at(pointer)
                if found is not None:
                    listed.append(level_key(self._table, name, record.store, found["pos"]))
        self._head.read(listed)

    def arrived(self, record: ImageRecord, place: int, models: Sequence[Mapping[str, Any]]) -> None:
        """A new image is current; it speaks for a level that held none."""
        if keys.member(self._table, record, 0) is None:
            return
        for key, model in zip(self._keys_of(record), models, strict=True):
            level = self._level(key)
            if level is None:
                level = self._made(key, place)
            level.rows += 1
            level.last = place
            if level.held == 0:
                self._unsure.pop(key, None)
                self._speak(key, place, record.id, model)
        self._count(record, 1)

    def left(self, record: ImageRecord, place: int) -> None:
        """An image ceased to be current."""
        if keys.member(self._table, record, 0) is None:
            return
        self._count(record, -1)
        for key in self._keys_of(record):
            level = self._there(key)
            if level.speaker == place:
                self._unsure.setdefault(key, place)

    def returned(self, record: ImageRecord, place: int) -> None:
        """An image came to be current again."""
        if keys.member(self._table, record, 0) is None:
            return
        for key in self._keys_of(record):
            level = self._there(key)
            if level.held == 0 or place < self._first.get(key, (level.speaker, ""))[0]:
                self._first[key] = place, record.id
        self._count(record, 1)

    def forgotten(self, record: ImageRecord) -> None:
        """An image that was not current is no more."""
        if keys.member(self._table, record, 0) is None:
            return
        for key in self._keys_of(record):
            self._there(key).rows -= 1

    def retold(self, record: ImageRecord, place: int, models: Sequence[Mapping[str, Any]]) -> None:
        """An image is said anew to have these attributes."""
        if record.state is not State.CURRENT or keys.member(self._table, record, 0) is None:
            return
        for key, model in zip(self._keys_of(record), models, strict=True):
            if self._there(key).speaker == place:
                self._speak(key, place, record.id, model)

    def _keys_of(self, record: ImageRecord) -> Iterator[tuple[str, ...]]:
        study = (record.store, record.study_uid or "")
        yield study
        yield (*study, record.series_uid or "")

    def _pointers(self, record: ImageRecord) -> tuple[Key, Key]:
        study, series = self._keys_of(record)
        return self._pointer(study), self._pointer(series)

    def _pointer(self, key: tuple[str, ...]) -> Key:
        if len(key) == 2:
            return keys.study_place(self._table, key[0], key[1])
        return keys.series_place(self._table, key[0], key[1], key[2])

    def _level(self, key: tuple[str, ...]) -> Level | None:
        if key not in self._known:
            found = self._head.at(self._pointer(key))
            if found is None:
                return None
            name = "study" if len(key) == 2 else "series"
            item = self._head.at(level_key(self._table, name, key[0], found["pos"]))
            if item is None:
                return None
            level = self._known[key] = level_of(self._table, item)
            self._looked_up[key] = self._looked_up_before[key] = self._lookups(level)
        return self._known[key]

    def _there(self, key: tuple[str, ...]) -> Level:
        level = self._level(key)
        if level is None:
            raise ConditionFailed
        return level

    def _made(self, key: tuple[str, ...], place: int) -> Level:
        study_place = place if len(key) == 2 else self._there(key[:2]).place
        level = Level(key[0], key[1], key[2] if len(key) > 2 else None, place, study_place)
        self._known[key] = level
        self._new.add(key)
        self._looked_up[key] = self._looked_up_before[key] = set()
        return level

    def _lookups(self, level: Level) -> set[str]:
        return lookups_of(self._table, level.store, level.model) if level.series_uid is None else set()

    def _speak(self, key: tuple[str, ...], place: int, id: str, model: Mapping[str, Any]) -> None:
        level = self._there(key)
        level.speaker, level.speaker_id, level.text = place, id, text_of(model, dumped)
        if level.series_uid is not None:
            kind = modality(model)
            if level.held:
                _change(self._there(key[:2]).modalities, level.modality, -1)
                _change(self._there(key[:2]).modalities, kind, 1)
            level.modality = kind
        self._looked_up[key] = self._lookups(level)

    def _count(self, record: ImageRecord, more: int) -> None:
        study, series = map(self._there, self._keys_of(record))
        held = (study.held > 0, series.held > 0)
        study.held += more
        series.held += more
        _change(study.classes, record.sop_class_uid or None, more)
        counted = {"images": more, "series": (series.held > 0) - held[1], "studies": (study.held > 0) - held[0]}
        study.series += counted["series"]
        _change(study.modalities, series.modality, counted["series"])
        self._head.add(keys.counts(self._table, record.store), **counted)

    def _finish(self) -> None:
        for key in sorted(self._unsure, key=len, reverse=True):  # what a study says is said by one of its series
            level = self._there(key)
            if level.held:
                place, id = self._earliest(key, level)
                self._speak(key, place, id, self._said(id, level.name))
        for key, (place, id) in self._first.items():
            self._speak(key, place, id, self._said(id, self._there(key).name))
        for key, level in list(self._known.items()):
            self._write(key, level)

    def _earliest(self, key: tuple[str, ...], level: Level) -> tuple[int, str]:
        """Place and id of the earliest image of a level that is current."""
        if level.series_uid is None:
            held = [each for each in self._series_of(key) if each.held]
            if not held:
                raise ConditionFailed
            first = min(held, key=lambda each: each.speaker)
            return first.speaker, first.speaker_id
        partition = keys.members(self._table, key[0], key[1], key[2])
        pending = {item["sk"]: item for item in self._head.pending(partition)}
        low = keys.padded(self._unsure[key])
        there = self._table.query(partition, low=low, page=100)
        later = [item for sort, item in sorted(pending.items()) if sort >= low]
        for item in (*(pending.get(item["sk"], item) for item in there), *later):
            record = record_of(expanded(self._table.unpacked(item))[0])
            if record.state is State.CURRENT:
                return int(item["sk"]), record.id
        raise ConditionFailed

    def _series_of(self, key: tuple[str, ...]) -> Iterator[Level]:
        study = self._there(key)
        found = {level.place: level for other, level in self._known.items() if other[:-1] == key}
        yield from found.values()
        pointers = self._table.query(keys.held_by(self._table, key[0], key[1]), begins="SERIES#")
        rest = [level_key(self._table, "series", study.store, each["pos"]) for each in pointers]
        rest = [each for each in rest if int(each[1]) not in found]
        for item in self._table.get_all(rest).values():
            yield level_of(self._table, item)

    def _said(self, id: str, name: str) -> Mapping[str, Any]:
        """What an image says of its study or series, by the metadata kept of it."""
        item = self._head.at(keys.image(self._table, id))
        names = self._head.at(keys.NAMES)
        if item is None:
            raise ConditionFailed
        metadata, _ = parted(self._table.unpacked(item))
        told = () if names is None else expanded(names["dat"])
        named = [Named.parse(each) for each in told if each.startswith(f"{name}:")]
        return of_level(Metadata.from_bytes(metadata).model, name, named)

    def _write(self, key: tuple[str, ...], level: Level) -> None:
        head, place = self._head, keys.padded(level.place)
        listed, pointer = level_key(self._table, level.name, level.store, level.place), self._pointer(key)
        before, after = self._looked_up_before[key], self._looked_up[key]
        named = None if level.series_uid is None else keys.series_named(self._table, level.store, level.series_uid)
        if level.rows == 0:
            head.remove(listed)
            head.delete(pointer)
            if named is not None:
                head.delete((named, place))
            for partition in before:
                head.delete((partition, place))
            return
        values = [getattr(level, name) for name in Level.__dataclass_fields__]
        item = {"pk": listed[0], "sk": listed[1], **self._table.packed(squeezed(values))}
        if key not in self._new:
            head.revise(item)
        else:
            head.put({**item, "rev": 1}, ABSENT)
            head.put({"pk": pointer[0], "sk": pointer[1], "pos": level.place}, ABSENT)
            if named is not None:
                head.put({"pk": named, "sk": place})
        for partition in before - after:
            head.delete((partition, place))
        for partition in after - before:
            head.put({"pk": partition, "sk": place})


def joined(metadata: bytes, frames: bytes | None) -> bytes:
    """Details of an image as bytes that `parted` takes apart."""
    return b"%d:%b%b" % (len(metadata), metadata, b"" if frames is None else b"+" + frames)


def parted(data: bytes) -> tuple[bytes, bytes | None]:
    length, _, rest = data.partition(b":")
    frames = rest[int(length) :]
    return rest[: int(length)], frames[1:] if frames else None


def modality(model: Mapping[str, Any]) -> str | None:
    """The first value of Modality (0008,0060) of a series as a DICOM JSON model."""
    element = model.get(_MODALITY)
    values = element.get("Value") if isinstance(element, Mapping) else None
    value = values[0] if isinstance(values, list | tuple) and values else None
    return clean(value) or None if isinstance(value, str) and value else None


def _change(numbers: dict[str, int], name: str | None, more: int) -> None:
    if name is not None and more:
        numbers[name] = numbers.get(name, 0) + more
        if not numbers[name]:
            del numbers[name]
