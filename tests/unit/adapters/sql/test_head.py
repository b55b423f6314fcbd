"""The head of the audit chain is trusted only as it was left."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.records import AuditEntry, now
from isocenter.testing.chain import broken_at

KEY = b"k" * 32


def entry(number: int) -> AuditEntry:
    return AuditEntry(f"actor {number}", "read", "success", now())


@pytest.mark.parametrize("end", [0, 5])
def test_an_append_after_a_cut_does_not_make_the_chain_whole_again(sqlite: Database, end: int) -> None:
    log = SqlAuditLog(sqlite, KEY)
    log.append([entry(number) for number in range(10)])
    digest = log.read()[end - 1].digest if end else ""
    with sqlite.transaction() as connection:
        connection.execute(text("DELETE FROM audit WHERE sequence > :end"), {"end": end})
        connection.execute(
            text("UPDATE head SET audit = :end, digest = :digest, event = 1"), {"end": end, "digest": digest}
        )
    log.append([entry(99)])
    assert broken_at(log.read(), log.head(), KEY) == end + 1
