"""Deliveries: images given out by links."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("position", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("images", "created", "expires")),
        sa.Column("actor", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in ("zipped", "original", "presigned")),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("position", name="pk_deliveries"),
        sa.UniqueConstraint("id", name="uq_deliveries_id"),
    )
    op.create_index("ix_deliveries_expires", "deliveries", ["expires"])
    op.create_table(
        "delivered",
        sa.Column("delivery", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.UniqueConstraint("delivery", "image", name="uq_delivered_image"),
        sa.ForeignKeyConstraint(["delivery"], ["deliveries.id"], name="fk_delivered_delivery"),
        sa.PrimaryKeyConstraint("delivery", "number", name="pk_delivered"),
    )
