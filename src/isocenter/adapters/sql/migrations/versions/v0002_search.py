"""Search by any attribute: terms, attributes apart from the rows that are counted, and counts that are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CODE_POINTS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("details", sa.Column("attributes", sa.Text(), server_default="{}", nullable=False))
    for name in ("series", "subject", "image"):
        op.drop_index(f"ix_images_{name}", "images")
    op.create_index("ix_images_subject", "images", ["subject_id", "image_id"])
    _level("studies", ("store", "study_uid"))
    _level("series", ("store", "study_uid", "series_uid"))
    for level in ("studies", "series", "images"):
        _terms(level)
    op.create_table("search_names", sa.Column("name", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("name"))


def _level(level: str, identity: tuple[str, ...]) -> None:
    beside = f"{level}_attributes"
    op.create_table(
        beside,
        sa.Column("position", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=f"pk_{beside}"),
        sa.ForeignKeyConstraint(["position"], [f"{level}.position"], name=f"fk_{beside}_position", ondelete="CASCADE"),
    )
    columns = ("position", "attributes")
    old = sa.table(level, *map(sa.column, (*columns, *identity, "instances")))
    new = sa.table(beside, *map(sa.column, columns))
    op.execute(sa.insert(new).from_select(columns, sa.select(old.c.position, old.c.attributes)))
    op.drop_column(level, "attributes")
    op.add_column(level, sa.Column("instances", sa.BigInteger(), server_default="0", nullable=False))
    images = sa.table("images", *map(sa.column, (*identity, "state")))
    held = [images.c[name] == old.c[name] for name in identity]
    counted = sa.select(sa.func.count()).select_from(images).where(images.c.state == "current", *held)
    op.execute(sa.update(old).values(instances=counted.scalar_subquery()))


def _terms(level: str) -> None:
    table = f"{level}_terms"
    op.create_table(
        table,
        sa.Column("position", _NUMBER, nullable=False),
        *(sa.Column(name, _CODE_POINTS, nullable=False) for name in ("path", "item", "head", "rest")),
        sa.ForeignKeyConstraint(["position"], [f"{level}.position"], name=f"fk_{table}_position", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_value", table, ["path", "head", "position"])
    op.create_index(f"ix_{table}_position", table, ["position", "path"])
