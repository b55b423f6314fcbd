"""Descriptions keep their medical words and lose people, places, numbers, dates."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.deid.free_text import clean_text
from isocenter.deid.identifiers import Gathered, folded
from isocenter.deid.scan import Finder


@pytest.fixture(scope="module")
def finder() -> Finder:
    known = Gathered()
    known.name("KAUFMAN^SCOTT")
    known.code("6774825273")
    known.place("Francis, Todd and Boyer Medical Center")
    known.dates.add("20130911")
    return Finder(known.known())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("CT CHEST W/CONTRAST FOR Scott Kaufman 03/04/1990", "CT CHEST W/CONTRAST FOR"),
        ("T2_TSE_TRA_320 B30f 5.0mm", "T2_TSE_TRA_320 B30f 5.0mm"),
        ("AX T1 FLAIR +C", "AX T1 FLAIR +C"),
        ("seen by Dr. Smith, MD 555-0100", "seen by"),
        ("MRN: 6774825273 lesion right upper lobe 12 x 14 mm", "lesion right upper lobe 12 x 14 mm"),
        ("Thorax 1.25 Lung KAUFMANSCOTT", "Thorax 1.25 Lung"),
        ("ABD/PELVIS W&WO", "ABD/PELVIS W&WO"),
        ("Quentin visited 2013-09-11 for biopsy", "for biopsy"),
        ("call 410-955-1234", ""),
        ("Head 2.0 J45s 3 AXIAL", "Head 2.0 J45s 3 AXIAL"),
        ("20130911 body", "body"),
        ("A. Miller R knee", "A. R knee"),
        ("sent to x.y@example.org", "sent to"),
        ("seen at http://pacs.example.org/view?id=4", "seen at"),
        ("12 Mulberry Street, lesion", "lesion"),
        ("boyer protocol", "protocol"),
        ("SSN 123-45-6789", ""),
        ("", ""),
        ("Σκώτ liver", "liver"),
        ("MR LUMBAR SPINE W/O", "MR LUMBAR SPINE W/O"),
        ("MR SMITH KNEE", ""),
        ("Mr Young, knee", "knee"),
        ("Dr. Gray, liver", "liver"),
        ("12 South St, liver", "liver"),
        ("2 MM NECK ST", "2 MM NECK ST"),
        ("3 marker 10 margin 12 decubitus 20", "3 marker 10 margin 12 decubitus 20"),
        ("5 March 2011 and 7 dec 11 liver", "and liver"),
        ("DWI b1000 ADC", "DWI b1000 ADC"),
        ("mr1234 ab1234 liver", "liver"),
    ],
)
def test_what_is_left_of_a_description(finder, text, left):
    assert clean_text(text, finder, only_known=True) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Zebrafish protocol 7", "Zebrafish protocol 7"),
        ("for Kaufman, Scott", "for"),
        ("tel: 410-955-1234 ext", "ext"),
        ("born 22 Jul 1943", "born"),
        ("120 kV 250 mAs", "120 kV 250 mAs"),
    ],
)
def test_text_that_no_rule_names_loses_only_what_identifies(finder, text, left):
    assert clean_text(text, finder, only_known=False) == left


@given(st.text(max_size=80))
def test_cleaning_twice_is_cleaning_once(text):
    nobody = Finder(Gathered().known())
    once = clean_text(text, nobody, only_known=True)
    assert clean_text(once, nobody, only_known=True) in (once, clean_text(once, nobody, only_known=True))
    assert len(folded(once)) <= len(folded(text)) + 1


@given(st.text(alphabet="abcdefghij", min_size=5, max_size=12), st.text(max_size=30), st.text(max_size=30))
def test_a_known_name_is_never_left(name, before, after):
    known = Gathered()
    known.name(name)
    if not known.words:
        return  # a word that identifies nobody
    finder = Finder(known.known())
    for only_known in (True, False):
        assert name not in folded(clean_text(f"{before} {name.upper()} {after}", finder, only_known=only_known))


@pytest.mark.parametrize("piece", ["a", "a.", "1.", "12-", "a-b_", "jan ", "dr a ", "1:1", "name: a ", "x,y^"])
def test_a_long_text_takes_its_length_and_not_its_square(finder, piece):
    # Seconds a text were seen; the bound is generous, for a machine that has other things to do.
    began = time.monotonic()
    clean_text((piece * 60_000)[:60_000], finder, only_known=True)
    assert time.monotonic() - began < 5
