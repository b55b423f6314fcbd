"""Upload sessions in time: addresses that end, sessions that are swept, completions that happen twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.adapters.memory.workflow import MemoryWorkflow
from isocenter.archive.check import Check
from isocenter.archive.store import Caller, Store
from isocenter.dicom.elements import Limits
from isocenter.errors import BadRequest, Conflict, Malformed, NotFound
from isocenter.pipeline.ingest import Ingest
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.pipeline.plan import Plan
from isocenter.pipeline.uploads import PART, Announced, Session, Uploads
from isocenter.ports.blob_store import BlobStore
from isocenter.ports.platform import Platform
from isocenter.records import BlobStat, ImageQuery
from isocenter.testing.faults import FaultyBlobStore
from isocenter.testing.faults import Plan as Faults
from isocenter.testing.instances import ct_slice
from isocenter.testing.threads import together

ME = Caller("tester")


class World:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        jobs = Jobs(platform, OnceOpened(MemoryWorkflow))
        self.uploads = Uploads(
            platform.blobs, Ingest(Store(platform, Limits())), jobs, b"k" * 32, clock=lambda: self.now,
            events=platform.events,
        )  # fmt: skip

    def begin(self, *data: bytes, seconds: int = 60) -> Session:
        files = [Announced("name", len(each), hashlib.sha256(each).hexdigest()) for each in data]
        return self.uploads.begin(files, "raw", None, ME, seconds)

    def send(self, session: Session, file: int, data: bytes, part: int = 0) -> None:
        arriving = self.uploads.arriving(self.uploads.token(session, file, part))
        try:
            arriving.write(data)
            arriving.finish()
        except BaseException:  # as the route does
            arriving.abort()
            raise

    def complete(self) -> list[str]:
        """The images that studies were called complete by."""
        return [event.image for event in self.platform.events.read() if event.type == "study.complete"]

    def uploaded(self) -> list[str]:
        return sorted(stat.key for stat in self.platform.blobs.list("uploads/"))


@pytest.fixture
def world(make_platform: Callable[..., Platform]) -> World:
    return World(make_platform())


def test_an_address_ends_with_its_session_and_the_session_is_swept_an_hour_later(world: World) -> None:
    session = world.begin(b"data")
    token = world.uploads.token(session, 0, 0)
    world.now += timedelta(seconds=59)
    world.send(session, 0, b"data")
    world.now += timedelta(seconds=1)
    with pytest.raises(NotFound):
        world.uploads.arriving(token)
    with pytest.raises(NotFound):
        world.uploads.session(session.id)
    assert world.uploads.sweep() == 0
    assert len(world.uploaded()) == 2
    world.now += timedelta(hours=1)
    other = world.begin(b"data")
    assert world.uploads.sweep() == 1
    assert world.uploaded() == [f"uploads/{other.id}/manifest"]


def test_fsck_takes_an_open_session_for_no_leftover(world: World) -> None:
    world.send(world.begin(b"data"), 0, b"data")
    report = Check(world.platform).fsck(sweep_before=datetime(2100, 1, 1, tzinfo=UTC))
    assert (report.unreferenced, report.swept) == (0, 0)
    assert len(world.uploaded()) == 2


def test_a_part_comes_once_and_only_as_it_was_announced(world: World) -> None:
    session = world.begin(b"data")
    for wrong, error in ((b"dat", BadRequest), (b"data!", BadRequest), (b"DATA", Malformed)):
        with pytest.raises(error):
            world.send(session, 0, wrong)
    assert world.uploads.received(session) == frozenset()
    together(lambda _: world.send(session, 0, b"data"), range(8))
    assert world.uploads.received(session) == {(0, 0)}
    large = bytes(PART) + b"end"
    session = world.begin(large)
    world.send(session, 0, b"end", part=1)
    with pytest.raises(Conflict):
        world.send(session, 0, b"END", part=1)
    with pytest.raises(Conflict):
        world.uploads.complete(session, None, ME)


def test_whoever_completes_at_once_gets_one_answer_and_one_job(world: World) -> None:
    images = [ct_slice(1, number, size=16) for number in range(1, 4)]
    session = world.begin(*images)
    for number, data in enumerate(images):
        world.send(session, number, data)
    plan = Plan.model_validate({"name": "made", "steps": [{"name": "validate", "use": "validate"}]})
    done = together(lambda _: world.uploads.complete(session, plan, ME), range(6))
    assert all(each == done[0] for each in done)
    assert len(world.platform.index.images(ImageQuery()).items) == 3
    assert len(world.platform.jobs.jobs().items) == 1
    assert len(world.complete()) == 1
    assert not [key for key in world.uploaded() if "/part/" in key]


class _Overtaken(FaultyBlobStore):
    """A blob store under which something else happens before the first part, or the list of parts, is read."""

    def __init__(self, inner: BlobStore, before: str) -> None:
        super().__init__(inner, Faults())
        self.before = before
        self.happens: Callable[[], object] | None = None

    def _now(self, call: str) -> None:
        happens = self.happens
        if call == self.before and happens is not None:
            self.happens = None
            happens()

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        self._now("stream")
        return super().stream(key, offset, length)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        self._now("list")
        return super().list(prefix)


@pytest.mark.parametrize("before", ["stream", "list"])
def test_who_is_overtaken_by_another_completion_answers_as_it_did(
    make_platform: Callable[..., Platform], before: str
) -> None:
    plain = make_platform()
    overtaken = _Overtaken(plain.blobs, before)
    first, second = World(plain), World(make_platform(blobs=overtaken, index=plain.index))
    data = ct_slice(1, 1, size=16)
    session = first.begin(data)
    first.send(session, 0, data)
    overtaken.happens = lambda: first.uploads.complete(session, None, ME)
    done = second.uploads.complete(session, None, ME)
    assert overtaken.happens is None
    assert done.receipts[0]["outcome"] == "stored"
    assert done == first.uploads.completed(session)


def test_a_completion_that_was_cut_short_is_done_again(make_platform: Callable[..., Platform]) -> None:
    plain = make_platform()
    faulty = FaultyBlobStore(plain.blobs, Faults(("commit", 4)))  # manifest, part, image, and then what came of it
    world = World(make_platform(blobs=faulty, index=plain.index))
    data = ct_slice(1, 1, size=16)
    session = world.begin(data)
    world.send(session, 0, data)
    with pytest.raises(Exception, match="a fault that the test asked for"):
        world.uploads.complete(session, None, ME)
    assert world.uploads.completed(session) is None
    done = world.uploads.complete(session, None, ME)
    assert done.receipts[0]["outcome"] == "duplicate"
    assert len(world.platform.index.images(ImageQuery()).items) == 1
    assert world.complete() == [done.receipts[0]["image_id"]]
