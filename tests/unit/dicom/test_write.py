"""The JSON model to files: read back equal by ourselves and by pydicom, bulk data never held."""

from __future__ import annotations

import base64
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from isocenter.dicom.elements import Limits
from isocenter.dicom.file_meta import part10_header
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.dicom.write import BulkPart, WrittenFile, part10_file
from isocenter.errors import IsocenterError, LimitExceeded, Malformed, Unsupported
from isocenter.testing.elements import EXPLICIT, IMPLICIT, JPEG, JPEG_LS, element, item, sequence
from isocenter.testing.instances import ct_slice

IDENTITY: dict[str, Any] = {
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
    "00080018": {"vr": "UI", "Value": ["2.25.1"]},
}
HEADER = part10_header("1.2.840.10008.5.1.4.1.1.2", "2.25.1", EXPLICIT)
IDENTITY_BYTES = element(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2") + element(0x00080018, "UI", "2.25.1")


def written(model: Mapping[str, Any], **options: Any) -> bytes:
    file = part10_file({**IDENTITY, **model}, **options)
    data = b"".join(file.chunks())
    assert len(data) == file.size
    return data


def read_back(data: bytes) -> dict[str, Any]:
    reader = HeaderReader(Limits(inline_bytes=1 << 20, value_bytes=1 << 20))
    reader.feed(data)
    header = reader.finish()
    found = encode(header.elements)
    assert found.unreadable == []
    return found.model


def bulk(parts: dict[str, Sequence[bytes]]) -> Callable[[str], list[BulkPart] | None]:
    return lambda uri: [BulkPart.of(part) for part in parts[uri]] if uri in parts else None


# By hand ------------------------------------------------------------------------------------------------------


def test_a_file_byte_for_byte() -> None:
    model = {
        "00280010": {"vr": "US", "Value": [512]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00400275": {"vr": "SQ", "Value": [{"00400007": {"vr": "LO", "Value": ["odd"]}}, {}]},
        "00081030": {"vr": "LO"},
        "00091001": {"vr": "UN", "InlineBinary": base64.b64encode(b"\1\2\3").decode()},
    }
    assert written(model) == HEADER + b"".join(
        (
            IDENTITY_BYTES,
            element(0x00080060, "CS", "CT"),
            element(0x00081030, "LO", ""),
            element(0x00091001, "UN", b"\1\2\3\0"),
            element(0x00280010, "US", b"\0\2"),
            sequence(
                0x00400275,
                item(element(0x00400007, "LO", "odd "), undefined=True),
                item(b"", undefined=True),
                undefined=True,
            ),
        )
    )


def test_text_that_is_not_ascii_makes_it_unicode_at_every_level() -> None:
    model = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00081111": {
            "vr": "SQ",
            "Value": [
                {"00080005": {"vr": "CS", "Value": ["ISO_IR 13"]}, "00081030": {"vr": "LO", "Value": ["M\u00fcller"]}}
            ],
        },
    }
    found = written(model)
    assert found.count(element(0x00080005, "CS", "ISO_IR 192")) == 2
    assert b"ISO_IR 100" not in found
    assert b"ISO_IR 13 " not in found
    unnamed = written({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "M\u00fcller"}]}})
    assert unnamed[len(HEADER) :].startswith(element(0x00080005, "CS", "ISO_IR 192"))


def test_ascii_text_leaves_the_character_set_as_it_is() -> None:
    assert element(0x00080005, "CS", "ISO_IR 100") in written({"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}})
    assert b"ISO_IR" not in written({"00081030": {"vr": "LO", "Value": ["plain"]}})


def test_native_bulk_data_of_several_parts_is_one_value() -> None:
    model = {"7FE00010": {"vr": "OW", "BulkDataURI": "frames"}}
    found = written(model, bulk=bulk({"frames": (b"\1\2\3", b"\4\5")}))
    assert found.endswith(pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 6) + b"\1\2\3\4\5\0")


def test_compressed_bulk_data_has_a_fragment_for_each_part() -> None:
    model = {"7FE00010": {"vr": "OB", "BulkDataURI": "frames"}, "00020010": {"vr": "UI", "Value": [JPEG_LS]}}
    found = written(model, bulk=bulk({"frames": (b"one", b"four")}))
    assert JPEG_LS.encode() in found[:400]
    assert found.endswith(
        pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
        + item(b"")
        + item(b"one\0")
        + item(b"four")
        + pack("<HHL", 0xFFFE, 0xE0DD, 0)
    )


def test_the_transfer_syntax_is_the_one_given_then_the_one_named() -> None:
    available = {"00083002": {"vr": "UI", "Value": [JPEG]}}
    pixels = {"7FE00010": {"vr": "OB", "BulkDataURI": "x"}}
    source = bulk({"x": (b"\xff\xd8",)})

    def file(model: Mapping[str, Any], **options: Any) -> WrittenFile:
        return part10_file({**IDENTITY, **model}, source, **options)

    assert file(available | pixels).transfer_syntax_uid == JPEG
    assert file(available | pixels, transfer_syntax_uid=JPEG_LS).transfer_syntax_uid == JPEG_LS
    assert file({}, transfer_syntax_uid=IMPLICIT).transfer_syntax_uid == EXPLICIT
    assert b"\x08\x00\x02\x30" not in b"".join(file(available | pixels).chunks())
    with pytest.raises(Unsupported):
        file({}, transfer_syntax_uid="1.2.3")


def test_bulk_data_is_opened_only_when_it_is_sent_and_held_to_its_size() -> None:
    opened: list[str] = []

    def part() -> Iterator[bytes]:
        opened.append("now")
        yield bytes(1 << 16)

    file = part10_file(
        {**IDENTITY, "7FE00010": {"vr": "OW", "BulkDataURI": "x"}}, lambda uri: [BulkPart(1 << 17, part)]
    )
    assert opened == []
    assert file.size > 1 << 17
    with pytest.raises(Malformed):
        list(file.chunks())


def test_a_value_anywhere_may_be_bulk_data() -> None:
    model = {
        "00281201": {"vr": "OW", "BulkDataURI": "lut"},
        "54000100": {"vr": "SQ", "Value": [{"54001010": {"vr": "OW", "BulkDataURI": "wave"}}]},
        "0040A160": {"vr": "UT", "BulkDataURI": "text"},
    }
    found = written(model, bulk=bulk({"lut": (b"\1\2",), "wave": (b"\3\4",), "text": (b"abc",)}))
    assert element(0x00281201, "OW", b"\1\2") in found
    assert element(0x54001010, "OW", b"\3\4") in found
    assert element(0x0040A160, "UT", b"abc ") in found


def test_groups_that_are_not_the_data_sets_stay_out() -> None:
    found = written({"00020002": {"vr": "UI", "Value": ["9.9"]}, "00080000": {"vr": "UL", "Value": [4]}})
    assert found == HEADER + IDENTITY_BYTES


# Refused ------------------------------------------------------------------------------------------------------

SECRET = "SECRET"


@pytest.mark.parametrize(
    ("model", "keyword"),
    [
        ({"00280010": {"Value": [1]}}, "Rows"),
        ({"00280010": {"vr": "XX", "Value": [1]}}, "Rows"),
        ({"00280010": {"vr": "\u00dcS", "Value": [1]}}, "Rows"),
        ({"00280010": 5}, "Rows"),
        ({"00280010": {"vr": "US", "Value": [SECRET]}}, "Rows"),
        ({"00280010": {"vr": "US", "Value": [1], "InlineBinary": SECRET}}, "Rows"),
        ({"00100010": {"vr": "PN", "Value": [SECRET]}}, "PatientName"),
        ({"00100010": {"vr": "LO", "Value": ["x" * 70000]}}, "PatientName"),
        ({"7FE00010": {"vr": "OW", "BulkDataURI": SECRET}}, "PixelData"),
        ({"00080060": {"vr": "CS", "BulkDataURI": "frames"}}, "Modality"),
        ({"00081111": {"vr": "SQ", "Value": {}}}, "ReferencedPerformedProcedureStepSequence"),
        ({"00081111": {"vr": "SQ", "Value": [5]}}, ""),
        ({"00081111": {"vr": "SQ", "InlineBinary": ""}}, "ReferencedPerformedProcedureStepSequence"),
        ({SECRET: {"vr": "CS"}}, ""),
        ({"FFFEE000": {"vr": "UN"}}, ""),
        ({"00080018": {"vr": "UI"}}, "SOPInstanceUID"),
        ({"00080016": {"vr": "UI", "Value": ["abc"]}}, "SOPClassUID"),
        ({"0028001A": {"vr": "US"}, "0028001a": {"vr": "US"}}, ""),
    ],
)
def test_a_bad_model_is_refused_by_keyword_and_without_its_values(model: Mapping[str, Any], keyword: str) -> None:
    with pytest.raises(Malformed) as caught:
        part10_file({**IDENTITY, **model}, bulk({"frames": (b"",)}))
    assert keyword in caught.value.detail
    assert SECRET not in caught.value.detail


def test_pixels_of_a_compressed_syntax_cannot_come_inline() -> None:
    with pytest.raises(Malformed):
        written({"7FE00010": {"vr": "OB", "InlineBinary": "AAAA"}}, transfer_syntax_uid=JPEG)


def test_nesting_and_numbers_are_limited() -> None:
    nested: dict[str, Any] = {}
    for _ in range(17):
        nested = {"00081111": {"vr": "SQ", "Value": [nested]}}
    with pytest.raises(LimitExceeded):
        written(nested)
    many = {f"0009{number:04X}": {"vr": "UN"} for number in range(0x1000, 0x1100)}
    with pytest.raises(LimitExceeded):
        written(many, limits=Limits(elements=200))


json_like: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["vr", "Value", "InlineBinary", "BulkDataURI", "00280010", "00081111", "00100010", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(json_like)
def test_whatever_comes_is_written_or_refused(model: Any) -> None:
    with suppress(IsocenterError):
        written(model if isinstance(model, dict) else {"00280010": model})


# Round trips --------------------------------------------------------------------------------------------------

letters = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), exclude_characters="\\=^\ufeff"
)
words = st.text(letters, min_size=1, max_size=20)
plain = st.text(st.sampled_from("ABCXYZ 0123456789_").filter(lambda c: c != " "), min_size=1, max_size=16)
numbers = {"US": (0, 2**16), "SS": (-(2**15), 2**15), "UL": (0, 2**32), "SL": (-(2**31), 2**31), "UV": (0, 2**64),
           "SV": (-(2**63), 2**63)}  # fmt: skip


def listed(values: st.SearchStrategy[Any], vr: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(values, min_size=1, max_size=4).map(lambda found: {"vr": vr, "Value": found})


def one(values: st.SearchStrategy[Any], vr: str) -> st.SearchStrategy[dict[str, Any]]:
    return values.map(lambda found: {"vr": vr, "Value": [found]})


def binary(vr: str, width: int) -> st.SearchStrategy[dict[str, Any]]:
    sizes = st.integers(1, 8).map(lambda count: count * max(2, width))
    values = sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size))
    return values.map(lambda data: {"vr": vr, "InlineBinary": base64.b64encode(data).decode()})


def with_gaps(values: st.SearchStrategy[Any], vr: str) -> st.SearchStrategy[dict[str, Any]]:
    """Nulls between values; a list of one null is an empty attribute."""
    return st.lists(st.none() | values, min_size=2, max_size=4).map(lambda found: {"vr": vr, "Value": found})


single = st.floats(width=32, allow_nan=False, allow_infinity=False)
double = st.floats(allow_nan=False, allow_infinity=False)
groups = st.fixed_dictionaries({}, optional=dict.fromkeys(("Alphabetic", "Ideographic", "Phonetic"), words)).filter(
    bool
)
attribute: st.SearchStrategy[dict[str, Any]] = st.one_of(
    *(listed(st.integers(low, high - 1), vr) for vr, (low, high) in numbers.items()),
    listed(single, "FL"), listed(double, "FD"), one(st.sampled_from(["NaN", "inf", "-inf"]), "FD"),
    listed(st.integers(0, 2**32 - 1).map(lambda tag: f"{tag:08X}"), "AT"),
    listed(st.integers(-(2**31), 2**31 - 1), "IS"),
    listed(st.integers(-(10**6), 10**6).map(lambda n: n / 64 if n % 64 else n // 64), "DS"),
    *(listed(plain, vr) for vr in ("AE", "CS", "DA", "TM", "DT", "AS")),
    *(listed(words, vr) for vr in ("LO", "SH", "UC")), *(one(words, vr) for vr in ("LT", "ST", "UT")),
    with_gaps(plain, "CS"), with_gaps(words, "LO"), with_gaps(groups, "PN"),
    one(plain, "UR"), listed(st.sampled_from(["1.2.3", "2.25.4"]), "UI"), listed(groups, "PN"),
    *(binary(vr, width) for vr, width in (("OB", 1), ("OW", 2), ("OF", 4), ("OL", 4), ("OD", 8), ("OV", 8), ("UN", 1))),
    st.sampled_from(["CS", "US", "PN", "SQ", "OB", "UN"]).map(lambda vr: {"vr": vr}),
)  # fmt: skip
# Private tags, so that no attribute has to have the VR of the dictionary.
tags = st.integers(0x1001, 0x10FF).map(lambda number: f"0033{number:04X}")
data_sets: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(tags, attribute, max_size=5),
    lambda inner: st.dictionaries(
        tags, attribute | st.lists(inner, min_size=1, max_size=3).map(lambda items: {"vr": "SQ", "Value": items}),
        max_size=4,
    ),
    max_leaves=6,
)  # fmt: skip


def canonical(model: Mapping[str, Any]) -> dict[str, Any]:
    """As our reader says the same: attributes in order, nulls alone left out, no character set."""
    found = {}
    for name in sorted(model):
        value = dict(model[name])
        if value["vr"] == "SQ" and "Value" in value:
            value["Value"] = [canonical(part) for part in value["Value"]]
        if "Value" in value and value["vr"] != "SQ" and all(part is None for part in value["Value"]):
            value["Value"] = [None] * len(value["Value"])
        found[name] = value
    found.pop("00080005", None)
    return found


@settings(max_examples=300)
@given(data_sets)
def test_what_is_written_is_read_back_equal(model: dict[str, Any]) -> None:
    found = canonical(read_back(written(model)))
    assert found == canonical({**IDENTITY, **model})


@settings(max_examples=100)
@given(data_sets)
def test_pydicom_reads_what_it_would_have_made_of_the_same_json(model: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydicom.Dataset.from_json(dict(model))
        found = pydicom.dcmread(BytesIO(written(model)))
        for part in expected:
            ours = found[part.tag]
            assert ours.VR == part.VR
            if part.VR == "DS":
                assert [float(x) for x in _listed(ours.value)] == [float(x) for x in _listed(part.value)]
            elif part.VR not in ("SQ", "UN", "OB", "FD", "FL", "PN"):
                assert _listed(ours.value) == _listed(part.value)


def _listed(value: Any) -> list[str]:
    """A value as a list of texts: pydicom makes numbers of different classes, and one value stands alone."""
    values = [value] if isinstance(value, str | bytes | int | float) or value is None else list(value)
    return [str(part).rstrip() for part in values if part not in (None, "")]


@pytest.mark.parametrize(
    "name", ["rtplan.dcm", "rtstruct.dcm", "reportsi.dcm", "test-SR.dcm", "CT_small.dcm", "waveform_ecg.dcm"]
)
def test_a_real_file_survives_json(name: str, tmp_path: Path) -> None:
    data = Path(str(get_testdata_file(name, download=False))).read_bytes()
    reader = HeaderReader()
    reader.feed(data)
    header = reader.finish()
    encoded = encode(header.elements)

    def find(uri: str) -> list[BulkPart]:
        offset, length = encoded.bulk[uri]
        return [BulkPart.of(data[offset : offset + length])]

    made = b"".join(part10_file(encoded.model, find).chunks())
    again = HeaderReader()
    again.feed(made)
    # Odd lengths and undefined ones are made right; nothing else may differ.
    assert encode(again.finish().elements).model == encoded.model
    (tmp_path / "made.dcm").write_bytes(made)
    done = subprocess.run(["dcmdump", "-q", tmp_path / "made.dcm"], capture_output=True, check=False)
    assert done.returncode == 0


def test_a_ct_slice_comes_out_as_pydicom_wrote_it() -> None:
    data = ct_slice(size=16)
    reader = HeaderReader()
    reader.feed(data)
    header = reader.finish()
    encoded = encode(header.elements)
    pixels = header.elements[0x7FE00010]
    part = BulkPart.of(data[pixels.offset : pixels.offset + pixels.length])
    made = b"".join(part10_file(encoded.model, lambda uri: [part]).chunks())
    before, after = pydicom.dcmread(BytesIO(data)), pydicom.dcmread(BytesIO(made))
    assert [part.tag for part in before] == [part.tag for part in after]
    for attribute_before in before:
        assert after[attribute_before.tag] == attribute_before
