"""State machines made from plans: the same stages, retries and bounds, in the language that Step Functions speaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from isocenter.pipeline.plan import Plan, Plans, Retry
from isocenter.pipeline.states import LAMBDA_SECONDS, TRIED_AGAIN, asl, express_asl

SHIPPED = Plans().names()
WAITING = Plan.model_validate(
    {
        "name": "waiting",
        "concurrency": 7,
        "batch": {"images": 10},
        "steps": [
            {"name": "look", "use": "validate", "retry": {"attempts": 5, "first_seconds": 0.2, "jitter": False}},
            {"name": "again", "use": "validate", "timeout_seconds": 20},
            {"name": "last", "use": "validate", "wait_for_all": True, "timeout_seconds": 1000},
        ],
    }
)


def tasks(machine: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks that do the stages, in the order in which they are come to."""
    found, name = [], machine["StartAt"]
    while name != "End job":
        state = machine["States"][name]
        found.append(state["ItemProcessor"]["States"]["Run"] if state["Type"] == "Map" else state)
        name = state["Next"]
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_plan_makes_machines_that_can_be_read(name: str) -> None:
    plan = Plans().load(name)
    for made in (asl(plan), express_asl(plan)):
        AmazonStateLanguageParser.parse(json.dumps(made))
        assert len(tasks(made)) == len(plan.stages)
        assert set(made["States"]) >= {"End job", "Is it whole", "Done", "Left undone"}
        assert len(json.dumps(made)) < 1 << 20


def test_the_machine_has_the_stages_retries_and_bounds_of_the_plan() -> None:
    first, second = tasks(asl(WAITING))
    assert first["Retry"] == [
        {
            "ErrorEquals": list(TRIED_AGAIN),
            "IntervalSeconds": 1,
            "MaxAttempts": 4,
            "BackoffRate": 2.0,
            "MaxDelaySeconds": 60,
            "JitterStrategy": "NONE",
        }
    ]
    assert second["Retry"][0]["MaxAttempts"] == Retry().attempts - 1
    assert first["TimeoutSeconds"] == second["TimeoutSeconds"] == LAMBDA_SECONDS
    maps = [state for state in asl(WAITING)["States"].values() if state["Type"] == "Map"]
    assert [state["MaxConcurrency"] for state in maps] == [7, 7]
    assert [state["ItemSelector"]["stage"] for state in maps] == [0, 1]


def test_what_travels_is_the_words_of_a_task_and_no_more() -> None:
    for stage, task in enumerate(tasks(express_asl(WAITING))):
        payload = task["Parameters"]["Payload"]
        assert payload == {"job.$": "$.job", "attempt.$": "$.attempt", "stage": stage, "chunk": 0}
    maps = [state for state in asl(WAITING)["States"].values() if state["Type"] == "Map"]
    assert all(set(state["ItemSelector"]) == {"job.$", "attempt.$", "stage", "chunk.$"} for state in maps)


def test_whatever_fails_the_end_is_told_and_one_chunk_holds_up_no_other() -> None:
    for made in (asl(WAITING), express_asl(WAITING)):
        for state in made["States"].values():
            if "Catch" in state:
                assert state["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "End job"}]
        assert sum("Catch" in state for state in made["States"].values()) == 2
    maps = [state for state in asl(WAITING)["States"].values() if state["Type"] == "Map"]
    assert all(state["ToleratedFailurePercentage"] == 100 for state in maps)
