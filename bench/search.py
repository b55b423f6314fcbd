"""QIDO-RS: a page of studies, the studies of a patient, the instances of a series."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bench.client import Answer, Request, WrongAnswer
from bench.loading import SMALL, TINY, Archive
from bench.measure import Goal, Work

SECTION = "Search"
JSON = "application/dicom+json"
LIMIT = 25
STUDIES_GOAL, PATIENT_GOAL, INSTANCES_GOAL = Goal(cpu_ms=2), Goal(cpu_ms=1.5), Goal(cpu_ms=5)
_COUNTS = ("00201206", "00201208")  # Number of Study Related Series, Instances


def works(archive: Archive) -> list[Work]:
    small = archive.place(SMALL)
    studies, count = archive.sizes.studies, archive.sizes.small

    def of_patient(number: int) -> Request:
        patient = archive.identity(TINY + number % studies).patient
        return Request(f"/studies?PatientID={patient}", JSON)

    return [
        Work(
            "qido-studies", SECTION, f"studies, limit {LIMIT} of {studies}",
            lambda n: Request(f"/studies?limit={LIMIT}", JSON), listing(LIMIT, "0020000D", *_COUNTS), STUDIES_GOAL,
        ),
        Work(
            "qido-patient", SECTION, "studies of one Patient ID", of_patient,
            listing(1, "0020000D", "00100020"), PATIENT_GOAL,
        ),
        Work(
            "qido-instances", SECTION, f"{count} instances of a series",
            lambda n: Request(f"{small.series}/instances", JSON), listing(count, "00080018"), INSTANCES_GOAL,
        ),
    ]  # fmt: skip


def listing(count: int, *tags: str) -> Callable[[Answer, int], None]:
    """The answer must be a list of so many different data sets that have these attributes."""

    def expect(answer: Answer, number: int) -> None:
        found: list[dict[str, Any]] = json.loads(answer.body)
        if len(found) != count:
            raise WrongAnswer(f"{len(found)} results instead of {count}")
        missing = {tag for tag in tags for model in found if not model.get(tag, {}).get("Value")}
        if missing:
            raise WrongAnswer(f"results lack {', '.join(sorted(missing))}")
        if len({model[tags[0]]["Value"][0] for model in found}) != count:
            raise WrongAnswer("results come more than once")

    return expect
