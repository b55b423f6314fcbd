"""Plug-ins as others might write them, well and badly."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

import numpy as np

from isocenter.algorithms.base import Asks, Finding, Gives, Made, Output, Parameters, Takes, algorithm
from isocenter.errors import Malformed

SECRET = "Winterbottom^Agatha"


class Mean:
    """A plug-in that is a class."""

    name = "mean"
    version = "2.0"
    description = "Means of frames."
    parameters = Parameters
    takes = (Takes.FRAME,)
    gives = (Gives.FINDINGS,)
    suffix = "_mean"
    asks = None

    def run(self, source: Any, parameters: Parameters) -> Output:
        measured = {"mean": np.float32(source.stored.mean()), "rows": np.int64(source.stored.shape[0])}
        return Output((Finding("mean", np.float64(0.5), values=measured),))  # type: ignore[arg-type]  # as people do


class Badly(Parameters):
    how: str
    size: int = 0


@algorithm(name="badly", version="1", takes=Takes.FRAME, gives=Gives.FINDINGS, parameters=Badly)
def badly(source: Any, parameters: Badly) -> Any:
    """Goes wrong as it is told."""
    finding = Finding("x", 0.5)
    if parameters.how == "raise":
        raise RuntimeError(SECRET)
    if parameters.how == "refuse":
        raise Malformed("this one is broken", code="own-code")
    if parameters.how == "sleep":
        time.sleep(60)
    if parameters.how == "exit":
        os._exit(3)
    if parameters.how == "eat":
        return np.ones(parameters.size, np.uint8).sum()
    if parameters.how == "write":
        with tempfile.TemporaryFile() as file:
            file.write(b"something")
    if parameters.how == "large":
        return Output(made=(Made("text/plain", bytes(parameters.size), ".txt"),))
    return {
        "none": None,
        "label": Output((Finding("a\nb", 0.5),)),
        "confidence": Output((Finding("x", 1.5),)),
        "nan": Output((Finding("x", 0.5, values={"v": float("nan")}),)),
        "box": Output((Finding("x", 0.5, box=(1, 2, -3, 4)),)),
        "polygon": Output((Finding("x", 0.5, polygon=((1, 2), (3, 4))),)),
        "mask": Output((Finding("x", 0.5, box=(1, 2, 3, 4), mask=(2, 9)),)),
        "mask-alone": Output((Finding("x", 0.5, mask=(2, 9)),)),
        "mask-of-nothing": Output((Finding("x", 0.5, box=(1, 2, 3, 4), mask=(2, 0, 10)),)),
        "mask-between": Output((Finding("x", 0.5, box=(1.5, 2, 3, 4), mask=(2, 10)),)),
        "suffix": Output(made=(Made("text/plain", b"", "/../../etc/passwd"),)),
        "media": Output(made=(Made("text/html; x", b"", ".txt"),)),
        "twice": Output(made=(Made("text/plain", b"", ".txt"), Made("text/plain", b"", ".txt"))),
        "good": Output((finding,)),
    }[parameters.how]


@algorithm(name="depth", version="1", takes=Takes.VOLUME, gives=Gives.FINDINGS)
def depth(source: Any, parameters: Parameters) -> Output:
    """Says what the volume is."""
    corner = source.affine @ [1, 2, 3, 1]
    values = {f"spacing_{n}": each for n, each in enumerate(source.spacing)}
    values |= {f"corner_{n}": each for n, each in enumerate(corner[:3])}
    values |= {"value": source.voxels[1, 2, 3], "slices": source.voxels.shape[0]}
    return Output((Finding("volume", values=values),))


@algorithm(name="asking", version="1", takes=Takes.PICTURE, gives=Gives.FINDINGS, asks=Asks.LABELS)
def asking(source: Any, parameters: Parameters) -> Output:
    """Says what the detector saw."""
    return Output(tuple(Finding(box.label, box.confidence, source.number) for box in source.boxes))


class Wrong:
    name = "another-name"
