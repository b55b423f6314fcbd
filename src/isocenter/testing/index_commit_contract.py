"""What every index must do with new images: commit them once, whole, and tell of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from isocenter.dicom.attribute_lines import model_of
from isocenter.errors import Conflict, LimitExceeded
from isocenter.ports.index import Index
from isocenter.records import (
    CommitOutcome,
    Committed,
    Event,
    ImageQuery,
    Kind,
    Search,
    State,
)
from isocenter.testing.chain import assert_chained
from isocenter.testing.index_rooms import IndexRooms, IndexTests, commit, every_image, outcomes
from isocenter.testing.records import new_entry, new_image, new_uid, new_volume


class CommitContract(IndexTests):
    """Making images visible."""

    def test_a_committed_instance_comes_back_as_it_went_in(self, index: Index) -> None:
        new = new_image(number_of_frames=7, has_part10_header=False, preamble_is_zero=False, body_offset=0)
        (answer,) = commit(index, new)
        assert answer.outcome is CommitOutcome.STORED
        assert answer.record == index.get(new.record.id) == new.record

    def test_a_committed_volume_comes_back_as_it_went_in(self, index: Index) -> None:
        new = new_volume(kind=Kind.PNG, media_type="image/png")
        (answer,) = commit(index, new)
        assert answer == Committed(CommitOutcome.STORED, new.record)
        assert index.get(new.record.id) == new.record

    def test_moments_keep_their_microseconds_and_come_back_in_utc(self, index: Index) -> None:
        new = new_image()
        commit(index, new)
        kept = index.get(new.record.id)
        assert kept is not None
        assert kept.created == new.record.created
        assert kept.created.microsecond == new.record.created.microsecond
        assert kept.created.utcoffset() == new.record.created.utcoffset()

    def test_an_unknown_id_is_none(self, index: Index) -> None:
        assert index.get("nowhere") is None

    def test_an_empty_batch_changes_nothing(self, rooms: IndexRooms) -> None:
        assert list(rooms.index.commit([])) == []
        assert rooms.audit.head() is None
        assert rooms.events.last() == 0

    def test_the_same_bytes_again_are_a_duplicate_and_answer_with_the_first(self, index: Index) -> None:
        first = new_image()
        again = new_image(instance=first.record.sop_instance_uid)
        commit(index, first)
        (answer,) = commit(index, again)
        assert answer == Committed(CommitOutcome.DUPLICATE, first.record)
        assert index.get(again.record.id) is None

    def test_the_very_same_commit_again_is_a_duplicate(self, index: Index) -> None:
        new = new_image()
        assert outcomes([*commit(index, new), *commit(index, new)]) == ["stored", "duplicate"]

    def test_other_bytes_are_a_conflict_and_change_nothing(self, index: Index) -> None:
        first = new_image()
        other = new_image(instance=first.record.sop_instance_uid, content=b"other")
        commit(index, first)
        (answer,) = commit(index, other)
        assert answer == Committed(CommitOutcome.CONFLICT, first.record)
        assert index.get(other.record.id) is None
        assert index.get(first.record.id) == first.record

    def test_other_bytes_replace_where_versions_are_kept(self, index: Index) -> None:
        first = new_image()
        other = new_image(instance=first.record.sop_instance_uid, content=b"other")
        commit(index, first)
        entry = new_entry()
        (answer,) = index.commit([(other, entry)], keep_versions=True)
        assert answer == Committed(CommitOutcome.REPLACED, other.record)
        old = index.get(first.record.id)
        assert old == replace(first.record, state=State.SUPERSEDED, changed=entry.at)
        assert index.images(ImageQuery()).items == (other.record,)

    def test_the_same_bytes_are_a_duplicate_even_where_versions_are_kept(self, index: Index) -> None:
        first = new_image()
        commit(index, first)
        again = new_image(instance=first.record.sop_instance_uid)
        assert outcomes(commit(index, again, keep_versions=True)) == ["duplicate"]

    def test_bytes_of_a_superseded_version_replace_again(self, index: Index) -> None:
        uid = new_uid()
        versions = [new_image(instance=uid, content=content) for content in (b"1", b"2", b"1")]
        found = [commit(index, each, keep_versions=True)[0].outcome.value for each in versions]
        assert found == ["stored", "replaced", "replaced"]
        states = [State.CURRENT, State.SUPERSEDED]
        assert len(index.images(ImageQuery(states=tuple(states))).items) == 3

    def test_later_items_of_a_batch_see_the_earlier_ones(self, index: Index) -> None:
        uid = new_uid()
        batch = [new_image(instance=uid, content=content) for content in (b"1", b"1", b"2")]
        assert outcomes(commit(index, *batch)) == ["stored", "duplicate", "conflict"]
        assert index.images(ImageQuery()).items == (batch[0].record,)

    def test_later_items_of_a_batch_replace_the_earlier_ones_where_versions_are_kept(self, index: Index) -> None:
        uid, other = new_uid(), new_image()
        batch = [new_image(instance=uid, content=content) for content in (b"1", b"2", b"2", b"3")]
        batch.insert(2, other)
        found = outcomes(commit(index, *batch, keep_versions=True))
        assert found == ["stored", "replaced", "stored", "duplicate", "replaced"]
        assert index.images(ImageQuery()).items == (other.record, batch[4].record)

    def test_a_batch_of_old_and_new_answers_each_in_order(self, index: Index) -> None:
        old = [new_image(), new_image()]
        commit(index, *old)
        batch = [
            new_image(),
            new_image(instance=old[0].record.sop_instance_uid),
            new_volume(),
            new_image(instance=old[1].record.sop_instance_uid, content=b"other"),
            new_image(),
        ]
        answers = commit(index, *batch)
        assert outcomes(answers) == ["stored", "duplicate", "stored", "conflict", "stored"]
        assert [each.record for each in answers] == [
            batch[0].record, old[0].record, batch[2].record, old[1].record, batch[4].record,
        ]  # fmt: skip

    def test_an_identity_is_free_in_another_store(self, index: Index) -> None:
        first = new_image()
        other = new_image(instance=first.record.sop_instance_uid, content=b"other", store="deidentified")
        assert outcomes(commit(index, first, other)) == ["stored", "stored"]

    def test_a_volume_is_known_by_subject_and_image(self, index: Index) -> None:
        batch = [
            new_volume(image="a", subject="one"),
            new_volume(image="a", subject="two"),
            new_volume(image="a", subject="one", content=b"other"),
            new_volume(image="a", subject="one", store="deidentified"),
        ]
        assert outcomes(commit(index, *batch)) == ["stored", "stored", "conflict", "stored"]

    def test_an_instance_does_not_stand_in_the_way_of_a_volume_of_its_name(self, index: Index) -> None:
        instance = new_image(subject="one", image_id="a")
        volume = new_volume(subject="one", image="a", content=b"other")
        assert outcomes(commit(index, instance, volume)) == ["stored", "stored"]

    def test_a_deleted_identity_can_be_stored_anew(self, index: Index) -> None:
        first = new_image()
        commit(index, first)
        index.transition([first.record.id], State.DELETED, new_entry("delete"))
        again = new_image(instance=first.record.sop_instance_uid, content=b"other")
        assert outcomes(commit(index, again)) == ["stored"]

    def test_an_internal_id_taken_by_another_image_raises_conflict_and_changes_nothing(self, rooms: IndexRooms) -> None:
        first, fine = new_image(), new_image()
        commit(rooms.index, first)
        before = rooms.audit.head()
        with pytest.raises(Conflict):
            commit(rooms.index, fine, new_image(id=first.record.id))
        assert rooms.index.get(fine.record.id) is None
        assert rooms.audit.head() == before

    def test_a_large_batch_is_one_commit(self, rooms: IndexRooms) -> None:
        study = new_uid()
        batch = [new_image(study=study) for _ in range(self.many)]
        assert set(outcomes(commit(rooms.index, *batch))) == {"stored"}
        assert len(every_image(rooms.index, ImageQuery(study_uid=study, limit=700))) == self.many
        assert rooms.events.last() == self.many

    def test_nul_and_lone_surrogates_are_taken_out_of_what_is_indexed(self, rooms: IndexRooms) -> None:
        index = rooms.index
        odd = "a\0b\ud800c"
        new = new_image(
            subject=odd, image_id=odd, study_model={"00100010": {"vr": "PN", "Value": [{"Alphabetic": odd}]}}
        )
        (answer,) = commit(index, new)
        assert answer.record.subject_id == "ab?c"
        assert index.get(new.record.id) == answer.record
        assert index.images(ImageQuery(subject_id=odd)).items == (answer.record,)
        assert index.images(ImageQuery(image_id="ab?c")).items == (answer.record,)
        (study,) = rooms.search.search(Search("study", "raw")).items
        assert model_of(study.attributes) == {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "ab?c"}]}}

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "Müller^Jörg",
            "山田^太郎",
            "\U0001f9e0",
            "e\u0301",
            "a%_\\'\";--",
            "\u202e",
            "A",
            "\x01\x7f",
        ],
    )
    def test_text_comes_back_and_is_found_as_it_went_in(self, rooms: IndexRooms, text: str) -> None:
        index = rooms.index
        model = {
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": text}]},
            "00100020": {"vr": "LO", "Value": ["\\u0000", text]},
        }
        new, decoy = new_image(subject=text, study_model=model), new_image(subject=text + "a")
        commit(index, new, decoy, new_volume(subject="a", image=text))
        assert index.images(ImageQuery(subject_id=text)).items == (new.record,)
        uids = (new.record.study_uid or "",)
        (study,) = rooms.search.search(Search("study", "raw", study_uids=uids)).items
        assert model_of(study.attributes) == model
        assert len(index.images(ImageQuery(image_id=text)).items) == 1

    @pytest.mark.parametrize("field", ["subject_id", "image_id", "study_uid", "sop_instance_uid"])
    def test_an_identifier_above_512_bytes_is_refused_by_its_keyword_alone(self, rooms: IndexRooms, field: str) -> None:
        longest = "é" * 256
        good, bad = new_image(), new_image()
        fits: dict[str, Any] = {field: longest}
        exceeds: dict[str, Any] = {field: longest + "z"}
        commit(rooms.index, replace(good, record=replace(good.record, **fits)))
        with pytest.raises(LimitExceeded) as raised:
            commit(rooms.index, new_image(), replace(bad, record=replace(bad.record, **exceeds)))
        assert longest not in raised.value.detail
        assert rooms.events.last() == 1

    def test_details_are_found_by_id_and_unknown_ids_left_out(self, index: Index) -> None:
        batch = [new_image(), new_volume()]
        batch.append(replace(new_image(), details=replace(batch[0].details, frames=None)))
        commit(index, *batch)
        ids = [each.record.id for each in batch]
        assert index.details([ids[2], "nowhere", ids[0], ids[1]]) == {each.record.id: each.details for each in batch}
        assert index.details([]) == {}

    def test_details_of_thousands_of_images_are_one_call(self, index: Index) -> None:
        batch = [new_image() for _ in range(self.many)]
        commit(index, *batch)
        assert len(index.details([each.record.id for each in batch])) == self.many

    def test_details_of_large_images_come_back_whole(self, index: Index) -> None:
        new = new_image()
        new = replace(new, details=replace(new.details, metadata=bytes(range(256)) * 20_000))
        commit(index, new)
        assert index.details([new.record.id])[new.record.id] == new.details


class TellContract(IndexTests):
    """The events and audit entries that changes write."""

    def test_each_outcome_writes_its_event_and_its_audit_entry(self, rooms: IndexRooms) -> None:
        uid = new_uid()
        batch = [new_image(instance=uid, content=content) for content in (b"1", b"1", b"2")]
        entries = [new_entry(actor=f"actor {i}") for i in range(4)]
        rooms.index.commit(list(zip(batch, entries[:3], strict=True)))
        later = new_image(instance=uid, content=b"3")
        rooms.index.commit([(later, entries[3])], keep_versions=True)
        first, last = batch[0].record, later.record
        assert list(rooms.events.read()) == [
            Event("image.stored", "raw", first.id, entries[0].at, 1),
            Event("image.replaced", "raw", last.id, entries[3].at, 2),
        ]
        noted = assert_chained(rooms.audit, rooms.key)
        assert [(each.outcome, each.store, each.image, each.actor) for each in noted] == [
            ("success", "raw", first.id, "actor 0"),
            ("duplicate", "raw", first.id, "actor 1"),
            ("conflict", "raw", first.id, "actor 2"),
            ("success", "raw", last.id, "actor 3"),
        ]
        assert [each.at for each in noted] == [each.at for each in entries]

    def test_deleting_restoring_and_purging_tell_of_each_image_that_changed(self, rooms: IndexRooms) -> None:
        index, batch = rooms.index, [new_image(), new_image()]
        commit(index, *batch)
        ids = [each.record.id for each in batch]
        before = rooms.events.last()
        index.transition(ids[:1], State.DELETED, new_entry("delete"))
        index.transition(ids[:1], State.CURRENT, new_entry("restore"))
        index.transition(ids, State.DELETED, new_entry("delete"))
        index.purge(ids, new_entry("purge"))
        told = [(event.type, event.image) for event in rooms.events.read(before)]
        assert told == [
            ("image.deleted", ids[0]), ("image.restored", ids[0]), ("image.deleted", ids[0]),
            ("image.deleted", ids[1]), ("image.purged", ids[0]), ("image.purged", ids[1]),
        ]  # fmt: skip
        noted = assert_chained(rooms.audit, rooms.key)[2:]
        assert [(f"image.{each.action}d", each.image) for each in noted if each.store == "raw"] == told

    def test_a_change_that_changes_nothing_tells_nothing(self, rooms: IndexRooms) -> None:
        new = new_image()
        commit(rooms.index, new)
        before = (rooms.events.last(), rooms.audit.head())
        rooms.index.transition([new.record.id, "nowhere"], State.CURRENT, new_entry("restore"))
        rooms.index.purge([new.record.id, "nowhere"], new_entry("purge"))
        rooms.index.transition([], State.DELETED, new_entry("delete"))
        assert (rooms.events.last(), rooms.audit.head()) == before
