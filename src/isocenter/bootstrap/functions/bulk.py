"""Objects that a manifest names, taken in by the million."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from isocenter.archive.store import Caller
from isocenter.bootstrap.backends import ingest_of, object_store
from isocenter.bootstrap.functions.opened import joined, metrics_of, open_function
from isocenter.bootstrap.jobs import jobs_of, plans_of
from isocenter.bootstrap.pipelines import places_of
from isocenter.errors import BadRequest, Misconfigured
from isocenter.pipeline.bulk import Bulk
from isocenter.pipeline.files import Files
from isocenter.pipeline.states import BULK_STATE


def open_bulk() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """The handler of {"manifest"}, of {"bulk", "at", "size"} and of {"bulk", "end": true}."""
    settings, backends = open_function()
    if settings.incoming_url is None:
        raise Misconfigured("the setting incoming_url names no bucket to take images from")
    store = object_store(settings, f"{settings.incoming_url.rstrip('/')}/{BULK_STATE}")
    platform = backends.platform
    plan = None if settings.incoming_pipeline is None else plans_of(settings).load(settings.incoming_pipeline)
    files = Files(
        ingest_of(settings, platform), jobs_of(settings, platform), settings.default_store, plan, Caller("bulk"),
        most_bytes=settings.max_upload_bytes, most_inflated=settings.max_inflated_bytes,
    )  # fmt: skip
    bulk = Bulk(store, places_of(settings, platform), files)
    metrics = metrics_of(settings)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        joined(context, bulk=event.get("bulk"))
        if "manifest" in event:
            told = bulk.prepare(str(event["manifest"]))
            return {**told, "bucket": (settings.incoming_url or "").removeprefix("s3://").partition("/")[0]}
        if not isinstance(event.get("bulk"), str):
            raise BadRequest('give {"manifest": "s3://bucket/key"}')
        if event.get("end"):
            return asdict(bulk.end(event["bulk"]))
        counted = bulk.take(event["bulk"], event["at"], event["size"])
        metrics.count("ObjectsTaken", counted.taken)
        metrics.count("ObjectsRefused", counted.refused)
        metrics.flush()
        return asdict(counted)

    return handler
