"""What every job ledger must do."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Protocol

import pytest

from isocenter.errors import BadRequest, Conflict, NotFound
from isocenter.jobs import FINAL, Counts, Job, JobState, StepOutcome, Task
from isocenter.ports.job_ledger import JobLedger
from isocenter.ports.step_ledger import StepLedger
from isocenter.records import now
from isocenter.testing.records import new_job, new_moment
from isocenter.testing.threads import together

CHUNKS = (("a", "b"), ("c",))
UNDER_WAY = (JobState.QUEUED, JobState.RUNNING)


class Ledgers(Protocol):
    """The two ports over the same jobs."""

    @property
    def jobs(self) -> JobLedger: ...

    @property
    def steps(self) -> StepLedger: ...


class JobLedgerContract:
    """Subclass this, and override the fixture `ledgers` with empty ones."""

    @pytest.fixture
    def ledgers(self) -> Ledgers:
        raise NotImplementedError("override the fixture `ledgers`")

    @pytest.fixture
    def ledger(self, ledgers: Ledgers) -> JobLedger:
        return ledgers.jobs

    @pytest.fixture
    def steps(self, ledgers: Ledgers) -> StepLedger:
        return ledgers.steps

    @pytest.fixture
    def job(self, ledger: JobLedger) -> Job:
        return ledger.create(new_job(images=3, chunks=2), CHUNKS)

    def test_a_job_comes_back_as_it_went_in(self, ledger: JobLedger) -> None:
        for job in (
            new_job(),
            new_job(images=0, chunks=0),
            new_job(state=JobState.RUNNING, changed=new_moment(), retry_of="other", priority=1, actor="key:1"),
        ):
            assert ledger.create(job, ()) == job
            assert ledger.get(job.id) == job

    def test_the_same_id_again_returns_the_job_that_is_kept(self, ledgers: Ledgers, job: Job) -> None:
        assert ledgers.jobs.create(new_job(id=job.id, pipeline="other"), [["z"]]) == job
        assert ledgers.jobs.get(job.id) == job
        assert ledgers.jobs.jobs().items == (job,)
        assert ledgers.steps.claim(Task(job.id, 0, 0), "one", 60) == CHUNKS[0]

    def test_one_job_is_created_by_many_at_once(self, ledger: JobLedger) -> None:
        jobs = [new_job(id="one", pipeline=str(i)) for i in range(16)]
        made = together(lambda job: ledger.create(job, [[job.pipeline]]), jobs)
        assert len({job.pipeline for job in made}) == 1
        assert made[0] == ledger.get("one")

    def test_a_job_of_a_hundred_thousand_images_is_kept(self, ledgers: Ledgers) -> None:
        images = tuple(f"{i:032x}" for i in range(100_000))
        job = ledgers.jobs.create(new_job(images=100_000, chunks=2), (images[:1], images[1:]))
        assert ledgers.steps.claim(Task(job.id, 0, 1), "one", 60) == images[1:]

    def test_an_unknown_id_is_none_or_not_found(self, ledger: JobLedger, steps: StepLedger, job: Job) -> None:
        assert ledger.get("nothing") is None
        assert list(steps.outcomes("nothing")) == []
        assert steps.counts("nothing") == {}
        assert steps.recorded("nothing", 0) == frozenset()
        with pytest.raises(NotFound):
            ledger.move("nothing", JobState.RUNNING)
        for task in (Task("nothing", 0, 0), Task(job.id, 0, 2)):
            with pytest.raises(NotFound):
                steps.claim(task, "me", 60)
            with pytest.raises(NotFound):
                steps.record(task, [StepOutcome("step", task.chunk, ())])

    def test_jobs_are_listed_newest_first_a_page_at_a_time(self, ledger: JobLedger) -> None:
        jobs = [ledger.create(new_job(), ()) for _ in range(7)]
        page = ledger.jobs(limit=3)
        ledger.create(new_job(), ())
        found = list(page.items)
        while page.next is not None:
            page = ledger.jobs(after=page.next, limit=3)
            found += page.items
        assert found == jobs[::-1]
        assert ledger.jobs(limit=0).items == ()

    def test_jobs_are_listed_by_state_and_store(self, ledger: JobLedger) -> None:
        jobs = [ledger.create(new_job(store="raw" if i % 2 else "other"), ()) for i in range(5)]
        running = [ledger.move(jobs[i].id, JobState.RUNNING) for i in (3, 1)]
        assert list(ledger.jobs(states=[JobState.RUNNING]).items) == running
        assert ledger.jobs(states=[JobState.DONE]).items == ()
        page = ledger.jobs(states=[JobState.QUEUED], limit=2)
        assert page.items == (jobs[4], jobs[2])
        assert ledger.jobs(states=[JobState.QUEUED], after=page.next).items == (jobs[0],)
        assert list(ledger.jobs(states=UNDER_WAY, stores=["raw"]).items) == running
        assert ledger.jobs(stores=[]).items == ()

    @pytest.mark.parametrize("text", ["", "1", "AAAAAAAAAAE=", "AAAAAAAAAAAAAAAA", "é", "\0"])
    def test_a_foreign_cursor_is_a_bad_request(self, ledger: JobLedger, text: str) -> None:
        with pytest.raises(BadRequest):
            ledger.jobs(after=text)

    def test_images_wait_while_their_job_is_queued_or_running(self, ledger: JobLedger) -> None:
        assert ledger.waiting() == 0
        for number, state in enumerate(JobState):
            ledger.create(new_job(state=state, images=10**number), ())
        assert ledger.waiting() == 11

    @pytest.mark.parametrize(("start", "to"), list(product(JobState, JobState)))
    def test_a_final_state_is_never_left(self, ledger: JobLedger, start: JobState, to: JobState) -> None:
        job = ledger.create(new_job(state=start), ())
        if start in FINAL and start is not to:
            with pytest.raises(Conflict):
                ledger.move(job.id, to, "reason")
            assert ledger.get(job.id) == job
            return
        moved = ledger.move(job.id, to, "reason")
        assert moved.state is to
        assert (moved.changed is None) == (start is to)
        assert moved.code == (None if start is to else "reason")
        assert moved.attempt == 1 + (start is JobState.PAUSED and to in UNDER_WAY)
        assert (moved.summary is None) == (to not in FINAL or start is to)
        assert ledger.get(job.id) == moved
        assert ledger.move(job.id, to) == moved

    def test_of_many_final_moves_one_wins(self, ledger: JobLedger, job: Job) -> None:
        final = sorted(FINAL)

        def move(i: int) -> bool:
            try:
                return ledger.move(job.id, final[i % 3]).state is final[i % 3]
            except Conflict:
                return False

        won = together(move, range(9))
        kept = ledger.get(job.id)
        assert kept is not None
        assert [i % 3 for i in range(9) if won[i]] == [final.index(kept.state)] * 3

    def test_what_is_over_is_forgotten_but_for_its_summary(
        self, ledger: JobLedger, steps: StepLedger, job: Job
    ) -> None:
        other = ledger.create(new_job(), CHUNKS)
        for each in (job, other):
            steps.claim(Task(each.id, 0, 0), "one", 60)
            steps.record(Task(each.id, 0, 0), [StepOutcome("one", 0, ("a", "b"))])
        ended = ledger.move(job.id, JobState.DONE)
        assert ended.changed is not None
        assert list(ledger.forget(ended.changed - timedelta(seconds=1))) == []
        assert list(ledger.forget(now() + timedelta(seconds=1))) == [job.id]
        assert list(ledger.forget(now() + timedelta(seconds=1))) == []
        assert ledger.get(job.id) == ended
        assert ended.summary == {"one": Counts(done=2)}
        assert steps.outcomes(job.id) == []
        assert steps.outcomes(other.id) != []
