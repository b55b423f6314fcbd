"""The databases and the reference in memory answer alike to any run of calls that hypothesis thinks of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.events import DynamoEventFeed
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.table import Table, create_table
from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.memory.events import MemoryEventFeed
from isocenter.adapters.memory.index import MemoryIndex
from isocenter.adapters.memory.search import MemorySearchIndex
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.events import SqlEventFeed
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.search import SqlSearchIndex
from isocenter.dicom.matching import Pattern, combine, make_key
from isocenter.errors import IsocenterError
from isocenter.ports.audit_log import AuditLog
from isocenter.ports.event_feed import EventFeed
from isocenter.ports.index import Index
from isocenter.ports.search import SearchIndex
from isocenter.records import ImageQuery, Kind, NewImage, Order, Search, State
from isocenter.testing.chain import assert_chained
from isocenter.testing.postgres import PostgresServer
from isocenter.testing.records import CT_IMAGE_STORAGE, START, new_entry, new_image, new_volume

T = TypeVar("T")
Rooms = tuple[Index, SearchIndex, AuditLog, EventFeed]
KEY = b"key"
STORES, SUBJECTS = ("raw", "deidentified"), ("one", "two\0", "dr\u00e9i")
texts = st.sampled_from
choices = st.lists(st.integers(0, 11), max_size=6)


# Values that meet, nearly meet and do not meet each other, of several VRs; a private one, and a sequence.
VALUES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "00100010": ("PN", (
        *({"Alphabetic": name} for name in ("Do^J", "do^j^^", "D\u00f6 Xu^", "J^Do\0", "^")),
        {"Alphabetic": "Do^J", "Ideographic": "\u5c71^\u592a"}, {"Phonetic": "do"}, {},
    )),
    "00100020": ("LO", ("a", "ab", "A", "a*", "[a]", "a%_", "", " a ", "x" * 199, "x" * 200, "x" * 201, None)),
    "00080020": ("DA", ("20200101", "20200102", "2020.01.03", "junk", "20201231")),
    "00080030": ("TM", ("10", "1000", "100000.5", "235959", "x")),
    "0008002A": ("DT", ("20200101100000+0100", "20200101", "202001010900")),
    "00280010": ("US", (1, 2, 512)),
    "00201041": ("DS", (1, 1.0, "1.50", 1.5, -3, "x")),
    "00081030": ("LO", ("a", "b\\c")),
    "00191002": ("LO", ("a", "ab")),
}  # fmt: skip
TEXTS = {
    "PN": ("do^j", "DO*", "*", "?o^J", "\u5c71*", "=\u5c71^\u592a", "do", "j do", "do x", "xu", "^", "d\u00d6"),
    "LO": ("a", "A", "a*", "*b", "?", "[a]", "a%_", "x" * 200, "x*", "a\\ab", "x" * 200 + "?", "*a*b*"),
    "DA": ("20200101", "20200101-20200102", "-2020", "202001", "20200102-"),
    "TM": ("10", "1000-1001", "-10", "100000.5", "10-"),
    "DT": ("20200101", "2020010109-2020010110", "20200101090000+0000", "-2020"),
    "US": ("1", "1\\2"), "DS": ("1", "1.5", "-3.0"),
}  # fmt: skip
STEPS = ("00400009", "00401001")
LEVEL_OF = {"00191002": "instance", "00280010": "instance", "00201041": "instance", "0008002A": "instance"}


@st.composite
def models(draw: st.DrawFn, level: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    names = [name for name in sorted(VALUES) if LEVEL_OF.get(name, "study") == level]
    for name in draw(st.lists(texts(names), max_size=5, unique=True)) if names else ():
        vr, values = VALUES[name]
        made[name] = {"vr": vr, "Value": draw(st.lists(texts(values), max_size=2))}
    if level == "series":
        inner = st.fixed_dictionaries(
            {},
            optional={tag: st.just({"vr": "SH", "Value": [text]}) for tag in ("00400009", "00401001") for text in "a"},
        )
        made["00400275"] = {"vr": "SQ", "Value": draw(st.lists(inner, max_size=2))}
    return made


def rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 4)) == 4


@st.composite
def searches(draw: st.DrawFn) -> Search:
    level = draw(texts(("study", "series", "instance")))
    levels = ("study", "series", "instance")[: ("study", "series", "instance").index(level) + 1]
    wanted: dict[tuple[int, ...], tuple[str, str, bool]] = {}
    for name in draw(st.lists(texts(sorted(VALUES)), max_size=2, unique=True)):
        of = LEVEL_OF.get(name, "study")
        if of in levels:
            text = draw(texts((*TEXTS[VALUES[name][0]], '""')))
            wanted[int(name, 16),] = (of, text, draw(st.booleans()))
    if "series" in levels and rarely(draw):
        for tag in draw(st.lists(texts((0x00400009, 0x00401001)), max_size=2, unique=True)):
            wanted[0x00400275, tag] = ("series", draw(texts(("a", "*", "?", "b"))), False)
    if rarely(draw):
        wanted[0x00080061,] = ("study", draw(texts(("CT", "M?", "CT\\MR", '""'))), False)
    if "instance" in levels and rarely(draw):
        wanted[0x00080016,] = ("instance", draw(texts((CT_IMAGE_STORAGE, "1.2", '""'))), False)
    made = [make_key(tags, of, text, fuzzy=fuzzy) for tags, (of, text, fuzzy) in wanted.items()]
    keys = combine([key for key in made if key is not None], {tags: text for tags, (_, text, _) in wanted.items()})
    by = [
        Order(int(name, 16), LEVEL_OF.get(name, "study"), draw(st.booleans()))
        for name in draw(st.lists(texts(sorted(VALUES)), max_size=2, unique=True))
        if LEVEL_OF.get(name, "study") in levels
    ]
    uids = lambda *known: draw(st.lists(texts(known), max_size=2).map(tuple)) if rarely(draw) else None  # noqa: E731
    return Search(
        level, STORES[rarely(draw)], tuple(keys), uids("1.1", "1.2"), None if level == "study" else uids("2.1", "2.2"),
        uids("3.1", "3.2") if level == "instance" else None, tuple(by), draw(texts((0, 0, 1))), None,
        draw(st.integers(1, 4)),
    )  # fmt: skip


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
        study_model=draw(models("study")), series_model=draw(models("series")), instance_model=draw(models("instance")),
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
    subject_like=st.none() | texts(tuple(map(Pattern, ("o*", "*\u00e9?", "two", "[a-z]*", "%", "???")))),
    image_like=st.none() | texts(tuple(map(Pattern, ("3.*", "?", "*.2")))),
    created_from=st.none() | st.integers(0, 400).map(lambda seconds: START + timedelta(seconds=seconds)),
    created_before=st.none() | st.integers(0, 400).map(lambda seconds: START + timedelta(seconds=seconds)),
    limit=st.integers(0, 4),
)


class LikeMemory(RuleBasedStateMachine):
    """Every call goes to both; every answer is the same."""

    def __init__(self, rooms: Rooms, close: Callable[[], None]) -> None:
        super().__init__()
        memory = MemoryDatabase()
        index, search, audit, feed = rooms
        self.indexes: list[Index] = [index, MemoryIndex(memory, KEY)]
        self.searching: list[SearchIndex] = [search, MemorySearchIndex(memory)]
        self.audits: list[AuditLog] = [audit, MemoryAuditLog(memory, KEY)]
        self.feeds: list[EventFeed] = [feed, MemoryEventFeed(memory)]
        self.ids: list[str] = ["nowhere"]
        self.close = close

    def teardown(self) -> None:
        self.close()

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

    @rule(search=searches())
    def search(self, search: Search) -> None:
        def every_page(index: SearchIndex) -> list[object]:
            found: list[object] = []
            wanted = search
            while True:
                page = index.search(wanted)
                found.append((page.items, page.total))
                if page.next is None:
                    return found
                wanted = replace(wanted, after=page.next)

        assert every_page(self.searching[0]) == every_page(self.searching[1])

    @invariant()
    def the_logs_are_the_same(self) -> None:
        assert list(self.feeds[0].read(limit=1000)) == list(self.feeds[1].read(limit=1000))
        assert assert_chained(self.audits[0], KEY) == assert_chained(self.audits[1], KEY)
        self.same(lambda index: sorted(index.blob_keys()))


def like_memory(database: Database) -> LikeMemory:
    rooms = SqlIndex(database, KEY), SqlSearchIndex(database), SqlAuditLog(database, KEY), SqlEventFeed(database)
    return LikeMemory(rooms, database.close)


def test_sqlite_answers_like_memory(tmp_path: Path, sqlite_template: bytes) -> None:
    numbers = count()

    def machine() -> LikeMemory:
        path = tmp_path / f"{next(numbers)}.sqlite"
        path.write_bytes(sqlite_template)
        return like_memory(Database(f"sqlite:///{path}"))

    run_state_machine_as_test(machine, settings=_settings(60))  # type: ignore[arg-type,no-untyped-call,unused-ignore]


def test_postgresql_answers_like_memory(postgres: PostgresServer, postgres_template: str) -> None:
    def machine() -> LikeMemory:
        return like_memory(Database(postgres.url(postgres.new_database(postgres_template))))

    run_state_machine_as_test(machine, settings=_settings(30))  # type: ignore[arg-type,no-untyped-call,unused-ignore]


def test_dynamodb_answers_like_memory(dynamo_client: Any) -> None:
    numbers = count()

    def machine() -> LikeMemory:
        name = f"model-{next(numbers)}"
        create_table(dynamo_client, name)
        table = Table(name, KEY, client=dynamo_client)
        rooms = DynamoIndex(table, KEY), DynamoSearchIndex(table), DynamoAuditLog(table, KEY), DynamoEventFeed(table)
        return LikeMemory(rooms, lambda: dynamo_client.delete_table(TableName=name))

    run_state_machine_as_test(machine, settings=_settings(12))  # type: ignore[arg-type,no-untyped-call,unused-ignore]


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        # A failing run is short enough to read; making it shorter takes minutes.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
    )
