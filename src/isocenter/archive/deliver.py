"""The Deliver transaction: images are given out by links until a moment, and taken back before it where need be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from isocenter.archive.delivery_links import DeliveryLinks, Named
from isocenter.archive.file_names import file_name, media_type_of
from isocenter.archive.file_set import FileSets
from isocenter.archive.retrieve import Content, Retrieve
from isocenter.archive.store import Caller, new_id
from isocenter.errors import BadRequest, NotFound, Unsupported
from isocenter.ports.blob_store import SignsUrls
from isocenter.ports.platform import Platform
from isocenter.records import Delivery, ImageQuery, ImageRecord, Kind, Page, State, now

LEAST_SECONDS, MOST_SECONDS, DEFAULT_SECONDS = 60, 7 * 86400, 900
PAGE = 1000
MOST_IMAGES = 100_000
PATH = "/delivered/"
_ZIP = "application/zip"
_LOOKS = 8  # at rows and blobs at a time
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Terms:
    """How images are given out."""

    seconds: int = DEFAULT_SECONDS
    zipped: bool = False
    original: bool = False
    id: str | None = None  # the same id again is the same delivery


@dataclass(frozen=True, slots=True)
class Link:
    """One link: `path` below our own address, or `url` of the object store. `sha256` where it is known beforehand."""

    image_id: str | None
    file_name: str
    media_type: str
    size: int
    sha256: str | None
    path: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """A page of a delivery's links; `missing` are images that are there no more, `next` is where the next begins."""

    items: tuple[Link, ...]
    missing: tuple[str, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Given:
    """What a link gives out."""

    delivery: Delivery
    images: tuple[ImageRecord, ...]
    content: Content
    file_name: str
    media_type: str


class DeadLink(NotFound):
    """A link that gives nothing, for whatever reason; `delivery` is known where the link was one of ours."""

    def __init__(self, delivery: Delivery | None = None) -> None:
        super().__init__("nothing is at this link; it may have expired or been revoked")
        self.delivery = delivery


class Deliver:
    """Makes deliveries and follows their links; what the caller may read is decided before.

    `identified` are the stores that hold identity; `presigned` says to give links of the object store where it can
    sign and the object goes out byte for byte.
    """

    def __init__(
        self,
        platform: Platform,
        retrieve: Retrieve,
        file_sets: FileSets,
        identified: Collection[str],
        *,
        presigned: bool = False,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._platform = platform
        self._retrieve = retrieve
        self._file_sets = file_sets
        self._identified = frozenset(identified)
        self._signer = platform.blobs if presigned and isinstance(platform.blobs, SignsUrls) else None
        self._links = DeliveryLinks(platform.secrets)
        self._clock = clock

    def matching(self, query: ImageQuery) -> list[str]:
        """The current images that a query names, by their ids; NotFound where there is none."""
        found: list[str] = []
        after: str | None = None
        while True:
            page = self._platform.index.images(replace(query, after=after, limit=PAGE))
            found += [record.id for record in page.items]
            after = page.next
            if len(found) > MOST_IMAGES:
                raise _too_many()
            if after is None:
                return found

    def create(
        self, store: str, images: Sequence[str], terms: Terms, caller: Caller
    ) -> tuple[Delivery, tuple[str, ...]]:
        """Deliver images of a store, and say which of them are not there, by index and blob store.

        NotFound where none is; Unsupported where a ZIP is asked for and one is no DICOM instance.
        """
        if not LEAST_SECONDS <= terms.seconds <= MOST_SECONDS:
            raise BadRequest(f"links live from {LEAST_SECONDS} to {MOST_SECONDS} seconds", code="bad-life")
        wanted = tuple(dict.fromkeys(images))
        if len(wanted) > MOST_IMAGES:
            raise _too_many()
        there: list[str] = []
        missing: list[str] = []
        for id, record in self._looked_up(store, wanted, with_blobs=True):
            if record is None:
                missing.append(id)
                continue
            if terms.zipped and record.kind is not Kind.DICOM:
                raise Unsupported("a ZIP archive is a File-set of DICOM instances alone", code="not-dicom")
            there.append(id)
        if not there:
            raise NotFound("none of these images is there", code="no-images")
        created = self._clock()
        made = Delivery(
            terms.id or new_id(), store, len(there), created, created + timedelta(seconds=terms.seconds), caller.actor,
            terms.zipped, terms.original, self._signer is not None and not terms.zipped,
        )  # fmt: skip
        entry = caller.entry("deliver.create", store=store, count=len(there))
        return self._platform.deliveries.create(made, there, entry), tuple(missing)

    def get(self, id: str, stores: Collection[str]) -> Delivery:
        """A delivery from one of `stores` whose links work; NotFound once it is revoked or has expired."""
        found = self._platform.deliveries.get(id)
        if found is None or found.store not in stores or found.revoked is not None or found.expires <= self._clock():
            raise NotFound("there is no delivery with this id whose links work")
        return found

    def page(self, stores: Collection[str] | None, after: str | None, limit: int) -> Page[Delivery]:
        """Deliveries from these stores (all without them) newest first, also those that are over."""
        return self._platform.deliveries.page(stores=stores, after=after, limit=limit)

    def revoke(self, id: str, stores: Collection[str], caller: Caller) -> Delivery:
        """Let a delivery's links give nothing any more, at once."""
        found = self.get(id, stores)
        return self._platform.deliveries.revoke(found.id, caller.entry("deliver.revoke", store=found.store))

    def links(self, delivery: Delivery, after: int = 0, limit: int = PAGE) -> Links:
        """A delivery's links, page by page; they are made anew from our key, and nowhere kept."""
        if delivery.zipped:
            images = self._zipped(delivery)
            content = self._file_sets.archive(images)
            named = self._path(delivery, None)
            return Links((Link(None, f"{delivery.id}.zip", _ZIP, content.size, None, named),), (), None)
        ids = self._platform.deliveries.images(delivery.id, after=after, limit=limit + 1)
        found = list(self._looked_up(delivery.store, ids[:limit], with_blobs=False))
        items = tuple(self._link(delivery, record) for _, record in found if record is not None)
        missing = tuple(id for id, record in found if record is None)
        return Links(items, missing, after + limit if len(ids) > limit else None)

    def fetch(self, token: str) -> Given:
        """What a link gives out now; DeadLink, always the same to whoever asks, where it gives nothing."""
        named = self._links.read(token)
        delivery = None if named is None else self._platform.deliveries.get(named.delivery)
        if named is None or delivery is None:
            raise DeadLink
        over = delivery.revoked is not None or delivery.expires <= self._clock()
        if over or _micros(delivery.expires) != named.expires or delivery.zipped != (named.image is None):
            raise DeadLink(delivery)
        if named.image is None:
            records = self._zipped(delivery)
            return Given(delivery, tuple(records), self._file_sets.archive(records), f"{delivery.id}.zip", _ZIP)
        if not self._platform.deliveries.holds(delivery.id, named.image):
            raise DeadLink(delivery)
        record = self._current(delivery.store, named.image)
        if record is None:
            raise DeadLink(delivery)
        content = self.content(record, original=delivery.original)
        return Given(delivery, (record,), content, self.name(record), media_type_of(record))

    def content(self, record: ImageRecord, *, original: bool) -> Content:
        """An image as it is given out: what is not DICOM, or asked for as it came, byte for byte; else a PS3.10 file
        whose preamble is zeros."""
        if original or record.kind is not Kind.DICOM:
            return self._retrieve.original(record)
        return self._retrieve.part10(record)

    def name(self, record: ImageRecord) -> str:
        return file_name(record, identified=record.store in self._identified)

    def _link(self, delivery: Delivery, record: ImageRecord) -> Link:
        content = self.content(record, original=delivery.original)
        told = (record.id, self.name(record), media_type_of(record), content.size, content.sha256)
        as_stored = content.sha256 == record.blob.sha256 and record.preamble_is_zero
        if delivery.presigned and self._signer is not None and as_stored:
            left = delivery.expires - self._clock()
            return Link(*told, url=self._signer.signed_url(record.blob.key, max(1, int(left.total_seconds()))))
        return Link(*told, path=self._path(delivery, record.id))

    def _path(self, delivery: Delivery, image: str | None) -> str:
        return PATH + self._links.token(Named(delivery.id, image, _micros(delivery.expires)))

    def _zipped(self, delivery: Delivery) -> list[ImageRecord]:
        """What of a delivery is still there; DeadLink where nothing is."""
        found: list[ImageRecord] = []
        for after in range(0, delivery.images, PAGE):
            ids = self._platform.deliveries.images(delivery.id, after=after, limit=PAGE)
            looked_up = self._looked_up(delivery.store, ids, with_blobs=False)
            found += [record for _, record in looked_up if record is not None]
        if not found:
            raise DeadLink(delivery)
        return found

    def _looked_up(
        self, store: str, ids: Sequence[str], *, with_blobs: bool
    ) -> Iterator[tuple[str, ImageRecord | None]]:
        """The current image of each id where it is in the store, and if that is asked its object in the blob store."""

        def look(id: str) -> tuple[str, ImageRecord | None]:
            record = self._current(store, id)
            return id, record if record is None or not with_blobs or self._is_whole(record) else None

        with ThreadPoolExecutor(_LOOKS, thread_name_prefix="look-up") as pool:
            yield from pool.map(look, ids)

    def _current(self, store: str, id: str) -> ImageRecord | None:
        record = self._platform.index.get(id)
        return record if record is not None and record.state is State.CURRENT and record.store == store else None

    def _is_whole(self, record: ImageRecord) -> bool:
        try:
            return self._platform.blobs.stat(record.blob.key).size == record.blob.size
        except NotFound:
            return False


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _too_many() -> BadRequest:
    return BadRequest(f"a delivery is of at most {MOST_IMAGES} images; name fewer at once", code="too-many-images")
