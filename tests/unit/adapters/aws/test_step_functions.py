"""The workflow port on Step Functions, against moto's: executions are started once, and stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import boto3
import pytest

from isocenter.adapters.aws.step_functions import StepFunctionsWorkflow
from isocenter.errors import BackendUnavailable, Misconfigured
from isocenter.jobs import Job, Task
from isocenter.testing.aws_server import AwsServer, aws_server
from isocenter.testing.records import new_moment
from isocenter.testing.server import free_port

DEFINITION = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 900, "End": True}}})


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with aws_server() as started:
        yield started


class World:
    def __init__(self, server: AwsServer) -> None:
        self.client = boto3.client("stepfunctions", **server.options)
        self.machines = {name: self._machine() for name in ("plan", "plan.express")}
        self.jobs: dict[str, Job] = {}
        self.workflow = StepFunctionsWorkflow(self.machines, self.jobs.get, **server.options)

    def _machine(self) -> str:
        made = self.client.create_state_machine(
            name=f"m-{uuid4().hex}", definition=DEFINITION, roleArn="arn:aws:iam::123456789012:role/any"
        )
        return str(made["stateMachineArn"])

    def job(self, chunks: int = 3, **changes: Any) -> Job:
        made = Job(uuid4().hex, "plan", "{}", "raw", chunks, chunks, new_moment())
        made = replace(made, **changes)
        self.jobs[made.id] = made
        return made

    def started(self, machine: str) -> list[tuple[str, str, Any]]:
        """Name, state and input of each execution."""
        found = self.client.list_executions(stateMachineArn=self.machines[machine])["executions"]
        told = [self.client.describe_execution(executionArn=one["executionArn"]) for one in found]
        return [(one["name"], one["status"], json.loads(one["input"])) for one in told]


@pytest.fixture
def world(server: AwsServer) -> World:
    return World(server)


def tasks(job: Job, stage: int = 0, attempt: int = 1) -> list[Task]:
    return [Task(job.id, stage, chunk, attempt) for chunk in range(job.chunks)]


def test_a_job_is_one_execution_however_often_it_is_given(world: World) -> None:
    job = world.job()
    world.workflow.give(tasks(job)[:1], 100)  # as many as may run at once
    world.workflow.give(tasks(job), 100)
    world.workflow.give(tasks(job, stage=1), 100)
    ((name, status, input),) = world.started("plan")
    assert (name, status) == (f"{job.id}-1", "RUNNING")
    assert input == {"job": job.id, "attempt": 1, "chunks": [0, 1, 2]}
    assert world.started("plan.express") == []


def test_another_attempt_is_another_execution_whatever_stage_it_begins_at(world: World) -> None:
    job = world.job(attempt=2)
    for _ in range(2):
        world.workflow.give(tasks(job, stage=1, attempt=2), 100)
    assert [name for name, *_ in world.started("plan")] == [f"{job.id}-2"]


def test_a_job_of_one_chunk_goes_to_the_express_machine_at_its_first_attempt(world: World) -> None:
    job = world.job(chunks=1)
    world.workflow.give(tasks(job), 100)
    world.workflow.give(tasks(job, attempt=2), 100)
    assert [name for name, *_ in world.started("plan.express")] == [f"{job.id}-1"]
    assert [name for name, *_ in world.started("plan")] == [f"{job.id}-2"]


def test_an_id_that_is_no_name_is_hashed(world: World) -> None:
    job = world.job(id="a job " + "x" * 90)
    world.workflow.give(tasks(job), 100)
    ((name, *_),) = world.started("plan")
    assert len(name) == 64
    assert name.isalnum()


def test_what_is_withdrawn_is_stopped_and_what_was_never_started_is_no_fault(world: World) -> None:
    job, never = world.job(), world.job()
    world.workflow.give(tasks(job), 100)
    world.workflow.withdraw([*tasks(job), *tasks(never), *tasks(job, attempt=2), Task("gone", 0, 0)])
    assert [status for _, status, _ in world.started("plan")] == ["ABORTED"]
    world.workflow.withdraw(tasks(job))


def test_a_pipeline_without_a_machine_is_said(world: World) -> None:
    job = world.job(pipeline="my-own")
    with pytest.raises(Misconfigured) as caught:
        world.workflow.give(tasks(job), 100)
    assert "my-own" in caught.value.detail
    world.workflow.withdraw(tasks(job))


def test_a_service_that_is_not_there_is_unavailable_and_names_nothing() -> None:
    job = Job("job-of-somebody", "plan", "{}", "raw", 1, 1, new_moment())
    options = {"endpoint_url": f"http://127.0.0.1:{free_port()}", "region_name": "us-east-1"}
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    machine = "arn:aws:states:us-east-1:123456789012:stateMachine:m"
    workflow = StepFunctionsWorkflow({"plan": machine}, {job.id: job}.get, **options, **keys)
    with pytest.raises(BackendUnavailable) as caught:
        workflow.give([Task(job.id, 0, 0)], 100)
    assert job.id not in str(caught.value)
    assert caught.value.__cause__ is None
