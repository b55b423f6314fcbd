"""A DICOM instance as algorithms see it: its Data Set, and its frames decoded one at a time."""

from __future__ import annotations

import base64
import re
import struct
import warnings
from array import array
from collections.abc import Iterator
from functools import cached_property
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, BytesIO, RawIOBase
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from isocenter.algorithms.base import Frame
from isocenter.algorithms.shown import padding_of, shown, transform_of
from isocenter.deid.source import InMemory, Readable, data_set_reader, header_of
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import decode_frame
from isocenter.dicom.elements import Limits
from isocenter.dicom.frames import frame_table, read_frame
from isocenter.dicom.guards import guard_pydicom
from isocenter.dicom.json_model import encode
from isocenter.dicom.pixel_description import EXPLICIT_BIG, PixelDescription
from isocenter.errors import Malformed
from isocenter.render.functional_groups import functional_group

# Bulk values that pixels are read with: palettes, LUT Data and Overlay Data.
_TABLES: Final = re.compile(r"(.*/)?(0028[0-9A-F]{4}|60[01][02468ACE]3000)\Z")
_MOST_TABLE: Final = 8 << 20
_PIXEL_MEASURES: Final = 0x00289110
# What pydicom raises for values that do not fit their VR.
_UNREADABLE: Final = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, struct.error, BytesLengthException,
)  # fmt: skip
# In order: Pixel Spacing, Imager Pixel Spacing, Nominal Scanned Pixel Spacing.
_SPACINGS: Final = (0x00280030, 0x00181164, 0x00182010)


class InstanceSource:
    """A DataSetInput out of bytes that are read by position.

    Raises Malformed, LimitExceeded or Unsupported where the header cannot be read.
    """

    def __init__(self, source: Readable, limits: Limits) -> None:
        self._source = source
        self._header = header_of(source, limits)
        self._read = data_set_reader(source, self._header, limits)
        encoded = encode(self._header.elements, big_endian=self._header.encoding.big_endian)
        self.model = DataSet(encoded.model)
        for path, (offset, size) in encoded.bulk.items():
            if size <= _MOST_TABLE and _TABLES.match(path):
                self._load(path, offset, size)

    def _load(self, path: str, offset: int, size: int) -> None:
        *through, name = path.split("/")
        model: Any = self.model.model
        for tag, item in zip(through[::2], through[1::2], strict=True):
            model = model[tag]["Value"][int(item)]
        data = self._read(offset, size)
        if model[name].get("vr") == "OW" and self.transfer_syntax_uid == EXPLICIT_BIG:
            words = array("H", data[: len(data) & ~1])
            words.byteswap()
            data = words.tobytes()
        model[name] = {**model[name], "InlineBinary": base64.b64encode(data).decode("ascii")}

    @property
    def transfer_syntax_uid(self) -> str:
        return self._header.transfer_syntax_uid

    @cached_property
    def description(self) -> PixelDescription:
        return PixelDescription.from_data_set(self.model, self.transfer_syntax_uid)

    @cached_property
    def _table(self) -> Any:
        return frame_table(self._header, self.description)

    @property
    def count(self) -> int:
        return self.description.number_of_frames

    @cached_property
    def data_set(self) -> Dataset:
        """The Data Set without pixel data, and without values that do not fit their VR; Malformed where it is none."""
        guard_pydicom()
        file = BytesIO(self._source.data) if isinstance(self._source, InMemory) else BufferedReader(_File(self._source))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            try:
                found = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            except (*_UNREADABLE, OSError, NotImplementedError, EOFError) as error:
                raise Malformed(f"the Data Set cannot be read ({type(error).__name__})") from None
            for tag in list(found.keys()):
                try:
                    element = found[tag]
                    for item in element.value if element.VR == "SQ" else ():
                        for _ in item.iterall():  # every value is converted here, where what fails can be left out
                            pass
                except _UNREADABLE:
                    del found[tag]
            found.decode()
        return found

    def frame(self, number: int) -> Frame:
        description = self.description
        data = read_frame(self._table, description, number, self._read)
        skip = 0 if description.encapsulated else description.frame_span(number).skip_bits
        decoded = decode_frame(description, data, skip_bits=skip)
        transform = transform_of(decoded, self.model, description, number)
        linear = transform is not None and transform.modality is None
        return Frame(
            stored=decoded.pixels,
            shown=shown(decoded, self.model, description, transform, number),
            number=number,
            spacing=self._spacing(number),
            modality=(self.model.text(0x00080060) or "").strip(),
            image_type=tuple(str(each).strip() for each in self.model.values(0x00080008)),
            slope=transform.slope if linear and transform is not None else 1.0,
            intercept=transform.intercept if linear and transform is not None else 0.0,
            background=padding_of(decoded.pixels, transform),
        )

    def frames(self) -> Iterator[Frame]:
        return (self.frame(number) for number in range(1, self.count + 1))

    def _spacing(self, number: int) -> tuple[float, float] | None:
        measures = functional_group(self.model, _PIXEL_MEASURES, number)
        for place in (measures, self.model):
            for tag in _SPACINGS if place is not None else ():
                found = place.numbers(tag) if place is not None else []
                if len(found) == 2 and all(0 < each < 1e6 for each in found):
                    return found[0], found[1]
        return None


class _File(RawIOBase):
    """A Readable as a file, for those who want one."""

    name = ""  # pydicom asks buffered files for it

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._at = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._source.size}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(self._at, min(len(buffer), max(0, self._source.size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
