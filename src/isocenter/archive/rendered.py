"""The Rendered transaction: pictures of frames, volumes and files, in a killable worker where codecs read them."""

from __future__ import annotations

import base64
import os
import re
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from isocenter.archive.recent import Recent
from isocenter.archive.retrieve import Retrieve
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.frames import FrameTable, read_frame
from isocenter.dicom.instance import Metadata
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.dicom.transfer_syntax import VIDEO
from isocenter.errors import BadRequest, LimitExceeded, NotFound, Saturated, Unsupported
from isocenter.ports.platform import Platform
from isocenter.records import ImageRecord, Kind
from isocenter.render.asked import Look, Viewport
from isocenter.render.encode import GIF
from isocenter.render.frame import FrameRequest, is_plain, needed_tags, render_frame
from isocenter.render.functional_groups import rendering_model
from isocenter.render.gif import END, animation_frame, animation_start, frame_delays
from isocenter.render.picture import PictureRequest, render_picture
from isocenter.render.values import frame_values, picture_values, volume_values
from isocenter.render.volume import VolumeRequest, render_volume

# Bulk values that rendering needs, by their path: palettes (0028,12xx), LUT Data of the Modality, VOI and
# Presentation LUT Sequences, also in functional groups, and Overlay Data.
_TABLES = re.compile(
    r"002812[02][123]\Z|(52009229/0/|52009230/(?P<frame>\d+)/)?(002891(32|45)/0/)?(00283000|00283010)/0/00283006\Z"
    r"|20500010/0/00283006\Z|60[01][02468ACE]3000\Z"
)
_PROFILES = frozenset({"00282000", "00480105/0/00282000"})
_MOST_TABLE = 8 << 20  # more is left where it is: the overlay is not drawn, the palette or LUT says it cannot be read
_MOST_SOURCE = 512 << 20  # a picture or volume is handed to its worker whole
_MOST_FRAMES = 5000  # of an animation: eight minutes at ten frames a second
_THUMBNAIL = Viewport(128, 128)
_THUMBNAIL_QUALITY = 75
# Headers kept parsed: a viewer asks for one frame after another, and a thousand functional groups take a hundred times
# as long to read as one frame to draw. A parsed header takes some 32 times the bytes it is kept in.
_RECENT, _RECENT_BYTES, _PARSED = 256, 64 << 20, 32
_BIG_ENDIAN = "1.2.840.10008.1.2.2"


@dataclass(slots=True)
class _Source:
    """An instance about to be rendered: its header and frame table, read once for all of its frames.

    Threads share it: of `metadata` only whole attributes are ever exchanged. `loaded` has the bulk values that are
    in it by now, with their sizes.
    """

    record: ImageRecord
    size: int  # of its header in memory, about
    metadata: Metadata
    table: FrameTable
    description: PixelDescription
    loaded: dict[str, int] = field(default_factory=dict)


class Rendered:
    """Makes pictures of what the archive keeps."""

    def __init__(self, platform: Platform, retrieve: Retrieve, seconds: float) -> None:
        self._platform = platform
        self._retrieve = retrieve
        self._seconds = seconds
        # In this process as many at once as there are processors: more would only take memory.
        self._here = threading.BoundedSemaphore(os.cpu_count() or 2)
        self._recent: Recent[tuple[str, str], _Source] = Recent(_RECENT, _RECENT_BYTES)

    def picture(self, record: ImageRecord, look: Look) -> bytes:
        """PNG, JPEG or GIF bytes. Unsupported, Malformed or LimitExceeded say why none can be made."""
        if record.kind is Kind.DICOM:
            return self._frame(self._request(self._source(record), look))
        if look.frame != 1:
            raise NotFound("there is no such frame; the image has 1")
        shape: dict[str, Any] = {
            "data": self._whole(record),
            "media_type": look.media_type,
            "width": look.width,
            "quality": look.quality,
            "viewport": look.viewport,
            "icc_profile": look.icc_profile,
        }
        if record.kind is Kind.NIFTI:
            return self._run(render_volume, VolumeRequest(**shape, window=look.window))
        return self._run(render_picture, PictureRequest(**shape))

    def values(self, record: ImageRecord, frame: int) -> bytes:
        """A frame, volume or picture as `render.values` gives it; raises as `picture` does."""
        if record.kind is Kind.DICOM:
            source = self._source(record)
            if not 1 <= frame <= source.table.count:
                raise NotFound(f"there is no such frame; the instance has {source.table.count}")
            return self._frame(self._request(source, Look(frame=frame, overlays=False)), frame_values)
        if frame != 1:
            raise NotFound("there is no such frame; the image has 1")
        return self._run(volume_values if record.kind is Kind.NIFTI else picture_values, self._whole(record))

    def _whole(self, record: ImageRecord) -> bytes:
        if record.blob.size > _MOST_SOURCE:
            raise LimitExceeded(f"pictures are made of files up to {_MOST_SOURCE} bytes", code="too-large-to-show")
        return b"".join(self._retrieve.original(record).chunks)

    def pictures(self, record: ImageRecord, look: Look, frames: Sequence[int]) -> Iterator[bytes]:
        """A picture of each frame, made one at a time; NotFound before the first where one does not exist."""
        if record.kind is not Kind.DICOM:
            if any(frame != 1 for frame in frames):
                raise NotFound("there is no such frame; the image has 1")
            return (self.picture(record, look) for _ in frames)
        source = self._source(record)
        if any(not 1 <= frame <= source.table.count for frame in frames):
            raise NotFound(f"there is no such frame; the instance has {source.table.count}")
        return (self._frame(self._request(source, replace(look, frame=frame))) for frame in frames)

    def animation(self, record: ImageRecord, look: Look, frames: Sequence[int] | None = None) -> Iterator[bytes]:
        """An animated GIF of all frames or those named, in pieces; only one frame is held at a time.

        The first frame is made before this returns, so that what cannot be shown is said before anything is sent.
        A frame's display time comes from the Cine module (PS3.3 C.7.6.5).
        """
        if record.kind is not Kind.DICOM:
            raise Unsupported("only DICOM frames are made into an animation", code="no-frames")
        source = self._source(record)
        if (len(frames) if frames is not None else source.table.count) > _MOST_FRAMES:
            raise LimitExceeded(f"an animation has at most {_MOST_FRAMES} frames; name fewer", code="render-limit")
        wanted = list(range(1, source.table.count + 1) if frames is None else frames)
        if not wanted:
            raise BadRequest("an animation needs at least one frame")
        delays = frame_delays(DataSet(source.metadata.model), wanted)
        made = self._of_source(source, replace(look, media_type=GIF), wanted)
        first = next(made)
        start = animation_start(first) + animation_frame(first, first, delays[0])
        rest = (animation_frame(gif, first, delay) for gif, delay in zip(made, delays[1:], strict=True))
        return chain((start,), rest, (END,))

    def thumbnail(
        self,
        record: ImageRecord,
        media_type: str = "image/jpeg",
        viewport: Viewport | None = None,
        frame: int | None = None,
    ) -> bytes:
        """A small picture: of `frame`, the middle one where None."""
        look = Look(media_type, quality=_THUMBNAIL_QUALITY, viewport=viewport or _THUMBNAIL)
        if record.kind is not Kind.DICOM:
            return self.picture(record, look)
        source = self._source(record)
        middle = (source.table.count + 1) // 2
        return self._frame(self._request(source, replace(look, frame=middle if frame is None else frame)))

    def frame_request(self, record: ImageRecord, look: Look) -> FrameRequest:
        """All that rendering one frame takes: of the blob, that frame and the look-up tables are read."""
        return self._request(self._source(record), look)

    def _source(self, record: ImageRecord) -> _Source:
        known = self._recent.get((record.id, record.blob.sha256))
        if known is not None:
            return replace(known, record=record)
        found = self._platform.index.details([record.id]).get(record.id)
        if found is None:
            raise Unsupported("this instance has no pixel data of which a picture can be made", code="no-pixel-data")
        metadata = Metadata.from_bytes(found.metadata)
        syntax = record.transfer_syntax_uid or ""
        if found.frames is None:
            raise _without_frames(metadata, syntax)
        description = PixelDescription.from_data_set(DataSet(metadata.model), syntax)
        table = FrameTable.from_bytes(found.frames)
        source = _Source(record, _PARSED * len(found.metadata) + table.memory, metadata, table, description)
        self._keep(source)
        return source

    def _keep(self, source: _Source) -> None:
        """Remember an instance with what is loaded; one with too large tables is forgotten."""
        record, loaded = source.record, sum(list(source.loaded.values()))
        self._recent.put((record.id, record.blob.sha256), source, source.size + 2 * loaded)

    def _of_source(self, source: _Source, look: Look, frames: Sequence[int]) -> Iterator[bytes]:
        return (self._frame(self._request(source, replace(look, frame=frame))) for frame in frames)

    def _request(self, source: _Source, look: Look) -> FrameRequest:
        record = source.record
        data = read_frame(
            source.table, source.description, look.frame, lambda at, size: self._retrieve.span(record, at, size)
        )
        self._load_tables(source, look)
        model = rendering_model(source.metadata.model, look.frame, needed_tags(look.annotations, look.icc_profile))
        return FrameRequest(
            model=model,
            transfer_syntax_uid=record.transfer_syntax_uid or "",
            data=data,
            frame_number=look.frame,
            media_type=look.media_type,
            window=look.window,
            width=look.width,
            quality=look.quality,
            window_function=look.window_function,
            viewport=look.viewport,
            overlays=look.overlays,
            annotations=look.annotations,
            icc_profile=look.icc_profile,
        )

    def _load_tables(self, source: _Source, look: Look) -> None:
        """Put the bulk values that rendering this frame needs into the model, each once."""
        profiles = look.icc_profile not in (None, "no")
        for path, (offset, size) in source.metadata.bulk.items():
            if size > _MOST_TABLE or path in source.loaded:
                continue
            table = _TABLES.match(path)
            if table is not None:
                own = table["frame"]
                if (own is not None and int(own) != look.frame - 1) or (path[:2] == "60" and not look.overlays):
                    continue
            elif not (profiles and path in _PROFILES):
                continue
            holder, name = _holder(source.metadata.model, path)
            data = self._retrieve.span(source.record, offset, size)
            if holder[name].get("vr") == "OW" and source.record.transfer_syntax_uid == _BIG_ENDIAN:
                data = _swapped(data)
            holder[name] = {**holder[name], "InlineBinary": base64.b64encode(data).decode("ascii")}
            source.loaded[path] = size
            self._keep(source)

    def _frame(self, request: FrameRequest, make: Callable[[FrameRequest], bytes] = render_frame) -> bytes:
        if not is_plain(request):
            return self._run(make, request)
        # Native pixel data goes through no codec, only through arithmetic on arrays of checked size, and the way to
        # a worker and back costs more than that: pickling, a socket, two more copies of the frame.
        if not self._here.acquire(timeout=self._seconds):
            raise Saturated("all processors are busy with pictures")
        try:
            return make(request)
        except MemoryError:
            raise LimitExceeded("rendering needs more memory than there is", code="decode-out-of-memory") from None
        finally:
            self._here.release()

    def _run(self, task: Any, request: Any) -> bytes:
        made: bytes = self._platform.sandbox.run(task, request, seconds=self._seconds)
        return made


def _without_frames(metadata: Metadata, transfer_syntax_uid: str) -> Unsupported:
    """Why there is no picture of an instance without a frame table."""
    if transfer_syntax_uid in VIDEO:
        return Unsupported("its PixelData is a video stream, of which no picture is made", code="video")
    if "00420011" in metadata.model:
        return Unsupported("it is an encapsulated document, of which no picture is made", code="encapsulated-document")
    if not {"7FE00008", "7FE00009", "7FE00010"} & metadata.model.keys():
        return Unsupported("this instance has no pixel data of which a picture can be made", code="no-pixel-data")
    return Unsupported("its PixelData is empty, or cannot be told apart into frames", code="no-pixel-data")


def _holder(model: dict[str, dict[str, Any]], path: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The Data Set and key of the attribute that a bulk path names; the path was made from this very model."""
    *through, name = path.split("/")
    for tag, item in zip(through[::2], through[1::2], strict=True):
        model = model[tag]["Value"][int(item)]
    return model, name


def _swapped(data: bytes) -> bytes:
    """Words of a big-endian Data Set, little endian as the model has them."""
    words = array("H", data[: len(data) & ~1])
    words.byteswap()
    return words.tobytes()
