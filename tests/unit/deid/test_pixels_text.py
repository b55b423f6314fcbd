"""Which texts go from pictures: known identifiers however they were read, and what looks like one; labels stay."""

from __future__ import annotations

import string
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.deid.burned_in import Wanted
from isocenter.deid.identifiers import Known, folded
from isocenter.deid.identifying_text import dates_in
from isocenter.ports.detector import TextBox

KNOWN = Known(
    frozenset(("winterbottom", "jane", "doe", "mueller", "springfield", "medical", "center", "breast")),
    frozenset(("4471903", "ab12cd34", "e801911", "779")),
    frozenset(("19510829", "20170302")),
)
WANTED = Wanted(KNOWN, "identifiers")


def line(*texts, y=100, gap=6, height=12):
    """Boxes one beside the other."""
    boxes, x = [], 10
    for text in texts:
        width = 7 * max(1, len(text))
        boxes.append(TextBox(text, 0.99, x, y, width, height))
        x += width + gap
    return boxes


@pytest.mark.parametrize(
    "text",
    [
        "WINTERBOTTOM JANE", "Winterbottom", "WlNTERB0TTOM", "W1NTERBOTTOM", "WINTERBOTOM", "WINTERBCTTOW",
        "WINTERBOTTOMJANE", "JANED0E", "WINTER BOTTOM", "WINTERBO...", "Wìnterbottom", "D0E", "MUELLER", "MUELER",
        "SPRlNGFIELD GENERAL", "4471903", "447-19-03", "44 71 903", "447I9O3", "ID4471903X", "4471908", "447190",
        "AB12-CD34", "E8O1911", "779", "08/29/1951", "29.8.51", "1951-08-29", "29 Aug 1951", "Aug 29, 51", "AUG291951",
        "19510829", "082951", "2017/03/02", "2 Mär 2017", "O3/02/2O17", "2017年3月2日",
    ],
)  # fmt: skip
def test_a_known_identifier_is_found_however_it_was_written_or_misread(text):
    assert WANTED.reason(text) == "identifier"


@pytest.mark.parametrize(
    "text",
    [
        "DOB: 1944", "Name: X", "Patient Name SMITH", "MRN 12", "Acc#: 9", "ID: A-7", "Dr. House", "Mrs Peel",
        "DR HOUSE",
        "PEEL, EMMA MD", "SMITH^JOHN", "SMITH JOHN [M]", "Ref. Physician: X", "Operator: AB", "12/24/1999", "24.12.99",
        "Dec 2016", "1 Jan 20", "(617) 555-0123", "+1 617-555-0123", "123-45-6789", "00079241539", "E123456", "065Y",
        "45 yrs", "St. Mary Hospital", "Klinikum Nord", "05:24:57PM", "1.2.840.113663.1500.1", "jane@example.org",
        "Age: 45", "GEB: 1.1.1950", "Nachname Schmidt", "17.05.2024 12:31:09",
    ],
)  # fmt: skip
def test_what_looks_identifying_goes_without_being_known(text):
    assert Wanted(Known(), "identifiers").reason(text) == "pattern"


@pytest.mark.parametrize(
    "text",
    [
        "LIVER", "L", "R", "10 cm", "MI 1.2", "TIS0.0 MI 0.6", "L12-5", "36Hz", "2D", "60%", "Dyn R 58", "P Med", "Res",
        "4.0cm", "RT KIDNEY LONG", "C5-1/Abd Gen", "WW 400 WL 40", "kV 120 mAs 250", "SE:1 IM:23", "Zoom: 120%",
        "512x512",
        "EF 55.5 %", "0.00649046896", "LVIDd 4.5 cm", "PI 1.25 RI 0.7", "HR 72 bpm", "1/2", "Frame 12/100", "00:01:23",
        "MR ANGIO", "B-mode 3.5 MHz", "MED CHEST PA", "Adv Breast", "GA 20w3d", "+ Dist 2.35 cm", "AP ERECT", "Study 2",
        "1.5 T", "TE 90 TR 4000", "", "-", "...",
    ],
)  # fmt: skip
def test_what_says_something_of_the_image_alone_stays(text):
    assert WANTED.reason(text) is None


def test_where_all_goes_any_letter_or_digit_does():
    everything = Wanted(KNOWN, "all")
    assert everything.reason("LIVER") == "text"
    assert everything.reason("4") == "text"
    assert everything.reason("DOE") == "identifier"
    assert everything.reason("- .") is None


def test_names_over_adjoining_boxes_go_whole():
    boxes = line("LIVER", "WINTER", "BOTTOM", "2D")
    assert set(WANTED.found(boxes)) == {1, 2}
    assert set(WANTED.found(line("WINT", "ERBOTTOM"))) == {0, 1}
    assert WANTED.found(line("WINT", "ERBOTTOM", gap=90)) == {}


def test_a_date_over_adjoining_boxes_goes_whole():
    assert set(Wanted(Known(), "identifiers").found(line("24.12.", "1999", "GAIN"))) >= {0, 1}


def test_a_label_takes_what_stands_right_of_it_or_below():
    found = Wanted(Known(), "identifiers").found
    assert set(found(line("Name:", "SCHMITT", gap=40))) == {0, 1}
    label, name, other = (
        TextBox("Name:", 1, 10, 10, 50, 12),
        TextBox("SCHMITT", 1, 10, 26, 60, 12),
        line("GAIN", y=200)[0],
    )
    assert set(found([label, name, other])) == {0, 1}
    assert set(found([label, other])) == {0}


def test_a_name_nobody_knows_goes_where_it_looks_like_one():
    found = Wanted(Known(), "identifiers").found
    assert set(found(line("SMITH JOHN", "00079241539", "Adv Breast"))) == {0, 1}
    assert set(found(line("Smith John", "GAIN"))) == set()
    assert set(found(line("SMITH, JOHN P."))) == {0}
    assert set(found(line("LIVER, SAG"))) == set()


def test_names_in_ideographs_are_found_between_others():
    wanted = Wanted(Known(frozenset(("田中", "王"))), "identifiers")
    assert wanted.reason("患者田中太郎様") == "identifier"
    assert wanted.reason("肝臓") is None


def test_the_time_beside_a_date_goes_and_a_lone_one_stays():
    found = Wanted(Known(), "identifiers").found
    assert set(found(line("03/02/2017", "17:24:57", "GAIN"))) == {0, 1}
    assert found(line("17:24", "GAIN")) == {}


@given(
    name=st.text(st.sampled_from(string.ascii_letters + "äéøñç"), min_size=6, max_size=14),
    data=st.data(),
)
def test_any_name_is_found_in_any_case_with_one_letter_misread(name, data):
    wanted = Wanted(Known(frozenset((folded(name),))), "identifiers")
    place = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters))
    written = data.draw(st.sampled_from([name, name.upper(), f"L {name.lower()} 2", f"{name}JOHN"]))
    assert wanted.reason(written) == "identifier"
    assert wanted.reason(name[:place] + letter + name[place + 1 :]) == "identifier"


@given(code=st.text(st.sampled_from(string.digits), min_size=5, max_size=12), data=st.data())
def test_any_number_is_found_whatever_parts_it(code, data):
    wanted = Wanted(Known(codes=frozenset((code,))), "identifiers")
    place = data.draw(st.integers(1, len(code) - 1))
    separator = data.draw(st.sampled_from([" ", "-", ".", "/", ""]))
    assert wanted.reason(code[:place] + separator + code[place:]) == "identifier"


@given(day=st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31)))
def test_any_day_is_found_in_every_form(day):
    known = Wanted(Known(dates=frozenset((f"{day:%Y%m%d}",))), "identifiers")
    for form in (
        "%Y-%m-%d",
        "%m/%d/%Y",
        "%d.%m.%Y",
        "%d %b %Y",
        "%b %d, %Y",
        "%d-%b-%y",
        "%Y%m%d",
        "%d%m%y",
        "%m/%d/%y",
    ):
        assert known.reason(day.strftime(form)) == "identifier", form


@given(st.text(max_size=60))
def test_no_text_breaks_it(text):
    WANTED.reason(text)
    list(dates_in(folded(text)))
    WANTED.found(line(text, text))
