"""Webhooks: subscriptions to the event feed, what did not reach them, and studies on their way to be complete."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("position", _NUMBER, autoincrement=True, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "url", "events")),
        sa.Column("store", sa.Text(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("until", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_webhooks"),
        sa.UniqueConstraint("id", name="uq_webhooks_id"),
    )
    op.create_table(
        "webhook_letters",
        sa.Column("webhook", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["webhook"], ["webhooks.id"], name="fk_webhook_letters_webhook"),
        sa.PrimaryKeyConstraint("webhook", "sequence", name="pk_webhook_letters"),
    )
    op.create_index("ix_webhook_letters_due", "webhook_letters", ["webhook", "due"])
    op.create_table(
        "open_studies",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("study", "store", "image")),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("study", name="pk_open_studies"),
    )
    op.create_index("ix_open_studies_at", "open_studies", ["at"])
    op.create_table(
        "studies_followed",
        sa.Column("id", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_studies_followed"),
    )
    # What came before this version is not told of as complete now.
    op.execute("INSERT INTO studies_followed (id, sequence) SELECT 1, event FROM head")
    appended = sa.text("type = 'study.complete'")
    op.create_index(
        "uq_events_study_complete", "events", ["image"], unique=True, sqlite_where=appended, postgresql_where=appended
    )
