"""What every step ledger must do."""

from __future__ import annotations

import time
from itertools import product

import pytest

from isocenter.jobs import Counts, Job, JobState, StepOutcome, Task
from isocenter.ports.job_ledger import JobLedger
from isocenter.ports.step_ledger import StepLedger
from isocenter.testing.job_ledger_contract import CHUNKS, UNDER_WAY, Ledgers
from isocenter.testing.records import new_job
from isocenter.testing.threads import together


class StepLedgerContract:
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

    def test_a_claim_gives_the_images_and_holds_against_others_but_not_its_owner(
        self, steps: StepLedger, job: Job
    ) -> None:
        task = Task(job.id, 0, 0)
        assert steps.claim(task, "one", 60) == CHUNKS[0]
        assert steps.claim(task, "one", 60) == CHUNKS[0]
        assert steps.claim(task, "two", 60) is None

    def test_claims_on_other_chunks_stages_and_jobs_stand_apart(
        self, ledger: JobLedger, steps: StepLedger, job: Job
    ) -> None:
        other = ledger.create(new_job(), CHUNKS)
        assert steps.claim(Task(job.id, 0, 0), "one", 60) is not None
        for task in (Task(job.id, 0, 1), Task(job.id, 1, 0), Task(other.id, 0, 0)):
            assert steps.claim(task, "two", 60) == CHUNKS[task.chunk]

    @pytest.mark.parametrize("state", JobState)
    def test_only_jobs_under_way_are_claimed(
        self, ledger: JobLedger, steps: StepLedger, job: Job, state: JobState
    ) -> None:
        ledger.move(job.id, state)
        assert (steps.claim(Task(job.id, 0, 0), "one", 60) is not None) == (state in UNDER_WAY)

    def test_a_task_of_an_attempt_that_is_over_is_not_claimed(
        self, ledger: JobLedger, steps: StepLedger, job: Job
    ) -> None:
        assert steps.claim(Task(job.id, 0, 0), "one", 0.01) is not None
        ledger.move(job.id, JobState.PAUSED)
        ledger.move(job.id, JobState.RUNNING)
        time.sleep(0.05)
        assert steps.claim(Task(job.id, 0, 0), "one", 60) is None
        assert steps.claim(Task(job.id, 0, 0, attempt=2), "two", 60) is not None

    def test_a_claim_whose_time_ran_out_can_be_taken_and_is_lost(self, steps: StepLedger, job: Job) -> None:
        task = Task(job.id, 0, 0)
        assert steps.claim(task, "one", 0.05) is not None
        time.sleep(0.1)
        assert steps.claim(task, "two", 60) is not None
        assert steps.claim(task, "one", 60) is None

    def test_claiming_again_prolongs(self, steps: StepLedger, job: Job) -> None:
        assert steps.claim(Task(job.id, 0, 0), "one", 0.05) is not None
        assert steps.claim(Task(job.id, 0, 0), "one", 60) is not None
        time.sleep(0.1)
        assert steps.claim(Task(job.id, 0, 0), "two", 60) is None

    def test_of_32_claimants_one_wins(self, steps: StepLedger, job: Job) -> None:
        won = together(lambda i: steps.claim(Task(job.id, 0, 0), str(i), 60) is not None, range(32))
        assert won.count(True) == 1
        assert steps.claim(Task(job.id, 0, 0), str(won.index(True)), 60) is not None

    def test_a_recorded_task_is_claimed_by_nobody(self, ledger: JobLedger, steps: StepLedger, job: Job) -> None:
        ledger.move(job.id, JobState.RUNNING)
        assert steps.claim(Task(job.id, 0, 0), "one", 0.01) is not None
        steps.record(Task(job.id, 0, 0), [StepOutcome("validate", 0, ("a",))])
        steps.record(Task(job.id, 0, 1), [])
        time.sleep(0.05)
        for owner, chunk in product(("one", "two"), (0, 1)):
            assert steps.claim(Task(job.id, 0, chunk), owner, 60) is None
        assert steps.recorded(job.id, 0) == {0, 1}
        assert steps.recorded(job.id, 1) == frozenset()
        assert steps.claim(Task(job.id, 1, 0), "one", 60) is not None

    def test_the_first_outcomes_of_a_task_win(self, steps: StepLedger, job: Job) -> None:
        first = [
            StepOutcome("validate", 0, ("a",), {"b": "malformed"}),
            StepOutcome("deliver", 0, (), {}, {"a": "storage-full"}, {}, 3),
        ]
        task = Task(job.id, 0, 0)
        assert steps.record(task, first) == first
        assert steps.record(task, first) == first
        assert steps.record(task, [StepOutcome("validate", 0, ("a", "b")), StepOutcome("deliver", 0, ("a",))]) == first
        assert list(steps.outcomes(job.id)) == first[::-1]

    def test_of_many_who_record_one_wins_and_all_are_told(self, steps: StepLedger, job: Job) -> None:
        found = together(lambda i: steps.record(Task(job.id, 0, 0), [StepOutcome("s", 0, (str(i),))]), range(16))
        assert all(each == found[0] for each in found)
        assert list(steps.outcomes(job.id)) == list(found[0])

    def test_what_a_step_made_goes_on_in_place_of_what_it_was_made_of(self, steps: StepLedger, job: Job) -> None:
        made = StepOutcome("deidentify", 0, ("a", "b"), produced={"a": ("x", "y")})
        assert steps.record(Task(job.id, 0, 0), [made]) == [made]
        assert steps.outcomes(job.id)[0].going_on() == ("x", "y", "b")

    def test_outcomes_come_by_step_and_chunk_and_are_counted(self, ledger: JobLedger, steps: StepLedger) -> None:
        names = ["Deliver", "analyse", "de-identify", "validate"]
        job = ledger.create(new_job(images=12, chunks=12), [[str(i)] for i in range(12)])
        for chunk in (10, 2, 0):
            outcomes = [StepOutcome(name, chunk, ("a", "b"), {"c": "x"}, findings=2) for name in names[::-1]]
            steps.record(Task(job.id, 0, chunk), outcomes)
        found = [(each.step, each.chunk) for each in steps.outcomes(job.id)]
        assert found == sorted(product(names, (0, 2, 10)))
        assert [each.step for each in steps.outcomes(job.id, chunk=2)] == names
        assert steps.counts(job.id) == {name: Counts(6, 3, 0, 6) for name in names}
        assert ledger.move(job.id, JobState.DONE).summary == steps.counts(job.id)

    def test_outcomes_with_faults_are_told_apart(self, steps: StepLedger, job: Job) -> None:
        steps.record(Task(job.id, 0, 0), [StepOutcome("one", 0, ("a", "b"))])
        steps.record(Task(job.id, 0, 1), [StepOutcome("one", 1, (), {}, {"c": "unavailable"})])
        assert [each.chunk for each in steps.outcomes(job.id, faults_only=True)] == [1]
        assert steps.outcomes(job.id, chunk=0, faults_only=True) == []
