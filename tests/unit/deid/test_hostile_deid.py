"""Hostile and odd files through de-identification: released sound and without identity, or refused with a code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import dcmread
from tests.unit.deid.canaries import DEFLATED, plain

from isocenter.deid.engine import Deidentifier
from isocenter.deid.identifiers import Gathered
from isocenter.deid.scan import Finder
from isocenter.deid.source import InMemory, data_set_reader, header_of
from isocenter.dicom.characters import text_decoder
from isocenter.dicom.elements import Limits
from isocenter.errors import LimitExceeded, Rejected
from isocenter.testing.elements import description, element, identity, instance, item, meta, native, sequence
from isocenter.testing.hostile import corpus
from isocenter.testing.hostile_data_sets import Hostile, bomb
from isocenter.testing.instances import CT_STORAGE, ct_slice, uid

_BUNDLED = Path(pydicom.__file__).parent / "data"
_SLOWEST = 20.0  # a hang, not a goal
_GROWTH = 200 << 20
_IDENTITY = ("PatientName", "PatientID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_PIXELS = description() + native(bytes(range(32)))
_RAW_LUT = bytes(range(256)) * (1 << 16)


def everything() -> Iterator[Hostile]:
    for path in sorted(_BUNDLED.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            yield Hostile(f"pydicom/{path.name}", path.read_bytes(), "either")
    yield from corpus()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("profile", ["basic", "tcia"])
def test_every_file_is_released_without_identity_or_refused_with_a_code(
    deidentifier: Callable[..., Deidentifier], profile: str
) -> None:
    ours = deidentifier(profile)
    ours.deidentify_bytes(ct_slice(1))
    faults, released, refused = [], 0, 0
    for file in everything():
        before, started = _resident_from_here(), time.monotonic()
        try:
            output = ours.deidentify_bytes(file.data)[0]
        except Rejected as error:
            refused += 1
            if not error.code:
                faults.append(f"{file.name}: refused without a code")
            output = None
        growth = _peak() - before
        if time.monotonic() - started > _SLOWEST or growth > _GROWTH:
            faults.append(f"{file.name}: {time.monotonic() - started:.1f} s, {growth >> 20} MB")
        if output is not None:
            released += 1
            faults += [f"{file.name}: {fault}" for fault in _faults(file.data, output)]
    assert faults == []
    assert released > 300
    assert refused > 150


def _faults(data: bytes, output: bytes) -> Iterator[str]:
    """What a reader cannot read of an output, and what identified the source and is still there."""
    after = dcmread(BytesIO(output))
    values = {str(one.value).strip(" \0") for one in after.iterall() if one.VR != "SQ"}
    before = header_of(InMemory(data), Limits())
    body = plain(output)
    if after.PatientIdentityRemoved != "YES":
        yield "it does not say that identity was removed"
    for keyword in _IDENTITY:
        found = before.elements.get(pydicom.datadict.tag_for_keyword(keyword) or 0)
        written = found.value.strip(b" \0") if found is not None and isinstance(found.value, bytes) else b""
        if keyword.endswith("UID"):
            if written.decode("latin-1") in values and written and not written.startswith(b"1.2.840.10008."):
                yield f"{keyword} is left"
        elif sum(sign in b"abcdefghijklmnopqrstuvwxyz0123456789" for sign in written.lower()) > 4 and written in body:
            yield f"{keyword} is left"


def _resident_from_here() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def _names(count: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "^".join(f"Qz{letters[n % 26]}{letters[n // 26 % 26]}{letters[n // 676 % 26]}x" for n in range(count))


def _odd(name: str, *parts: bytes) -> bytes:
    return instance(uid(0, "hostile-deid", name), *parts, _PIXELS)


_LUT = element(0x00281201, "OW", _RAW_LUT)
_SLOW = {
    "many-names": _odd("names", element(0x00101001, "PN", _names(8000)), _LUT),
    "many-codes": _odd("codes", element(0x00101000, "LO", "\\".join(f"A{n:06d}" for n in range(7000))), _LUT),
    "many-dates": _odd(
        "dates", element(0x00080022, "DA", "\\".join(f"{1000 + n // 28}01{1 + n % 28:02d}" for n in range(7000))), _LUT
    ),
    "many-references": _odd(
        "references",
        sequence(
            0x00081140,
            b"".join(
                item(element(0x00081150, "UI", CT_STORAGE) + element(0x00081155, "UI", f"1.2.826.0.1.77.{n}"))
                for n in range(30_000)
            ),
        ),
    ),
    "one-digit": _odd(
        "digit", element(0x00101000, "LO", "1111111"), element(0x00281201, "OW", b"1" * (16 << 20))
    ),
    "one-sign": _odd(
        "sign", element(0x00101000, "LO", "1-1-1-1"), element(0x00281201, "OW", b"1-" * (4 << 20))
    ),
    "short-words": _odd(
        "short", element(0x00101001, "PN", "LEE^ANN"), element(0x00281201, "OW", b"abc " * (4 << 20))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _SLOW)
def test_identifiers_in_great_number_keep_nobody_waiting(deidentifier, name):
    before, started = _resident_from_here(), time.monotonic()
    with suppress(Rejected):
        output = deidentifier("basic").deidentify_bytes(_SLOW[name])[0]
        assert dcmread(BytesIO(output)).PatientIdentityRemoved == "YES"
    assert time.monotonic() - started < _SLOWEST
    assert _peak() - before < _GROWTH


def test_what_would_take_too_long_to_look_for_is_refused():
    known = Gathered()
    known.name(_names(1500))
    with pytest.raises(LimitExceeded, match="too many identifiers"):
        Finder(known.known()).is_clean(_RAW_LUT)


@pytest.mark.parametrize("count", [3, 300])
def test_many_numbers_are_found_as_few_are(count):
    known = Gathered()
    for number in range(count):
        known.code(f"{7000000 + number}")
        known.exact.add(f"1.2.826.0.1.{5000 + number}")
        known.dates.add(f"2013{1 + number // 28 % 12:02d}{1 + number % 28:02d}")
    sought = Finder(known.known())
    for hit in ("7000001", "x7000002.", "uid 1.2.826.0.1.5001", "20130102", "1.2.826.0.1.5002\0", "20130103.5"):
        assert not sought.is_clean(hit.encode()), hit
        assert sought.spans(hit), hit
    for miss in ("17000001", "70000012", "1.2.826.0.1.5001.7", "1.1.2.826.0.1.5001", "120130102"):
        assert sought.is_clean(miss.encode()), miss
        assert sought.spans(miss) == [], miss


def test_short_names_are_found_wherever_they_stand():
    known = Gathered()
    known.name("LEE^ANN")
    for start in range((1 << 20) - 5, (1 << 20) + 3):
        data = bytearray(b" " * ((1 << 20) + 20))
        data[start : start + 3] = b"Lee"
        assert Finder(known.known()).has_alone(bytes(data)), start


@pytest.mark.parametrize(("stated", "left"), [("rot13", "ISO_IR 100"), ("NOPE\\ISO 2022 IR 87", "ISO 2022 IR 87")])
def test_a_character_set_that_nobody_knows_does_not_stay(deidentifier, stated, left):
    inner = item(element(0x00080005, "CS", stated) + element(0x00081150, "UI", CT_STORAGE))
    data = instance(uid(0, "hostile-deid", stated), sequence(0x00081140, inner), _PIXELS)
    at = data.index(b"\x08\x00\x16\x00UI")
    output = deidentifier("tcia").deidentify_bytes(data[:at] + element(0x00080005, "CS", stated) + data[at:])[0]
    found: Any = dcmread(BytesIO(output))
    expected = left if "\\" not in left else left.split("\\")
    assert found.SpecificCharacterSet == expected
    assert found.ReferencedImageSequence[0].SpecificCharacterSet == expected
    assert stated.encode() not in output


def _deflated(size: int) -> bytes:
    name = uid(0, "hostile-deid", "deflated")
    return meta(DEFLATED, name) + bomb(identity(name) + native(b"", length=size), size)


def test_a_deflated_data_set_is_read_forwards_and_backwards_in_little_memory():
    size = 128 << 20
    source = InMemory(_deflated(size))
    header = header_of(source, Limits())
    read = data_set_reader(source, header, Limits())
    at = header.elements[0x7FE00010].offset
    before = _resident_from_here()
    assert read(at, 4) == bytes(4)
    assert read(at + size - 4, 8) == bytes(4)
    assert read(0, 8) == b"\x08\x00\x16\x00UI" + read(6, 2)
    assert _peak() - before < 32 << 20
    for _ in range(10):
        assert read(at + (1 << 20), 4) == bytes(4)
        assert read(0, 4) == b"\x08\x00\x16\x00"


def test_what_a_value_identifies_by_is_the_same_each_time():
    text = text_decoder(None)
    first, second = Gathered(), Gathered()
    for found in (first, first, second):
        found.value(0x00100010, "PN", b"KAUFMAN^ANN", text)
        found.value(0x00100030, "DA", b"19700102", text)
        found.value(0x00080018, "UI", b"1.2.826.0.1.77", text)
        found.value(0x00100020, "LO", b"X" * 200 + b"-1", text)
        found.value(0x00081030, "LO", b"Chest", text)
    assert first.known() == second.known()
    assert second.words == {"kaufman", "ann"}
    assert second.dates == {"19700102"}
    second.words.add("other")
    assert "other" not in first.words
