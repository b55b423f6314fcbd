"""Builders of records for tests: whole values from a few words, unique where nothing is said."""

from __future__ import annotations

import hashlib
import itertools
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from isocenter.jobs import Job
from isocenter.ports.webhooks import Subscription
from isocenter.records import ApiKey, AuditEntry, BlobRef, Delivery, Details, ImageRecord, Kind, NewImage

START = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

_numbers = itertools.count(1)


def new_uid() -> str:
    """A UID under 2.25 (PS3.5 B.2), never the same twice."""
    return f"2.25.{uuid4().int}"


def new_moment() -> datetime:
    """A moment in UTC, a second and a bit after the one before."""
    return START + timedelta(seconds=next(_numbers), microseconds=next(_numbers))


def new_image(
    *,
    study: str | None = None,
    series: str | None = None,
    instance: str | None = None,
    content: bytes = b"bytes",
    store: str = "raw",
    subject: str = "subject",
    modality: str | None = "CT",
    study_model: Mapping[str, Any] | None = None,
    series_model: Mapping[str, Any] | None = None,
    instance_model: Mapping[str, Any] | None = None,
    **changes: Any,
) -> NewImage:
    """A DICOM instance; `changes` go over the fields of its record."""
    study, series, instance = study or new_uid(), series or new_uid(), instance or new_uid()
    changes.setdefault("image_id", instance)
    record = replace(
        _record(Kind.DICOM, "application/dicom", content, store, subject),
        study_uid=study,
        series_uid=series,
        sop_instance_uid=instance,
        sop_class_uid=CT_IMAGE_STORAGE,
        transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN,
        body_offset=350,
    )
    of_series: dict[str, Any] = {**(series_model or {}), "0020000E": {"vr": "UI", "Value": [series]}}
    if modality is not None:
        of_series["00080060"] = {"vr": "CS", "Value": [modality]}
    model = study_model if study_model is not None else {"0020000D": {"vr": "UI", "Value": [study]}}
    return NewImage(
        replace(record, **changes), _details_of({**model, **of_series, **(instance_model or {})}), model, of_series,
        instance_model or {},
    )  # fmt: skip


def new_volume(
    *,
    image: str | None = None,
    content: bytes = b"bytes",
    store: str = "raw",
    subject: str = "subject",
    kind: Kind = Kind.NIFTI,
    **changes: Any,
) -> NewImage:
    """An image that is not DICOM; `changes` go over the fields of its record."""
    name = f"image-{next(_numbers)}" if image is None else image
    record = replace(_record(kind, "application/x-nifti", content, store, subject), image_id=name)
    return NewImage(replace(record, **changes), new_details(name))


def _details_of(model: Mapping[str, Any]) -> Details:
    whole = {"meta": {}, "model": model, "bulk": {}}
    return Details(zlib.compress(json.dumps(whole).encode("utf-8", "surrogatepass")))


def new_details(seed: str) -> Details:
    """Details whose bytes differ from seed to seed."""
    model = {"meta": {}, "model": {"00080018": {"vr": "UI", "Value": [seed]}}, "bulk": {}}
    frames = {"offsets": [1024], "lengths": [len(seed)]}
    return Details(*(zlib.compress(json.dumps(each).encode("utf-8", "replace")) for each in (model, frames)))


def new_entry(action: str = "store", **changes: Any) -> AuditEntry:
    return replace(AuditEntry("tester", action, "success", new_moment(), request_id="request"), **changes)


def new_job(**changes: Any) -> Job:
    return replace(Job(uuid4().hex, "analyse", "{}", "raw", 2, 1, new_moment()), **changes)


def new_delivery(**changes: Any) -> Delivery:
    made = new_moment()
    return replace(Delivery(uuid4().hex, "raw", 2, made, made + timedelta(minutes=15), "tester"), **changes)


def new_subscription(**changes: Any) -> Subscription:
    made = Subscription(uuid4().hex, "https://listener.example/arrived", frozenset({"image.stored"}), new_moment())
    return replace(made, **changes)


def new_key(**changes: Any) -> ApiKey:
    scopes = frozenset({"images:read", "images:write@raw"})
    return replace(ApiKey(uuid4().hex, "tests", "00" * 32, scopes, new_moment()), **changes)


def _record(kind: Kind, media_type: str, content: bytes, store: str, subject: str) -> ImageRecord:
    id = uuid4().hex
    blob = BlobRef(f"{store}/{id}", len(content), hashlib.sha256(content).hexdigest())
    return ImageRecord(id, store, kind, media_type, subject, "", blob, new_moment())
