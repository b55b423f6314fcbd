"""The tables of the SQL backend, one model for SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from isocenter.adapters.sql.moments import Moment

# SQLite only makes a column the row's own number where its type is spelt INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# One row, locked first by every transaction that appends: it numbers images, events and audit entries, so
# that nobody ever sees a number before a smaller one.
head = Table(
    "head",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("audit", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("seal", Text, nullable=False),
)

# `position` is the order of arrival and what cursors hold; it comes from `head` and is never used twice.
images = Table(
    "images",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("store", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("blob_key", Text, nullable=False),
    Column("blob_size", BigInteger, nullable=False),
    Column("blob_sha256", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed", Moment),
    Column("study_uid", Text),
    Column("series_uid", Text),
    Column("sop_instance_uid", Text),
    Column("sop_class_uid", Text),
    Column("transfer_syntax_uid", Text),
    Column("number_of_frames", BigInteger, nullable=False),
    Column("body_offset", BigInteger, nullable=False),
    Column("has_part10_header", Boolean, nullable=False),
    Column("preamble_is_zero", Boolean, nullable=False),
)
# Every index costs a commit some microseconds, so those that few rows need hold only those rows; `rows` says
# the same conditions in words that let the databases use them.
_current = images.c.state == "current"
_dicom = images.c.sop_instance_uid.is_not(None)
Index(
    "uq_images_current_instance", images.c.sop_instance_uid, images.c.store, unique=True,
    sqlite_where=_current & _dicom, postgresql_where=_current & _dicom,
)  # fmt: skip
Index(
    "uq_images_current_image", images.c.store, images.c.subject_id, images.c.image_id, unique=True,
    sqlite_where=_current & ~_dicom, postgresql_where=_current & ~_dicom,
)  # fmt: skip
Index("ix_images_study", images.c.study_uid, images.c.store, images.c.state, images.c.series_uid)
Index(
    "ix_images_gone_instance", images.c.sop_instance_uid,
    sqlite_where=~_current, postgresql_where=~_current,
)  # fmt: skip
Index("ix_images_subject", images.c.subject_id, images.c.image_id)
Index(
    "ix_images_gone", images.c.state, images.c.changed,
    sqlite_where=~_current, postgresql_where=~_current,
)  # fmt: skip
Index(
    "ix_images_kind", images.c.kind, images.c.position,
    sqlite_where=images.c.kind != "dicom", postgresql_where=images.c.kind != "dicom",
)  # fmt: skip

details = Table(
    "details",
    metadata,
    Column(
        "position",
        Number,
        ForeignKey(images.c.position, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("metadata", LargeBinary, nullable=False),
    Column("frames", LargeBinary),
    Column("attributes", Text, nullable=False, server_default="{}"),
)

# A study or series has the position of the image that brought it; it lasts until its last image is purged.
# `instances` counts its current images. Attributes lie apart, so that counting reads little.
studies = Table(
    "studies",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("store", Text, nullable=False),
    Column("study_uid", Text, nullable=False),
    Column("instances", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("study_uid", "store"),
)

series = Table(
    "series",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("store", Text, nullable=False),
    Column("study_uid", Text, nullable=False),
    Column("series_uid", Text, nullable=False),
    Column("modality", Text),
    Column("instances", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("study_uid", "series_uid", "store"),
)
Index("ix_series_series_uid", series.c.series_uid)


def _attributes(level: Table) -> Table:
    return Table(
        f"{level.name}_attributes",
        metadata,
        Column(
            "position",
            Number,
            ForeignKey(level.c.position, ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        Column("attributes", Text, nullable=False),
    )


studies_attributes = _attributes(studies)
series_attributes = _attributes(series)

# Texts that compare by code point in every database, as dicom.matching does.
CodePoints = Text().with_variant(Text(collation="C"), "postgresql")
HEAD = 200  # an index takes no text of any length


def _terms(level: Table) -> Table:
    """The terms (see dicom.matching) of a level; a value is `head` and, where it is longer than HEAD, `rest`."""
    table = Table(
        f"{level.name}_terms",
        metadata,
        Column("position", Number, ForeignKey(level.c.position, ondelete="CASCADE"), nullable=False),
        Column("path", CodePoints, nullable=False),
        Column("item", CodePoints, nullable=False),
        Column("head", CodePoints, nullable=False),
        Column("rest", CodePoints, nullable=False),
    )
    Index(f"ix_{table.name}_value", table.c.path, table.c.head, table.c.position)
    Index(f"ix_{table.name}_position", table.c.position, table.c.path)
    return table


studies_terms = _terms(studies)
series_terms = _terms(series)
images_terms = _terms(images)

# What every image is indexed by.
search_names = Table("search_names", metadata, Column("name", Text, primary_key=True))

events = Table(
    "events",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("at", Moment, nullable=False),
)
# What `append` takes is told once of an image.
_appended = events.c.type == "study.complete"
Index("uq_events_study_complete", events.c.image, unique=True, sqlite_where=_appended, postgresql_where=_appended)

audit = Table(
    "audit",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("store", Text),
    Column("image", Text),
    Column("request_id", Text),
    Column("address", Text),
    Column("count", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("pipeline", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("chunks", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("retry_of", Text),
    Column("state", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("changed", Moment),
    Column("code", Text),
    Column("summary", Text),
    Column("forgotten", Boolean, nullable=False, server_default=false()),
)
Index("ix_jobs_state", jobs.c.state, jobs.c.position)

chunks = Table(
    "chunks",
    metadata,
    Column("job", Text, ForeignKey(jobs.c.id), primary_key=True),
    Column("chunk", BigInteger, primary_key=True, autoincrement=False),
    Column("images", Text, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("job", Text, ForeignKey(jobs.c.id), primary_key=True),
    Column("stage", BigInteger, primary_key=True, autoincrement=False),
    Column("chunk", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("until", Moment, nullable=False),
    Column("recorded", Boolean, nullable=False),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("job", Text, ForeignKey(jobs.c.id), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("chunk", BigInteger, primary_key=True, autoincrement=False),
    Column("done", Text, nullable=False),
    Column("rejected", Text, nullable=False),
    Column("unavailable", Text, nullable=False),
    Column("produced", Text, nullable=False),
    *(
        Column(name, BigInteger, nullable=False)
        for name in ("done_count", "rejected_count", "unavailable_count", "findings")
    ),
)

results = Table(
    "results",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=True),
    Column("image", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
    UniqueConstraint("job", "step", "image", name="uq_results_job"),
)
Index("ix_results_image", results.c.image, results.c.position)

deliveries = Table(
    "deliveries",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("store", Text, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    *(Column(name, Boolean, nullable=False) for name in ("zipped", "original", "presigned")),
    Column("revoked", Moment),
)
Index("ix_deliveries_expires", deliveries.c.expires)

delivered = Table(
    "delivered",
    metadata,
    Column("delivery", Text, ForeignKey(deliveries.c.id), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("image", Text, nullable=False),
    UniqueConstraint("delivery", "image", name="uq_delivered_image"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("secret_sha256", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("revoked", Moment),
)

# `cursor`: every event up to it is delivered, not wanted, or stands in a letter. `owner` sends until `until`.
webhooks = Table(
    "webhooks",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("store", Text),
    Column("created", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("owner", Text, nullable=False, server_default=""),
    Column("until", Moment, nullable=False, server_default="0"),
)

# Events that did not go through; those without `due` are dead.
webhook_letters = Table(
    "webhook_letters",
    metadata,
    Column("webhook", Text, ForeignKey(webhooks.c.id), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("attempts", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("due", Moment),
)
Index("ix_webhook_letters_due", webhook_letters.c.webhook, webhook_letters.c.due)

# Studies that images came to and that nobody has called complete; `study` is opaque, `image` the last that came.
open_studies = Table(
    "open_studies",
    metadata,
    Column("study", Text, primary_key=True),
    Column("store", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("at", Moment, nullable=False),
)
Index("ix_open_studies_at", open_studies.c.at)

# How far the feed has been followed for that; one row.
studies_followed = Table(
    "studies_followed",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
)
