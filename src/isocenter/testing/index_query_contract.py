"""What every index must find: images, studies and series, a page at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isocenter.errors import BadRequest
from isocenter.ports.index import Index
from isocenter.records import (
    ImageQuery,
    Kind,
    State,
)
from isocenter.testing.index_rooms import IndexTests, commit, every_image
from isocenter.testing.records import new_entry, new_image, new_moment, new_uid, new_volume

DELETED = (State.DELETED,)


class QueryContract(IndexTests):
    """Finding images."""

    def test_every_field_of_a_query_must_hold(self, index: Index) -> None:
        study, series = new_uid(), new_uid()
        wanted = new_image(study=study, series=series, subject="one")
        record = wanted.record
        others = [
            new_image(study=study, series=series, subject="two"),
            new_image(study=study, subject="one"),
            new_image(subject="one"),
            new_image(study=study, series=series, subject="one", store="deidentified"),
            new_volume(subject="one"),
        ]
        commit(index, *others[:2], wanted, *others[2:])
        query = ImageQuery(
            ("raw", "other"), "one", record.image_id, study, series,
            (new_uid(), record.sop_instance_uid or ""), Kind.DICOM,
        )  # fmt: skip
        assert index.images(query).items == (record,)
        for field, value in (
            ("stores", ("deidentified",)), ("subject_id", "two"), ("image_id", "a"), ("study_uid", new_uid()),
            ("series_uid", new_uid()), ("sop_instance_uids", (new_uid(),)), ("kind", Kind.NIFTI),
            ("states", DELETED), ("changed_before", new_moment()),
        ):  # fmt: skip
            assert index.images(replace(query, **{field: value})).items == (), field  # type: ignore[arg-type]

    def test_each_field_of_a_query_holds_alone(self, index: Index) -> None:
        wanted, volume = new_image(subject="one"), new_volume(subject="two", image="a")
        record = wanted.record
        commit(index, new_image(), wanted, new_volume(), volume)
        for query in (
            ImageQuery(subject_id="one"), ImageQuery(image_id=record.image_id),
            ImageQuery(study_uid=record.study_uid), ImageQuery(series_uid=record.series_uid),
            ImageQuery(sop_instance_uids=(record.sop_instance_uid or "",)),
        ):  # fmt: skip
            assert index.images(query).items == (record,)
        assert index.images(ImageQuery(image_id="a")).items == (volume.record,)
        assert len(index.images(ImageQuery(kind=Kind.NIFTI)).items) == 2
        assert len(index.images(ImageQuery(kind=Kind.DICOM)).items) == 2

    def test_an_empty_choice_matches_nothing(self, index: Index) -> None:
        commit(index, new_image())
        for query in (ImageQuery(stores=()), ImageQuery(sop_instance_uids=()), ImageQuery(states=())):
            assert index.images(query).items == ()

    def test_matching_is_exact_and_tells_case_apart(self, index: Index) -> None:
        commit(index, new_image(subject="Ab"))
        for text in ("ab", "A", "Ab ", "A%", "A_", "*"):
            assert index.images(ImageQuery(subject_id=text)).items == ()

    def test_states_can_be_asked_for_together_and_come_in_order_of_arrival(self, index: Index) -> None:
        uid = new_uid()
        batch = [new_image(), new_image(instance=uid), new_image(), new_image(instance=uid, content=b"2")]
        commit(index, *batch, keep_versions=True)
        index.transition([batch[2].record.id], State.DELETED, new_entry())
        found = every_image(index, ImageQuery(states=tuple(State), limit=1))
        assert [each.id for each in found] == [each.record.id for each in batch]
        twice = ImageQuery(states=(State.CURRENT, State.CURRENT), sop_instance_uids=(uid, uid))
        assert index.images(twice).items == (batch[3].record,)

    def test_changed_before_is_exclusive_and_passes_over_what_never_changed(self, index: Index) -> None:
        batch = [new_image(), new_image(), new_image()]
        commit(index, *batch)
        entries = [new_entry(), new_entry()]
        for new, entry in zip(batch[:2], entries, strict=True):
            index.transition([new.record.id], State.DELETED, entry)
        query = ImageQuery(states=tuple(State), changed_before=entries[1].at)
        assert [each.id for each in index.images(query).items] == [batch[0].record.id]

    def test_pages_follow_each_other_without_gap_or_repeat(self, index: Index) -> None:
        batch = [new_image() for _ in range(23)]
        commit(index, *batch)
        for limit in (1, 7, 22, 23, 24):
            assert every_image(index, ImageQuery(limit=limit)) == [each.record for each in batch]
        assert index.images(ImageQuery(limit=23)).next is None
        assert index.images(ImageQuery(limit=0)).items == ()

    def test_a_cursor_goes_on_where_it_was_while_rows_come_and_go(self, index: Index) -> None:
        batch = [new_image() for _ in range(6)]
        commit(index, *batch)
        page = index.images(ImageQuery(limit=2))
        late = new_image()
        commit(index, late)
        index.transition([batch[1].record.id, batch[3].record.id], State.DELETED, new_entry())
        rest = every_image(index, ImageQuery(limit=2, after=page.next))
        assert [each.id for each in rest] == [
            batch[2].record.id, batch[4].record.id, batch[5].record.id, late.record.id,
        ]  # fmt: skip

    @pytest.mark.parametrize("text", ["", "1", "x", "AAAAAAAAAAE=", "AAAAAAAAAAAAAAAA", "é", "\0", "' OR 1=1"])
    def test_a_foreign_cursor_is_a_bad_request(self, index: Index, text: str) -> None:
        with pytest.raises(BadRequest):
            index.images(ImageQuery(after=text))

    def test_a_cursor_of_another_list_is_a_bad_request(self, index: Index) -> None:
        commit(index, new_image(), new_image())
        cursor = index.images(ImageQuery(limit=1)).next
        assert cursor is not None
        with pytest.raises(BadRequest):
            index.images(ImageQuery(after=cursor[:-2] + "A="))

    def test_thousands_of_instances_can_be_asked_for_by_uid(self, index: Index) -> None:
        batch = [new_image() for _ in range(self.many)]
        commit(index, *batch)
        uids = tuple(each.record.sop_instance_uid or "" for each in batch)
        query = ImageQuery(sop_instance_uids=uids[::-1], limit=self.many * 3 // 7)
        assert every_image(index, query) == [each.record for each in batch]
