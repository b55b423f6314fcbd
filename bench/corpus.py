"""What is sent: images of nobody, the same for the same seed, made by the project's own builders, kept in a folder."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from bench.encodings import EXPLICIT, JPEG_BASELINE, by_name
from isocenter.testing.instances import cr_image, ct_slice, us_cine

VERSION = 1  # of what is made here; another number makes kept files anew
SIDE = 512
FRAME_BYTES = SIDE * SIDE * 2
CR_SHAPE = (3000, 2500)
US_SHAPE = (600, 800)
US_FRAMES = 60

_TEXTS = {
    0x00080070: "LO", 0x00080080: "LO", 0x00080081: "ST", 0x00080090: "PN", 0x00081010: "SH", 0x00081030: "LO",
    0x0008103E: "LO", 0x00081040: "LO", 0x00081048: "PN", 0x00081050: "PN", 0x00081060: "PN", 0x00081070: "PN",
    0x00081090: "LO", 0x00102180: "SH", 0x001021B0: "LT", 0x00104000: "LT", 0x00180010: "LO", 0x00181000: "LO",
    0x00181020: "LO", 0x00181030: "LO", 0x00321060: "LO", 0x00324000: "LT", 0x00400254: "LO", 0x00400280: "ST",
    0x00102000: "LO", 0x00102110: "LO", 0x00102154: "SH", 0x00102160: "SH", 0x00181160: "SH", 0x00181210: "SH",
    0x00321032: "PN", 0x00400007: "LO", 0x00400253: "SH", 0x00401001: "SH",
}  # fmt: skip
_NUMBERS = {
    0x00180060: "DS", 0x00180088: "DS", 0x00180090: "DS", 0x00181100: "DS", 0x00181110: "DS", 0x00181111: "DS",
    0x00181120: "DS", 0x00181130: "DS", 0x00181150: "IS", 0x00181151: "IS", 0x00181152: "IS", 0x00181170: "IS",
    0x00181190: "DS", 0x00189305: "FD", 0x00189306: "FD", 0x00189307: "FD", 0x00189309: "FD", 0x00189310: "FD",
    0x00189311: "FD", 0x00189345: "FD", 0x00201041: "DS", 0x00280106: "US", 0x00280107: "US",
    0x00181050: "DS", 0x00189324: "FD", 0x00189328: "FD",
}  # fmt: skip
_PLACES = (0x00080080, 0x00080081, 0x00081010, 0x00081040, 0x00102110, 0x00400280)  # texts that name places
_CODES = (0x00102154, 0x00181000, 0x00400253, 0x00401001)  # texts that are numbers of things


@dataclass(frozen=True)
class Identity:
    """Whose and which an instance is; everything made of these numbers has a fixed length."""

    run: int
    study: int
    series: int
    number: int

    @property
    def uids(self) -> tuple[str, str, str]:
        places = ((1, self.study), (2, self.series), (3, self.number))
        study, series, instance = (
            f"1.2.826.0.1.3680043.10.543.{10**9 + self.run}.{10**9 + place}.{10**9 + value}" for place, value in places
        )
        return study, series, instance

    @property
    def patient(self) -> str:
        return f"BENCH-{10**9 + self.run}-{10**5 + self.study:06d}."

    @property
    def texts(self) -> tuple[str, ...]:
        """Instance Number first: the others have digits in which its placeholder might be found."""
        return (f"{100_000 + self.number % 100_000}", self.patient, *self.uids)


_NOBODY = Identity(0, 0, 0, 87_654)


@dataclass(frozen=True)
class Template:
    """A file cut before its pixel data, so that another instance of it costs the client next to nothing."""

    head: bytes
    tail: bytes

    @property
    def size(self) -> int:
        return len(self.head) + len(self.tail)

    def header(self, identity: Identity) -> bytes:
        head = self.head
        for old, new in zip(_NOBODY.texts, identity.texts, strict=True):
            head = head.replace(old.encode(), new.encode())
        return head

    def instance(self, identity: Identity) -> bytes:
        return self.header(identity) + self.tail


@dataclass(frozen=True)
class MultiFrame:
    """An enhanced multi-frame of 512x512x16 bit frames, made as it is sent; a frame begins with its own number."""

    template: Template
    frames: int

    @property
    def size(self) -> int:
        return self.template.size + self.frames * FRAME_BYTES

    def chunks(self, identity: Identity) -> Iterator[bytes]:
        yield self.template.instance(identity)
        for number in range(1, self.frames + 1):
            yield self.frame(number)

    def frame(self, number: int) -> bytes:
        return number.to_bytes(4, "little") + self._noise[4:]

    @cached_property
    def _noise(self) -> bytes:
        return np.random.default_rng(11).bytes(FRAME_BYTES)


class Corpus:
    """The images by name; `folder` keeps what was made."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self._folder = folder
        self._seed = seed
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def ct(self) -> Template:
        """0.5 MB of 12-bit pixels with a scanner's noise, about 110 attributes."""
        return self._made("ct", lambda: _with_pixels(_header(self._seed), self.ct_pixels))

    @cached_property
    def tiny(self) -> Template:
        return self._made("tiny", lambda: _with_pixels(_header(self._seed), self.ct_pixels[240:272, 240:272]))

    def compressed(self, name: str) -> Template:
        """The CT in a transfer syntax of `encodings`."""
        encoding = by_name(name)
        data = encapsulate([encoding.encode(self.ct_pixels)])
        return self._made(f"ct-{name}", lambda: _encapsulated(_header(self._seed), encoding.syntax, data))

    def private(self, side: int) -> Template:
        """A CT with private attributes beside its own, such as scanners write: 39 KB at 128, 534 KB at 512."""
        start = (SIDE - side) // 2
        pixels = self.ct_pixels[start : start + side, start : start + side]
        return self._made(f"private-{side}", lambda: _with_pixels(_with_private(_header(self._seed)), pixels))

    @cached_property
    def cr(self) -> Template:
        def make() -> bytes:
            data_set = dcmread(io.BytesIO(cr_image(self._seed, rows=CR_SHAPE[0], columns=CR_SHAPE[1])))
            noise = np.random.default_rng(self._seed).normal(0, 8, CR_SHAPE)
            pixels = np.frombuffer(data_set.PixelData, "<u2").reshape(CR_SHAPE) + noise
            return _with_pixels(data_set, np.clip(pixels, 0, 4095).astype("<u2"))

        return self._made("cr", make)

    @cached_property
    def us(self) -> Template:
        """A cine of RGB frames in JPEG baseline."""

        def make() -> bytes:
            rows, columns = US_SHAPE
            data_set = dcmread(io.BytesIO(us_cine(self._seed, frames=US_FRAMES, rows=rows, columns=columns)))
            pixels = np.frombuffer(data_set.PixelData, "u1").reshape(US_FRAMES, rows, columns, 3)
            options: dict[str, Any] = {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "422"}
            frames = [bytes(imagecodecs.jpeg8_encode(frame, level=90, **options)) for frame in pixels]
            data_set.PhotometricInterpretation, data_set.LossyImageCompression = "YBR_FULL_422", "01"
            return _encapsulated(data_set, JPEG_BASELINE, encapsulate(frames))

        return self._made("us", make)

    def multi_frame(self, frames: int) -> MultiFrame:
        """An Enhanced CT whose functional groups have an item for each frame."""
        return MultiFrame(self._made(f"enhanced-{frames}", lambda: _enhanced(_header(self._seed), frames)), frames)

    @cached_property
    def ct_pixels(self) -> np.ndarray[Any, Any]:
        phantom = dcmread(io.BytesIO(ct_slice(self._seed, 6, size=SIDE)))
        noise = np.random.default_rng(self._seed).normal(0, 12, (SIDE, SIDE))
        pixels = np.frombuffer(phantom.PixelData, "<u2").reshape(SIDE, SIDE) + noise
        return np.clip(pixels, 0, 4095).astype("<u2")

    def _made(self, name: str, make: Callable[[], bytes]) -> Template:
        file = self._folder / f"{name}-seed{self._seed}-v{VERSION}.dcm"
        if not file.exists():
            made = file.with_suffix(".new")
            made.write_bytes(make())
            made.rename(file)
        return _cut(file.read_bytes())


def _cut(data: bytes) -> Template:
    """Pixel Data's tag, VR, reserved bytes and length still belong to the head."""
    end = data.index(b"\xe0\x7f\x10\x00O") + 12
    return Template(data[:end], data[end:])


def _header(seed: int) -> Dataset:
    """A CT's header of about 110 attributes."""
    data_set = dcmread(io.BytesIO(ct_slice(seed, size=SIDE)))
    for tag, vr in _TEXTS.items():
        data_set.add_new(tag, vr, "Benchmark^Phantom" if vr == "PN" else "bench phantom")
    for tag, vr in _NUMBERS.items():
        data_set.add_new(tag, vr, 123 if vr in ("IS", "US") else 1.25)
    return data_set


def _with_private(data_set: Dataset) -> Dataset:
    """A hundred private attributes of five creators: numbers, words and some bytes; names that nothing repeats."""
    for tag in (tag for tag, vr in _TEXTS.items() if vr == "PN"):
        data_set[tag].value = "Quexley^Zorana"
    for tag in _PLACES:
        data_set[tag].value = "Waldhaus"
    for tag in _CODES:
        data_set[tag].value = "ZQ47118015"
    for group, creator in ((0x09, "GEMS_IDEN_01"), (0x19, "GEMS_ACQU_01"), (0x21, "GEMS_RELA_01"),
                           (0x27, "GEMS_IMAG_01"), (0x43, "GEMS_PARM_01")):  # fmt: skip
        block = data_set.private_block(group, creator, create=True)
        for number in range(5):
            block.add_new(4 * number, "DS", ["1.25", "-0.5", str(number)])
            block.add_new(4 * number + 1, "SL", [1, 2, number])
            block.add_new(4 * number + 2, "LO", f"bench phantom {number}")
            block.add_new(4 * number + 3, "OB", bytes(20))
    return data_set


def _with_pixels(data_set: Dataset, pixels: np.ndarray[Any, Any]) -> bytes:
    data_set.Rows, data_set.Columns = pixels.shape
    data_set.PixelData = pixels.tobytes()
    return _written(data_set, EXPLICIT)


def _encapsulated(data_set: Dataset, syntax: str, data: bytes) -> bytes:
    data_set.PixelData = data
    data_set["PixelData"].VR = "OB"
    data_set["PixelData"].is_undefined_length = True
    return _written(data_set, syntax)


def _written(data_set: Dataset, syntax: str) -> bytes:
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID = _NOBODY.uids
    data_set.InstanceNumber, data_set.PatientID = _NOBODY.texts[:2]
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    out = io.BytesIO()
    data_set.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _enhanced(data_set: Dataset, frames: int) -> bytes:
    data_set.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2.1")
    data_set.NumberOfFrames = frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleIntercept"):
        delattr(data_set, keyword)
    for keyword in ("RescaleSlope", "RescaleType", "WindowCenter", "WindowWidth", "SliceThickness"):
        delattr(data_set, keyword)
    data_set.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[0.625, 0.625], SliceThickness="1.25")],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelValueTransformationSequence=[_item(RescaleIntercept="-1024", RescaleSlope="1", RescaleType="HU")],
        )
    ]
    data_set.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[_item(StackID="1", InStackPositionNumber=n, DimensionIndexValues=[1, n])],
            PlanePositionSequence=[_item(ImagePositionPatient=[-160.0, -160.0, 1.25 * n])],
            FrameVOILUTSequence=[_item(WindowCenter="40", WindowWidth="400")],
        )
        for n in range(1, frames + 1)
    ]
    data_set.PixelData = b""
    whole = _written(data_set, EXPLICIT)
    end = whole.rindex(b"\xe0\x7f\x10\x00OW\0\0") + 8
    return whole[:end] + (frames * FRAME_BYTES).to_bytes(4, "little")


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
