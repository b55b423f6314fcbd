"""The port to what is known about every image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from isocenter.records import (
    AuditEntry,
    Committed,
    Details,
    ImageQuery,
    ImageRecord,
    NewImage,
    Page,
    State,
)


class Index(Protocol):
    """Rows about images. Each changing call is one transaction that also writes its events and audit entries."""

    def commit(self, new: Sequence[tuple[NewImage, AuditEntry]], *, keep_versions: bool = False) -> Sequence[Committed]:
        """Make images visible, one answer each in order; a later item sees the earlier ones.

        An identity (see `ImageRecord.identity`) already current in the store with the same SHA-256 is a
        DUPLICATE; with other bytes a CONFLICT or, where versions are kept, REPLACED (the old row becomes
        SUPERSEDED). Only STORED and REPLACED write an event (image.stored, image.replaced) and the audit entry
        (with store and image filled in); DUPLICATE and CONFLICT write the audit entry with outcome as such.
        """

    def get(self, id: str) -> ImageRecord | None:
        """The image with this internal id in any state."""

    def images(self, query: ImageQuery) -> Page[ImageRecord]:
        """Matching images in order of arrival. A cursor that is none of ours raises BadRequest."""

    def details(self, ids: Sequence[str]) -> Mapping[str, Details]:
        """Metadata and frame tables of these images; ids that are unknown are left out."""

    def transition(self, ids: Sequence[str], to: State, entry: AuditEntry) -> Sequence[ImageRecord]:
        """Delete (CURRENT to DELETED) or restore (DELETED to CURRENT) and say which changed.

        Images not in the state to leave are passed over, so that the call can run twice. Restoring an image
        whose identity is taken again raises Conflict and changes nothing.
        """

    def purge(self, ids: Sequence[str], entry: AuditEntry) -> Sequence[ImageRecord]:
        """Forget images that are DELETED or SUPERSEDED, for good, and return what was forgotten."""

    def blob_keys(self) -> Iterator[str]:
        """The blob key of every row in any state, in any order, without holding them all in memory."""
