"""The port to what is known about deliveries: which images their links give out, and until when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from isocenter.records import AuditEntry, Delivery, Page


class Deliveries(Protocol):
    """Deliveries and the internal ids of their images. No link is kept here, only what one is checked against."""

    def create(self, delivery: Delivery, images: Sequence[str], entry: AuditEntry) -> Delivery:
        """Keep a delivery with its images in their order, and write the entry, in one transaction.

        The same id again changes and notes nothing, and returns the delivery that is kept.
        """

    def get(self, id: str) -> Delivery | None: ...

    def holds(self, id: str, image: str) -> bool:
        """Whether an image is one of a delivery's."""

    def images(self, id: str, *, after: int = 0, limit: int = 1000) -> Sequence[str]:
        """A delivery's images in their order, `after` so many of them."""

    def page(
        self, *, stores: Collection[str] | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Delivery]:
        """Deliveries from these stores (all without them), newest first."""

    def revoke(self, id: str, entry: AuditEntry) -> Delivery:
        """Set `revoked` to the entry's time (unless it is set) and write it; an unknown id raises NotFound."""

    def sweep(self, before: datetime) -> int:
        """Forget deliveries that expired before this moment; how many there were."""
