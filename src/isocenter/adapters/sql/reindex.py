"""Replacing what search knows of images, from models made anew."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, update

from isocenter.adapters.sql.levels import spoken_for, write_levels
from isocenter.adapters.sql.tables import details, images_terms
from isocenter.adapters.sql.terms import COLUMNS, term_rows
from isocenter.adapters.sql.text import dumped
from isocenter.dicom.attribute_lines import text_of
from isocenter.dicom.attributes import named_only
from isocenter.records import Indexed


def reindex(connection: Connection, images_at: Mapping[int, Indexed]) -> None:
    """Replace attributes and terms of the images at these positions, and of the levels that they speak for."""
    at = list(images_at)
    for place, each in images_at.items():
        named = update(details).where(details.c.position == place)
        connection.execute(named.values(attributes=text_of(each.instance, dumped)))
    connection.execute(delete(images_terms).where(images_terms.c.position.in_(at)))
    rows = [row for place, each in images_at.items() for row in term_rows(place, named_only(each.instance))]
    if rows:
        connection.execute(insert(images_terms), [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    of_study = {held: images_at[source].study for held, source in spoken_for(connection, "study", at).items()}
    of_series = {held: images_at[source].series for held, source in spoken_for(connection, "series", at).items()}
    write_levels(connection, "study", of_study)
    write_levels(connection, "series", of_series)
