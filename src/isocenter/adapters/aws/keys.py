"""Where everything lies: the partition and sort key of each kind of item.

Numbers are padded, so that texts sort as numbers do. What identifies a person is hashed with the table's key.
"""

from __future__ import annotations

from typing import Final

from isocenter.adapters.aws.table import Key, Table
from isocenter.records import ImageRecord

HEAD: Final[Key] = ("HEAD", "HEAD")
NAMES: Final[Key] = ("NAMES", "NAMES")
GONE: Final = "GONE"
DELIVERIES: Final = "DELIVERIES"
API_KEYS: Final = "API-KEYS"
OPEN_STUDIES: Final = "OPEN-STUDIES"
FOLLOWED: Final[Key] = ("FOLLOWED", "FOLLOWED")
WEBHOOKS: Final = "WEBHOOKS"
JOBS_HEAD: Final[Key] = ("JOBS-HEAD", "JOBS-HEAD")
JOBS: Final = "JOBS"
JOBS_OPEN: Final = "JOBS-OPEN"
JOBS_OVER: Final = "JOBS-OVER"

BLOCK: Final = 10_000  # numbers of a sequence that share a partition
MANY: Final = "many"  # stands for the values of an attribute that has more of them than are looked up singly


def padded(number: int) -> str:
    return f"{number:016d}"


def block(name: str, number: int) -> str:
    """The partition of a number of the sequence: EVENTS, AUDIT or ARRIVAL."""
    return f"{name}#{number // BLOCK:012d}"


def told(table: Table, type: str, image: str) -> Key:
    """That the feed has an event of an image which it has once only."""
    return f"TOLD#{table.named(image)}", table.named(type)


def image(table: Table, id: str) -> Key:
    return f"IMAGE#{table.named(id)}", "IMAGE"


def identity(table: Table, record: ImageRecord) -> Key:
    """Which image is current under an identity."""
    return f"IDENTITY#{table.hashed('identity', record.store, *record.identity)}", "IDENTITY"


def instance(table: Table, store: str, uid: str) -> Key:
    """The identity of a DICOM instance."""
    return f"IDENTITY#{table.hashed('identity', store, 'dicom', uid)}", "IDENTITY"


def past(identity: Key) -> str:
    """The partition of the images that were current under an identity."""
    return identity[0].replace("IDENTITY#", "PAST#", 1)


def subject(table: Table, id: str) -> str:
    """The partition of the images of a subject."""
    return f"SUBJECT#{table.hashed('subject', id)}"


def image_of(table: Table, subject_id: str, image_id: str) -> str:
    """The partition of the images that a subject has under one image id."""
    return f"IMAGE-OF#{table.hashed('image of', subject_id, image_id)}"


def members(table: Table, store: str, study_uid: str, series_uid: str) -> str:
    """The partition of the images of a series."""
    return f"SERIES#{table.hashed('series', store, study_uid, series_uid)}"


def member(table: Table, record: ImageRecord, place: int) -> Key | None:
    """Where an image stands in its series; None where it has none."""
    if record.study_uid is None or record.series_uid is None:
        return None
    return members(table, record.store, record.study_uid, record.series_uid), padded(place)


def held_by(table: Table, store: str, study_uid: str) -> str:
    """The partition that tells where a study and its series stand in their lists."""
    return f"STUDY#{table.hashed('study', store, study_uid)}"


def study_place(table: Table, store: str, study_uid: str) -> Key:
    return held_by(table, store, study_uid), "STUDY"


def series_place(table: Table, store: str, study_uid: str, series_uid: str) -> Key:
    return held_by(table, store, study_uid), f"SERIES#{table.hashed('uid', series_uid)}"


def series_named(table: Table, store: str, series_uid: str) -> str:
    """The partition of the series that have this UID, of whatever study."""
    return f"SERIES-UID#{table.hashed('series uid', store, series_uid)}"


def listed(table: Table, level: str, store: str) -> str:
    """The partition that lists the studies or series of a store."""
    return f"{'STUDIES' if level == 'study' else 'SERIES-LIST'}#{table.named(store)}"


def counts(table: Table, store: str) -> Key:
    """How many studies, series and instances a store holds."""
    return f"COUNTS#{table.named(store)}", "COUNTS"


def lookup(table: Table, store: str, path: str, value: str) -> str:
    """The partition of the studies that have this value of an attribute."""
    return f"LOOKUP#{table.hashed('lookup', store, path, value)}"


def job(table: Table, id: str) -> Key:
    return f"JOB#{table.named(id)}", "JOB"


def webhook(table: Table, id: str) -> Key:
    return f"WEBHOOK#{table.named(id)}", "WEBHOOK"


def delivery(table: Table, id: str) -> Key:
    return f"DELIVERY#{table.named(id)}", "DELIVERY"
