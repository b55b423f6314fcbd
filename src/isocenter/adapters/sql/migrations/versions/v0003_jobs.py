"""Jobs that carry their plan, their images apart from them in chunks, and tasks that workers claim.

No version before this one started a job, so the tables of jobs are empty and made anew.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False) for name in names]


def _part_of_a_job(table: str, key: tuple[str, ...], *columns: sa.Column[Any]) -> None:
    op.create_table(
        table,
        *columns,
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=f"fk_{table}_job"),
        sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"),
    )


def upgrade() -> None:
    for table in ("claims", "outcomes", "jobs"):
        op.drop_table(table)
    op.create_table(
        "jobs",
        sa.Column("position", _NUMBER, autoincrement=True, nullable=False),
        *_texts("id", "pipeline", "plan", "store"),
        *_numbers("images", "chunks", "created"),
        *_texts("actor"),
        *_numbers("priority"),
        *_texts("retry_of", nullable=True),
        *_texts("state"),
        *_numbers("attempt"),
        sa.Column("changed", sa.BigInteger(), nullable=True),
        *_texts("code", "summary", nullable=True),
        sa.Column("forgotten", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "position"])
    _part_of_a_job("chunks", ("job", "chunk"), *_texts("job"), *_numbers("chunk"), *_texts("images"))
    _part_of_a_job(
        "tasks",
        ("job", "stage", "chunk"),
        *_texts("job"),
        *_numbers("stage", "chunk", "attempt"),
        *_texts("owner"),
        *_numbers("until"),
        sa.Column("recorded", sa.Boolean(), nullable=False),
    )
    _part_of_a_job(
        "outcomes",
        ("job", "step", "chunk"),
        *_texts("job", "step"),
        *_numbers("chunk"),
        *_texts("done", "rejected", "unavailable", "produced"),
        *_numbers("done_count", "rejected_count", "unavailable_count", "findings"),
    )
    op.create_table(
        "results",
        sa.Column("position", _NUMBER, autoincrement=True, nullable=False),
        *_texts("image", "job", "step", "kind"),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        *_numbers("at"),
        sa.PrimaryKeyConstraint("position", name="pk_results"),
        sa.UniqueConstraint("job", "step", "image", name="uq_results_job"),
    )
    op.create_index("ix_results_image", "results", ["image", "position"])
