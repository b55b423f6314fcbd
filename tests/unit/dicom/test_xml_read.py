"""XML to the JSON model: what we wrote comes back, and documents that mean harm do not get far."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from isocenter.dicom.elements import Limits
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.dicom.xml_read import from_xml
from isocenter.dicom.xml_write import to_xml
from isocenter.errors import IsocenterError, LimitExceeded, Malformed


def document(content: str, *, declared: str = "") -> bytes:
    return f'<?xml version="1.0"?>{declared}<NativeDicomModel>{content}</NativeDicomModel>'.encode()


def attribute(tag: str, vr: str, content: str, more: str = "") -> str:
    return f'<DicomAttribute tag="{tag}" vr="{vr}"{more}>{content}</DicomAttribute>'


def one(vr: str, content: str, tag: str = "00091001") -> dict[str, Any]:
    return from_xml(document(attribute(tag, vr, content)))[tag]


@pytest.mark.parametrize(
    ("vr", "text", "value"),
    [("US", "512", 512), ("SV", "-9223372036854775808", -(2**63)), ("FD", "1.5", 1.5), ("FL", "NaN", "NaN"),
     ("FD", "-INF", "-inf"), ("DS", "0.5", 0.5), ("DS", "7", 7), ("IS", "-3", -3), ("IS", "x", "x"),
     ("AT", "00209057", "00209057"), ("LO", " a&lt;b ", " a<b "), ("LT", "a\r\nb&#13;", "a\nb\r")],
)  # fmt: skip
def test_values_become_what_json_has_for_their_vr(vr: str, text: str, value: Any) -> None:
    assert one(vr, f'<Value number="1">{text}</Value>') == {"vr": vr, "Value": [value]}


def test_numbers_left_out_are_empty_values() -> None:
    found = one("CS", '<Value number="2">A</Value><Value number="4"/>')
    assert found == {"vr": "CS", "Value": [None, "A", None, None]}
    assert one("CS", "<Value>A</Value><Value>B</Value>")["Value"] == ["A", "B"]
    assert one("CS", '<Value number="1"></Value>') == {"vr": "CS"}


def test_a_name_is_put_together() -> None:
    name = (
        '<PersonName number="1"><Alphabetic><GivenName>G</GivenName><NameSuffix>S</NameSuffix></Alphabetic>'
        "<Phonetic><FamilyName>P</FamilyName></Phonetic></PersonName>"
    )
    assert one("PN", name) == {"vr": "PN", "Value": [{"Alphabetic": "^G^^^S", "Phonetic": "P"}]}


def test_items_bulk_data_and_binary_values() -> None:
    assert one(
        "SQ", f'<Item number="1">{attribute("00080060", "CS", "<Value>CT</Value>")}</Item><Item number="2"/>'
    ) == {
        "vr": "SQ",
        "Value": [{"00080060": {"vr": "CS", "Value": ["CT"]}}, {}],
    }
    assert one("OW", '<BulkData uri="x&amp;y"/>') == {"vr": "OW", "BulkDataURI": "x&y"}
    assert one("OB", '<BulkData uuid="1-2"/>') == {"vr": "OB", "BulkDataURI": "1-2"}
    assert one("OB", "<InlineBinary> AQ\nI= </InlineBinary>") == {"vr": "OB", "InlineBinary": "AQI="}
    assert one("LO", "<InlineBinary>YRti</InlineBinary>") == {"vr": "LO", "Value": ["a\x1bb"]}


def test_an_attribute_may_be_known_by_its_keyword_alone() -> None:
    assert from_xml(document('<DicomAttribute keyword="Rows" vr="US"/>')) == {"00280010": {"vr": "US"}}


def test_private_attributes_find_the_block_of_their_creator_or_a_free_one() -> None:
    of_acme = ' privateCreator="ACME"'
    found = from_xml(
        document(
            attribute("00090002", "DS", "<Value>1</Value>", of_acme)
            + attribute("00090010", "LO", "<Value>OTHER</Value>")
            + attribute("00090011", "LO", "<Value>ACME</Value>")
            + attribute("000B0002", "DS", "<Value>2</Value>", of_acme)
            + attribute("000D1202", "DS", "<Value>3</Value>", of_acme)
            + attribute("00091003", "DS", "<Value>4</Value>", of_acme)
        )
    )
    assert {name: value["Value"][0] for name, value in found.items()} == {
        "00090010": "OTHER", "00090011": "ACME", "00091102": 1, "00091103": 4,
        "000B0010": "ACME", "000B1002": 2, "000D0012": "ACME", "000D1202": 3,
    }  # fmt: skip


# Hostile ------------------------------------------------------------------------------------------------------

SECRET = "SECRET"
LAUGHS = '<!DOCTYPE x [<!ENTITY a "SECRETSECRET"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "data",
    [
        document(attribute("00080060", "LO", "<Value>&b;</Value>"), declared=LAUGHS),
        document(attribute("00080060", "LO", "<Value>&a;</Value>"), declared=OUTSIDE),
        document("", declared='<!DOCTYPE NativeDicomModel SYSTEM "http://example.org/x.dtd">'),
        document("", declared='<!DOCTYPE NativeDicomModel [<!ENTITY % p SYSTEM "file:///x"> %p;]>'),
        document(attribute("00080060", "LO", "<Value>&unknown;</Value>")),
        b"",
        b"{}",
        b"<NativeDicomModel>",
        b"<html/>",
        b'<NativeDicomModel xmlns="urn:other"/>',
        document("SECRET"),
        document("<Value>SECRET</Value>"),
        document("<DicomAttribute/>"),
        document(attribute("SECRET", "CS", "")),
        document(attribute("00080060", "SECRET", "")),
        document(attribute("00080060", "CS", "") * 2),
        document(attribute("00280010", "US", "<Value>SECRET</Value>")),
        document(attribute("00280010", "FD", "<Value>SECRET</Value>")),
        document(attribute("00280010", "US", '<Value number="0">1</Value>')),
        document(attribute("00280010", "US", '<Value number="2">1</Value><Value number="1">1</Value>')),
        document(attribute("00280010", "US", '<Value number="x">1</Value>')),
        document(attribute("00280010", "US", "<InlineBinary>AQI=</InlineBinary>")),
        document(attribute("00280010", "LO", "<InlineBinary>SECRET*</InlineBinary>")),
        document(attribute("00280010", "US", '<Value>1</Value><BulkData uri="SECRET"/>')),
        document(attribute("00280010", "US", "<Item/>")),
        document(attribute("00280010", "SQ", "<Value>1</Value>")),
        document(attribute("00280010", "SQ", '<Item number="2"/>')),
        document(attribute("00100010", "PN", "<Value>SECRET</Value>")),
        document(attribute("00100010", "LO", "<PersonName><Phonetic><GivenName>x</GivenName></Phonetic></PersonName>")),
        document(attribute("00100010", "LO", "<Value><b>SECRET</b></Value>")),
        b'<?xml version="1.0" encoding="nonsense"?><NativeDicomModel/>',
        b'<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel>\xff</NativeDicomModel>',
    ],
)  # fmt: skip
def test_a_bad_document_is_refused_without_being_quoted(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        from_xml(data)
    assert SECRET not in caught.value.detail


def test_depth_number_and_size_are_limited() -> None:
    nested = ""
    for _ in range(17):
        nested = attribute("00081140", "SQ", f"<Item>{nested}</Item>")
    with pytest.raises(LimitExceeded):
        from_xml(document(nested))
    with pytest.raises(LimitExceeded):
        from_xml(document(attribute("00080008", "CS", "<Value/>" * 100)), Limits(elements=50))
    with pytest.raises(LimitExceeded):
        from_xml(document(" " * 2000), Limits(header_bytes=1000))


def test_values_left_out_take_no_memory_that_was_not_sent() -> None:
    with pytest.raises(LimitExceeded):
        one("CS", '<Value number="9999999">A</Value>')
    skips = "".join(attribute(f"0009{n:04X}", "CS", '<Value number="65000">A</Value>') for n in range(0x1001, 0x1100))
    tracemalloc.start()
    with pytest.raises(LimitExceeded):
        from_xml(document(skips))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@given(st.binary(max_size=200) | st.text("<>/&;\"'= aNativeDicomModelValue\n").map(str.encode))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for text in (data, document("") + data, document(data.decode("latin-1"))):
        try:
            from_xml(text)
        except IsocenterError:
            continue


def test_chunks_and_namespaces_make_no_difference() -> None:
    data = to_xml({"00080060": {"vr": "CS", "Value": ["CT", "\u00e9"]}})
    expected = {"00080060": {"vr": "CS", "Value": ["CT", "\u00e9"]}}
    assert from_xml(data) == expected
    assert from_xml(data[at : at + 1] for at in range(len(data))) == expected
    assert from_xml(data.decode().replace("UTF-8", "UTF-16").encode("utf-16")) == expected


# Round trips --------------------------------------------------------------------------------------------------

text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
name_text = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="=\\ "), min_size=1
)
# Components end without a caret, which XML has no component for.
group = name_text.map(lambda name: name.rstrip("^")).filter(bool)
names = st.fixed_dictionaries({}, optional=dict.fromkeys(("Alphabetic", "Ideographic", "Phonetic"), group)).filter(bool)


def values(inner: st.SearchStrategy[Any], vr: str) -> st.SearchStrategy[dict[str, Any]]:
    listed = st.lists(inner | st.none(), min_size=1, max_size=4).filter(lambda found: found != [None])
    return listed.map(lambda found: {"vr": vr, "Value": found})


sayable = text.filter(lambda found: all(ord(c) > 31 or c in "\t\n\r" for c in found) and "\ufffe" not in found)
sayable = sayable.filter(lambda found: "\uffff" not in found)
attributes = st.one_of(
    values(sayable, "LO"), values(names, "PN"), values(st.integers(0, 2**16 - 1), "US"),
    values(st.integers(-(2**63), 2**63 - 1), "SV"), values(st.floats(allow_nan=False, allow_infinity=False), "FD"),
    values(st.sampled_from(["NaN", "inf", "-inf"]), "FL"), values(st.integers(-(10**9), 10**9), "IS"),
    values(st.floats(-1e9, 1e9).filter(lambda n: "e" not in repr(n)), "DS"),
    sayable.map(lambda uri: {"vr": "OW", "BulkDataURI": uri}),
    st.just({"vr": "OB", "InlineBinary": "AQI="}), st.just({"vr": "SQ"}), st.just({"vr": "UN"}),
)  # fmt: skip
tags = st.sampled_from(["00080060", "00280010", "00100010", "00091001", "00091102", "0009FF01", "7FE00010", "00091201"])
models: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(tags, attributes, max_size=5),
    lambda inner: st.dictionaries(
        tags, attributes | st.lists(inner, min_size=1, max_size=3).map(lambda items: {"vr": "SQ", "Value": items})
    ),
    max_leaves=6,
)  # fmt: skip
creators = st.dictionaries(
    st.sampled_from(["00090010", "00090011", "000900FF"]),
    sayable.map(lambda creator: {"vr": "LO", "Value": [creator]}),
)


def ordered(model: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name in sorted(model):
        value = model[name]
        if value["vr"] == "SQ" and "Value" in value:
            value = {"vr": "SQ", "Value": [ordered(item) for item in value["Value"]]}
        found[name] = value
    return found


@settings(max_examples=300)
@given(models, creators)
def test_what_is_written_is_read_back_equal(model: dict[str, Any], private: dict[str, Any]) -> None:
    whole = ordered(model | private)
    assert from_xml(to_xml(whole)) == whole


@given(st.text(min_size=1).map(lambda found: found.strip(" \0")).filter(bool))
def test_text_comes_back_whatever_it_holds(value: str) -> None:
    """Control characters too, but for the backslash that parts values and letters that no encoding has."""
    if "\\" in value or any(0xD800 <= ord(letter) < 0xE000 for letter in value):
        return
    whole = {"00081030": {"vr": "LT", "Value": [value]}}
    assert from_xml(to_xml(whole)) == whole


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "rtplan.dcm", "rtstruct.dcm", "test-SR.dcm", "reportsi.dcm", "waveform_ecg.dcm", "badVR.dcm"],
)
def test_a_real_header_survives_xml(name: str) -> None:
    reader = HeaderReader()
    reader.feed(Path(str(get_testdata_file(name, download=False))).read_bytes())
    model = encode(reader.finish().elements).model
    assert from_xml(to_xml(model)) == model
