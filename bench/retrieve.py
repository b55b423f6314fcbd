"""WADO-RS: instances, a study, metadata, single frames of a large multi-frame, other transfer syntaxes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.encaps import generate_frames

from bench.client import Answer, Request, WrongAnswer
from bench.corpus import FRAME_BYTES
from bench.encodings import EXPLICIT, by_name
from bench.loading import CT, MULTI_FRAME, SMALL, Archive, Place
from bench.measure import NO_GOAL, Goal, Work

SECTION = "Retrieve"
TRANSCODE = "Transcode"
SINGLE = "application/dicom"
PARTS = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'
_JSON = "application/dicom+json"


def works(archive: Archive) -> list[Work]:
    return [*_instances(archive), *_metadata(archive), *_frames(archive), *_transcoded(archive)]


def _instances(archive: Archive) -> list[Work]:
    sizes, size = archive.sizes, archive.corpus.ct.size

    def single(answer: Answer, number: int) -> None:
        _same_pixels(archive, answer.body, archive.ct(number))

    def multipart(answer: Answer, number: int) -> None:
        (part,) = answer.parts()
        _same_pixels(archive, part, archive.ct(number))

    def study(answer: Answer, number: int) -> None:
        parts = answer.parts()
        if len(parts) != sizes.cts:
            raise WrongAnswer(f"{len(parts)} instances instead of {sizes.cts}")
        left = {archive.ct(n).identity.uids[2].encode() for n in range(sizes.cts)}
        for part in parts:
            left.discard(part[:FRAME_BYTES].partition(b"\x08\x00\x18\x00UI")[2][2:66].rstrip(b"\0").partition(b"\0")[0])
            if not part.endswith(archive.corpus.ct.tail):
                raise WrongAnswer("pixels are not those that were sent")
        if left:
            raise WrongAnswer(f"{len(left)} instances did not come")

    whole = Goal(mb_per_second=800, first_byte_ms=20)
    return [
        Work(
            "wado-instance", SECTION, "one 0.5 MB instance, application/dicom",
            lambda n: Request(archive.ct(n).instance, SINGLE), single, Goal(cpu_ms=0.5),
        ),
        Work(
            "wado-instance-multipart", SECTION, "one 0.5 MB instance, multipart/related",
            lambda n: Request(archive.ct(n).instance, PARTS), multipart, Goal(cpu_ms=0.5),
        ),
        Work(
            "wado-study", SECTION, f"study of {sizes.cts:,} CTs, {sizes.cts * size / 1e6:.0f} MB",
            lambda n: Request(archive.place(CT).study, PARTS), study, whole, slow=True,
        ),
    ]  # fmt: skip


def _same_pixels(archive: Archive, data: bytes, place: Place) -> None:
    if not data.endswith(archive.corpus.ct.tail):
        raise WrongAnswer("pixels are not those that were sent")
    if place.identity.uids[2].encode() not in data[:-FRAME_BYTES]:
        raise WrongAnswer("this is another instance")


def _metadata(archive: Archive) -> list[Work]:
    def expect(count: int) -> Callable[[Answer, int], None]:
        def check(answer: Answer, number: int) -> None:
            found: list[dict[str, Any]] = json.loads(answer.body)
            if len(found) != count or len({model["00080018"]["Value"][0] for model in found}) != count:
                raise WrongAnswer(f"{len(found)} data sets instead of {count}")
            if min(map(len, found)) < 90:
                raise WrongAnswer("attributes are missing")

        return check

    small, large = archive.sizes.small, archive.sizes.cts

    def work(count: int, study: int, goal: Goal) -> Work:
        path = f"{archive.place(study).series}/metadata"
        title = f"metadata of {count:,} instances"
        return Work(f"metadata-{count}", SECTION, title, lambda n: Request(path, _JSON), expect(count), goal)

    return [work(small, SMALL, Goal(cpu_ms=5)), work(large, CT, Goal(cpu_ms=40) if large == 1000 else NO_GOAL)]


def _frames(archive: Archive) -> list[Work]:
    what = archive.corpus.multi_frame(archive.sizes.frames)
    place = archive.place(MULTI_FRAME)

    def work(word: str, frame: int) -> Work:
        def expect(answer: Answer, number: int) -> None:
            if answer.parts() != [what.frame(frame)]:
                raise WrongAnswer(f"this is not frame {frame}")

        title = f"frame {frame} of {what.frames} of a {what.size / 1e6:.0f} MB multi-frame"
        path = f"{place.instance}/frames/{frame}"
        return Work(f"frame-{word}", SECTION, title, lambda n: Request(path, OCTETS), expect, Goal(cpu_ms=0.6))

    return [work("first", 1), work("middle", what.frames // 2), work("last", what.frames)]


def _transcoded(archive: Archive) -> list[Work]:
    def work(source: str, target: str) -> Work:
        syntax = EXPLICIT if target == "explicit" else by_name(target).syntax

        def place(number: int) -> Place:
            return archive.ct(number) if source == "explicit" else archive.compressed(source, number)

        def expect(answer: Answer, number: int) -> None:
            (part,) = answer.parts()
            _same_image(archive, part, syntax, target)

        return Work(
            f"{source}-to-{target}", TRANSCODE, f"one CT from {source} to {target}",
            lambda n: Request(place(n).instance, f"{PARTS}; transfer-syntax={syntax}"), expect,
        )  # fmt: skip

    return [
        work("explicit", "jpeg-ls"),
        work("explicit", "jpeg-2000"),
        work("explicit", "rle"),
        work("jpeg-lossless", "explicit"),
    ]


def _same_image(archive: Archive, data: bytes, syntax: str, target: str) -> None:
    found = dcmread(io.BytesIO(data))
    if found.file_meta.TransferSyntaxUID != syntax:
        raise WrongAnswer(f"the transfer syntax is {found.file_meta.TransferSyntaxUID}")
    if target == "explicit":
        pixels = np.frombuffer(found.PixelData, "<u2")
    else:
        pixels = by_name(target).decode(next(generate_frames(found.PixelData, number_of_frames=1)))
    if not np.array_equal(np.ravel(pixels), np.ravel(archive.corpus.ct_pixels)):
        raise WrongAnswer("pixels are not those that were sent")
