"""The state that the memory backend's index, audit log, feed and API keys share, under one lock."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from isocenter.errors import LimitExceeded, UnknownCursor
from isocenter.records import ApiKey, AuditEntry, AuditHead, Delivery, Details, Event, ImageRecord, State

LONGEST = 512


@dataclass
class Row:
    """One image as it is kept; `position` is its place in the order of arrival."""

    position: int
    record: ImageRecord
    details: Details
    attributes: str = "{}"
    study: str = "{}"
    series: str = "{}"


@dataclass
class Level:
    """A study or series; it lasts until its last image, in any state, is purged."""

    position: int
    attributes: str


@dataclass
class MemoryDatabase:
    """Everything, behind `lock`; whoever holds the lock may read and write the rest."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    position: int = 0
    rows: dict[str, Row] = field(default_factory=dict)  # by id, in order of arrival
    current: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)  # id by store and identity
    studies: dict[tuple[str, str], Level] = field(default_factory=dict)
    series: dict[tuple[str, str, str], Level] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    audit: list[AuditEntry] = field(default_factory=list)
    head: AuditHead | None = None
    search_names: frozenset[str] = frozenset()
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    deliveries: dict[str, tuple[Delivery, tuple[str, ...]]] = field(default_factory=dict)  # with their images

    def speak(self) -> None:
        """Give every study and series the attributes of its earliest image that is current."""
        spoken: set[tuple[str, ...]] = set()
        for row in self.rows.values():
            record = row.record
            if record.state is not State.CURRENT or record.study_uid is None:
                continue
            study = (record.store, record.study_uid)
            if study not in spoken:
                spoken.add(study)
                self.studies[study].attributes = row.study
            series = (*study, record.series_uid or "")
            if series not in spoken and series in self.series:
                spoken.add(series)
                self.series[series].attributes = row.series

    def tell(self, event: Event) -> None:
        self.events.append(replace(event, sequence=len(self.events) + 1))

    def note(self, key: bytes, entry: AuditEntry) -> None:
        """Chain an entry behind the last, its text cleaned so that the digest is over what is kept."""
        previous = self.audit[-1].digest if self.audit else ""
        kept = replace(
            entry,
            actor=clean(entry.actor),
            action=clean(entry.action),
            outcome=clean(entry.outcome),
            store=clean_or_none(entry.store),
            image=clean_or_none(entry.image),
            request_id=clean_or_none(entry.request_id),
            address=clean_or_none(entry.address),
        ).chained(key, previous, len(self.audit) + 1)
        self.audit.append(kept)
        self.head = AuditHead.sealed(key, kept.sequence, kept.digest)


def clean(text: str) -> str:
    """Text as every database can keep it: without NUL, its lone surrogates as question marks."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def clean_or_none(text: str | None) -> str | None:
    return None if text is None else clean(text)


def indexed(keyword: str, text: str) -> str:
    """Clean text that can be searched for; above 512 bytes it raises LimitExceeded."""
    text = clean(text)
    if len(text.encode()) > LONGEST:
        raise LimitExceeded(f"{keyword} is longer than {LONGEST} bytes.")
    return text


def dumped(model: Mapping[str, Any]) -> str:
    """A JSON model as text, cleaned."""
    return json.dumps(_cleaned(model))


def cursor(list_name: str, position: int) -> str:
    """An opaque cursor of this list."""
    text = f"{list_name}:{position}"
    return base64.urlsafe_b64encode(f"{_check(text)}:{text}".encode()).decode()


def position(list_name: str, text: str) -> int:
    """The position in a cursor; BadRequest where it is none of ours or of another list."""
    try:
        check, name, number = base64.b64decode(text, altchars=b"-_", validate=True).decode().split(":")
        if name == list_name and check == _check(f"{name}:{number}"):
            return int(number)
    except (ValueError, binascii.Error):
        pass
    raise UnknownCursor("the cursor is not one that this list gave out; begin again without it")


def _check(text: str) -> str:
    return hashlib.sha256(f"memory cursor:{text}".encode()).hexdigest()[:8]


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
