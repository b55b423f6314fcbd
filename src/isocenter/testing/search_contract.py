"""What every search index must find: studies, series and instances, as `dicom.matching` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from isocenter.dicom.attribute_lines import model_of
from isocenter.dicom.matching import Key, Tags, combine, make_key
from isocenter.errors import BadRequest
from isocenter.ports.search import SearchIndex
from isocenter.records import Found, Indexed, LevelRecord, NewImage, Order, Search, State
from isocenter.testing.index_rooms import IndexRooms, IndexTests, commit
from isocenter.testing.records import new_entry, new_image, new_uid, new_volume
from isocenter.testing.threads import together

PATIENT_NAME, PATIENT_ID, STUDY_DATE, STUDY_TIME = 0x00100010, 0x00100020, 0x00080020, 0x00080030
DESCRIPTION, REQUEST, STEP, PROCEDURE = 0x00081030, 0x00400275, 0x00400009, 0x00401001
ROWS, NUMBER = 0x00280010, 0x00200013


def model(**attributes: tuple[str, Any]) -> dict[str, Any]:
    """A DICOM JSON model: `x00100020=("LO", ["1"])`."""
    return {name[1:]: {"vr": vr, "Value": value} for name, (vr, value) in attributes.items()}


def key(level: str, *tags: int, text: str, fuzzy: bool = False) -> Key:
    made = make_key(tags, level, text, fuzzy=fuzzy)
    assert made is not None
    return made


def every_page(index: SearchIndex, search: Search) -> list[LevelRecord]:
    found: list[LevelRecord] = []
    while True:
        page = index.search(search)
        found += page.items
        if page.next is None:
            return found
        search = replace(search, after=page.next)


class SearchTests(IndexTests):
    """Tests that search; the fixture gives the port."""

    @pytest.fixture
    def search(self, rooms: IndexRooms) -> SearchIndex:
        return rooms.search

    def studies(self, rooms: IndexRooms, **fields: Any) -> tuple[LevelRecord, ...]:
        return rooms.search.search(Search("study", "raw", **fields)).items

    def series(self, rooms: IndexRooms, **fields: Any) -> tuple[LevelRecord, ...]:
        return rooms.search.search(Search("series", "raw", **fields)).items


class LevelContract(SearchTests):
    """What studies and series hold."""

    def test_studies_and_series_are_counted_from_what_is_current(self, rooms: IndexRooms) -> None:
        study, ct, mr = new_uid(), new_uid(), new_uid()
        batch = [new_image(study=study, series=ct), new_image(study=study, series=ct)]
        batch.append(new_image(study=study, series=mr, modality="MR"))
        commit(rooms.index, *batch)
        (found,) = self.studies(rooms)
        assert (found.store, found.study_uid, found.series_uid) == ("raw", study, None)
        assert (found.modalities, found.number_of_series, found.number_of_instances) == (("CT", "MR"), 2, 3)
        series = self.series(rooms, study_uids=(study,))
        assert [(each.series_uid, each.modalities, each.number_of_instances) for each in series] == [
            (ct, ("CT",), 2),
            (mr, ("MR",), 1),
        ]
        assert all(each.number_of_series == 1 for each in series)

    def test_counts_stay_right_over_delete_restore_and_purge(self, rooms: IndexRooms) -> None:
        study, index = new_uid(), rooms.index
        batch = [new_image(study=study), new_image(study=study, modality="MR")]
        commit(index, *batch)
        id = batch[1].record.id

        def held() -> list[tuple[tuple[str, ...], int, int]]:
            return [(e.modalities, e.number_of_series, e.number_of_instances) for e in self.studies(rooms)]

        index.transition([id], State.DELETED, new_entry())
        assert held() == [(("CT",), 1, 1)]
        assert len(self.series(rooms)) == 1
        index.transition([id], State.CURRENT, new_entry())
        assert held() == [(("CT", "MR"), 2, 2)]
        index.transition([each.record.id for each in batch], State.DELETED, new_entry())
        assert held() == []
        index.purge([id], new_entry())
        index.transition([batch[0].record.id], State.CURRENT, new_entry())
        assert held() == [(("CT",), 1, 1)]

    def test_superseded_and_duplicate_images_are_not_counted(self, rooms: IndexRooms) -> None:
        study, series, uid = new_uid(), new_uid(), new_uid()
        batch = [new_image(study=study, series=series, instance=uid, content=each) for each in (b"1", b"1", b"2")]
        commit(rooms.index, *batch, keep_versions=True)
        assert self.studies(rooms)[0].number_of_instances == 1

    def test_the_earliest_current_instance_gives_a_level_its_attributes(self, rooms: IndexRooms) -> None:
        study, series = new_uid(), new_uid()
        models = [model(x00081030=("LO", [text])) for text in ("first", "second", "third")]
        batch = [
            new_image(study=study, series=series, study_model=each, modality=modality)
            for each, modality in zip(models, ("CT", "MR", "US"), strict=True)
        ]
        commit(rooms.index, *batch[:2])
        commit(rooms.index, batch[2])

        def told(text: str, modality: str) -> bool:
            found = self.studies(rooms, keys=(key("study", DESCRIPTION, text=text),))
            (series,) = self.series(rooms)
            return (
                [model_of(each.attributes)["00081030"]["Value"] for each in self.studies(rooms)] == [[text]]
                and [each.modalities for each in found] == [(modality,)]
                and model_of(series.attributes)["00080060"]["Value"] == [modality]
            )

        ids = [each.record.id for each in batch]
        assert told("first", "CT")
        rooms.index.transition(ids[1:2], State.DELETED, new_entry())
        assert told("first", "CT")
        rooms.index.transition(ids[:1], State.DELETED, new_entry())
        assert told("third", "US")
        rooms.index.transition(ids[1:2], State.CURRENT, new_entry())
        assert told("second", "MR")
        rooms.index.transition(ids[:1], State.CURRENT, new_entry())
        assert told("first", "CT")
        rooms.index.transition(ids[:1], State.DELETED, new_entry())
        rooms.index.purge(ids[:1], new_entry())
        assert told("second", "MR")

    def test_a_level_whose_images_were_all_purged_begins_anew(self, rooms: IndexRooms) -> None:
        study, second = new_uid(), model(x00081030=("LO", ["second"]))
        first = new_image(study=study, study_model=model(x00081030=("LO", ["first"])))
        commit(rooms.index, first)
        rooms.index.transition([first.record.id], State.DELETED, new_entry())
        rooms.index.purge([first.record.id], new_entry())
        commit(rooms.index, new_image(study=study, study_model=second))
        assert [model_of(each.attributes) for each in self.studies(rooms)] == [second]
        assert not self.studies(rooms, keys=(key("study", DESCRIPTION, text="first"),))

    def test_an_instance_moved_to_another_study_by_replacing_leaves_the_old_one(self, rooms: IndexRooms) -> None:
        first, other = new_image(), new_image(content=b"2")
        moved = replace(other, record=replace(other.record, sop_instance_uid=first.record.sop_instance_uid))
        commit(rooms.index, first, moved, keep_versions=True)
        assert [each.study_uid for each in self.studies(rooms)] == [moved.record.study_uid]

    def test_stores_do_not_mix(self, rooms: IndexRooms) -> None:
        one = new_image()
        other = new_image(study=one.record.study_uid, series=one.record.series_uid, store="deidentified")
        commit(rooms.index, one, other, new_volume())
        for level in ("study", "series", "instance"):
            (found,) = rooms.search.search(Search(level, "deidentified")).items
            assert (found.store, found.study_uid) == ("deidentified", one.record.study_uid)
        assert rooms.search.search(Search("instance", "nowhere")) == Found((), 0)

    def test_a_series_without_modality_counts_all_the_same(self, rooms: IndexRooms) -> None:
        commit(rooms.index, new_image(modality=None))
        (found,) = self.series(rooms)
        assert (found.modalities, found.number_of_instances) == ((), 1)

    @pytest.mark.parametrize("level", ["study", "series", "instance"])
    def test_pages_come_oldest_first_with_the_total(self, rooms: IndexRooms, level: str) -> None:
        batch = [new_image() for _ in range(9)]
        commit(rooms.index, *batch[:5])
        commit(rooms.index, *batch[5:])
        search = Search(level, "raw", limit=4)
        assert rooms.search.search(search).total == 9
        found = every_page(rooms.search, search)
        assert [each.study_uid for each in found] == [each.record.study_uid for each in batch]
        assert [each.study_uid for each in rooms.search.search(replace(search, offset=7)).items] == [
            each.record.study_uid for each in batch[7:]
        ]
        assert rooms.search.search(replace(search, limit=0)).total == 9
        assert rooms.search.search(replace(search, offset=99)) == Found((), 9)
        assert rooms.search.search(replace(search, offset=2**31)) == Found((), 9)

    @pytest.mark.parametrize("text", ["", "1", "x", "AAAAAAAAAAE=", "AAAAAAAAAAAAAAAA", "\u00e9", "\0", "' OR 1=1"])
    def test_a_cursor_that_is_none_is_a_bad_request(self, search: SearchIndex, text: str) -> None:
        for level in ("study", "series", "instance"):
            with pytest.raises(BadRequest):
                search.search(Search(level, "raw", after=text))

    def test_a_cursor_of_another_search_is_a_bad_request(self, rooms: IndexRooms) -> None:
        commit(rooms.index, new_image(), new_image())
        cursor = rooms.search.search(Search("study", "raw", limit=1)).next
        assert cursor is not None
        for other in (Search("series", "raw"), Search("study", "raw", order=(Order(STUDY_DATE, "study"),))):
            with pytest.raises(BadRequest):
                rooms.search.search(replace(other, after=cursor))

    def test_thousands_come_and_go_at_once(self, rooms: IndexRooms) -> None:
        batch = [new_image() for _ in range(self.many)]
        commit(rooms.index, *batch)
        assert len(self.studies(rooms, limit=5000)) == self.many
        rooms.index.transition([each.record.id for each in batch[1:]], State.DELETED, new_entry())
        assert len(self.studies(rooms, limit=5000)) == 1


class KeyContract(SearchTests):
    """What keys find."""

    @pytest.fixture
    def three(self, rooms: IndexRooms) -> list[NewImage]:
        batch = [
            new_image(
                study_model=model(
                    x00100010=("PN", [{"Alphabetic": name}]), x00100020=("LO", [id]), x00080020=("DA", [date]),
                    x00080030=("TM", [time]),
                ),
                instance_model=model(x00280010=("US", [rows]), x00200013=("IS", [number])),
            )
            for name, id, date, time, rows, number in (
                ("M\u00fcller^J\u00f6rg", "A[1]%_", "20200101", "0900", 512, 1),
                ("Doe^Jane^^Dr", "B", "20200102", "100000.5", 256, 2),
                ("doe^JOHN", "long" * 100, "20210101", "2359", 512, 10),
            )
        ]  # fmt: skip
        commit(rooms.index, *batch)
        return batch

    @pytest.mark.parametrize(
        ("tag", "text", "wanted"),
        [
            (PATIENT_ID, "B", [1]), (PATIENT_ID, "b", []), (PATIENT_ID, "A[1]%_", [0]), (PATIENT_ID, "A[?]*", [0]),
            (PATIENT_ID, "?", [1]), (PATIENT_ID, "A[1]__", []), (PATIENT_ID, "long" * 100, [2]),
            (PATIENT_ID, "long" * 99 + "????", [2]), (PATIENT_ID, "long" * 99, []), (PATIENT_ID, "long*", [2]),
            (PATIENT_ID, "B\\A[1]%_", [0, 1]), (PATIENT_ID, "'; DROP TABLE images; --", []), (PATIENT_ID, '""', []),
            (PATIENT_NAME, "DOE^*", [1, 2]), (PATIENT_NAME, "doe^john", [2]), (PATIENT_NAME, "m\u00dcller*", [0]),
            (PATIENT_NAME, "Doe^Jane^^Dr^", [1]), (PATIENT_NAME, "Doe^J???=", [2]), (PATIENT_NAME, "=x", []),
            (STUDY_DATE, "20200101-20200102", [0, 1]), (STUDY_DATE, "-20200101", [0]), (STUDY_DATE, "2020", [0, 1]),
            (STUDY_DATE, "20210101-", [2]), (STUDY_DATE, "20200102", [1]), (STUDY_TIME, "10", [1]),
            (STUDY_TIME, "0900-1000", [0, 1]), (STUDY_TIME, "100000.5", [1]), (STUDY_TIME, "1000-2358", [1]),
            (STUDY_DATE, '""', []), (DESCRIPTION, '""', [0, 1, 2]), (DESCRIPTION, "?", []),
        ],
    )  # fmt: skip
    def test_keys_find(self, rooms: IndexRooms, three: list[NewImage], tag: int, text: str, wanted: list[int]) -> None:
        keys = (key("study", tag, text=text),)
        for level in ("study", "series", "instance"):
            found = rooms.search.search(Search(level, "raw", keys))
            assert [each.study_uid for each in found.items] == [three[i].record.study_uid for i in wanted]
            assert found.total == len(wanted)

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("jorg mull", [0]),
            ("John,Doe", [2]),
            ("d*e", [1, 2]),
            ("doe jane dr", [1]),
            ("doe x", []),
            ("M\u00dcLLER", [0]),
        ],
    )
    def test_fuzzy_keys_find(self, rooms: IndexRooms, three: list[NewImage], text: str, wanted: list[int]) -> None:
        found = self.studies(rooms, keys=(key("study", PATIENT_NAME, text=text, fuzzy=True),))
        assert [each.study_uid for each in found] == [three[i].record.study_uid for i in wanted]

    def test_dates_and_times_make_one_range(self, rooms: IndexRooms, three: list[NewImage]) -> None:
        texts: dict[Tags, str] = {(STUDY_DATE,): "20200101-20200102", (STUDY_TIME,): "0930-0900"}
        keys = combine([key("study", *tags, text=text) for tags, text in texts.items()], texts)
        assert self.studies(rooms, keys=tuple(keys)) == ()
        texts[STUDY_TIME,] = "0830-1001"
        keys = combine([key("study", *tags, text=text) for tags, text in texts.items()], texts)
        assert len(self.studies(rooms, keys=tuple(keys))) == 2

    def test_attributes_of_instances_are_looked_at(self, rooms: IndexRooms, three: list[NewImage]) -> None:
        def numbers(**fields: Any) -> list[int]:
            found = every_page(rooms.search, Search("instance", "raw", limit=1, **fields))
            return [model_of(each.attributes)["00200013"]["Value"][0] for each in found]

        rows = key("instance", ROWS, text="512")
        assert numbers(keys=(rows,)) == [1, 10]
        assert numbers(keys=(rows, key("study", PATIENT_NAME, text="doe*"))) == [10]
        assert numbers(order=(Order(NUMBER, "instance", descending=True),)) == [10, 2, 1]
        assert numbers(order=(Order(ROWS, "instance"), Order(STUDY_DATE, "study", descending=True))) == [2, 10, 1]
        uid = three[1].record.sop_instance_uid or ""
        assert numbers(sop_instance_uids=(uid, "1.2.3")) == [2]
        assert numbers(keys=(key("instance", 0x00080016, text=three[0].record.sop_class_uid or ""),)) == [1, 2, 10]

    def test_too_many_to_look_at_are_refused(self, rooms: IndexRooms, three: list[NewImage]) -> None:
        search = Search("instance", "raw", (key("instance", ROWS, text="512"),), most_scanned=2)
        with pytest.raises(BadRequest, match="narrow"):
            rooms.search.search(search)
        narrowed = replace(search, study_uids=(three[0].record.study_uid or "",))
        assert rooms.search.search(narrowed).total == 1

    def test_keys_of_one_sequence_are_met_by_one_item(self, rooms: IndexRooms) -> None:
        items = [model(x00400009=("SH", [a]), x00401001=("SH", [b])) for a, b in (("A", "1"), ("B", "2"))]
        commit(rooms.index, new_image(series_model=model(x00400275=("SQ", items))))

        def found(step: str, procedure: str) -> int:
            keys = (key("series", REQUEST, STEP, text=step), key("series", REQUEST, PROCEDURE, text=procedure))
            return len(self.series(rooms, keys=keys))

        assert (found("A", "1"), found("B", "2"), found("A", "2"), found("?", "*2")) == (1, 1, 0, 1)

    def test_modalities_in_study_follow_what_is_there(self, rooms: IndexRooms) -> None:
        study = new_uid()
        batch = [new_image(study=study, modality=each) for each in ("CT", "MR", None)]
        commit(rooms.index, *batch, new_image(modality="US"))

        def found(text: str, level: str = "study") -> int:
            return rooms.search.search(Search(level, "raw", (key("study", 0x00080061, text=text),))).total

        assert (found("CT"), found("M?"), found("CT\\US"), found("XA"), found("MR", "series")) == (1, 1, 2, 0, 3)
        rooms.index.transition([batch[1].record.id], State.DELETED, new_entry())
        assert (found("CT"), found("MR"), found('""')) == (1, 0, 0)

    def test_results_are_sorted_as_asked(self, rooms: IndexRooms, three: list[NewImage]) -> None:
        commit(rooms.index, new_image())

        def order(*by: Order) -> list[int]:
            found = every_page(rooms.search, Search("study", "raw", order=by, limit=1))
            uids = [each.record.study_uid for each in three]
            return [uids.index(each.study_uid) if each.study_uid in uids else 3 for each in found]

        assert order(Order(PATIENT_NAME, "study")) == [3, 1, 2, 0]
        assert order(Order(STUDY_DATE, "study", descending=True)) == [2, 1, 0, 3]
        assert order(Order(DESCRIPTION, "study"), Order(PATIENT_ID, "study", descending=True)) == [2, 1, 0, 3]

    def test_attributes_of_the_levels_above_come_along(self, rooms: IndexRooms, three: list[NewImage]) -> None:
        (found,) = self.series(rooms, study_uids=(three[1].record.study_uid or "",))
        assert model_of(found.above)["00100020"]["Value"] == ["B"]
        (instance,) = rooms.search.search(Search("instance", "raw", series_uids=(found.series_uid or "",))).items
        assert model_of(instance.above)["00100020"]["Value"] == ["B"]
        assert model_of(instance.above)["00080060"]["Value"] == ["CT"]
        assert (instance.id, model_of(instance.attributes)["00280010"]["Value"]) == (three[1].record.id, [256])


class ReindexContract(SearchTests):
    """Indexing anew."""

    def test_names_are_kept_as_told(self, rooms: IndexRooms) -> None:
        assert rooms.search.names() == frozenset()
        for names in (frozenset({"a", "b"}), frozenset({"b"})):
            rooms.search.complete(names)
            assert rooms.search.names() == names

    def test_names_are_kept_whole_by_all_who_tell_them_at_once(self, rooms: IndexRooms) -> None:
        names = frozenset({"a", "b", "c"})
        for _ in range(3):
            together(lambda _: rooms.search.complete(names), range(8))
            assert rooms.search.names() == names

    def test_reindexing_replaces_what_search_knows(self, rooms: IndexRooms) -> None:
        study = new_uid()
        first, second = (new_image(study=study, study_model=model(x00100020=("LO", [id]))) for id in "ab")
        commit(rooms.index, first, second)
        private: Mapping[str, Any] = model(x00190010=("LO", ["ACME"]), x00191001=("LO", ["p"]))
        for _ in range(2):
            rooms.search.reindex(
                [
                    Indexed(each.record.id, model(x00100020=("LO", [id])), each.series, private)
                    for each, id in ((first, "c"), (second, "d"), (new_image(), "e"))
                ]
            )
        ids = [len(self.studies(rooms, keys=(key("study", PATIENT_ID, text=id),))) for id in "abcde"]
        assert ids == [0, 0, 1, 0, 0]
        found = rooms.search.search(Search("instance", "raw", (key("instance", 0x00191001, text="p"),)))
        assert [each.id for each in found.items] == [first.record.id, second.record.id]
        assert self.studies(rooms)[0].number_of_instances == 2


class SearchContract(LevelContract, KeyContract, ReindexContract):
    """All of it: the class for a backend to subclass."""
