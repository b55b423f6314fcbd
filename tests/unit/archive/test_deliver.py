"""Links on a platform in memory, by a clock of the tests' own."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.archive.deliver import DeadLink, Deliver, Link, Terms
from isocenter.archive.delivery_links import KEY_NAME, DeliveryLinks, Named
from isocenter.archive.file_names import file_name, file_path, media_type_of
from isocenter.archive.file_set import FileSets
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom.elements import Limits
from isocenter.errors import BadRequest, NotFound, Unsupported
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, State, now
from isocenter.testing.instances import ct_slice, png_picture
from isocenter.testing.records import new_image, new_volume

ME = Caller("tester")
SLICES = 3


class SigningBlobStore(MemoryBlobStore):
    """As an object store would: the URL says what was asked of it."""

    def signed_url(self, key: str, seconds: int) -> str:
        return f"https://bucket.example/{key}?seconds={seconds}"


class World:
    def __init__(self, platform: Platform, *, presigned: bool = False) -> None:
        self.moment = now()
        self.platform = platform
        retrieve = Retrieve(platform)
        self.ingest = Ingest(Store(platform, Limits()))
        self.deliver = Deliver(platform, retrieve, FileSets(retrieve), {"raw"}, presigned=presigned, clock=self.clock)
        self.slices = [ct_slice(1, number, size=16, slices=SLICES) for number in range(1, SLICES + 1)]
        self.ids = [self.put(each) for each in self.slices]

    def clock(self) -> datetime:
        return self.moment

    def put(self, data: bytes, store: str = "raw") -> str:
        batch = self.ingest.batch(ME)
        intake = batch.begin("x", Placement(store, "subject"))
        intake.write(data)
        intake.finish()
        (receipt,) = batch.close()
        assert receipt.record is not None
        return receipt.record.id

    def link(self, images: list[str] | None = None, **terms: object) -> tuple[str, str]:
        """The id of a new delivery and the token of its first link."""
        made, _ = self.deliver.create("raw", images or self.ids, Terms(**terms), ME)  # type: ignore[arg-type]  # as given
        return made.id, token(self.deliver.links(made).items[0])

    def actions(self) -> list[tuple[str, int]]:
        return [(e.action, e.count) for e in self.platform.audit.read() if e.action.startswith("deliver")]


def token(link: Link) -> str:
    assert link.path is not None
    return link.path.removeprefix("/delivered/")


@pytest.fixture
def world(make_platform: Callable[..., Platform]) -> World:
    return World(make_platform())


def test_each_image_has_a_link_that_gives_its_bytes(world: World) -> None:
    made, missing = world.deliver.create("raw", world.ids, Terms(), ME)
    links = world.deliver.links(made)
    assert (missing, links.missing, links.next) == ((), (), None)
    for link, id, data in zip(links.items, world.ids, world.slices, strict=True):
        given = world.deliver.fetch(token(link))
        assert b"".join(given.content.chunks) == data
        assert (link.image_id, link.size, link.sha256) == (id, len(data), given.content.sha256)
        assert given.media_type == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
        assert given.file_name == f"{id}.dcm"
    assert world.actions() == [("deliver.create", 3)]


def test_a_link_ends_at_its_moment_and_not_before(world: World) -> None:
    _, found = world.link(seconds=60)
    world.moment += timedelta(seconds=60) - timedelta(microseconds=1)
    world.deliver.fetch(found)
    world.moment += timedelta(microseconds=1)
    with pytest.raises(DeadLink):
        world.deliver.fetch(found)


@pytest.mark.parametrize("seconds", [59, 0, -1, 604801])
def test_links_live_from_a_minute_to_a_week(world: World, seconds: int) -> None:
    with pytest.raises(BadRequest):
        world.link(seconds=seconds)
    assert world.actions() == []


def test_a_revoked_delivery_gives_nothing_at_once_and_is_found_no_more(world: World) -> None:
    id, found = world.link()
    assert world.deliver.get(id, ("raw",)).images == 3
    with pytest.raises(NotFound):
        world.deliver.revoke(id, ("deidentified",), ME)
    world.deliver.fetch(found)
    world.deliver.revoke(id, ("raw",), ME)
    for asked in (lambda: world.deliver.fetch(found), lambda: world.deliver.get(id, ("raw",))):
        with pytest.raises(NotFound):
            asked()
    assert world.actions() == [("deliver.create", 3), ("deliver.revoke", 1)]


def test_a_deleted_image_takes_its_link_along_until_it_is_restored(world: World) -> None:
    _, found = world.link()
    world.platform.index.transition([world.ids[0]], State.DELETED, ME.entry("delete"))
    with pytest.raises(DeadLink):
        world.deliver.fetch(found)
    world.platform.index.transition([world.ids[0]], State.CURRENT, ME.entry("restore"))
    world.deliver.fetch(found)


def test_what_is_not_there_is_told_by_index_and_by_blob(world: World) -> None:
    gone, elsewhere = world.ids[1], world.put(world.slices[0], "deidentified")
    record = world.platform.index.get(gone)
    assert record is not None
    world.platform.blobs.delete(record.blob.key)
    made, missing = world.deliver.create("raw", [*world.ids, "nothing", elsewhere], Terms(), ME)
    assert made.images == 2
    assert missing == (gone, "nothing", elsewhere)
    with pytest.raises(NotFound):
        world.deliver.create("raw", [gone, "nothing"], Terms(), ME)


def test_the_same_id_again_is_the_same_delivery(world: World) -> None:
    id = "a" * 26
    first, _ = world.deliver.create("raw", world.ids, Terms(id=id), ME)
    world.moment += timedelta(seconds=5)
    again, _ = world.deliver.create("raw", world.ids[:1], Terms(id=id), ME)
    assert first == again
    assert world.actions() == [("deliver.create", 3)]


def test_links_come_in_pages_and_none_is_lost(world: World) -> None:
    made, _ = world.deliver.create("raw", world.ids, Terms(), ME)
    first = world.deliver.links(made, limit=2)
    assert first.next is not None
    second = world.deliver.links(made, after=first.next, limit=2)
    assert second.next is None
    assert [link.image_id for link in (*first.items, *second.items)] == world.ids


def test_a_zip_holds_what_is_still_there(world: World) -> None:
    made, _ = world.deliver.create("raw", world.ids, Terms(zipped=True), ME)
    (link,) = world.deliver.links(made).items
    given = world.deliver.fetch(token(link))
    assert len(b"".join(given.content.chunks)) == link.size
    world.platform.index.transition(world.ids[:2], State.DELETED, ME.entry("delete"))
    assert [record.id for record in world.deliver.fetch(token(link)).images] == world.ids[2:]
    world.platform.index.transition(world.ids[2:], State.DELETED, ME.entry("delete"))
    with pytest.raises(DeadLink):
        world.deliver.fetch(token(link))


def test_a_zip_of_anything_but_dicom_is_refused(world: World) -> None:
    picture = world.put(png_picture(1))
    with pytest.raises(Unsupported):
        world.deliver.create("raw", [*world.ids, picture], Terms(zipped=True), ME)
    given = world.deliver.fetch(world.link([picture])[1])
    assert (given.file_name, given.media_type) == (f"{picture}.png", "image/png")
    assert b"".join(given.content.chunks) == png_picture(1)


def test_a_preamble_goes_out_as_it_came_only_where_that_was_asked_for(world: World) -> None:
    odd = b"MZ" + ct_slice(7, 1, size=16)[2:]
    id = world.put(odd)
    zeros = b"".join(world.deliver.fetch(world.link([id])[1]).content.chunks)
    assert zeros == bytes(128) + odd[128:]
    assert b"".join(world.deliver.fetch(world.link([id], original=True)[1]).content.chunks) == odd


def test_an_object_store_signs_only_what_goes_out_byte_for_byte(make_platform: Callable[..., Platform]) -> None:
    world = World(make_platform(blobs=SigningBlobStore()), presigned=True)
    odd = world.put(b"MZ" + ct_slice(7, 1, size=16)[2:])
    made, _ = world.deliver.create("raw", [world.ids[0], odd], Terms(seconds=600), ME)
    world.moment += timedelta(seconds=60)
    signed, own = world.deliver.links(made).items
    record = world.platform.index.get(world.ids[0])
    assert record is not None
    assert signed.url == f"https://bucket.example/{record.blob.key}?seconds=540"
    assert made.presigned
    assert own.url is None
    world.deliver.fetch(token(own))
    asked_for, _ = world.deliver.create("raw", [odd], Terms(original=True), ME)
    assert [link.url for link in world.deliver.links(asked_for).items] == [None]  # programs leave by us alone


def test_links_are_our_own_where_the_store_cannot_sign(make_platform: Callable[..., Platform]) -> None:
    world = World(make_platform(), presigned=True)
    made, _ = world.deliver.create("raw", world.ids, Terms(), ME)
    assert not made.presigned
    assert world.deliver.links(made).items[0].path is not None


def test_a_token_says_what_it_was_made_of_and_nothing_that_was_altered(world: World) -> None:
    links = DeliveryLinks(world.platform.secrets)
    named = Named("a" * 26, "b" * 26, 2**50)
    made = links.token(named)
    assert links.read(made) == named
    assert links.read(links.token(Named("a" * 26, None, 1))) == Named("a" * 26, None, 1)
    for place in range(len(made)):  # every character of it counts
        other = made[:place] + ("A" if made[place] != "A" else "B") + made[place + 1 :]
        assert links.read(other) is None
    for wrong in ("", made[:-1], made + "A", made.swapcase(), made + "=", f"{made}\n", "é" * 124, "A" * 10**6):
        assert links.read(wrong) is None
    raw = base64.urlsafe_b64decode(made)
    assert links.read(base64.b64encode(raw[:61] + bytes(32)).decode()) is None
    with pytest.raises(ValueError):
        links.token(Named("../x", None, 1))


def test_another_key_makes_other_links(world: World, make_platform: Callable[..., Platform]) -> None:
    named = Named("a" * 26, "b" * 26, 1)
    ours, theirs = DeliveryLinks(world.platform.secrets), DeliveryLinks(make_platform().secrets)
    assert theirs.read(ours.token(named)) is None
    assert DeliveryLinks(world.platform.secrets).read(ours.token(named)) == named
    assert len(world.platform.secrets.get(KEY_NAME) or b"") == 32


def test_a_token_of_ours_for_what_was_not_delivered_gives_nothing(world: World) -> None:
    """The row decides, not the token alone: as if the key were known to somebody."""
    links = DeliveryLinks(world.platform.secrets)
    id, good = world.link(world.ids[:1])
    named = links.read(good)
    assert named is not None
    for other in (
        Named(id, world.ids[1], named.expires),
        Named(id, None, named.expires),
        Named(id, named.image, named.expires + 1),
        Named("z" * 26, named.image, named.expires),
    ):
        with pytest.raises(DeadLink):
            world.deliver.fetch(links.token(other))


def test_names_carry_uids_only_where_no_identity_is_held() -> None:
    record = new_image(study="1.2", series="1.3", instance="1.4").record
    assert file_name(record, identified=True) == f"{record.id}.dcm"
    assert file_name(record, identified=False) == "1.4.dcm"
    assert file_path(record, identified=False) == "1.2/1.3/1.4.dcm"
    assert file_path(record, identified=True) == f"raw/{record.id}.dcm"
    odd = new_image(study="1.2", series="../..", instance='1.4"\r\nX: y').record
    assert file_path(odd, identified=False) == f"raw/{odd.id}.dcm"
    assert media_type_of(new_image(transfer_syntax_uid="1.2\r\nX: y").record) == "application/dicom"
    volume = new_volume().record
    assert file_path(volume, identified=False) == f"raw/{volume.id}.nii"


def test_what_a_query_names_is_found_past_the_page(world: World) -> None:
    study = world.platform.index.get(world.ids[0])
    assert study is not None
    assert world.deliver.matching(ImageQuery(("raw",), study_uid=study.study_uid)) == world.ids
    assert world.deliver.matching(ImageQuery(("raw",), subject_id="nobody")) == []
