"""The key store port on SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.tables import secrets


class SqlSecrets:
    """Secrets in the database as they are: whoever may read the database may read them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> bytes | None:
        with self._database.reading() as connection:
            row = connection.execute(select(secrets.c.value).where(secrets.c.name == name)).one_or_none()
        return None if row is None else bytes(row.value)

    def create(self, name: str, value: bytes) -> bytes:
        put = insert(secrets).values(name=name, value=value)
        # An update that changes nothing, so that the statement answers with the value that was there first.
        kept = put.on_conflict_do_update(index_elements=[secrets.c.name], set_={"name": put.excluded.name})
        with self._database.transaction() as connection:
            return bytes(connection.execute(kept.returning(secrets.c.value)).scalar_one())

    def replace(self, name: str, value: bytes) -> None:
        put = insert(secrets).values(name=name, value=value)
        put = put.on_conflict_do_update(index_elements=[secrets.c.name], set_={"value": put.excluded.value})
        with self._database.transaction() as connection:
            connection.execute(put)

    def delete(self, name: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(delete(secrets).where(secrets.c.name == name))

    def names(self) -> Sequence[str]:
        with self._database.reading() as connection:
            return sorted(connection.execute(select(secrets.c.name)).scalars())
