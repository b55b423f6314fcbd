"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out rather than taken from `tables`: a migration must not change when the tables do.
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _head()
    _images()
    _levels()
    _logs()
    _jobs()
    _keys()


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, autoincrement=False, nullable=False)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable, autoincrement=False)


def _head() -> None:
    op.create_table(
        "head",
        _number("id"),
        _big("position"),
        _big("event"),
        _big("audit"),
        _text("digest"),
        _text("seal"),
        sa.PrimaryKeyConstraint("id", name="pk_head"),
    )
    op.execute("INSERT INTO head (id, position, event, audit, digest, seal) VALUES (1, 0, 0, 0, '', '')")


def _images() -> None:
    op.create_table(
        "images",
        _number("position"),
        _text("id"),
        _text("store"),
        _text("kind"),
        _text("media_type"),
        _text("subject_id"),
        _text("image_id"),
        _text("blob_key"),
        _big("blob_size"),
        _text("blob_sha256"),
        _big("created"),
        _text("state"),
        _big("changed", nullable=True),
        _text("study_uid", nullable=True),
        _text("series_uid", nullable=True),
        _text("sop_instance_uid", nullable=True),
        _text("sop_class_uid", nullable=True),
        _text("transfer_syntax_uid", nullable=True),
        _big("number_of_frames"),
        _big("body_offset"),
        sa.Column("has_part10_header", sa.Boolean(), nullable=False),
        sa.Column("preamble_is_zero", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_images"),
        sa.UniqueConstraint("id", name="uq_images_id"),
    )
    _unique("uq_images_current_instance", ["sop_instance_uid", "store"], "sop_instance_uid IS NOT NULL")
    _unique("uq_images_current_image", ["store", "subject_id", "image_id"], "sop_instance_uid IS NULL")
    op.create_index("ix_images_study", "images", ["study_uid", "store", "state", "series_uid"])
    op.create_index("ix_images_series", "images", ["series_uid"])
    op.create_index("ix_images_subject", "images", ["subject_id"])
    op.create_index("ix_images_image", "images", ["image_id", "subject_id"])
    gone, others = sa.text("state != 'current'"), sa.text("kind != 'dicom'")
    op.create_index("ix_images_gone_instance", "images", ["sop_instance_uid"], sqlite_where=gone, postgresql_where=gone)
    op.create_index("ix_images_gone", "images", ["state", "changed"], sqlite_where=gone, postgresql_where=gone)
    op.create_index("ix_images_kind", "images", ["kind", "position"], sqlite_where=others, postgresql_where=others)
    op.create_table(
        "details",
        _number("position"),
        sa.Column("metadata", sa.LargeBinary(), nullable=False),
        sa.Column("frames", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("position", name="pk_details"),
        sa.ForeignKeyConstraint(["position"], ["images.position"], name="fk_details_position", ondelete="CASCADE"),
    )


def _unique(name: str, columns: list[str], kind: str) -> None:
    where = sa.text(f"state = 'current' AND {kind}")
    op.create_index(name, "images", columns, unique=True, sqlite_where=where, postgresql_where=where)


def _levels() -> None:
    op.create_table(
        "studies",
        _number("position"),
        _text("store"),
        _text("study_uid"),
        _text("attributes"),
        sa.PrimaryKeyConstraint("position", name="pk_studies"),
        sa.UniqueConstraint("study_uid", "store", name="uq_studies_study_uid_store"),
    )
    op.create_table(
        "series",
        _number("position"),
        _text("store"),
        _text("study_uid"),
        _text("series_uid"),
        _text("modality", nullable=True),
        _text("attributes"),
        sa.PrimaryKeyConstraint("position", name="pk_series"),
        sa.UniqueConstraint("study_uid", "series_uid", "store", name="uq_series_study_uid_series_uid_store"),
    )
    op.create_index("ix_series_series_uid", "series", ["series_uid"])


def _logs() -> None:
    op.create_table(
        "events",
        _number("sequence"),
        _text("type"),
        _text("store"),
        _text("image"),
        _big("at"),
        sa.PrimaryKeyConstraint("sequence", name="pk_events"),
    )
    op.create_table(
        "audit",
        _number("sequence"),
        _text("actor"),
        _text("action"),
        _text("outcome"),
        _big("at"),
        _text("store", nullable=True),
        _text("image", nullable=True),
        _text("request_id", nullable=True),
        _text("address", nullable=True),
        _big("count"),
        _text("digest"),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("position", _NUMBER, autoincrement=True, nullable=False),
        _text("id"),
        _text("pipeline"),
        _text("images"),
        _big("created"),
        _text("state"),
        _big("changed", nullable=True),
        sa.PrimaryKeyConstraint("position", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "position"])
    op.create_table(
        "claims",
        _text("job"),
        _text("step"),
        _big("chunk"),
        _text("owner"),
        _big("until"),
        sa.PrimaryKeyConstraint("job", "step", "chunk", name="pk_claims"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_claims_job"),
    )
    op.create_table(
        "outcomes",
        _text("job"),
        _text("step"),
        _big("chunk"),
        _text("done"),
        _text("failed"),
        _big("findings"),
        sa.PrimaryKeyConstraint("job", "step", "chunk", name="pk_outcomes"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_outcomes_job"),
    )


def _keys() -> None:
    op.create_table(
        "secrets",
        _text("name"),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    op.create_table(
        "api_keys",
        _text("id"),
        _text("label"),
        _text("secret_sha256"),
        _text("scopes"),
        _big("created"),
        _big("expires", nullable=True),
        _big("revoked", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
