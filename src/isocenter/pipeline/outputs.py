"""What came of a job: the images that it made, or those that came through its last step."""

from __future__ import annotations

import orjson

from isocenter.errors import Conflict
from isocenter.jobs import Job
from isocenter.pipeline.plan import Plan
from isocenter.ports.platform import Platform


def outputs_of(platform: Platform, job: Job) -> list[str]:
    """Internal ids, each once; Conflict while the job is not over. A job that is forgotten has none left."""
    if not job.is_final:
        raise Conflict("a job's outputs are delivered when it is over", code="job-not-over")
    made: list[str] = []
    for result in platform.results.of_job(job.id):
        if result.kind == "findings":
            told = orjson.loads(result.document)
            made += [one["image_id"] for one in told.get("made", ()) if "image_id" in one]
    if made:
        return list(dict.fromkeys(made))
    last = Plan.from_json(job.plan).steps[-1].name
    outcomes = platform.steps.outcomes(job.id)
    return list(dict.fromkeys(image for each in outcomes if each.step == last for image in each.going_on()))
