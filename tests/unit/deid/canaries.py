"""Instances in which every attribute of Table E.1-1 holds a value of its own that can be looked for afterwards."""

from __future__ import annotations

import zlib
from io import BytesIO

from pydicom import Dataset, dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from isocenter.deid.table import table
from isocenter.dicom.dictionary import vr_of
from isocenter.testing.instances import CT_STORAGE

IMPLICIT, EXPLICIT, DEFLATED, BIG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
_TOP = frozenset((0x00080016, 0x00080018, 0x0020000D, 0x0020000E))
_TEXT = frozenset(("LO", "SH", "ST", "LT", "UT", "UC", "AE", "CS"))


class Canaries:
    """Makes values that are found nowhere else; `values` are those that may not be left."""

    def __init__(self, seed: int = 0) -> None:
        self._number = seed * 7
        self.values: list[bytes] = []

    def _new(self) -> int:
        self._number += 1
        return self._number

    def element(self, tag: int, vr: str) -> DataElement | None:
        """An element with a value of its own; None for numbers, which are found by chance."""
        number = self._new()
        word = f"ZQ{number:06d}XJ"
        if vr == "SQ":
            item = Dataset()
            item.PatientName = f"{word}^SEQ"
            item.ReferencedSOPInstanceUID = self._uid(number)
            self.values.append(word.encode())
            return DataElement(tag, "SQ", Sequence([item]))
        if vr in _TEXT:
            self.values.append(word.encode())
            return DataElement(tag, vr, word)
        if vr == "PN":
            self.values.append(word.encode())
            return DataElement(tag, vr, f"{word}^GIVEN")
        if vr == "UI":
            return DataElement(tag, vr, self._uid(number))
        if vr in ("DA", "DT"):
            day = f"{1600 + number % 250:04d}{1 + number // 250 % 12:02d}{1 + number // 3000 % 28:02d}"
            value = day if vr == "DA" else f"{day}101112.{number:06d}"
            self.values.append(value.encode())
            return DataElement(tag, vr, value)
        if vr in ("OB", "OW", "UN"):
            value_bytes = word.encode() + b"!" * (len(word) % 2)
            self.values.append(value_bytes)
            return DataElement(tag, vr, value_bytes)
        if vr == "UR":
            self.values.append(word.lower().encode())
            return DataElement(tag, vr, f"http://{word.lower()}.example/")
        return None

    def _uid(self, number: int) -> str:
        uid = f"1.2.826.0.1.99999.{700_000_000 + number}"
        self.values.append(uid.encode())
        return uid

    def fill(self, data_set: Dataset) -> Dataset:
        """Every attribute of the table that has a value to look for, but those that identify the instance."""
        for tag in sorted(table().rows):
            vr = vr_of(tag)
            if tag in _TOP or tag >> 16 < 8 or tag in data_set or tag == 0x00420011:
                continue
            element = self.element(tag, "LO" if vr == "UN" else vr[:2])
            if element is not None:
                data_set.add(element)
        return data_set

    def instance(self, syntax: str = EXPLICIT) -> Dataset:
        """A small CT image."""
        data_set = Dataset()
        data_set.SOPClassUID, data_set.Modality = CT_STORAGE, "CT"
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            setattr(data_set, keyword, self._uid(self._new()))
        data_set.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data_set.Manufacturer, data_set.Rows, data_set.Columns = "ACME", 4, 4
        data_set.BitsAllocated = data_set.BitsStored = 8
        data_set.HighBit, data_set.PixelRepresentation, data_set.SamplesPerPixel = 7, 0, 1
        data_set.PhotometricInterpretation = "MONOCHROME2"
        data_set.add_new(0x7FE00010, "OB", bytes(range(16)))
        data_set.file_meta = FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = UID(syntax)
        return data_set


def written(data_set: Dataset) -> bytes:
    """The Part 10 file of a Data Set."""
    buffer = BytesIO()
    syntax = data_set.file_meta.TransferSyntaxUID
    little, implicit = syntax != BIG, syntax == IMPLICIT
    dcmwrite(buffer, data_set, enforce_file_format=True, little_endian=little, implicit_vr=implicit)
    return buffer.getvalue()


def plain(data: bytes) -> bytes:
    """The bytes of a file, inflated where its Data Set is deflated."""
    if DEFLATED.encode() not in data[:400]:
        return data
    start = 144 + int.from_bytes(data[140:144], "little")
    return data[:start] + zlib.decompressobj(-15).decompress(data[start:])


def left_in(values: list[bytes], data: bytes) -> list[bytes]:
    """Which of the values are in these bytes."""
    low = plain(data).lower()
    return [value for value in values if value.lower() in low]
