"""What can only be told of several images: one identity each, one patient a study, slices that make a volume."""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from isocenter.pipeline.validation.elements import Values
from isocenter.pipeline.validation.geometry import Slice, check_slices, slice_of
from isocenter.pipeline.validation.profile import Profile
from isocenter.pipeline.validation.report import Collector, Report

_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_PATIENT_ID, _ISSUER, _BIRTH_DATE, _SEX = 0x00100020, 0x00100021, 0x00100030, 0x00100040
_MODALITY, _FRAME_OF_REFERENCE, _INSTANCE_NUMBER, _IMAGE_TYPE = 0x00080060, 0x00200052, 0x00200013, 0x00080008
_ROWS, _COLUMNS = 0x00280010, 0x00280011
# Acquisition, echo, phase, b-value and trigger tell stacks of one series from one another.
_APART = (0x00200012, 0x00180081, 0x00180086, 0x00180082, 0x00200100, 0x00189087, 0x00181060)
# Slices of CT, MR and PET are held to making a volume; other classes have images from anywhere in a series.
_VOLUMES = frozenset(("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128"))


class Entry(NamedTuple):
    """What is remembered of an instance for the rules of a batch: identifiers as keyed hashes, and where it lies."""

    instance: bytes
    series: bytes
    study: bytes
    patient: bytes
    modality: bytes
    frame_of_reference: bytes
    person: bytes  # birth date and sex
    number: bytes
    content: bytes
    slice: Slice | None


class Hasher:
    """Keyed hashes of identifiers: with the same key the same, without it nothing."""

    def __init__(self, key: bytes | None = None) -> None:
        self.key = key or secrets.token_bytes(32)

    def __call__(self, *values: bytes) -> bytes:
        """Eight bytes, none where there is no value at all."""
        if not any(values):
            return b""
        return hashlib.blake2b(b"\0".join(values), key=self.key, digest_size=8).digest()


def entry_of(values: Values, hasher: Hasher, content: bytes) -> Entry:
    """What to remember of one instance; `content` tells instances with the same identifier apart."""

    def hashed(*tags: int) -> bytes:
        return hasher(*(values.raw(tag).strip(b" \0") for tag in tags))

    is_slice = values.uid(_SOP_CLASS) in _VOLUMES and "LOCALIZER" not in values.codes(_IMAGE_TYPE)
    apart = hashed(*_APART, _IMAGE_TYPE).hex() if is_slice else ""
    matrix = (*values.numbers(_ROWS), *values.numbers(_COLUMNS)) if is_slice else ()
    return Entry(
        hashed(_SOP_INSTANCE), hashed(_SERIES), hashed(_STUDY), hashed(_PATIENT_ID, _ISSUER), hashed(_MODALITY),
        hashed(_FRAME_OF_REFERENCE), hashed(_BIRTH_DATE, _SEX), hashed(_INSTANCE_NUMBER), hasher(content),
        slice_of(values, apart, matrix) if is_slice else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """What was found of one series or study; `members` are places in the sequence of entries."""

    level: str
    members: tuple[int, ...]
    report: Report


def check_batch(entries: Sequence[Entry], profile: Profile) -> Iterator[SeriesReport]:
    """The reports on all series, studies, patients and repeated instances against which something is to be said."""
    for level, groups, check in (
        ("instance", _grouped(entries, "instance"), _check_instances),
        ("series", _grouped(entries, "series"), _check_series),
        ("study", _grouped(entries, "study"), _check_study),
        ("patient", _grouped(entries, "patient"), _check_patient),
    ):
        for members in groups:
            if len(members) < 2:
                continue
            found = Collector(profile, level)
            check(found, [entries[member] for member in members])
            report = found.report()
            if report.findings:
                yield SeriesReport(level, tuple(members), report)


def _grouped(entries: Sequence[Entry], by: str) -> list[list[int]]:
    groups: dict[bytes, list[int]] = defaultdict(list)
    for number, entry in enumerate(entries):
        key: bytes = getattr(entry, by)
        if key:
            groups[key].append(number)
    return list(groups.values())


def _differ(entries: Sequence[Entry], by: str) -> bool:
    """Whether the entries have several values; one that is not there does not count."""
    return len({getattr(entry, by) for entry in entries} - {b""}) > 1


def _check_instances(found: Collector, entries: Sequence[Entry]) -> None:
    differ = _differ(entries, "content")
    found.add("sop-instance-conflict" if differ else "sop-instance-repeated", _SOP_INSTANCE)


def _check_series(found: Collector, entries: Sequence[Entry]) -> None:
    once = list({(entry.instance, entry.content): entry for entry in entries}.values())
    if _differ(once, "study"):
        found.add("series-study-differs", _SERIES)
    if _differ(once, "modality"):
        found.add("series-modality-differs", _MODALITY)
    if _differ(once, "frame_of_reference"):
        found.add("series-frame-of-reference-differs", _FRAME_OF_REFERENCE)
    numbers = [entry.number for entry in once if entry.number]
    if len(set(numbers)) < len(numbers):
        found.add("instance-number-repeated", _INSTANCE_NUMBER)
    check_slices(found, [entry.slice for entry in once if entry.slice is not None])


def _check_study(found: Collector, entries: Sequence[Entry]) -> None:
    # A patient without an ID is another one than a patient with one.
    if len({entry.patient for entry in entries}) > 1:
        found.add("study-patient-differs", _PATIENT_ID)


def _check_patient(found: Collector, entries: Sequence[Entry]) -> None:
    if _differ(entries, "person"):
        found.add("patient-differs", _PATIENT_ID)
