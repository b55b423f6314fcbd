"""What Alembic runs: migrations within the transaction that `migrate` opened."""

from __future__ import annotations

from alembic import context

from isocenter.adapters.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
