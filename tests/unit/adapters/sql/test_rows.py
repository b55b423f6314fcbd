"""The selections that answer queries begin at an index, whichever field is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Select

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.rows import chunks, parts, same_identity
from isocenter.adapters.sql.tables import images
from isocenter.records import ImageQuery, Kind, State, now
from isocenter.testing.records import new_image, new_volume


def plan(database: Database, chosen: Select[Any]) -> str:
    made = chosen.compile(dialect=database.engine.dialect, compile_kwargs={"literal_binds": True})
    with database.reading() as connection:
        return " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {made}"))


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (ImageQuery(subject_id="x"), "ix_images_subject"),
        (ImageQuery(subject_id="x", image_id="x"), "ix_images_subject"),
        (ImageQuery(study_uid="x", stores=("raw",)), "ix_images_study"),
        (ImageQuery(sop_instance_uids=("x", "y")), "uq_images_current_instance"),
        (ImageQuery(sop_instance_uids=("x",), states=(State.DELETED,)), "ix_images_gone_instance"),
        (ImageQuery(kind=Kind.NIFTI), "ix_images_kind"),
        (ImageQuery(states=(State.DELETED,), changed_before=now()), "ix_images_gone"),
        (ImageQuery(), "PRIMARY KEY"),
        (ImageQuery(stores=("raw",)), "PRIMARY KEY"),
    ],
)
def test_each_query_begins_at_its_index(sqlite: Database, query: ImageQuery, index: str) -> None:
    for part in parts(query, sqlite=True):
        chosen = part.where(images.c.position > 0).order_by(images.c.position).limit(10)
        assert index in plan(sqlite, chosen)


def test_an_identity_is_looked_up_in_its_unique_index(sqlite: Database) -> None:
    assert "uq_images_current_instance" in plan(sqlite, same_identity(new_image().record))
    assert "uq_images_current_image" in plan(sqlite, same_identity(new_volume().record))


def test_a_query_of_all_states_is_asked_in_two_parts() -> None:
    assert len(list(parts(ImageQuery(states=tuple(State)), sqlite=True))) == 2
    assert len(list(parts(ImageQuery(states=()), sqlite=True))) == 0


def test_chunks_hold_each_value_once_in_order() -> None:
    assert list(chunks([1, 2, 1, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(chunks([])) == []
