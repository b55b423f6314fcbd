"""The JSON model as XML: the standard's own form, everything escaped, nothing lost."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydicom.data import get_testdata_file

from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.dicom.xml_write import NAMESPACE, to_xml

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
)


def xml(model: Mapping[str, Mapping[str, Any]]) -> str:
    found = to_xml(model).decode("utf-8")
    assert found.startswith(HEAD)
    assert found.endswith("</NativeDicomModel>\n")
    ElementTree.fromstring(found)  # well formed
    return found[len(HEAD) : -len("</NativeDicomModel>\n")]


def test_values_are_numbered_and_attributes_named() -> None:
    model: dict[str, Any] = {
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
        "00280010": {"vr": "US", "Value": [512]},
    }
    assert xml(model) == (
        '<DicomAttribute tag="00080008" keyword="ImageType" vr="CS"><Value number="1">ORIGINAL</Value>'
        '<Value number="2"/><Value number="3">AXIAL</Value></DicomAttribute>'
        '<DicomAttribute tag="00280010" keyword="Rows" vr="US"><Value number="1">512</Value></DicomAttribute>'
    )


def test_a_name_is_split_into_its_components() -> None:
    name = {"Alphabetic": "Yamada^Tarou^^Dr.", "Ideographic": "\u5c71\u7530^\u592a\u90ce"}
    assert xml({"00100010": {"vr": "PN", "Value": [name]}}) == (
        '<DicomAttribute tag="00100010" keyword="PatientName" vr="PN"><PersonName number="1">'
        "<Alphabetic><FamilyName>Yamada</FamilyName><GivenName>Tarou</GivenName><NamePrefix>Dr.</NamePrefix></Alphabetic>"
        "<Ideographic><FamilyName>\u5c71\u7530</FamilyName><GivenName>\u592a\u90ce</GivenName></Ideographic>"
        "</PersonName></DicomAttribute>"
    )


def test_sequences_bulk_data_and_binary_values() -> None:
    model: dict[str, Any] = {
        "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}]},
        "00091001": {"vr": "UN", "InlineBinary": "AQI="},
        "7FE00010": {"vr": "OW", "BulkDataURI": 'a?b=1&c="2"'},
        "00081030": {"vr": "LO"},
    }
    assert xml(model) == (
        '<DicomAttribute tag="00081030" keyword="StudyDescription" vr="LO"/>'
        '<DicomAttribute tag="00081140" keyword="ReferencedImageSequence" vr="SQ"><Item number="1">'
        '<DicomAttribute tag="00081155" keyword="ReferencedSOPInstanceUID" vr="UI"><Value number="1">1.2</Value>'
        '</DicomAttribute></Item><Item number="2"></Item></DicomAttribute>'
        '<DicomAttribute tag="00091001" vr="UN"><InlineBinary>AQI=</InlineBinary></DicomAttribute>'
        '<DicomAttribute tag="7FE00010" keyword="PixelData" vr="OW">'
        "<BulkData uri='a?b=1&amp;c=\"2\"'/></DicomAttribute>"
    )


def test_private_attributes_name_their_creator_instead_of_their_block() -> None:
    model: dict[str, Any] = {
        "00090010": {"vr": "LO", "Value": ['ACME "1"']},
        "00091002": {"vr": "DS", "Value": [1.5]},
        "00091102": {"vr": "DS", "Value": [2]},
    }
    assert xml(model) == (
        '<DicomAttribute tag="00090010" vr="LO"><Value number="1">ACME "1"</Value></DicomAttribute>'
        '<DicomAttribute tag="00090002" privateCreator=\'ACME "1"\' vr="DS">'
        '<Value number="1">1.5</Value></DicomAttribute>'
        '<DicomAttribute tag="00091102" vr="DS"><Value number="1">2</Value></DicomAttribute>'
    )


def test_a_creator_with_two_blocks_keeps_them_apart() -> None:
    model: dict[str, Any] = {
        "00090010": {"vr": "LO", "Value": ["ACME"]},
        "00090011": {"vr": "LO", "Value": ["ACME"]},
        "00091002": {"vr": "DS", "Value": [1]},
        "00091102": {"vr": "DS", "Value": [2]},
    }
    assert 'tag="00091002"' in xml(model)
    assert 'tag="00091102"' in xml(model)


def test_markup_is_escaped_and_line_ends_survive() -> None:
    assert '<Value number="1">&lt;a&gt; &amp; b\n&#13;</Value>' in xml(
        {"00081030": {"vr": "LO", "Value": ["<a> & b\n\r"]}}
    )


def test_what_xml_cannot_say_is_written_in_base64() -> None:
    found = xml({"00081030": {"vr": "LO", "Value": ["a\x1bb", "\u00e9"]}})
    text = base64.b64encode("a\x1bb\\\u00e9".encode()).decode()
    assert f"<InlineBinary>{text}</InlineBinary>" in found


def model_of(name: str) -> tuple[Path, dict[str, dict[str, Any]]]:
    path = Path(str(get_testdata_file(name, download=False)))
    reader = HeaderReader()
    reader.feed(path.read_bytes())
    header = reader.finish()
    return path, encode(header.elements, big_endian=header.encoding.big_endian).model


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "reportsi.dcm"])
def test_dcmtk_writes_the_same_document_but_for_what_is_left_open(name: str) -> None:
    """Held against dcm2xml: the same attributes, names and values; numbers and spaces it writes as they lie."""
    path, model = model_of(name)
    done = subprocess.run(["dcm2xml", "-nat", "+Xn", "+U8", str(path)], capture_output=True, check=False)
    theirs = _flat(ElementTree.fromstring(done.stdout.decode("utf-8", "replace")))
    ours = _flat(ElementTree.fromstring(to_xml(model)))
    wanted = {key: value for key, value in theirs.items() if key[:4] != "0002" and key[:8] != "00080005"}
    assert wanted.keys() <= ours.keys()
    for key, value in wanted.items():
        assert _same(ours[key], value), key


def _flat(node: ElementTree.Element, path: str = "") -> dict[str, str]:
    found = {}
    for attribute in node.findall(f"{{{NAMESPACE}}}DicomAttribute"):
        name = path + attribute.attrib["tag"] + attribute.attrib.get("privateCreator", "").strip()
        found[name] = attribute.attrib["vr"]
        for item in attribute.findall(f"{{{NAMESPACE}}}Item"):
            found |= _flat(item, f"{name}/{item.attrib['number']}/")
        for value in attribute.iter(f"{{{NAMESPACE}}}Value"):
            if value.text:
                found[f"{name}#{value.attrib['number']}"] = value.text
        for part in attribute.iter():
            if part.tag.endswith("Name") and not part.tag.endswith("PersonName") and part.text:
                found[f"{name}#{part.tag}"] = part.text
    return found


def _same(ours: str, theirs: str) -> bool:
    try:
        return abs(float(ours) - float(theirs)) <= 1e-5 * abs(float(theirs))
    except ValueError:
        return ours.strip() == theirs.strip()
