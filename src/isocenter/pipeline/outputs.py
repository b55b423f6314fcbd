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


def images_of(platform: Platform, job: Job) -> dict[str, list[str]]:
    """The images that a job has begun with so far, and what its steps made of each; all by internal id."""
    found: dict[str, list[str]] = {}
    begun: dict[str, str] = {}  # what was made, and of which image in the beginning
    steps = [step.name for step in Plan.from_json(job.plan).steps]
    for outcome in sorted(platform.steps.outcomes(job.id), key=lambda each: (steps.index(each.step), each.chunk)):
        for image in (*outcome.done, *outcome.rejected, *outcome.unavailable):
            found.setdefault(begun.get(image, image), [])
        for image, made in outcome.produced.items():
            source = begun.get(image, image)
            begun.update((each, source) for each in made)
            found[source] += [each for each in made if each != source]
    return found
