"""What every job ledger must do."""

from __future__ import annotations

import time
from itertools import product

import pytest

from isocenter.errors import BadRequest, Conflict, NotFound
from isocenter.ports.job_ledger import JobLedger
from isocenter.records import Job, JobState, StepOutcome
from isocenter.testing.records import new_job, new_moment
from isocenter.testing.threads import together

FINAL = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class JobLedgerContract:
    """Subclass this, and override the fixture `ledger` with an empty one."""

    @pytest.fixture
    def ledger(self) -> JobLedger:
        raise NotImplementedError("override the fixture `ledger`")

    @pytest.fixture
    def job(self, ledger: JobLedger) -> Job:
        return ledger.create(new_job())

    def test_a_job_comes_back_as_it_went_in(self, ledger: JobLedger) -> None:
        for job in (new_job(), new_job(images=()), new_job(state=JobState.RUNNING, changed=new_moment())):
            assert ledger.create(job) == job
            assert ledger.get(job.id) == job

    def test_the_same_id_again_returns_the_job_that_is_kept(self, ledger: JobLedger, job: Job) -> None:
        assert ledger.create(new_job(id=job.id, pipeline="other")) == job
        assert ledger.get(job.id) == job
        assert ledger.jobs().items == (job,)

    def test_one_job_is_created_by_many_at_once(self, ledger: JobLedger) -> None:
        jobs = [new_job(id="one", pipeline=str(i)) for i in range(16)]
        assert set(together(ledger.create, jobs)) == {ledger.get("one")}

    def test_a_job_of_a_hundred_thousand_images_is_kept(self, ledger: JobLedger) -> None:
        job = new_job(images=tuple(f"{i:032x}" for i in range(100_000)))
        ledger.create(job)
        assert ledger.get(job.id) == job

    def test_an_unknown_id_is_none_or_not_found(self, ledger: JobLedger) -> None:
        assert ledger.get("nothing") is None
        assert list(ledger.outcomes("nothing")) == []
        with pytest.raises(NotFound):
            ledger.move("nothing", JobState.RUNNING)
        with pytest.raises(NotFound):
            ledger.claim("nothing", "step", 0, "me", 60)
        with pytest.raises(NotFound):
            ledger.record("nothing", StepOutcome("step", 0, ()))

    def test_jobs_are_listed_newest_first_a_page_at_a_time(self, ledger: JobLedger) -> None:
        jobs = [ledger.create(new_job()) for _ in range(7)]
        page = ledger.jobs(limit=3)
        ledger.create(new_job())
        found = list(page.items)
        while page.next is not None:
            page = ledger.jobs(after=page.next, limit=3)
            found += page.items
        assert found == jobs[::-1]
        assert ledger.jobs(limit=0).items == ()

    def test_jobs_are_listed_by_state(self, ledger: JobLedger) -> None:
        jobs = [ledger.create(new_job()) for _ in range(5)]
        running = [ledger.move(jobs[i].id, JobState.RUNNING) for i in (3, 1)]
        assert list(ledger.jobs(state=JobState.RUNNING).items) == running
        assert ledger.jobs(state=JobState.DONE).items == ()
        page = ledger.jobs(state=JobState.QUEUED, limit=2)
        assert page.items == (jobs[4], jobs[2])
        assert ledger.jobs(state=JobState.QUEUED, after=page.next).items == (jobs[0],)

    @pytest.mark.parametrize("text", ["", "1", "AAAAAAAAAAE=", "AAAAAAAAAAAAAAAA", "é", "\0"])
    def test_a_foreign_cursor_is_a_bad_request(self, ledger: JobLedger, text: str) -> None:
        with pytest.raises(BadRequest):
            ledger.jobs(after=text)

    @pytest.mark.parametrize(("start", "to"), list(product(JobState, JobState)))
    def test_only_a_failed_job_leaves_its_final_state_and_only_for_queued(
        self, ledger: JobLedger, start: JobState, to: JobState
    ) -> None:
        job = ledger.create(new_job(state=start))
        if start in FINAL and start is not to and (start, to) != (JobState.FAILED, JobState.QUEUED):
            with pytest.raises(Conflict):
                ledger.move(job.id, to)
            assert ledger.get(job.id) == job
        else:
            moved = ledger.move(job.id, to)
            assert moved.state is to
            assert (moved.changed is None) == (start is to)
            assert ledger.get(job.id) == moved
            assert ledger.move(job.id, to) == moved

    def test_of_many_final_moves_one_wins(self, ledger: JobLedger, job: Job) -> None:
        def move(i: int) -> bool:
            try:
                return ledger.move(job.id, FINAL[i % 3]).state is FINAL[i % 3]
            except Conflict:
                return False

        won = together(move, range(9))
        kept = ledger.get(job.id)
        assert kept is not None
        assert [i % 3 for i in range(9) if won[i]] == [FINAL.index(kept.state)] * 3

    def test_a_claim_holds_against_others_but_not_against_its_owner(self, ledger: JobLedger, job: Job) -> None:
        assert ledger.claim(job.id, "validate", 0, "one", 60)
        assert ledger.claim(job.id, "validate", 0, "one", 60)
        assert not ledger.claim(job.id, "validate", 0, "two", 60)

    def test_claims_on_other_chunks_steps_and_jobs_stand_apart(self, ledger: JobLedger, job: Job) -> None:
        other = ledger.create(new_job())
        assert ledger.claim(job.id, "validate", 0, "one", 60)
        assert ledger.claim(job.id, "validate", 1, "two", 60)
        assert ledger.claim(job.id, "analyse", 0, "two", 60)
        assert ledger.claim(other.id, "validate", 0, "two", 60)

    def test_a_claim_whose_time_ran_out_can_be_taken_and_is_lost(self, ledger: JobLedger, job: Job) -> None:
        assert ledger.claim(job.id, "validate", 0, "one", 0.05)
        time.sleep(0.1)
        assert ledger.claim(job.id, "validate", 0, "two", 60)
        assert not ledger.claim(job.id, "validate", 0, "one", 60)

    def test_claiming_again_prolongs(self, ledger: JobLedger, job: Job) -> None:
        assert ledger.claim(job.id, "validate", 0, "one", 0.05)
        assert ledger.claim(job.id, "validate", 0, "one", 60)
        time.sleep(0.1)
        assert not ledger.claim(job.id, "validate", 0, "two", 60)

    def test_of_32_claimants_one_wins(self, ledger: JobLedger, job: Job) -> None:
        won = together(lambda i: ledger.claim(job.id, "validate", 0, str(i), 60), range(32))
        assert won.count(True) == 1
        assert ledger.claim(job.id, "validate", 0, str(won.index(True)), 60)

    def test_a_recorded_chunk_cannot_be_claimed_by_anyone(self, ledger: JobLedger, job: Job) -> None:
        assert ledger.claim(job.id, "validate", 0, "one", 60)
        ledger.record(job.id, StepOutcome("validate", 0, ("a",)))
        assert not ledger.claim(job.id, "validate", 0, "one", 60)
        assert not ledger.claim(job.id, "validate", 0, "two", 60)
        assert ledger.claim(job.id, "validate", 1, "one", 60)

    def test_the_first_outcome_wins(self, ledger: JobLedger, job: Job) -> None:
        first = StepOutcome("validate", 0, ("a", "b"), {"c": "malformed"}, 3)
        assert ledger.record(job.id, first) == first
        assert ledger.record(job.id, first) == first
        assert ledger.record(job.id, StepOutcome("validate", 0, ("c",))) == first
        assert list(ledger.outcomes(job.id)) == [first]

    def test_of_many_outcomes_one_wins_and_all_are_told(self, ledger: JobLedger, job: Job) -> None:
        found = together(lambda i: ledger.record(job.id, StepOutcome("validate", 0, (str(i),))), range(16))
        assert all(each == found[0] for each in found)
        assert list(ledger.outcomes(job.id)) == [found[0]]

    def test_outcomes_come_by_step_and_chunk(self, ledger: JobLedger, job: Job) -> None:
        steps = ["analyse", "Deliver", "de-identify", "validate"]
        for step, chunk in product(steps[::-1], (10, 2, 0)):
            ledger.record(job.id, StepOutcome(step, chunk, ()))
        found = [(each.step, each.chunk) for each in ledger.outcomes(job.id)]
        assert found == sorted(product(steps, (0, 2, 10)))
