"""The hot path: making images visible, as many in one transaction as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.errors import ConditionFailed
from isocenter.adapters.aws.head import Head, Journal, TooLarge
from isocenter.adapters.aws.levels import Levels, joined
from isocenter.adapters.aws.rows import cleaned, record_in, record_text, record_values
from isocenter.adapters.aws.table import ABSENT, MOST_ACTIONS, MOST_TRANSACTED, Condition, Delete, Item, Key, Table
from isocenter.adapters.aws.text import dumped, expanded, squeezed
from isocenter.dicom.attribute_lines import text_of
from isocenter.errors import Conflict, LimitExceeded
from isocenter.records import (
    AuditEntry,
    CommitOutcome,
    Committed,
    Event,
    ImageRecord,
    NewImage,
    State,
)

_New = tuple[NewImage, AuditEntry]
_AT_ONCE = 20  # images that one transaction may hold at best; so many are read ahead
_IMAGE, _REPLACED = 5, 8  # actions that an image takes, and the one before it
_ROOM = 4  # actions that `save` adds


class Committing:
    """Commits batches. One that is larger than a transaction goes in as several, in order, each whole in itself."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._table = journal.table

    def __call__(self, new: Sequence[_New], keep_versions: bool) -> Sequence[Committed]:
        items = [(replace(image, record=cleaned(image.record)), entry) for image, entry in new]
        if len(items) > _AT_ONCE:
            self._check_ids([image.record for image, _ in items], keep_versions)
        answers: list[Committed] = []
        most = window = _AT_ONCE
        while len(answers) < len(items):
            part = items[len(answers) : len(answers) + min(most, window)]
            attempt = _Part(self._table, part, keep_versions)
            try:
                done = self._journal.change(attempt, attempt.keys())
            except TooLarge:
                if most == 1:
                    raise LimitExceeded("What is told of one image is larger than a transaction takes.") from None
                most = max(1, len(part) // 2)
                continue
            attempt.sweep(done)
            answers += done
            window = len(done) + 2  # the next part will be of about that size
        return answers

    def _check_ids(self, records: Sequence[ImageRecord], keep_versions: bool) -> None:
        """Raise Conflict, before anything is changed, where a row would go in under an id that is taken."""
        wanted = {keys.image(self._table, record.id) for record in records}
        if len(wanted) == len(records) and not self._table.get_all(wanted, only="rev"):
            return
        known = self._table.get_all(keys.identity(self._table, record) for record in records)
        latest = {key: item["sha"] for key, item in known.items()}
        taken = set(self._table.get_all(wanted, only="rev"))
        for record in records:
            key, identity = keys.image(self._table, record.id), keys.identity(self._table, record)
            there = latest.get(identity)
            if there is not None and (there == record.blob.sha256 or not keep_versions):
                continue
            if key in taken:
                raise _id_taken()
            taken.add(key)
            latest[identity] = record.blob.sha256


class _Part:
    """What goes into one transaction: as many items, from the first on, as it takes."""

    def __init__(self, table: Table, items: Sequence[_New], keep_versions: bool) -> None:
        self._table = table
        self._items = items
        self._keep_versions = keep_versions
        self._packed: dict[str, Item] = {}

    def sweep(self, answers: Sequence[Committed]) -> None:
        """Delete what was written ahead for images that did not go in."""
        stored = {each.record.id for each in answers if each.outcome in (CommitOutcome.STORED, CommitOutcome.REPLACED)}
        over = [item for id, item in self._packed.items() if id not in stored and "part" in item]
        self._table.write_all([Delete(key) for item in over for key in self._table.part_keys(item)])

    def keys(self) -> list[Key]:
        """What is read together with the head."""
        found: list[Key] = []
        for image, _ in self._items:
            record = image.record
            found += [keys.identity(self._table, record), keys.image(self._table, record.id)]
            if keys.member(self._table, record, 0) is not None:
                study, series = record.study_uid or "", record.series_uid or ""
                found.append(keys.study_place(self._table, record.store, study))
                found.append(keys.series_place(self._table, record.store, study, series))
        return found

    def __call__(self, head: Head) -> list[Committed]:
        levels = Levels(head)
        levels.prepare(image.record for image, _ in self._items)
        self._check_ids(head)
        answers: list[Committed] = []
        arrived: list[tuple[int, ImageRecord]] = []
        size = 0
        for image, entry in self._items:
            size += len(image.details.metadata) + len(image.details.frames or b"")
            more = _IMAGE + levels.cost(image.record, image.study)
            more += _REPLACED if head.at(keys.identity(self._table, image.record)) is not None else 0
            if answers and (head.actions + levels.owed + more + _ROOM > MOST_ACTIONS or size > MOST_TRANSACTED // 2):
                break
            answer = self._one(head, levels, image, entry, arrived)
            _tell(head, entry, answer)
            answers.append(answer)
        if arrived:
            last = arrived[-1][0]
            batch = [[place, record.id, record.store, _partition(self._table, record)] for place, record in arrived]
            for _, record in arrived:
                head.update(keys.image(self._table, record.id), arr=last)
            head.put(
                {"pk": keys.block("ARRIVAL", last), "sk": keys.padded(last), "dat": squeezed(batch), "rev": 1}, ABSENT
            )
        return answers

    def _check_ids(self, head: Head) -> None:
        """Raise Conflict, before anything is put, where a row would go in under an id that is taken."""
        newly: set[str] = set()
        latest: dict[Key, str] = {}
        for image, _ in self._items:
            record, key = image.record, keys.identity(self._table, image.record)
            found = head.at(key)
            there = latest.get(key, None if found is None else found["sha"])
            if there is not None and (there == record.blob.sha256 or not self._keep_versions):
                continue
            if record.id in newly or head.at(keys.image(self._table, record.id)) is not None:
                raise _id_taken()
            newly.add(record.id)
            latest[key] = record.blob.sha256

    def _one(
        self, head: Head, levels: Levels, image: NewImage, entry: AuditEntry, arrived: list[tuple[int, ImageRecord]]
    ) -> Committed:
        record, identity = image.record, keys.identity(self._table, image.record)
        there = head.at(identity)
        condition = ABSENT
        outcome = CommitOutcome.STORED
        if there is not None:
            kept = head.at(keys.image(self._table, there["id"]))
            if kept is None:
                raise ConditionFailed
            if there["sha"] == record.blob.sha256 or not self._keep_versions:
                same = there["sha"] == record.blob.sha256
                told = CommitOutcome.DUPLICATE if same else CommitOutcome.CONFLICT
                return Committed(told, record_in(kept["rec"]))
            condition = Condition("id = :was", {":was": there["id"]})
            outcome = CommitOutcome.REPLACED
            old = replace(record_in(kept["rec"]), state=State.SUPERSEDED, changed=entry.at)
            restate(head, old, kept)
            leave(head, levels, old, kept["pos"])
        head.position += 1
        place = head.position
        self._put(head, image, place)
        head.put({"pk": identity[0], "sk": identity[1], "id": record.id, "sha": record.blob.sha256}, condition)
        levels.arrived(record, place, (image.study, image.series))
        if record.store not in head.stores:
            head.stores.append(record.store)
        arrived.append((place, record))
        return Committed(outcome, record)

    def _put(self, head: Head, image: NewImage, place: int) -> None:
        record, table = image.record, self._table
        pk, sk = keys.image(table, record.id)
        if record.id not in self._packed:  # once, however often the transaction is tried
            self._packed[record.id] = table.packed(joined(image.details.metadata, image.details.frames))
        details = self._packed[record.id]
        head.put({"pk": pk, "sk": sk, "rev": 1, "pos": place, "rec": record_text(record), **details}, ABSENT)
        member = keys.member(table, record, place)
        if member is not None:
            attributes = text_of(image.instance, dumped)
            data = table.packed(squeezed([record_values(record), attributes]))
            head.put({"pk": member[0], "sk": member[1], "rev": 1, **data}, ABSENT)
        for pk in (keys.subject(table, record.subject_id), keys.image_of(table, record.subject_id, record.image_id)):
            head.put({"pk": pk, "sk": keys.padded(place), "id": record.id, "sto": record.store})


def restate(head: Head, record: ImageRecord, item: Item) -> None:
    """Keep an image in another state, wherever its record stands."""
    head.update((item["pk"], item["sk"]), rec=record_text(record))
    member = keys.member(head.table, record, item["pos"])
    if member is not None:
        kept = head.at(member)
        if kept is None:
            raise ConditionFailed
        _, attributes = expanded(head.table.unpacked(kept))
        data = head.table.packed(squeezed([record_values(record), attributes]))
        head.revise({"pk": member[0], "sk": member[1], **data})


def leave(head: Head, levels: Levels, record: ImageRecord, place: int) -> None:
    """An image that was current is listed among those that are not."""
    identity = keys.identity(head.table, record)
    head.put({"pk": keys.GONE, "sk": keys.padded(place), "id": record.id})
    head.put({"pk": keys.past(identity), "sk": keys.padded(place), "id": record.id})
    levels.left(record, place)


def _partition(table: Table, record: ImageRecord) -> str | None:
    member = keys.member(table, record, 0)
    return None if member is None else member[0]


def _tell(head: Head, entry: AuditEntry, answer: Committed) -> None:
    stored = answer.outcome in (CommitOutcome.STORED, CommitOutcome.REPLACED)
    if stored:
        head.tell(Event(f"image.{answer.outcome.value}", answer.record.store, answer.record.id, entry.at))
    outcome = entry.outcome if stored else answer.outcome.value
    head.note(replace(entry, outcome=outcome, store=answer.record.store, image=answer.record.id))


def _id_taken() -> Conflict:
    return Conflict("Another image has this internal id already.", code="id-taken")
