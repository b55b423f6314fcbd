"""The read trail, and the chain under 1,000 tamperings."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.migrate import migrate
from isocenter.archive.audit import Anchor, ReadTrail, entries, verify
from isocenter.archive.store import Caller
from isocenter.errors import BackendUnavailable, Unavailable
from isocenter.records import AuditEntry, AuditHead

KEY = b"k" * 32
ROWS = 60


def entry(number: int = 0, outcome: str = "success") -> AuditEntry:
    return Caller(f"key:{number}", f"r{number}", "127.0.0.1").entry("read", outcome, store="raw", image=f"i{number}")


class Flaky:
    """An audit log that can be away."""

    def __init__(self) -> None:
        self.log = MemoryAuditLog(MemoryDatabase(), KEY)
        self.away = False

    def append(self, entries: Sequence[AuditEntry]) -> None:
        if self.away:
            raise BackendUnavailable("away")
        self.log.append(entries)

    def read(self, after: int = 0, limit: int = 1000) -> Sequence[AuditEntry]:
        return self.log.read(after, limit)

    def head(self) -> AuditHead | None:
        return self.log.head()


@pytest.fixture
def log() -> Flaky:
    return Flaky()


@pytest.fixture
def trail(log: Flaky) -> Iterator[ReadTrail]:
    made = ReadTrail(log)
    yield made
    log.away = False
    made.close()


def waited(log: Flaky, count: int) -> list[AuditEntry]:
    deadline = time.monotonic() + 1.0
    while len(found := list(entries(log))) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_entries_are_written_within_a_second(log: Flaky, trail: ReadTrail) -> None:
    trail.add(entry(1))
    trail.refuse(entry(2, "denied"))
    assert {e.actor for e in waited(log, 2)} == {"key:1", "key:2"}


def test_closing_writes_what_waits(log: Flaky, trail: ReadTrail) -> None:
    for number in range(1000):
        trail.add(entry(number))
    trail.close()
    assert len(list(entries(log))) == 1000
    with pytest.raises(Unavailable):
        trail.add(entry())


def test_nothing_is_lost_while_the_log_is_away(log: Flaky, trail: ReadTrail) -> None:
    log.away = True
    trail.add(entry(1))
    time.sleep(0.8)
    trail.add(entry(2))
    log.away = False
    trail.close()
    assert [e.actor for e in entries(log)] == ["key:1", "key:2"]


def test_refusals_alike_become_one_entry_with_their_count(log: Flaky, trail: ReadTrail) -> None:
    for _ in range(100_000):
        trail.refuse(entry(1, "denied"))
    trail.add(entry(2))  # honest reads are audited beside a flood
    trail.close()
    found = [e for e in entries(log) if e.outcome == "denied"]
    assert sum(e.count for e in found) == 100_000
    assert len(found) < 20


def test_refusals_from_everywhere_are_bounded(log: Flaky, trail: ReadTrail) -> None:
    log.away = True
    for number in range(5000):
        trail.refuse(Caller("unknown", None, f"10.0.{number // 250}.{number % 250}").entry("login", "denied"))
    log.away = False
    trail.close()
    found = list(entries(log))
    assert sum(e.count for e in found) == 5000
    assert len(found) < 2100


def test_many_threads_lose_nothing(log: Flaky, trail: ReadTrail) -> None:
    def many() -> None:
        for number in range(500):
            trail.add(entry(number))

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trail.close()
    assert verify(log, KEY).entries == 4000


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite log of 60 entries, closed."""
    path = tmp_path_factory.mktemp("audit") / "audit.sqlite"
    opened = Database(f"sqlite:///{path}")
    migrate(opened)
    SqlAuditLog(opened, KEY).append([entry(number) for number in range(1, ROWS + 1)])
    opened.close()
    return path


COLUMNS = ("actor", "action", "outcome", "at", "store", "image", "request_id", "address", "count", "digest")


def edit(cursor: sqlite3.Cursor, chance: random.Random) -> str:
    column, row = chance.choice(COLUMNS), chance.randint(1, ROWS)
    (old,) = cursor.execute(f"SELECT {column} FROM audit WHERE sequence = ?", (row,)).fetchone()
    if isinstance(old, int):
        new: Any = chance.choice([old + chance.choice([-1, 1, 1000]), -old, 0, "x", b"\0", 1e300])
    else:
        place = chance.randrange(len(old))
        other = old[:place] + chr((ord(old[place]) + 1) % 128) + old[place + 1 :]
        new = chance.choice([other, old + "x", old[:-1], old.swapcase() + " ", b"\xff", "é"])
    cursor.execute(f"UPDATE audit SET {column} = ? WHERE sequence = ?", (new, row))
    return f"{column} of {row}: {old!r} to {new!r}"


def delete(cursor: sqlite3.Cursor, chance: random.Random) -> str:
    rows = chance.sample(range(1, ROWS + 1), chance.randint(1, 5))
    cursor.executemany("DELETE FROM audit WHERE sequence = ?", [(row,) for row in rows])
    if chance.random() < 0.5:  # and close the gaps
        kept = [row for (row,) in cursor.execute("SELECT sequence FROM audit ORDER BY sequence").fetchall()]
        for number, row in enumerate(kept, start=1):
            cursor.execute("UPDATE audit SET sequence = ? WHERE sequence = ?", (number, row))
    return f"deleted {rows}"


def truncate(cursor: sqlite3.Cursor, chance: random.Random) -> str:
    last = chance.randint(0, ROWS - 1)
    cursor.execute("DELETE FROM audit WHERE sequence > ?", (last,))
    told = f"cut after {last}"
    found = cursor.execute("SELECT digest FROM audit WHERE sequence = ?", (last,)).fetchone()
    way = chance.randrange(4) if last else chance.randrange(2)
    if way == 1:  # with the end that the rows would have
        cursor.execute("UPDATE head SET audit = ?, digest = ?", (max(last, 1), found[0] if found else ""))
    elif way == 2:
        cursor.execute("UPDATE head SET audit = 0")
    elif way == 3:
        cursor.execute("UPDATE head SET audit = ?", (-chance.randint(1, 9),))
    return f"{told}, head {way}"


def reorder(cursor: sqlite3.Cursor, chance: random.Random) -> str:
    one, two = chance.sample(range(1, ROWS + 1), 2)
    for old, new in ((one, -1), (two, one), (-1, two)):
        cursor.execute("UPDATE audit SET sequence = ? WHERE sequence = ?", (new, old))
    return f"swapped {one} and {two}"


def forge(cursor: sqlite3.Cursor, chance: random.Random) -> str:
    """A row of the attacker's own, at the end or in place of another."""
    row = chance.choice([ROWS + 1, chance.randint(1, ROWS)])
    cursor.execute(
        "REPLACE INTO audit SELECT ?, 'key:evil', action, outcome, at, store, image, request_id, address,"
        " count, digest"
        " FROM audit WHERE sequence = ?",
        (row, chance.randint(1, ROWS)),
    )
    return f"forged {row}"


def behead(cursor: sqlite3.Cursor, chance: random.Random) -> str:
    column, value = chance.choice(
        [("audit", 7), ("audit", "x"), ("digest", "0" * 64), ("seal", "0" * 64), ("seal", b"\0")]
    )
    cursor.execute(f"UPDATE head SET {column} = ?", (value,))
    return f"head {column} {value!r}"


def test_a_thousand_tamperings_are_all_detected(database: Path) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    opened = Database(f"sqlite:///{database}")
    log = SqlAuditLog(opened, KEY)
    assert verify(log, KEY).intact
    direct = sqlite3.connect(database, isolation_level=None)
    for name in ("audit", "head"):
        direct.execute(f"CREATE TEMP TABLE kept_{name} AS SELECT * FROM {name}")
    missed = []
    for _ in range(1000):
        kind = chance.choice([edit, edit, edit, delete, truncate, reorder, forge, behead])
        cursor = direct.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        told = kind(cursor, chance)
        cursor.execute("COMMIT")
        if verify(log, KEY).intact:
            missed.append(told)
        cursor.execute("BEGIN IMMEDIATE")
        for name in ("audit", "head"):
            cursor.execute(f"DELETE FROM {name}")
            cursor.execute(f"INSERT INTO {name} SELECT * FROM kept_{name}")
        cursor.execute("COMMIT")
    assert verify(log, KEY).intact
    direct.close()
    opened.close()
    assert missed == [], f"seed {seed}"


def test_the_wrong_key_verifies_nothing(database: Path) -> None:
    opened = Database(f"sqlite:///{database}")
    assert verify(SqlAuditLog(opened, KEY), b"other").broken_at == 1
    opened.close()


def test_an_older_copy_of_the_log_is_told_by_its_anchor() -> None:
    log = MemoryAuditLog(MemoryDatabase(), KEY)
    log.append([entry(n) for n in range(5)])
    earlier = verify(log, KEY)
    log.append([entry(n) for n in range(5)])
    later = verify(log, KEY)
    assert verify(log, KEY, Anchor(earlier.entries, earlier.digest)).intact
    assert verify(log, KEY, Anchor(later.entries, later.digest)).intact
    older = MemoryAuditLog(MemoryDatabase(), KEY)
    older.append(list(log.read(0, 5)))
    assert verify(older, KEY).intact  # its own seal holds
    assert verify(older, KEY, Anchor(later.entries, later.digest)).truncated
    assert verify(MemoryAuditLog(MemoryDatabase(), KEY), KEY, Anchor(later.entries, later.digest)).truncated
    anew = MemoryAuditLog(MemoryDatabase(), KEY)
    anew.append([entry(n + 100) for n in range(10)])
    assert verify(anew, KEY, Anchor(earlier.entries, earlier.digest)).broken_at == 5


def test_entries_that_come_while_we_read_are_no_fault() -> None:
    log = MemoryAuditLog(MemoryDatabase(), KEY)

    class Growing:
        def append(self, entries: Sequence[AuditEntry]) -> None:
            raise NotImplementedError

        def read(self, after: int = 0, limit: int = 1000) -> Sequence[AuditEntry]:
            if after < 30:
                log.append([entry(after)])
            return log.read(after, 1)

        def head(self) -> AuditHead | None:
            return log.head()

    assert verify(Growing(), KEY).intact
    assert verify(Growing(), KEY).intact
