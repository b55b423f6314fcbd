"""What gives images out: links, and the destinations of the settings."""

from __future__ import annotations

from isocenter.archive.deliver import Deliver
from isocenter.archive.file_set import FileSets
from isocenter.archive.retrieve import Retrieve
from isocenter.ports.platform import Platform
from isocenter.settings import Settings


def deliver_of(
    settings: Settings, platform: Platform, retrieve: Retrieve | None = None, file_sets: FileSets | None = None
) -> Deliver:
    """Deliveries by links, as the settings have them."""
    retrieve = retrieve or Retrieve(platform)
    return Deliver(
        platform,
        retrieve,
        file_sets or FileSets(retrieve),
        settings.identified_stores,
        presigned=settings.delivery_links == "presigned",
    )
