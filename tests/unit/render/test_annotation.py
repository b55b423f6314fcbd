"""Burned-in text: only what was asked for, legible, within the picture."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import BadRequest
from isocenter.render.annotation import annotate, patient_lines, technique_lines
from isocenter.render.asked import Viewport, parse_annotation
from isocenter.render.font import CELL_HEIGHT, CELL_WIDTH, text_bits
from isocenter.render.frame import FrameRequest, needed_tags, render_frame
from isocenter.render.functional_groups import rendering_model
from isocenter.render.voi import Window
from isocenter.testing.pixel_samples import EXPLICIT_LITTLE, image_model

PATIENT: dict[str, Any] = {
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane^^Dr"}]},
    "00100020": {"vr": "LO", "Value": ["4711"]},
    "00100030": {"vr": "DA", "Value": ["19700131"]},
    "00100040": {"vr": "CS", "Value": ["F"]},
}
TECHNIQUE: dict[str, Any] = {
    "00080060": {"vr": "CS", "Value": ["CT"]},
    "00080020": {"vr": "DA", "Value": ["20240215"]},
    "00080030": {"vr": "TM", "Value": ["101500.25"]},
    "00081030": {"vr": "LO", "Value": ["Chest"]},
    "0008103E": {"vr": "LO", "Value": ["Axial"]},
    "00200011": {"vr": "IS", "Value": [3]},
    "00200013": {"vr": "IS", "Value": [7]},
    "00200032": {"vr": "DS", "Value": [-10.5, 2, 30.25]},
    "00180050": {"vr": "DS", "Value": [5]},
    "00180060": {"vr": "DS", "Value": [120]},
}


def header(rows: int = 120, columns: int = 260, **more: Any) -> dict[str, Any]:
    return {**image_model(rows, columns, bits=8), **more}


def description(model: dict[str, Any]) -> PixelDescription:
    return PixelDescription.from_data_set(DataSet(model), EXPLICIT_LITTLE)


def rendered(model: dict[str, Any], **options: Any) -> np.ndarray[Any, Any]:
    data = bytes(model["00280010"]["Value"][0] * model["00280011"]["Value"][0])
    request = FrameRequest(model, EXPLICIT_LITTLE, data, media_type="image/png", **options)
    found: np.ndarray[Any, Any] = imagecodecs.png_decode(render_frame(request))
    return found


def read_line(picture: np.ndarray[Any, Any], top: int) -> str:
    """The text drawn in a row of cells, by comparison with each glyph."""
    glyphs = {text_bits(chr(code)).tobytes(): chr(code) for code in range(0x20, 0x7F)}
    letters = []
    for left in range(1, picture.shape[1] - CELL_WIDTH + 1, CELL_WIDTH):
        cell = (picture[top : top + CELL_HEIGHT, left : left + CELL_WIDTH] == 255).astype(np.uint8)
        letters.append(glyphs.get(cell.tobytes(), "\0"))
    return "".join(letters).rstrip()


def test_nothing_is_drawn_unless_asked() -> None:
    assert not rendered(header(**PATIENT, **TECHNIQUE)).any()


def test_the_patient_is_told_upper_left() -> None:
    found = rendered(header(**PATIENT, **TECHNIQUE), annotations=("patient",))
    assert [read_line(found, 1 + n * CELL_HEIGHT) for n in range(4)] == [
        "Doe Jane Dr",
        "ID 4711",
        "born 1970-01-31 F",
        "",
    ]
    assert not found[40:].any()


def test_the_technique_is_told_lower_left() -> None:
    model = header(**PATIENT, **TECHNIQUE)
    found = rendered(model, annotations=("technique",), window=(200.0, 10.0))
    lines = ["CT 2024-02-15 10:15 Chest", "Se 3 Axial", "Im 7 Pos -10.5 2 30.25", "Slice 5 mm 120 kV", "C 200 W 10"]
    tops = [found.shape[0] - 1 - (5 - n) * CELL_HEIGHT for n in range(5)]
    assert [read_line(found, top) for top in tops] == lines
    assert not found[:60].any()
    assert technique_lines(DataSet(model), description(model), 1, Window(200, 10)) == lines


def test_a_frame_is_told_by_its_number() -> None:
    model = header() | {"00280008": {"vr": "IS", "Value": [20]}}
    assert technique_lines(DataSet(model), description(model), 12) == ["Frame 12/20"]


def test_a_header_without_these_attributes_has_nothing_to_tell() -> None:
    assert patient_lines(DataSet({})) == []
    assert not rendered(header(), annotations=("patient", "technique")).any()


def test_letters_stand_on_a_black_edge_so_that_white_does_not_drown_them() -> None:
    model = header(**PATIENT)
    white = np.full((120, 260), 255, "u1")
    found = annotate(white, DataSet(model), description(model), 1, ("patient",))
    assert (found[:35] == 0).any()
    assert (white == 255).all()


def test_what_is_not_ascii_is_a_question_mark() -> None:
    np.testing.assert_array_equal(text_bits("M\u00fcller\n"), text_bits("M?ller?"))
    assert text_bits("").shape == (CELL_HEIGHT, 0)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 9), (15, 300), (2000, 3)])
def test_small_pictures_cut_the_text(rows: int, columns: int) -> None:
    found = rendered(header(rows, columns, **PATIENT, **TECHNIQUE), annotations=("patient", "technique"))
    assert found.shape == (rows, columns)


def test_text_grows_with_the_picture_and_is_never_mirrored() -> None:
    model = header(100, 100, **PATIENT)
    flipped = rendered(model, annotations=("patient",), viewport=Viewport(256, 256, 0, 0, -100, -100))
    assert read_line(flipped, 1) == "Doe Jane Dr"
    large = rendered(model, annotations=("patient",), viewport=Viewport(1024, 1024))
    assert read_line(large[::2, ::2], 1) == "Doe Jane Dr"


def test_text_is_drawn_on_colour() -> None:
    model = header(**PATIENT)
    found = annotate(np.zeros((120, 260, 3), "u1"), DataSet(model), description(model), 1, ("patient",))
    assert read_line(found[..., 0], 1) == read_line(found[..., 2], 1) == "Doe Jane Dr"


def test_a_worker_is_told_of_the_patient_only_for_an_annotation() -> None:
    model = header(**PATIENT, **TECHNIQUE)
    assert not set(rendering_model(model, 1)) & {*PATIENT, *TECHNIQUE}
    assert set(PATIENT) <= set(rendering_model(model, 1, needed_tags(("patient",), None)))
    technique = rendering_model(model, 1, needed_tags(("technique",), None))
    assert set(TECHNIQUE) <= set(technique)
    assert not set(technique) & set(PATIENT)


def test_the_parameter_is_read_as_ps3_18_writes_it() -> None:
    assert parse_annotation("patient") == ("patient",)
    assert parse_annotation("technique, patient,technique") == ("technique", "patient")
    for text in ("", "Patient", "patient,", "name"):
        with pytest.raises(BadRequest):
            parse_annotation(text)
