"""Studies and series as rows: what they hold is counted as it changes, and they go with their last image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, exists, func, insert, select, tuple_, update

from isocenter.adapters.sql.rows import chunks
from isocenter.adapters.sql.tables import details, images, metadata, search_names, series, studies
from isocenter.adapters.sql.terms import TERMS, term_rows
from isocenter.adapters.sql.text import clean, dumped
from isocenter.dicom.attribute_lines import text_of
from isocenter.dicom.attributes import Named, of_level
from isocenter.dicom.instance import Metadata
from isocenter.records import ImageRecord, State

_CURRENT = images.c.state == State.CURRENT.value
_IN_STUDY = (images.c.store == studies.c.store, images.c.study_uid == studies.c.study_uid)
_IN_SERIES = (
    images.c.store == series.c.store,
    images.c.study_uid == series.c.study_uid,
    images.c.series_uid == series.c.series_uid,
)
LEVELS = (("study", studies, _IN_STUDY), ("series", series, _IN_SERIES))
_MODALITY = "00080060"


def follow(connection: Connection, changed: Sequence[ImageRecord]) -> None:
    """After images came to be current or ceased to be, count their studies and series anew.

    A study or series has the attributes of the earliest image that is current: what an image said that was
    deleted is found no longer.
    """
    _recount(connection, changed)
    positions: set[int] = set()
    for part in chunks(record.id for record in changed):
        positions.update(connection.execute(select(images.c.position).where(images.c.id.in_(part))).scalars())
    for level, table, _ in LEVELS:
        # A change behind the image that speaks for the level does not matter to it.
        touched = {
            held: source
            for held, source, earliest in _sources(connection, level, sorted(positions))
            if earliest <= source
        }
        for some in chunks(touched.items()):
            _speak(connection, level, table, dict(some))


def _speak(connection: Connection, level: str, table: Table, sources: Mapping[int, int]) -> None:
    """Give levels the attributes of their source images, from the metadata kept of those."""
    names = connection.execute(select(search_names.c.name)).scalars()
    named = [Named.parse(name) for name in names if name.startswith(f"{level}:")]
    chosen = select(details.c.position, details.c.metadata).where(details.c.position.in_(set(sources.values())))
    models = {row.position: Metadata.from_bytes(row.metadata).model for row in connection.execute(chosen)}
    write_levels(
        connection,
        level,
        {held: of_level(models[source], level, named) for held, source in sources.items() if source in models},
    )


def write_levels(connection: Connection, level: str, models: Mapping[int, Mapping[str, Any]]) -> None:
    """Replace the attributes and terms of studies or series by their positions."""
    if not models:
        return
    table = series if level == "series" else studies
    beside, terms = metadata.tables[f"{table.name}_attributes"], TERMS[level]
    at = list(models)
    connection.execute(delete(beside).where(beside.c.position.in_(at)))
    connection.execute(delete(terms).where(terms.c.position.in_(at)))
    rows = [{"position": place, "attributes": text_of(model, dumped)} for place, model in models.items()]
    connection.execute(insert(beside), rows)
    names = [column.name for column in terms.columns]
    new = [dict(zip(names, row, strict=True)) for place in at for row in term_rows(place, models[place])]
    if new:
        connection.execute(insert(terms), new)
    if level == "series":
        for place, model in models.items():
            connection.execute(update(series).where(series.c.position == place).values(modality=modality(model)))


def spoken_for(connection: Connection, level: str, positions: Sequence[int]) -> dict[int, int]:
    """Of images at these positions, those that speak for their study or series: its position, and theirs."""
    wanted = set(positions)
    return {held: source for held, source, _ in _sources(connection, level, positions) if source in wanted}


def _sources(connection: Connection, level: str, positions: Sequence[int]) -> list[tuple[int, int, int]]:
    """For the levels that images at these positions are of: its position, that of its earliest current image, and
    the earliest of these positions in it."""
    table, same = next((table, same) for name, table, same in LEVELS if name == level)
    found: list[tuple[int, int, int]] = []
    for part in chunks(positions):
        mine = (
            select(table.c.position.label("held"), func.min(images.c.position).label("earliest"))
            .join(images, and_(*same))
            .where(images.c.position.in_(part))
            .group_by(table.c.position)
            .subquery()
        )
        chosen = (
            select(mine.c.held, func.min(images.c.position), mine.c.earliest)
            .join(table, table.c.position == mine.c.held)
            .join(images, and_(*same))
            .where(_CURRENT)
            .group_by(mine.c.held, mine.c.earliest)
        )
        found += [(held, source, earliest) for held, source, earliest in connection.execute(chosen)]
    return found


def _recount(connection: Connection, changed: Iterable[ImageRecord]) -> None:
    for part in chunks((r.store, r.study_uid) for r in changed if r.study_uid is not None):
        for _, table, same in LEVELS:
            counted = select(func.count()).where(_CURRENT, *same).scalar_subquery()
            named = tuple_(table.c.store, table.c.study_uid).in_(part)
            connection.execute(update(table).where(named).values(instances=counted))


def forget_empty_levels(connection: Connection, purged: Sequence[ImageRecord]) -> None:
    """Delete the studies and series that these images were the last of, in any state."""
    for part in chunks((r.store, r.study_uid, r.series_uid) for r in purged if r.series_uid is not None):
        named = tuple_(series.c.store, series.c.study_uid, series.c.series_uid).in_(part)
        connection.execute(delete(series).where(named, ~exists().where(*_IN_SERIES)))
    for level in chunks((r.store, r.study_uid) for r in purged if r.study_uid is not None):
        named = tuple_(studies.c.store, studies.c.study_uid).in_(level)
        connection.execute(delete(studies).where(named, ~exists().where(*_IN_STUDY)))


def modality(model: Mapping[str, Any]) -> str | None:
    """The first value of Modality (0008,0060) of a series as a DICOM JSON model."""
    element = model.get(_MODALITY)
    values = element.get("Value") if isinstance(element, Mapping) else None
    value = values[0] if isinstance(values, list | tuple) and values else None
    return clean(value) if isinstance(value, str) and value else None
