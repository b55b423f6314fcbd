"""What the routes work with, put together once at start by `bootstrap`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isocenter.archive.delete import Delete
from isocenter.archive.deliver import Deliver
from isocenter.archive.file_set import FileSets
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.search import Searching
from isocenter.dicom.elements import Limits
from isocenter.pipeline.ingest import Ingest
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.plan import Plans
from isocenter.pipeline.process import Process
from isocenter.pipeline.uploads import Uploads
from isocenter.pipeline.webhooks import WebhookDesk
from isocenter.ports.platform import Platform
from isocenter.web.auth import Authenticator, Policy

if TYPE_CHECKING:
    from isocenter.archive.rendered import Rendered
    from isocenter.archive.transcoded import Transcoded
    from isocenter.archive.viewing import Viewing
    from isocenter.pipeline.preview import Previews


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Ceilings for one request and for one process."""

    body_bytes: int
    parts: int
    part_header_bytes: int
    concurrent_uploads: int
    process_seconds: float
    answer_bytes: int | None  # a larger answer is given by an address of the object store
    data_set: Limits  # what metadata that is sent in may hold


@dataclass(frozen=True, slots=True)
class Pixels:
    """What reads pixels: NumPy and the codecs are loaded with it."""

    rendered: Rendered
    viewing: Viewing
    transcoded: Transcoded


@dataclass(frozen=True, slots=True)
class Services:
    """`open_pixels` and `open_previews` open once what reads pixels and what de-identifies, when that is asked for."""

    platform: Platform
    ingest: Ingest
    retrieve: Retrieve
    open_pixels: Callable[[], Pixels]
    open_previews: Callable[[], Previews]
    file_sets: FileSets
    delete: Delete
    deliver: Deliver
    searching: Searching
    plans: Plans
    jobs: Jobs
    process: Process
    uploads: Uploads
    webhooks: WebhookDesk
    authenticator: Authenticator
    policy: Policy
    limits: WebLimits
    disk: Callable[[], dict[str, int] | None]  # total and free bytes of the home folder, where images lie in it
    close: Callable[[], None]

    @property
    def rendered(self) -> Rendered:
        return self.open_pixels().rendered

    @property
    def viewing(self) -> Viewing:
        return self.open_pixels().viewing

    @property
    def previews(self) -> Previews:
        return self.open_previews()

    @property
    def transcoded(self) -> Transcoded:
        return self.open_pixels().transcoded
