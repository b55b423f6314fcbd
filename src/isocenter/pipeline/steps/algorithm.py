"""The step that runs an algorithm on images, keeps what it found, and puts what it made where the image lies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from isocenter.algorithms.base import Made, Output
from isocenter.archive.store import Placement
from isocenter.deid.source import InMemory, header_of
from isocenter.dicom.elements import Element, Limits
from isocenter.errors import Corrupted, Forbidden, IsocenterError, NotFound, Rejected, Unavailable, Unsupported
from isocenter.pipeline.analyse import Analysis, Checked
from isocenter.pipeline.ingest import Batch, Ingest
from isocenter.pipeline.locations import InBucket
from isocenter.pipeline.places import Places
from isocenter.pipeline.steps.base import Answer, Context, Done, Item, Refused, Stopped
from isocenter.records import Kind

_INPUTS = (".dcm", ".dicom", ".ima", ".nii.gz", ".nii", ".jpg", ".jpeg", ".png", ".gif")
_REFERENCED_INSTANCE, _DERIVATION, _CLASS, _MAKER = 0x00081155, 0x00082111, 0x00080016, 0x00080070
# Where a derived image, a Comprehensive SR and a presentation state name what they were made of.
_SOURCES = ((0x00082112,), (0x0040A375, 0x00081115, 0x00081199), (0x00081115, 0x00081140))


class AlgorithmStep:
    """Runs one algorithm, its parameters checked. What it made of an image goes in, or is written, beside it."""

    def __init__(
        self,
        analysis: Analysis,
        checked: Checked,
        ingest: Ingest,
        places: Places,
        *,
        default_store: str,
        reports: bool = True,
    ) -> None:
        self._analysis = analysis
        self._checked = checked
        self._ingest = ingest
        self._places = places
        self._default_store = default_store
        self._reports = reports

    def run(self, items: Sequence[Item], context: Context) -> Mapping[str, Answer]:
        batch = self._ingest.batch(context.caller)
        answers: dict[str, Answer] = {}
        worked: dict[str, tuple[Output, list[dict[str, Any]]]] = {}
        try:
            for item in items:
                if context.stopped():
                    raise Stopped
                try:
                    worked[item.id] = self._take(item, context, batch)
                except (Rejected, Unavailable, Corrupted, NotFound, Forbidden) as error:
                    answers[item.id] = Refused(error)
            receipts = {receipt.source: receipt for receipt in batch.close()}
        except BaseException:  # whatever it was: what is not committed leaves nothing, and it goes on up
            batch.abandon()
            raise
        for id, (output, made) in worked.items():
            refused = None
            for one in made:
                receipt = receipts.get(one.pop("receipt", ""))
                if receipt is not None and receipt.record is not None and receipt.accepted:
                    one["image_id"] = receipt.record.id
                elif receipt is not None:
                    refused = receipt.error or IsocenterError("the result was not stored")
            answers[id] = Refused(refused) if refused is not None else self._done(id, output, made)
        return answers

    def _done(self, id: str, output: Output, made: list[dict[str, Any]]) -> Done:
        document = orjson.dumps(self._said(output) | {"made": made})
        return Done(findings=len(output.findings), documents=((id, "findings", document),))

    def _said(self, output: Output) -> dict[str, Any]:
        return {
            "algorithm": self._checked.algorithm,
            "version": self._checked.version,
            "findings": [finding.as_json() for finding in output.findings],
        }

    def _take(self, item: Item, context: Context, batch: Batch) -> tuple[Output, list[dict[str, Any]]]:
        seconds = context.timeout_seconds
        output = self._analysis.run(self._checked, item.source, item.kind, seconds=seconds)
        reports: tuple[Made, ...] = ()
        if self._reports and output.findings and item.kind is Kind.DICOM:
            with suppress(Rejected):  # an image that no report can be written of has its findings all the same
                reports = self._analysis.report(self._checked, item.source, output, seconds=seconds).made
        if isinstance(item.outside, InBucket):
            made = (*self._all_made(item, output), *reports)
            return output, [self._beside(item, item.outside, one) for one in made]
        made = (*output.made, *reports)
        return output, [self._kept(item, number, one, batch) for number, one in enumerate(made)]

    def _all_made(self, item: Item, output: Output) -> Sequence[Made]:
        """What was made; of an algorithm that only finds, its findings as JSON."""
        if output.made:
            return output.made
        digest = hashlib.sha256()
        for offset in range(0, item.source.size, 1 << 20):
            digest.update(item.source.read(offset, 1 << 20))
        told = {"source_sha256": digest.hexdigest(), **self._said(output)}
        return (Made("application/json", orjson.dumps(told, option=orjson.OPT_INDENT_2), ".json"),)

    def _beside(self, item: Item, place: InBucket, made: Made) -> dict[str, Any]:
        target = place.beside(result_name(place.name, self._checked.suffix + made.suffix))
        self._places.put(target, made.data, lambda kept: same_origin(kept, made))
        return {"outside": self._places.sealed(target), "media_type": made.media_type}

    def _kept(self, item: Item, number: int, made: Made, batch: Batch) -> dict[str, Any]:
        """Put a result into the store of its image, under the same subject."""
        source = f"{item.id}/{number}"
        kept = item.kept
        store = self._default_store if kept is None else kept.store
        if made.media_type == "application/dicom":
            placement = Placement(store)
        elif kept is None or not kept.image_id:
            raise Unsupported("a picture is put beside what is kept here or lies in a bucket", code="no-place")
        else:
            name = f"{kept.image_id}{self._checked.suffix}{made.suffix}"
            placement = Placement(store, kept.subject_id, name[-256:])
        intake = batch.begin(source, placement)
        intake.write(made.data)
        intake.finish()
        return {"receipt": source, "media_type": made.media_type}


def result_name(name: str, suffix: str) -> str:
    """The name of a result beside its source: `scan.dcm` and `_annot.dcm` give `scan_annot.dcm`."""
    stem = next((name[: -len(ending)] for ending in _INPUTS if name.lower().endswith(ending)), name)
    return f"{stem or name}{suffix}"


def same_origin(kept: bytes, made: Made) -> bool:
    """Whether an object was made before of the same image by the same algorithm, so that it may be replaced."""
    if made.media_type == "application/json":
        with suppress(ValueError, TypeError, KeyError):
            old, new = orjson.loads(kept), orjson.loads(made.data)
            return bool(old["algorithm"] == new["algorithm"] and old["source_sha256"] == new["source_sha256"])
        return False
    if made.media_type != "application/dicom":
        return False
    origin = _origin(made.data)
    return origin is not None and _origin(kept) == origin


def _origin(data: bytes) -> tuple[bytes, ...] | None:
    """What an instance says that it was made of, and by what: its class, maker and kind of derivation."""
    with suppress(Rejected):
        elements = header_of(InMemory(data), Limits()).elements
        source = next(filter(None, (_referenced(elements, path) for path in _SOURCES)), None)
        if source is not None:
            return source, _text(elements, _CLASS), _text(elements, _MAKER), _text(elements, _DERIVATION).split(b" ")[0]
    return None


def _referenced(elements: Mapping[int, Element], path: Sequence[int]) -> bytes | None:
    for tag in path:
        sequence = elements.get(tag)
        if sequence is None or not isinstance(sequence.value, list) or not sequence.value:
            return None
        elements = sequence.value[0]
    return _text(elements, _REFERENCED_INSTANCE) or None


def _text(elements: Mapping[int, Element], tag: int) -> bytes:
    found = elements.get(tag)
    return found.value.strip(b" \0") if found is not None and isinstance(found.value, bytes) else b""
