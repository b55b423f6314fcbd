"""The step that holds images, and series that are whole in a chunk, against validation rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from isocenter.errors import Rejected
from isocenter.pipeline.steps.base import Answer, Context, Done, Item, Refused, each
from isocenter.pipeline.validation.batch import Entry
from isocenter.pipeline.validation.report import Report
from isocenter.pipeline.validation.validator import Validator
from isocenter.ports.index import Index
from isocenter.records import ImageQuery


class NotValid(Rejected):
    code = "not-valid"


class ValidateStep:
    """Validates; what is found is kept with the image, by rule and keyword, never by content."""

    def __init__(self, validator: Validator, index: Index) -> None:
        self._validator = validator
        self._index = index

    def run(self, items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        reports: dict[str, list[Report]] = defaultdict(list)
        entries: dict[str, Entry] = {}

        def examine(item: Item) -> Done:
            _ = item.record  # the report is kept with the image
            examined = self._validator.object(item.source.read, item.source.size)
            reports[item.id].append(examined.report)
            if examined.entry is not None:
                entries[item.id] = examined.entry
            return Done()

        answers = each(items, context, examine)
        for members in self._whole_series([item for item in items if item.id in entries]):
            for told in self._validator.batch([entries[item.id] for item in members]):
                for number in told.members:
                    reports[members[number].id].append(told.report)
        return answers | {id: _answer(id, found) for id, found in reports.items() if isinstance(answers[id], Done)}

    def _whole_series(self, items: Sequence[Item]) -> Iterator[list[Item]]:
        """Those in the chunk of which the store has no more images: of others a missing slice means nothing."""
        series: dict[tuple[str, str, str], list[Item]] = defaultdict(list)
        for item in items:
            record = item.record
            series[record.store, record.study_uid or "", record.series_uid or ""].append(item)
        for (store, study, uid), members in series.items():
            query = ImageQuery((store,), study_uid=study, series_uid=uid, limit=len(members) + 1)
            if len(members) > 1 and len(self._index.images(query).items) == len(members):
                yield members


def _answer(id: str, reports: Sequence[Report]) -> Answer:
    findings = sum(len(report.findings) for report in reports)
    documents: tuple[tuple[str, str, bytes], ...] = ()
    if findings:
        told: dict[str, Any] = {"reports": [report.as_json() for report in reports if report.findings]}
        documents = ((id, "validation", orjson.dumps(told)),)
    if all(report.valid for report in reports):
        return Done(findings=findings, documents=documents)
    error = NotValid("it does not keep the rules of the profile; its validation report names them")
    return Refused(error, documents)
