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

_INPUTS = (".dcm", ".dicom", ".ima", ".nii.gz", ".nii", ".jpg", ".jpeg", ".png", ".gif")
_SOURCE_IMAGES, _REFERENCED_INSTANCE, _DERIVATION = 0x00082112, 0x00081155, 0x00082111


class AlgorithmStep:
    """Runs one algorithm, its parameters checked. What it made of an image goes in, or is written, beside it."""

    def __init__(
        self, analysis: Analysis, checked: Checked, ingest: Ingest, places: Places, default_store: str
    ) -> None:
        self._analysis = analysis
        self._checked = checked
        self._ingest = ingest
        self._places = places
        self._default_store = default_store

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
        output = self._analysis.run(self._checked, item.source, item.kind, seconds=context.timeout_seconds)
        if isinstance(item.outside, InBucket):
            return output, [self._beside(item, item.outside, one) for one in self._all_made(item, output)]
        return output, [self._kept(item, number, one, batch) for number, one in enumerate(output.made)]

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


def _origin(data: bytes) -> tuple[bytes, bytes] | None:
    """What a derived instance says that it was made of, and by what (the first word of Derivation Description)."""
    with suppress(Rejected):
        elements = header_of(InMemory(data), Limits()).elements
        sources = elements.get(_SOURCE_IMAGES)
        derivation = elements.get(_DERIVATION)
        if sources is None or not isinstance(sources.value, list) or not sources.value or derivation is None:
            return None
        item: Mapping[int, Element] = sources.value[0]
        reference = item.get(_REFERENCED_INSTANCE)
        if reference is not None and isinstance(reference.value, bytes) and isinstance(derivation.value, bytes):
            return reference.value.strip(b" \0"), derivation.value.split(b" ")[0]
    return None
