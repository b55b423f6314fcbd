"""Burned-in text about the patient and the technique (PS3.18 8.3.5.1.2): drawn only where it was asked for."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.render.asked import Annotation
from isocenter.render.font import CELL_HEIGHT, CELL_WIDTH, text_bits
from isocenter.render.voi import Voi, Window

Bytes = npt.NDArray[np.uint8]

# What the lines are made of; only a request for annotations carries these attributes to a worker.
PATIENT_TAGS: Final = (0x00100010, 0x00100020, 0x00100030, 0x00100040)
TECHNIQUE_TAGS: Final = (
    0x00080020, 0x00080030, 0x00080060, 0x00081030, 0x0008103E, 0x00180050, 0x00180060,
    0x00200010, 0x00200011, 0x00200013, 0x00200032, 0x00201041,
)  # fmt: skip
_MOST_LETTERS: Final = 64
_PIXELS_A_SIZE: Final = 512


def annotate(
    shown: Bytes,
    data_set: DataSet,
    description: PixelDescription,
    frame_number: int,
    wanted: tuple[Annotation, ...],
    voi: Voi | None = None,
) -> Bytes:
    """Draw what is wanted: the patient upper left, the technique lower left; white on a black edge."""
    drawn = np.array(shown)
    scale = max(1, min(drawn.shape[:2]) // _PIXELS_A_SIZE)
    step = CELL_HEIGHT * scale
    if "patient" in wanted:
        for number, line in enumerate(patient_lines(data_set)):
            _draw_line(drawn, line, scale + number * step, scale)
    if "technique" in wanted:
        lines = technique_lines(data_set, description, frame_number, voi)
        for number, line in enumerate(lines):
            _draw_line(drawn, line, drawn.shape[0] - scale - (len(lines) - number) * step, scale)
    return drawn


def patient_lines(data_set: DataSet) -> list[str]:
    """Patient's Name, Patient ID, Patient's Birth Date and Patient's Sex, as far as they are known."""
    name = " ".join((data_set.text(0x00100010) or "").replace("^", " ").split())
    birth, sex = _date(data_set, 0x00100030), (data_set.text(0x00100040) or "").strip()
    lines = [name, _prefixed("ID", data_set.text(0x00100020)), " ".join(filter(None, (_prefixed("born", birth), sex)))]
    return [line for line in lines if line]


def technique_lines(
    data_set: DataSet, description: PixelDescription, frame_number: int, voi: Voi | None = None
) -> list[str]:
    """Modality, study, series, image, place, exposure and window, as far as they are known."""
    time = (data_set.text(0x00080030) or "").strip()
    clock = f"{time[:2]}:{time[2:4]}" if time[:4].isdigit() and len(time) >= 4 else ""
    study = (data_set.text(0x00080060), _date(data_set, 0x00080020), clock, data_set.text(0x00081030))
    series = (_prefixed("Se", data_set.text(0x00200011)), data_set.text(0x0008103E))
    image = [_prefixed("Im", data_set.text(0x00200013))]
    if description.number_of_frames > 1:
        image.append(f"Frame {frame_number}/{description.number_of_frames}")
    position = data_set.numbers(0x00200032)
    if len(position) == 3:
        image.append("Pos " + " ".join(_number(n) for n in position))
    exposure = [_measure("Slice", data_set.number(0x00180050), "mm"), _measure("", data_set.number(0x00180060), "kV")]
    window = [f"C {_number(voi.center)} W {_number(voi.width)}"] if isinstance(voi, Window) else []
    lines = (study, series, image, exposure, window)
    joined = (" ".join(part.strip() for part in line if part and part.strip()) for line in lines)
    return [line for line in joined if line]


def _prefixed(word: str, text: str | None) -> str:
    return f"{word} {text.strip()}" if text and text.strip() else ""


def _measure(word: str, number: float | None, unit: str) -> str:
    return f"{word} {_number(number)} {unit}".strip() if number is not None else ""


def _number(number: float) -> str:
    return f"{number:.6g}"


def _date(data_set: DataSet, tag: int) -> str:
    text = (data_set.text(tag) or "").strip()
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text


def _draw_line(drawn: Bytes, text: str, top: int, scale: int) -> None:
    """One line, `scale` times the font's size, from the left edge on; what does not fit is cut off."""
    bits = text_bits(text[: min(_MOST_LETTERS, drawn.shape[1] // (CELL_WIDTH * scale) + 1)])
    bits = np.pad(bits, ((0, 0), (1, 0))).repeat(scale, axis=0).repeat(scale, axis=1)
    rows = slice(max(0, top), min(drawn.shape[0], top + bits.shape[0]))
    columns = min(bits.shape[1], drawn.shape[1])
    if rows.start >= rows.stop:
        return
    inside = bits[rows.start - top : rows.stop - top, :columns].astype(bool)
    edge = np.pad(inside, scale)
    near = np.zeros_like(inside)
    for down in (0, scale, 2 * scale):
        for across in (0, scale, 2 * scale):
            near |= edge[down : down + inside.shape[0], across : across + inside.shape[1]]
    target = drawn[rows, :columns]
    target[near] = 0
    target[inside] = 255
