"""Processing by URL: an algorithm on one image, wherever it lies; the result beside it (systems A and B)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from isocenter.archive.store import Caller
from isocenter.errors import Forbidden, NotFound
from isocenter.jobs import Job
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.locations import InBucket, Ours, parsed
from isocenter.pipeline.places import Places
from isocenter.pipeline.plan import Plan
from isocenter.ports.index import Index
from isocenter.ports.results import Results
from isocenter.records import State

if TYPE_CHECKING:
    from isocenter.pipeline.analyse import Analysis  # NumPy and pydicom with it: loaded by who opens it

PIPELINE = "process"
_STEP = "algorithm"


@dataclass(frozen=True, slots=True)
class Processed:
    """What came of a job: what was found and made, or why nothing was."""

    job: Job
    algorithm: str | None = None
    version: str | None = None
    findings: tuple[Mapping[str, Any], ...] = ()
    made: tuple[Mapping[str, str], ...] = ()  # image_id or url, and media_type
    fault: str | None = None  # a code


@dataclass(frozen=True)
class Process:
    """Starts jobs on single images, and tells what came of them. `endpoint` is that of the object store in use.

    `analysis` is asked for each time; it opens what runs algorithms once, when that is first needed.
    """

    jobs: Jobs
    analysis: Callable[[], Analysis]
    places: Places
    index: Index
    results: Results
    default_store: str
    endpoint: str | None = None

    def start(
        self,
        url: str,
        algorithm: str,
        parameters: Mapping[str, Any],
        caller: Caller,
        *,
        stores: tuple[str, ...],
        may_reach_out: bool,
        id: str | None = None,
    ) -> Job:
        """Begin, durably. `stores` are those the caller may work on; others' images are as if they were not there.

        BadRequest for what is no URL or no parameter, NotFound, Forbidden for a place that is not allowed.
        """
        checked = self.analysis().check(algorithm, parameters)
        location = parsed(url, self.endpoint)
        if isinstance(location, Ours):
            record = self.index.get(location.id)
            if record is None or record.state is not State.CURRENT or record.store not in stores:
                raise NotFound("there is no image with this id")
            plan = _plan(record.store, checked.algorithm, checked.parameters)
            return self.jobs.start_with(plan, [record.id], caller, id=id)
        if not may_reach_out:
            raise Forbidden("this takes the scope process for all stores: the image lies in none")
        self.places.require(location)
        if self.default_store not in stores:
            raise Forbidden(f"this takes the scope process for the store {self.default_store}")
        plan = _plan(self.default_store, checked.algorithm, checked.parameters)
        return self.jobs.start_outside(plan, [self.places.sealed(location)], caller, id=id)

    def outcome(self, job: Job) -> Processed:
        """What came of a job that `start` began."""
        if job.pipeline != PIPELINE:
            raise NotFound("there is no job with this id that POST /process began")
        if not job.is_final:
            return Processed(job)
        fault = next((fault.code for fault in self.jobs.faults(job.id)), job.code)
        for result in self.results.of_job(job.id):
            if result.kind == "findings":
                said = orjson.loads(result.document)
                made = tuple(map(self._told, said["made"]))
                return Processed(job, said["algorithm"], said["version"], tuple(said["findings"]), made, fault)
        return Processed(job, fault=fault or job.state.value)

    def _told(self, made: Mapping[str, str]) -> Mapping[str, str]:
        """A result by its image id, or by the address behind its seal."""
        if "outside" not in made:
            return made
        location = self.places.opened(made["outside"])
        assert isinstance(location, InBucket)
        return {"url": location.url, "media_type": made["media_type"]}


def _plan(store: str, algorithm: str, parameters: Mapping[str, Any]) -> Plan:
    step = {"name": _STEP, "use": "algorithm", "with": {"algorithm": algorithm, "parameters": dict(parameters)}}
    return Plan.model_validate({"name": PIPELINE, "store": store, "batch": {"images": 1}, "steps": [step]})
