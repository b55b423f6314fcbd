"""Memory stays that of the header and a chunk, and nothing hides where two windows meet."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import UID

from isocenter.deid.identifiers import Gathered, Known
from isocenter.deid.scan import Finder, Windows
from isocenter.deid.source import InFile
from isocenter.errors import Rejected
from isocenter.testing.instances import ct_slice

MEGABYTES = 48
WINDOW = 1 << 20


def large(path: Path, *, name: bytes = b"", place: int = 0) -> Path:
    """An instance whose kept waveform is many megabytes, with a name somewhere in it."""
    data_set = dcmread(BytesIO(ct_slice(PatientName="QUARLES^ALMA", PatientID="MRN4711X")))
    data = bytearray(bytes(range(32, 48)) * (MEGABYTES << 16))
    data[place : place + len(name)] = name
    item = Dataset()
    item.add_new(0x54001004, "US", 16)
    item.add_new(0x54001010, "OW", bytes(data))
    data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.9.1.1")
    data_set.WaveformSequence = Sequence([item])
    del data_set.PixelData
    data_set.save_as(path)
    return path


@pytest.mark.parametrize("profile", ["basic", "tcia"])
def test_bulk_values_that_are_no_pixels_pass_in_chunks(deidentifier: Any, tmp_path: Path, profile: str) -> None:
    path = large(tmp_path / "ecg.dcm")
    deidentifier(profile).deidentify_bytes(ct_slice())  # tables and lists are loaded once
    tracemalloc.start()
    digest, size = hashlib.sha256(), 0

    def put(piece: bytes | memoryview) -> None:
        nonlocal size
        digest.update(piece)
        size += len(piece)

    try:
        with InFile(path) as source:
            released = deidentifier(profile).deidentify(source)
            evidence = released.write(put)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > MEGABYTES << 20
    assert evidence.scanned_bytes > MEGABYTES << 20
    assert evidence.output_sha256 == digest.hexdigest()
    assert evidence.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert peak < 16 << 20


def test_a_name_in_a_bulk_value_keeps_the_instance_back(deidentifier: Any, tmp_path: Path) -> None:
    path = large(tmp_path / "ecg.dcm", name=b"Quarles", place=30 << 20)
    with InFile(path) as source, pytest.raises(Rejected) as caught:
        deidentifier().deidentify(source)
    assert caught.value.code == "identifier-left"


def known() -> Known:
    gathered = Gathered()
    gathered.name("QUARLES^ALMA BEATRIX")
    gathered.code("4711234567")
    gathered.line("1999-07-23")
    return gathered.known()


def windowed(finder: Finder, data: bytes, step: int) -> bool:
    windows = Windows(finder, alone=False)
    for start in range(0, len(data), step):
        windows.take(data[start : start + step])
    windows.end()
    assert windows.size == len(data)
    return windows.is_clean


def around_the_seam(size: int) -> Iterator[int]:
    yield from range(size - 40, size + 12)


@pytest.mark.parametrize("token", [b"quarles", b"4711234567", b"19990723", b"BEATRIX"])
def test_no_identifier_hides_where_windows_meet(token: bytes) -> None:
    finder = Finder(known())
    for place in around_the_seam(WINDOW):
        data = bytearray(b" " * (WINDOW + (WINDOW >> 1)))
        data[place : place + len(token)] = token
        assert not windowed(finder, bytes(data), WINDOW), place
        assert not windowed(finder, bytes(data), 65_521), place


def test_part_of_a_longer_number_is_no_find_where_windows_meet() -> None:
    finder = Finder(known())
    for place in around_the_seam(WINDOW):
        for token in (b"888844711234567", b"471123456799999", b"1.2.19990723.5"):
            data = bytearray(b" " * (WINDOW + (WINDOW >> 1)))
            data[place : place + len(token)] = token
            assert finder.is_clean(bytes(data))
            assert windowed(finder, bytes(data), WINDOW), (place, token)
