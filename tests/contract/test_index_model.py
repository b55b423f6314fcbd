"""SQLite and the reference in memory answer alike to any run of calls that hypothesis thinks of."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.memory.events import MemoryEventFeed
from isocenter.adapters.memory.index import MemoryIndex
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.events import SqlEventFeed
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.migrate import migrate
from isocenter.errors import IsocenterError
from isocenter.ports.audit_log import AuditLog
from isocenter.ports.event_feed import EventFeed
from isocenter.ports.index import Index
from isocenter.records import ImageQuery, Kind, NewImage, State
from isocenter.testing.chain import assert_chained
from isocenter.testing.records import new_entry, new_image, new_volume

T = TypeVar("T")
KEY = b"key"
STORES, SUBJECTS = ("raw", "deidentified"), ("one", "two\0", "dr\u00e9i")
texts = st.sampled_from
choices = st.lists(st.integers(0, 11), max_size=6)


@st.composite
def new_images(draw: st.DrawFn) -> NewImage:
    store, subject = draw(texts(STORES)), draw(texts(SUBJECTS))
    content = draw(texts((b"1", b"2")))
    if draw(st.integers(0, 3)) == 0:
        return new_volume(image=draw(texts(("a", "b"))), store=store, subject=subject, content=content)
    study, series = draw(texts(("1.1", "1.2"))), draw(texts(("2.1", "2.2")))
    return new_image(
        study=study, series=series, instance=draw(texts(("3.1", "3.2", "3.3"))), store=store,
        subject=subject, content=content, modality=draw(texts((None, "CT", "MR"))),
        study_model={"seed": draw(texts(("x", "y\0")))},
    )  # fmt: skip


queries = st.builds(
    ImageQuery,
    stores=st.none() | st.lists(texts(STORES), max_size=2).map(tuple),
    subject_id=st.none() | texts(SUBJECTS),
    image_id=st.none() | texts(("a", "3.1")),
    study_uid=st.none() | texts(("1.1", "1.2")),
    series_uid=st.none() | texts(("2.1", "2.2")),
    sop_instance_uids=st.none() | st.lists(texts(("3.1", "3.2", "3.3")), max_size=3).map(tuple),
    kind=st.none() | texts((Kind.DICOM, Kind.NIFTI)),
    states=st.lists(texts(tuple(State)), max_size=3).map(tuple),
    limit=st.integers(0, 4),
)


class SqliteLikeMemory(RuleBasedStateMachine):
    """Every call goes to both; every answer is the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(f"sqlite:///{Path(self.folder.name) / 'index.sqlite'}")
        migrate(self.database)
        memory = MemoryDatabase()
        self.indexes: list[Index] = [SqlIndex(self.database, KEY), MemoryIndex(memory, KEY)]
        self.audits: list[AuditLog] = [SqlAuditLog(self.database, KEY), MemoryAuditLog(memory, KEY)]
        self.feeds: list[EventFeed] = [SqlEventFeed(self.database), MemoryEventFeed(memory)]
        self.ids: list[str] = ["nowhere"]

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def same(self, call: Callable[[Index], T]) -> T | None:
        answers: list[tuple[type[IsocenterError] | None, T | None]] = []
        for index in self.indexes:
            try:
                answers.append((None, call(index)))
            except IsocenterError as error:
                answers.append((type(error), None))
        assert answers[0] == answers[1]
        return answers[0][1]

    def chosen(self, numbers: list[int]) -> list[str]:
        return [self.ids[-1 - number % len(self.ids)] for number in numbers]

    @rule(new=st.lists(new_images(), max_size=5), keep_versions=st.booleans())
    def commit(self, new: list[NewImage], keep_versions: bool) -> None:
        batch = [(image, new_entry()) for image in new]
        self.same(lambda index: list(index.commit(batch, keep_versions=keep_versions)))
        self.ids += [image.record.id for image in new]

    @rule(numbers=choices, to=texts((State.DELETED, State.CURRENT)))
    def transition(self, numbers: list[int], to: State) -> None:
        entry, ids = new_entry(), self.chosen(numbers)
        self.same(lambda index: list(index.transition(ids, to, entry)))

    @rule(numbers=choices)
    def purge(self, numbers: list[int]) -> None:
        entry, ids = new_entry("purge"), self.chosen(numbers)
        self.same(lambda index: list(index.purge(ids, entry)))

    @rule(numbers=choices)
    def details(self, numbers: list[int]) -> None:
        self.same(lambda index: dict(index.details(self.chosen(numbers))))

    @rule(query=queries)
    def pages(self, query: ImageQuery) -> None:
        def every_page(index: Index) -> list[object]:
            found: list[object] = []
            wanted = query
            while True:
                page = index.images(wanted)
                found.append(page.items)
                if page.next is None:
                    return found
                wanted = replace(wanted, after=page.next)

        self.same(every_page)

    @rule(query=queries, level=texts(("study", "series")))
    def levels(self, query: ImageQuery, level: str) -> None:
        def every_page(index: Index) -> list[object]:
            found: list[object] = []
            wanted = query
            while True:
                page = index.levels(level, wanted)
                found.append(page.items)
                if page.next is None:
                    return found
                wanted = replace(wanted, after=page.next)

        self.same(every_page)

    @invariant()
    def the_logs_are_the_same(self) -> None:
        assert list(self.feeds[0].read(limit=1000)) == list(self.feeds[1].read(limit=1000))
        assert assert_chained(self.audits[0], KEY) == assert_chained(self.audits[1], KEY)
        self.same(lambda index: sorted(index.blob_keys()))


TestSqliteLikeMemory = SqliteLikeMemory.TestCase
TestSqliteLikeMemory.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
