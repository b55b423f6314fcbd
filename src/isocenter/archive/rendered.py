"""The Rendered transaction: a picture of a frame, a volume or a picture, made in a killable worker."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isocenter.archive.retrieve import Retrieve
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.frames import FrameTable, read_frame
from isocenter.dicom.instance import Metadata
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import LimitExceeded, NotFound, Unsupported
from isocenter.ports.platform import Platform
from isocenter.records import ImageRecord, Kind
from isocenter.render.frame import FrameRequest, render_frame
from isocenter.render.functional_groups import rendering_model
from isocenter.render.picture import PictureRequest, render_picture
from isocenter.render.volume import VolumeRequest, render_volume

# Bulk values that rendering needs: palettes (0028,12xx) and LUT Data (0028,3006).
_TABLES = tuple(f"{tag:08X}" for tag in (0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223))
_LUT_DATA = "00283006"
_MOST_TABLE = 1 << 20
_MOST_SOURCE = 512 << 20  # a picture or volume is handed to its worker whole


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture should look; `frame` counts from 1, `window` is (centre, width)."""

    media_type: str = "image/png"
    frame: int = 1
    window: tuple[float, float] | None = None
    width: int | None = None
    quality: int = 90


class Rendered:
    """Makes pictures of what the archive keeps."""

    def __init__(self, platform: Platform, retrieve: Retrieve, seconds: float) -> None:
        self._platform = platform
        self._retrieve = retrieve
        self._seconds = seconds

    def picture(self, record: ImageRecord, look: Look) -> bytes:
        """PNG or JPEG bytes. Unsupported, Malformed or LimitExceeded say why none can be made."""
        if record.kind is Kind.DICOM:
            return self._run(render_frame, self.frame_request(record, look))
        if look.frame != 1:
            raise NotFound("there is no such frame; the image has 1")
        if record.blob.size > _MOST_SOURCE:
            raise LimitExceeded(f"pictures are made of files up to {_MOST_SOURCE} bytes", code="too-large-to-show")
        data = b"".join(self._retrieve.original(record).chunks)
        if record.kind is Kind.NIFTI:
            return self._run(render_volume, VolumeRequest(data, look.media_type, look.width, look.quality))
        return self._run(render_picture, PictureRequest(data, look.media_type, look.width, look.quality))

    def frame_request(self, record: ImageRecord, look: Look) -> FrameRequest:
        """All that rendering one frame takes: of the blob, that frame and the look-up tables are read."""
        found = self._platform.index.details([record.id]).get(record.id)
        if found is None or found.frames is None:
            raise Unsupported("this instance has no pixel data of which a picture can be made", code="no-pixel-data")
        metadata = Metadata.from_bytes(found.metadata)
        table = FrameTable.from_bytes(found.frames)
        syntax = record.transfer_syntax_uid or ""
        description = PixelDescription.from_data_set(DataSet(metadata.model), syntax)
        data = read_frame(table, description, look.frame, lambda at, size: self._retrieve.span(record, at, size))
        model = rendering_model(self._with_tables(record, metadata), look.frame)
        return FrameRequest(model, syntax, data, look.frame, look.media_type, look.window, look.width, look.quality)

    def _with_tables(self, record: ImageRecord, metadata: Metadata) -> Mapping[str, Mapping[str, Any]]:
        for path, (offset, size) in metadata.bulk.items():
            name = path.rpartition("/")[2]
            if size <= _MOST_TABLE and (path in _TABLES or name == _LUT_DATA):
                data = self._retrieve.span(record, offset, size)
                _place(metadata.model, path)["InlineBinary"] = base64.b64encode(data).decode("ascii")
        return metadata.model

    def _run(self, task: Any, request: Any) -> bytes:
        made: bytes = self._platform.sandbox.run(task, request, seconds=self._seconds)
        return made


def _place(model: dict[str, dict[str, Any]], path: str) -> dict[str, Any]:
    """The attribute that a bulk path names; the path was made from this very model."""
    *through, name = path.split("/")
    for tag, item in zip(through[::2], through[1::2], strict=True):
        model = model[tag]["Value"][int(item)]
    return model[name]
