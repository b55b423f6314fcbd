"""Rendered resources (PS3.18 10.4.1.1.3) and thumbnails."""

from __future__ import annotations

from collections.abc import Callable

import imagecodecs
import numpy as np

from bench.client import Answer, Request, WrongAnswer
from bench.corpus import CR_SHAPE, SIDE, US_FRAMES, US_SHAPE
from bench.loading import CR, US, Archive
from bench.measure import Goal, Work

SECTION = "Render"
JPEG, PNG = "image/jpeg", "image/png"
_CT = (SIDE, SIDE)


def works(archive: Archive) -> list[Work]:
    cr, us = archive.place(CR).instance, archive.place(US).instance
    return [
        _work("ct-jpeg", "CT 512x512 as JPEG", lambda n: f"{archive.ct(n).instance}/rendered", JPEG, _CT, 2),
        _work("ct-png", "CT 512x512 as PNG", lambda n: f"{archive.ct(n).instance}/rendered", PNG, _CT, 5),
        _work(
            "ct-frame-jpeg", "CT by its frame as JPEG",
            lambda n: f"{archive.ct(n).instance}/frames/1/rendered", JPEG, _CT, 2,
        ),
        _work("cr-jpeg", "CR 3000x2500 as JPEG", lambda n: f"{cr}/rendered", JPEG, CR_SHAPE, 30),
        _work("cr-png", "CR 3000x2500 as PNG", lambda n: f"{cr}/rendered", PNG, CR_SHAPE, 150),
        _work(
            "us-frame-jpeg", f"frame of a US cine 800x600 (JPEG baseline, {US_FRAMES} frames) as JPEG",
            lambda n: f"{us}/frames/{1 + n * 7 % US_FRAMES}/rendered", JPEG, US_SHAPE, None,
        ),
        _work("thumbnail", "thumbnail of a CT", lambda n: f"{archive.ct(n).instance}/thumbnail", JPEG, None, None),
    ]  # fmt: skip


def _work(
    name: str, title: str, path: Callable[[int], str], kind: str, shape: tuple[int, int] | None, cpu: float | None
) -> Work:
    def expect(answer: Answer, number: int) -> None:
        stated = answer.headers.get_content_type()
        if stated != kind:
            raise WrongAnswer(f"{stated} came instead of {kind}")
        pixels = (imagecodecs.jpeg8_decode if kind == JPEG else imagecodecs.png_decode)(answer.body)
        if shape is not None and pixels.shape[:2] != shape:
            raise WrongAnswer(f"the picture has {pixels.shape[:2]} pixels instead of {shape}")
        if np.ptp(pixels) < 32:
            raise WrongAnswer("the picture is blank")

    full = name if name == "thumbnail" else f"rendered-{name}"
    return Work(full, SECTION, title, lambda n: Request(path(n), kind), expect, Goal(cpu_ms=cpu), tolerance=0.1)
