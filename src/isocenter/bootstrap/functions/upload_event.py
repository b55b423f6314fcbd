"""Objects put into the bucket, taken in as SQS tells of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import structlog

from isocenter.adapters.inboxes.bucket import BucketInbox
from isocenter.archive.store import Caller
from isocenter.bootstrap.backends import ingest_of, object_store
from isocenter.bootstrap.functions.opened import joined, metrics_of, open_function
from isocenter.bootstrap.jobs import jobs_of, plans_of
from isocenter.errors import Misconfigured, NotFound
from isocenter.pipeline.files import Files
from isocenter.pipeline.watch import Looked, Watcher

QUARANTINE = "quarantine/"
log = structlog.get_logger()


def open_upload_event() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """The handler of a batch of messages; the answer names those to be brought again (ReportBatchItemFailures).

    Twice the same, or out of order, changes nothing: an object is claimed, and what was taken in lies elsewhere.
    """
    settings, backends = open_function()
    if settings.incoming_url is None:
        raise Misconfigured("the setting incoming_url names no bucket to take images from")
    store = object_store(settings, settings.incoming_url)
    bucket = settings.incoming_url.removeprefix("s3://").partition("/")[0]
    jobs = jobs_of(settings, backends.platform)
    ingest = ingest_of(settings, backends.platform)
    metrics = metrics_of(settings)

    @cache
    def files() -> Files:
        """With the plan, which is read from YAML: not before there is something to take in."""
        plan = None if settings.incoming_pipeline is None else plans_of(settings).load(settings.incoming_pipeline)
        return Files(
            ingest, jobs, settings.default_store, plan, Caller("upload-event"),
            job_each=True, most_bytes=settings.max_upload_bytes, most_inflated=settings.max_inflated_bytes,
        )  # fmt: skip

    def look(keys: list[str], seconds: float) -> Looked:
        # A claim ends with the function that made it, so that what a killed one left is taken up by the next message.
        inbox = BucketInbox(store, names=keys, failed=QUARANTINE, lease=timedelta(seconds=seconds))
        return Watcher(inbox, files()).look()

    def lies_there(key: str) -> bool:
        try:
            store.stat(key)
        except NotFound:
            return False
        return True

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        joined(context)
        told = [(record["messageId"], list(_keys(record["body"], bucket))) for record in event["Records"]]
        looked = look([key for _, keys in told for key in keys], context.get_remaining_time_in_millis() / 1000)
        log.info("taken in", processed=looked.processed, failed=looked.failed, again=looked.left)
        metrics.count("ObjectsTaken", looked.processed)
        metrics.count("ObjectsQuarantined", looked.failed)
        metrics.count("ObjectsAgain", looked.left)
        metrics.flush()
        # What still lies there has not ended, whoever is at it: to be told once more costs a look, to be told of it by
        # nobody would lose it.
        return {"batchItemFailures": [{"itemIdentifier": id} for id, keys in told if any(map(lies_there, keys))]}

    return handler


def _keys(body: str, bucket: str) -> Iterator[str]:
    """Keys that an event names: of EventBridge, which gives them plainly, or of S3 itself, which encodes them.

    What is neither, or is of another bucket, names none: to bring it again would not help.
    """
    try:
        told = json.loads(body)
        if isinstance(told.get("detail"), dict):
            places = [(told["detail"]["bucket"]["name"], told["detail"]["object"]["key"])]
        else:
            found = [record["s3"] for record in told.get("Records", ())]
            places = [(each["bucket"]["name"], unquote_plus(each["object"]["key"])) for each in found]
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("a message is no event of an object")
        return
    for name, key in places:
        if name == bucket and isinstance(key, str):
            yield key
