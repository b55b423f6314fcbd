"""Text in every character set of the standard reads as pydicom reads it, and junk never fails."""

from __future__ import annotations

import codecs
import logging
import warnings
from pathlib import Path

import pydicom
import pydicom.charset
import pydicom.datadict
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom import tables
from isocenter.dicom.character_sets import CODECS, DESIGNATED, read_extended
from isocenter.dicom.characters import text_decoder
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader

_FILES = sorted((Path(pydicom.__file__).parent / "data" / "charset_files").glob("*.dcm"))
_TERMS = (
    "", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192", "ISO_IR 13", "GB18030", "GBK", "ISO 2022 IR 87",
    "\\ISO 2022 IR 149",
    "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159", "ISO_IR 999", "nonsense", "rot13", "\\" * 40,
)  # fmt: skip


def names(data_set: pydicom.Dataset) -> list[str]:
    found = []
    for element in data_set:
        if element.VR == "PN":
            values = element.value if element.VM > 1 else [element.value]
            found += [str(value) for value in values]
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                found += names(item)
    return found


def our_names(model: dict[str, dict[str, object]]) -> list[str]:
    found, inside = [], []
    for _, attribute in sorted(model.items()):
        values = attribute.get("Value", [])
        assert isinstance(values, list)
        if attribute["vr"] == "PN":
            groups = ("Alphabetic", "Ideographic", "Phonetic")
            found += ["=".join(value.get(group, "") for group in groups).rstrip("=") for value in values]
        elif attribute["vr"] == "SQ":
            for item in values:
                inside += our_names(item)
    return found + inside


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_names_read_as_pydicom_reads_them(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(path, force=True)
        data_set.decode()
        expected = names(data_set)
    reader = HeaderReader()
    reader.feed(path.read_bytes())
    found = our_names(encode(reader.finish().elements).model)
    assert [name.rstrip("^") for name in found] == [name.rstrip("^").rstrip("=") for name in expected if name]


@given(st.sampled_from(_TERMS), st.binary(max_size=200), st.sampled_from(["PN", "LO", "LT", "UT", "CS", "SH"]))
def test_any_bytes_become_text_in_any_character_set(terms: str, value: bytes, vr: str) -> None:
    text = text_decoder(terms.encode())
    assert isinstance(text.decode(value, vr), str)
    assert all(isinstance(name, str) for name in text.person(value))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\=^"), min_size=1, max_size=40))
def test_utf_8_comes_back(text: str) -> None:
    assert text_decoder(b"ISO_IR 192").decode(text.encode(), "LO") == text


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=60))
def test_any_character_set_may_be_stated(stated: bytes, value: bytes) -> None:
    assert isinstance(text_decoder(stated).decode(value, "LO"), str)


_CODECS = sorted(set(CODECS.values()))
_RUN = st.one_of(st.sampled_from([*DESIGNATED, b"\x1b", b"\x1b$(Z", b"^", b"\\", b"=", b"\r\n"]), st.binary(max_size=8))


@given(st.lists(_RUN, max_size=8), st.lists(st.sampled_from(_CODECS), min_size=1, max_size=4))
def test_code_extensions_read_as_pydicom_reads_them(runs: list[bytes], named: list[str]) -> None:
    value = b"".join(runs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydicom.charset.decode_bytes(value, named, {0x5E})
    assert read_extended(value, named, {0x5E}) == expected


def test_terms_and_escape_sequences_are_those_of_pydicom() -> None:
    assert {term: codecs.lookup(codec).name for term, codec in CODECS.items()} == {
        term: codecs.lookup(codec).name for term, codec in pydicom.charset.python_encoding.items()
    }
    assert DESIGNATED == pydicom.charset.CODES_TO_ENCODINGS


def test_tables_are_those_of_pydicom() -> None:
    assert pydicom._dicom_dict.DicomDictionary == tables.ATTRIBUTES
    assert pydicom._dicom_dict.RepeatersDictionary == tables.REPEATERS
    assert pydicom._uid_dict.UID_dictionary == tables.UIDS
    assert tables.private_attributes() == pydicom._private_dict.private_dictionaries
    assert tables.tags() == {word: tag for word, tag in pydicom.datadict.keyword_dict.items() if word}
