"""The Viewing transaction: all a viewer has to know of a series or image before the first frame, and its frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from isocenter.archive.rendered import Rendered
from isocenter.archive.retrieve import Retrieve
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.frames import FrameTable
from isocenter.dicom.instance import Metadata
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import IsocenterError, Rejected, Unsupported
from isocenter.picture import HEAD_BYTES as PICTURE_HEAD
from isocenter.records import Details, ImageRecord, Kind
from isocenter.render.values import HEAD_BYTES, picture_size, volume_header, volume_shape
from isocenter.render.viewed import frame_of, in_order, shape_of, text_of, told_of

Manifest = dict[str, Any]

_MOST_FRAMES: Final = 100_000
_MOST_ELEMENTS: Final = 20_000
_MOST_ITEMS: Final = 200
_MOST_VALUE: Final = 4096


class Viewing:
    """Describes what is kept for a viewer, from what stands beside the index rows; images are read for their values."""

    def __init__(self, retrieve: Retrieve, rendered: Rendered) -> None:
        self._retrieve = retrieve
        self._rendered = rendered

    def series(self, records: Sequence[ImageRecord]) -> Manifest:
        """The frames of these instances in the order to show them in, by what can be shown as one stack.

        No blob is read. What cannot be shown is named with the reason.
        """
        stacks: dict[tuple[Any, ...], Manifest] = {}
        left_out: list[dict[str, str]] = []
        told: dict[str, str] = {}
        count = 0
        for record, details in self._retrieve.each_details(records):
            metadata = Metadata.from_bytes(details.metadata)
            told = told or told_of(metadata.model)
            try:
                count += _add(stacks, record, metadata, details, _MOST_FRAMES - count)
            except Rejected as error:
                left_out.append(_reason(record, error))
        found = sorted(stacks.values(), key=lambda stack: -len(stack["frames"]))
        for stack in found:
            stack["frames"] = in_order(stack["frames"])
        return {"kind": "dicom", "store": records[0].store, "told": told, "stacks": found, "leftOut": left_out}

    def image(self, record: ImageRecord) -> Manifest:
        """The same of one image of any kind."""
        if record.kind is Kind.DICOM:
            return self.series([record])
        told = {"subject": record.subject_id, "image": record.image_id}
        base = {"kind": str(record.kind), "store": record.store, "told": told, "leftOut": []}
        if record.kind is Kind.NIFTI:
            return {**base, "stacks": [], "volume": self._volume(record)}
        rows, columns = picture_size(self._head(record, PICTURE_HEAD))
        shape = {
            "rows": rows, "columns": columns, "form": "rgb8", "bitsStored": 8, "signed": False, "photometric": "RGB",
            "inverted": False, "padding": None, "frameTime": None, "regions": [],
        }  # fmt: skip
        frame: dict[str, Any] = {
            "image": record.id, "instance": None, "frame": 1, "number": None, "slope": 1.0, "intercept": 0.0,
            "units": None, "windows": [], "spacing": None, "measured": None, "position": None, "orientation": None,
            "thickness": None, "laterality": None,
        }  # fmt: skip
        return {**base, "stacks": [{**shape, "frames": [frame]}]}

    def _volume(self, record: ImageRecord) -> Manifest:
        header = volume_header(self._head(record, HEAD_BYTES))
        form, sides, spacing, step = volume_shape(header)
        return {
            "image": record.id,
            "form": form,
            "sides": list(sides),
            "spacing": list(spacing),
            "step": step,
            "slope": header.slope,
            "intercept": header.inter,
            "volumes": header.dim[3] if len(header.dim) > 3 else 1,
        }

    def _head(self, record: ImageRecord, size: int) -> bytes:
        span = self._retrieve.original(record).span
        assert span is not None  # an original always has one
        return b"".join(span(0, min(size, record.blob.size)))

    def values(self, record: ImageRecord, frame: int) -> bytes:
        """The values of a frame, of a volume or of a picture, as the manifest's `form` says."""
        return self._rendered.values(record, frame)

    def header(self, record: ImageRecord) -> dict[str, Any]:
        """Every attribute with its keyword, in order, sequences nested; values as text, bulk by its size.

        `leftOut` counts elements and items that a browser could not show at once.
        """
        metadata = self._retrieve.metadata(record)
        walk = _Walk(metadata.bulk)
        elements = walk.elements(metadata.meta, None) + walk.elements(metadata.model, "")
        return {"elements": elements, "leftOut": walk.left_out}


def _add(
    stacks: dict[tuple[Any, ...], Manifest], record: ImageRecord, metadata: Metadata, details: Details, room: int
) -> int:
    """Put the frames of an instance into the stacks they belong to, and say how many there were."""
    model = metadata.model
    if details.frames is None:
        raise Unsupported("it has no pixel data that can be told apart into frames", code="no-pixel-data")
    description = PixelDescription.from_data_set(DataSet(model), record.transfer_syntax_uid or "")
    frames = FrameTable.from_bytes(details.frames).count
    if frames > room:
        raise Unsupported(f"a viewer is given {_MOST_FRAMES} frames of a series at most", code="too-many-frames")
    shape = shape_of(model, description)
    for number in range(1, frames + 1):
        frame = {"image": record.id, "instance": record.sop_instance_uid, **frame_of(model, description, number)}
        key = _key(shape, frame)
        stacks.setdefault(key, {**shape, "frames": []})["frames"].append(frame)
    return frames


def _key(shape: Mapping[str, Any], frame: Mapping[str, Any]) -> tuple[Any, ...]:
    """What frames of one stack share: sides, form of values, orientation and spacing."""
    turned, spacing = frame["orientation"], frame["spacing"]
    return (
        shape["rows"], shape["columns"], shape["form"], shape["inverted"],
        None if turned is None else tuple(round(each, 2) for each in turned),
        None if spacing is None else tuple(round(each, 3) for each in spacing),
    )  # fmt: skip


def _reason(record: ImageRecord, error: IsocenterError) -> dict[str, str]:
    return {"image": record.id, "code": error.code, "detail": error.detail}


class _Walk:
    """Goes through a header and counts what it passes over."""

    def __init__(self, bulk: Mapping[str, tuple[int, int]]) -> None:
        self._bulk = bulk
        self._left = _MOST_ELEMENTS
        self.left_out = 0

    def elements(self, model: Mapping[str, Mapping[str, Any]], path: str | None) -> list[dict[str, Any]]:
        """The elements of one Data Set; `path` leads to its bulk values, None where it has none."""
        found = []
        for name in sorted(model):
            if not self._left:
                self.left_out += 1
                continue
            self._left -= 1
            found.append(self._element(name, model[name], path))
        return found

    def _element(self, name: str, attribute: Mapping[str, Any], path: str | None) -> dict[str, Any]:
        vr = str(attribute.get("vr", "UN"))
        told: dict[str, Any] = {"tag": f"({name[:4]},{name[4:]})", "keyword": keyword_of(int(name, 16)), "vr": vr}
        values = attribute.get("Value", [])
        if vr == "SQ":
            items = [item for item in values if isinstance(item, Mapping)]
            self.left_out += len(items[_MOST_ITEMS:])
            inner = [
                self.elements(item, None if path is None else f"{path}{name}/{place}/")
                for place, item in enumerate(items[:_MOST_ITEMS])
            ]
            return {**told, "items": inner}
        if "BulkDataURI" in attribute:
            return {**told, "bytes": self._bulk.get(f"{path or ''}{name}", (0, 0))[1]}
        if "InlineBinary" in attribute:
            return {**told, "bytes": len(str(attribute["InlineBinary"])) * 3 // 4}
        return {**told, "value": text_of(values, _MOST_VALUE)}
