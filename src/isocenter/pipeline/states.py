"""Pipelines as state machines of AWS Step Functions, in the Amazon States Language, made from the same plan.

A machine brings tasks and no more: what is to be done, and what came of it, the ledger knows. Its input is
{"job": id, "attempt": n, "chunks": [0, 1, ...]}; what travels is these words, never keys or values of images.
"""

from __future__ import annotations

from typing import Any, Final

from isocenter.pipeline.plan import Plan, Retry, StepPlan

LAMBDA_SECONDS: Final = 900  # a function ends then whatever it does; the rest of its chunk is done by the next attempt
_INVOKE = "arn:aws:states:::lambda:invoke"
# What the surroundings are at fault for: names of our errors, and of those of the services between.
TRIED_AGAIN: Final = (
    "Unavailable", "States.Timeout", "Sandbox.Timedout", "Runtime.ExitError", "Lambda.ServiceException",
    "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException",
)  # fmt: skip
BULK_STATE: Final = "bulk-state/"  # where in the bucket that images come into a bulk is kept
_END, _WHOLE, _DONE, _LEFT = "End job", "Is it whole", "Done", "Left undone"


def asl(plan: Plan, *, function: str = "${function}") -> dict[str, Any]:
    """The machine for jobs of any size: each stage a distributed Map over chunks, whose one task does its steps.

    A chunk that could not be done holds up no other. At the end the job is paused where any is left, so that
    `isocenter jobs resume` does those again and no others, and the execution fails, so that somebody is told.
    """
    states: dict[str, Any] = {}
    names = _names(plan)
    for number, (stage, name) in enumerate(zip(plan.stages, names, strict=True)):
        states[name] = {
            "Type": "Map",
            "ItemsPath": "$.chunks",
            "MaxConcurrency": plan.concurrency or 0,
            "ItemSelector": {
                "job.$": "$.job",
                "attempt.$": "$.attempt",
                "stage": number,
                "chunk.$": "$$.Map.Item.Value",
            },
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Run",
                "States": {"Run": _task(plan, stage, function, {"Payload.$": "$"}) | {"End": True}},
            },
            "ToleratedFailurePercentage": 100.0,
            "ResultPath": None,
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": _END}],
            "Next": [*names, _END][number + 1],
        }
    return _machine(plan, names[0], states | _ending(function))


def express_asl(plan: Plan, *, function: str = "${function}") -> dict[str, Any]:
    """The machine for jobs of one chunk, paid by the time they take: the stages one after the other, without a Map."""
    states: dict[str, Any] = {}
    names = _names(plan)
    for number, (stage, name) in enumerate(zip(plan.stages, names, strict=True)):
        payload = {"job.$": "$.job", "attempt.$": "$.attempt", "stage": number, "chunk": 0}
        states[name] = {
            **_task(plan, stage, function, {"Payload": payload}),
            "ResultPath": None,
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": _END}],
            "Next": [*names, _END][number + 1],
        }
    return _machine(plan, names[0], states | _ending(function))


def bulk_asl(*, function: str = "${function}") -> dict[str, Any]:
    """The machine that takes in what a manifest names: {"manifest": "s3://bucket/key"}, and "tolerated", the percentage
    of batches that may fail for good before it gives up (5 without it).

    What travels is where a batch stands in the copy of the manifest; what came of each is kept beside that, so that the
    same manifest again does what is left and no more.
    """
    invoke, told = _invoked(), {"bulk.$": "$.prepared.bulk"}
    states: dict[str, Any] = {
        "Tolerance": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.tolerated", "IsNumeric": True, "Next": "Prepare"}],
            "Default": "Usual tolerance",
        },
        "Usual tolerance": {"Type": "Pass", "Result": 5, "ResultPath": "$.tolerated", "Next": "Prepare"},
        "Prepare": {
            **invoke,
            "Parameters": {"FunctionName": function, "Payload": {"manifest.$": "$.manifest"}},
            "ResultSelector": {name: f"$.Payload.{name[:-2]}" for name in ("bulk.$", "batches.$", "bucket.$")},
            "ResultPath": "$.prepared",
            "Next": "Take in",
        },
        "Take in": _batches(function),
        "Count": {
            **invoke,
            "Parameters": {"FunctionName": function, "Payload": {**told, "end": True}},
            "ResultSelector": {name: f"$.Payload.{name[:-2]}" for name in ("taken.$", "refused.$", "left.$")},
            "Next": _WHOLE,
        },
        _WHOLE: {
            "Type": "Choice",
            "Choices": [{"Variable": "$.left", "NumericEquals": 0, "Next": _DONE}],
            "Default": _LEFT,
        },
        _DONE: {"Type": "Succeed"},
        _LEFT: {
            "Type": "Fail",
            "Error": "LeftUndone",
            "Cause": "Some batches could not be taken in. The same manifest again does those, and no others.",
        },
    }  # fmt: skip
    return {"Comment": "Takes in the objects that a manifest names.", "StartAt": "Tolerance", "States": states}


def _batches(function: str) -> dict[str, Any]:
    """A distributed Map over the batches, which a listing in the bucket names by where they stand."""
    invoke = {**_invoked(), "Parameters": {"FunctionName": function, "Payload.$": "$"}, "End": True}
    return {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {
                "Bucket.$": "$.prepared.bucket",
                "Key.$": f"States.Format('{BULK_STATE}{{}}', $.prepared.batches)",
            },
        },
        "ItemSelector": {
            "bulk.$": "$.prepared.bulk",
            "at.$": "$$.Map.Item.Value.at",
            "size.$": "$$.Map.Item.Value.size",
        },
        "MaxConcurrency": 100,
        "ToleratedFailurePercentagePath": "$.tolerated",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Batch",
            "States": {"Batch": invoke},
        },
        "ResultPath": None,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Count"}],
        "Next": "Count",
    }


def _invoked() -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": _INVOKE,
        "TimeoutSeconds": LAMBDA_SECONDS,
        "Retry": [_retry(Retry(attempts=6))],
    }


def _machine(plan: Plan, first: str, states: dict[str, Any]) -> dict[str, Any]:
    return {"Comment": f"{plan.name}: {plan.description}", "StartAt": first, "States": states}


def _names(plan: Plan) -> list[str]:
    return [f"{number}: {', '.join(step.name for step in stage)}"[:70] for number, stage in enumerate(plan.stages, 1)]


def _task(plan: Plan, stage: tuple[StepPlan, ...], function: str, payload: dict[str, Any]) -> dict[str, Any]:
    most = max(stage, key=lambda step: step.retry.attempts).retry
    return {
        "Type": "Task",
        "Resource": _INVOKE,
        "Parameters": {"FunctionName": function, **payload},
        "TimeoutSeconds": int(min(LAMBDA_SECONDS, sum(step.timeout_seconds for step in stage) * plan.batch.images)),
        "Retry": [_retry(most)],
    }


def _ending(function: str) -> dict[str, Any]:
    return {
        _END: {
            "Type": "Task",
            "Resource": _INVOKE,
            "Parameters": {
                "FunctionName": function,
                "Payload": {"job.$": "$.job", "attempt.$": "$.attempt", "end": True},
            },
            "ResultSelector": {"left.$": "$.Payload.left"},
            "Retry": [_retry(Retry(attempts=6))],
            "Next": _WHOLE,
        },
        _WHOLE: {
            "Type": "Choice",
            "Choices": [{"Variable": "$.left", "NumericEquals": 0, "Next": _DONE}],
            "Default": _LEFT,
        },
        _DONE: {"Type": "Succeed"},
        _LEFT: {
            "Type": "Fail",
            "Error": "LeftUndone",
            "Cause": "Some chunks could not be done. The job is paused: isocenter jobs resume does them again.",
        },
    }


def _retry(retry: Retry) -> dict[str, Any]:
    return {
        "ErrorEquals": list(TRIED_AGAIN),
        "IntervalSeconds": max(1, round(retry.first_seconds)),
        "MaxAttempts": retry.attempts - 1,
        "BackoffRate": retry.factor,
        "MaxDelaySeconds": max(1, round(retry.most_seconds)),
        "JitterStrategy": "FULL" if retry.jitter else "NONE",
    }
