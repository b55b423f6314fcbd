"""A process killed in the middle of its commits loses nothing it acknowledged and leaves nothing half."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.events import SqlEventFeed
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.migrate import migrate
from isocenter.records import ImageQuery
from isocenter.testing.chain import assert_chained

KEY = b"key"
# Says each id only after the commit has returned.
WRITER = """
import os, sys
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.index import SqlIndex
from isocenter.testing.records import new_entry, new_image
index = SqlIndex(Database(sys.argv[1]), b"key")
while True:
    batch = [(new_image(), new_entry()) for _ in range(3)]
    index.commit(batch)
    os.write(1, "".join(new.record.id + "\\n" for new, _ in batch).encode())
"""


def test_after_kill_9_every_acknowledged_row_is_there_and_the_chain_holds(tmp_path: Path) -> None:
    url, acknowledged = f"sqlite:///{tmp_path / 'index.sqlite'}", set[str]()
    first = Database(url)
    migrate(first)
    first.close()
    for round in range(6):
        out = tmp_path / f"acknowledged-{round}"
        with out.open("wb") as said:
            writer = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=said)
            deadline = time.monotonic() + 30
            while out.stat().st_size == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.2))
            writer.kill()
            writer.wait()
        acknowledged |= {line for line in out.read_text().split("\n") if len(line) == 32}
    assert len(acknowledged) >= 18
    database = Database(url)
    rows = SqlIndex(database, KEY).images(ImageQuery(limit=1_000_000)).items
    ids = [row.id for row in rows]
    assert acknowledged <= set(ids)
    assert len(ids) == len(set(ids))
    assert len(ids) <= len(acknowledged) + 6 * 3
    assert len(ids) % 3 == 0  # no half batch
    assert [entry.image for entry in assert_chained(SqlAuditLog(database, KEY), KEY)] == ids
    assert [event.image for event in SqlEventFeed(database).read(limit=1_000_000)] == ids
    assert len(SqlIndex(database, KEY).details(ids)) == len(ids)
    database.close()
