"""The first look and a full reading of the header say the same of every file that the first look takes."""

from __future__ import annotations

from pathlib import Path

import pydicom.data
import pytest

from isocenter.deid.engine import LOOKED_AT
from isocenter.deid.first_look import told
from isocenter.deid.source import InFile, InMemory, header_of
from isocenter.dicom.elements import Limits
from isocenter.errors import Rejected
from isocenter.testing.instances import ct_slice

FILES = sorted(path for path in Path(pydicom.data.__file__).parent.rglob("*") if path.suffix in (".dcm", ""))


def test_it_says_what_a_full_reading_says() -> None:
    taken = 0
    for path in FILES:
        if not path.is_file():
            continue
        with InFile(path) as source:
            found = told(source, LOOKED_AT)
            if found is None:
                continue
            try:
                elements = header_of(source, Limits()).elements
            except Rejected:
                continue  # it goes nowhere, whatever was learned of it
        taken += 1
        assert found == {tag: one for tag, one in elements.items() if one.vr == "PN" or tag in LOOKED_AT}, path.name
    assert taken > 20


def test_it_leaves_what_is_cut_short_or_changed_to_a_full_reading() -> None:
    data = ct_slice(PatientName="QUARLES^ALMA")
    assert told(InMemory(data), LOOKED_AT) is not None
    limits = Limits()
    for place in range(132, len(data) - 1, 7):
        for changed in (data[:place], data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]):
            found = told(InMemory(changed), LOOKED_AT)
            if found is None:
                continue
            try:
                elements = header_of(InMemory(changed), limits).elements
            except Rejected:
                continue
            want = {tag: one for tag, one in elements.items() if one.vr == "PN" or tag in LOOKED_AT}
            assert {tag: one.value for tag, one in found.items()} == {tag: one.value for tag, one in want.items()}


@pytest.mark.parametrize("data", [b"", b"DICM" * 40, bytes(128) + b"DICM", bytes(200)])
def test_what_is_no_ordinary_file_is_none_of_its(data: bytes) -> None:
    assert told(InMemory(data), LOOKED_AT) is None
