"""Replacing what search knows of images, from models made anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from isocenter.adapters.sql.commit import modality
from isocenter.adapters.sql.tables import (
    details,
    images_terms,
    series,
    series_attributes,
    series_terms,
    studies,
    studies_attributes,
    studies_terms,
)
from isocenter.adapters.sql.terms import term_rows
from isocenter.adapters.sql.text import dumped
from isocenter.dicom.attributes import named_only
from isocenter.records import Indexed


def reindex(connection: Connection, images_at: Mapping[int, Indexed]) -> None:
    """Replace attributes and terms of the images at these positions, and of the levels that they brought."""
    at = list(images_at)
    brought = {
        table: set(connection.execute(select(table.c.position).where(table.c.position.in_(at))).scalars())
        for table in (studies, series)
    }
    rows: dict[Table, list[tuple[Any, ...]]] = {images_terms: [], studies_terms: [], series_terms: []}
    for place, each in images_at.items():
        connection.execute(update(details).where(details.c.position == place).values(attributes=dumped(each.instance)))
        rows[images_terms] += term_rows(place, named_only(each.instance))
        for table, beside, terms, model in (
            (studies, studies_attributes, studies_terms, each.study),
            (series, series_attributes, series_terms, each.series),
        ):
            if place in brought[table]:
                connection.execute(delete(beside).where(beside.c.position == place))
                connection.execute(insert(beside).values(position=place, attributes=dumped(model)))
                rows[terms] += term_rows(place, model)
                if table is series:
                    named = update(series).where(series.c.position == place)
                    connection.execute(named.values(modality=modality(model)))
    for table, new in rows.items():
        connection.execute(delete(table).where(table.c.position.in_(at)))
        if new:
            names = [column.name for column in table.columns]
            connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in new])
