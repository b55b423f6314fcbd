"""Studies that are complete: after a quiet period, at the end of a session, once, whoever looks and however often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from isocenter.adapters.memory.workflow import MemoryWorkflow
from isocenter.errors import Saturated
from isocenter.pipeline.completeness import Completeness, tell_complete
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.pipeline.plan import Plan
from isocenter.ports.platform import Platform
from isocenter.records import Event, State
from isocenter.testing.records import new_entry, new_image, new_volume
from isocenter.testing.threads import together

PLAN = Plan.model_validate({"name": "check", "steps": [{"name": "validate", "use": "validate"}]})
KEY = b"k" * 32


class World:
    def __init__(self, platform: Platform, *, quiet: float = 60.0, plan: Plan | None = None) -> None:
        self.platform = platform
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.jobs = Jobs(platform, OnceOpened(MemoryWorkflow))
        self.looker = self.another(quiet=quiet, plan=plan)

    def another(self, **more: Any) -> Completeness:
        return Completeness(self.platform, self.jobs, KEY, clock=lambda: self.now, **{"quiet": 60.0, **more})

    def came(self, study: str = "1.2", store: str = "raw", **more: Any) -> str:
        new = new_image(study=study, store=store, **more)
        self.platform.index.commit([(new, new_entry(at=self.now))])
        return new.record.id

    def look(self, seconds: float = 0) -> None:
        self.now += timedelta(seconds=seconds)
        self.looker.look()

    def complete(self) -> list[str]:
        return [each.image for each in self.told()]

    def told(self) -> list[Event]:
        return [each for each in self.platform.events.read(0, 10_000) if each.type == "study.complete"]


@pytest.fixture
def world(make_platform: Callable[..., Platform]) -> World:
    return World(make_platform())


def test_a_study_is_complete_when_nothing_came_for_so_long(world: World) -> None:
    world.came()
    world.look(50)
    last = world.came()
    world.look(50)
    assert world.complete() == []
    world.look(11)
    (event,) = world.told()
    assert (event.store, event.image, event.at) == ("raw", last, world.now)
    for _ in range(3):
        world.look(61)
    assert world.complete() == [last]


def test_what_comes_later_makes_it_complete_again(world: World) -> None:
    first = world.came()
    world.look(61)
    second = world.came()
    world.look(61)
    assert world.complete() == [first, second]


def test_each_study_of_each_store_by_itself(world: World) -> None:
    raw, other = world.came("1.2"), world.came("1.3")
    world.look(40)
    copy = world.came("1.2", "deidentified")
    world.look(30)
    assert sorted(world.complete()) == sorted([raw, other])
    world.look(31)
    assert world.complete()[2:] == [copy]
    assert [each.store for each in world.told()] == ["raw", "raw", "deidentified"]


def test_what_is_no_dicom_has_no_study(world: World) -> None:
    world.platform.index.commit([(new_volume(), new_entry(at=world.now))])
    world.look(61)
    assert world.complete() == []


def test_a_study_that_was_deleted_meanwhile_is_not_told_of(world: World) -> None:
    gone, kept = world.came("1.2"), [world.came("1.3"), world.came("1.3")]
    purged = world.came("1.4")
    world.platform.index.transition([gone, kept[1], purged], State.DELETED, new_entry(at=world.now))
    world.platform.index.purge([purged], new_entry(at=world.now))
    world.look(61)
    assert world.complete() == [kept[1]]  # the last that came, though its study lives on by another
    assert list(world.platform.open_studies.quiet(world.now)) == []


def test_many_look_at_once_and_it_is_told_once(world: World) -> None:
    images = [world.came(f"1.{number}") for number in range(20)]
    world.now += timedelta(seconds=61)
    together(lambda _: world.another().look(), range(6))
    assert sorted(world.complete()) == sorted(images)


class Killed(BaseException):
    """What a process that is killed does not get past."""


def test_whenever_one_who_looks_is_killed_it_is_told_once(make_platform: Callable[..., Platform]) -> None:
    killed = 0
    for fatal in range(1, 30):
        world = World(make_platform(), plan=PLAN)
        images = [world.came("1.2"), world.came("1.3"), world.came("1.3")]
        world.now += timedelta(seconds=61)
        doomed = world.another(plan=PLAN)
        calls = [0]
        for name in ("_events", "_open", "_jobs"):
            setattr(doomed, name, _Doomed(getattr(doomed, name), calls, fatal))
        try:
            doomed.look()
        except Killed:
            killed += 1
        for _ in range(2):
            world.look()
        assert sorted(world.complete()) == sorted([images[0], images[2]])
        assert len(world.platform.jobs.jobs().items) == 2
    assert killed > 5


class _Doomed:
    def __init__(self, inner: object, calls: list[int], fatal: int) -> None:
        self._inner, self._calls, self._fatal = inner, calls, fatal

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            self._calls[0] += 1
            if self._calls[0] == self._fatal:
                raise Killed
            found = getattr(self._inner, name)(*given, **named)
            self._calls[0] += 1
            if self._calls[0] == self._fatal:  # it was done, and nobody heard of it
                raise Killed
            return found

        return call


def test_the_end_of_a_session_tells_it_at_once_and_the_quiet_after_it_not_again(world: World) -> None:
    images = [world.came("1.2"), world.came("1.3"), world.came("1.2")]
    records = [record for id in images if (record := world.platform.index.get(id)) is not None]
    for _ in range(2):  # a session whose completion was cut short completes again
        tell_complete(world.platform.events, records, world.now)
    assert sorted(world.complete()) == sorted(images[1:])
    world.look(61)
    assert len(world.complete()) == 2
    later = world.came("1.2")
    world.look(61)
    assert world.complete()[2:] == [later]


def test_what_came_another_way_during_a_session_has_a_quiet_period_of_its_own(world: World) -> None:
    mine = world.came("1.2")
    other = world.came("1.2")
    record = world.platform.index.get(mine)
    assert record is not None
    tell_complete(world.platform.events, [record], world.now)
    world.look(61)
    assert world.complete() == [mine, other]


def test_without_a_quiet_period_only_sessions_tell(make_platform: Callable[..., Platform]) -> None:
    world = World(make_platform(), quiet=0)
    world.came()
    world.look(1_000_000)
    assert world.complete() == []
    assert world.platform.open_studies.cursor() == world.platform.events.last()


def test_a_pipeline_runs_over_every_study_that_is_complete(make_platform: Callable[..., Platform]) -> None:
    world = World(make_platform(), plan=PLAN)
    for study, store in (("1.2", "raw"), ("1.2", "raw"), ("1.3", "deidentified")):
        world.came(study, store)
    world.look(61)
    world.look()
    (job,) = world.platform.jobs.jobs().items
    sequence = next(each.sequence for each in world.told() if each.store == "raw")
    assert (job.id, job.images, job.pipeline) == (f"study-complete-{sequence}", 2, "check")
    world.came("1.2")
    world.look(61)
    world.look()
    assert [each.images for each in world.platform.jobs.jobs().items] == [3, 2]


def test_a_pipeline_that_cannot_begin_now_begins_later(make_platform: Callable[..., Platform]) -> None:
    world = World(make_platform(), plan=PLAN)
    world.came()
    world.look(61)
    full = world.another(plan=PLAN)
    full._jobs = Jobs(world.platform, OnceOpened(MemoryWorkflow), most_waiting=0)
    with pytest.raises(Saturated):
        full.look()
    assert list(world.platform.jobs.jobs().items) == []
    world.look()
    assert len(world.platform.jobs.jobs().items) == 1


def test_open_studies_are_kept_under_names_that_say_nothing(world: World) -> None:
    world.came("1.2.840.99")
    world.look(1)
    (study,) = world.platform.open_studies.quiet(world.now + timedelta(days=1))
    assert len(study.study) == 26
    assert study.study.isalnum()
