"""What is sent: a CT of 0.5 MB with about 110 attributes, tiny instances, and a 629 MB multi-frame."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import dcmread
from pydicom.uid import UID

from isocenter.testing.instances import ct_slice

_TEXTS = {
    0x00080070: "LO", 0x00080080: "LO", 0x00080081: "ST", 0x00080090: "PN", 0x00081010: "SH", 0x00081030: "LO",
    0x0008103E: "LO", 0x00081040: "LO", 0x00081048: "PN", 0x00081050: "PN", 0x00081060: "PN", 0x00081070: "PN",
    0x00081090: "LO", 0x00102180: "SH", 0x001021B0: "LT", 0x00104000: "LT", 0x00180010: "LO", 0x00181000: "LO",
    0x00181020: "LO", 0x00181030: "LO", 0x00321060: "LO", 0x00324000: "LT", 0x00400254: "LO", 0x00400280: "ST",
}  # fmt: skip
_NUMBERS = {
    0x00180060: "DS", 0x00180088: "DS", 0x00180090: "DS", 0x00181100: "DS", 0x00181110: "DS", 0x00181111: "DS",
    0x00181120: "DS", 0x00181130: "DS", 0x00181150: "IS", 0x00181151: "IS", 0x00181152: "IS", 0x00181170: "IS",
    0x00181190: "DS", 0x00189305: "FD", 0x00189306: "FD", 0x00189307: "FD", 0x00189309: "FD", 0x00189310: "FD",
    0x00189311: "FD", 0x00189345: "FD", 0x00201041: "DS", 0x00280106: "US", 0x00280107: "US",
}  # fmt: skip


def _uid(run: int, place: int, value: int) -> str:
    """A UID of fixed length, without leading zeros."""
    return f"1.2.826.0.1.3680043.10.543.{10**9 + run}.{10**9 + place}.{10**9 + value}"


@dataclass(frozen=True)
class Template:
    """A file whose three UIDs stand at known places, so that a new instance costs the client next to nothing."""

    data: bytes
    elements: int

    def instance(self, run: int, study: int, number: int) -> bytes:
        """The file as another instance; UIDs keep their length."""
        data = self.data
        for place, value in ((1, study), (2, study), (3, number)):
            uid = _uid(0, place, 0).encode()
            data = data.replace(uid, _uid(run, place, value).encode())
        return data


def _template(rows: int, frames: int = 1) -> Template:
    uids = [_uid(0, place, 0) for place in (1, 2, 3)]
    data_set = dcmread(io.BytesIO(ct_slice(size=max(64, rows) if frames == 1 else 64)))
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID = uids
    data_set.file_meta.MediaStorageSOPInstanceUID = UID(uids[2])
    for tag, vr in _TEXTS.items():
        data_set.add_new(tag, vr, "Benchmark^Phantom" if vr == "PN" else "benchmark phantom")
    for tag, vr in _NUMBERS.items():
        data_set.add_new(tag, vr, 123 if vr in ("IS", "US") else 1.25)
    if frames == 1:
        data_set.Rows = data_set.Columns = rows
        data_set.PixelData = random.Random(7).randbytes(rows * rows * 2)
    out = io.BytesIO()
    data_set.save_as(out)
    return Template(out.getvalue(), len(data_set))


def ct() -> Template:
    """512x512 pixels of noise: 0.5 MB that no file system or network compresses."""
    return _template(512)


def tiny() -> Template:
    return _template(32)


@dataclass(frozen=True)
class MultiFrame:
    """A multi-frame of 1,200 frames 512x512x16 bit, made as it is sent."""

    header: bytes
    frames: int

    @property
    def size(self) -> int:
        return len(self.header) + self.frames * 512 * 512 * 2

    def chunks(self) -> Iterator[bytes]:
        yield self.header
        frame = random.Random(11).randbytes(512 * 512 * 2)
        for _ in range(self.frames):
            yield frame


def multi_frame(run: int, frames: int = 1200) -> MultiFrame:
    """The header of the template with Number of Frames, and a Pixel Data element of the right length."""
    data_set = dcmread(io.BytesIO(_template(512).instance(run, 1, 1)))
    data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7.3")
    data_set.Modality = "OT"
    data_set.NumberOfFrames = frames
    data_set.PixelData = b""
    out = io.BytesIO()
    data_set.save_as(out)
    whole = out.getvalue()
    end = whole.rindex(b"\xe0\x7f\x10\x00OW\0\0")
    length = frames * 512 * 512 * 2
    return MultiFrame(whole[: end + 8] + length.to_bytes(4, "little"), frames)
