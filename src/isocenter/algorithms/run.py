"""One run of one algorithm: a function for the sandbox, so that it happens in a process that can be killed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.algorithms.base import (
    MOST_RUNS,
    Algorithm,
    DataSetInput,
    Finding,
    Frame,
    Made,
    Output,
    Picture,
    Takes,
    Volume,
)
from isocenter.algorithms.instances import InstanceSource
from isocenter.algorithms.registry import Entry, loaded
from isocenter.algorithms.volumes import nifti_volume, series_volume
from isocenter.deid.source import InFile, InMemory, Readable
from isocenter.dicom.elements import Limits
from isocenter.errors import IsocenterError, LimitExceeded, Unsupported
from isocenter.records import Kind
from isocenter.render.picture import decode_picture

PICTURES: Final = (Kind.JPEG, Kind.PNG, Kind.GIF)
MOST_FINDINGS: Final = 100_000
_MOST_POINTS: Final = 10_000
_LABEL: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}\Z")
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,80}\Z")
_SUFFIX: Final = re.compile(r"[a-z0-9_-]{0,32}(\.[a-z0-9]{1,8}){1,2}\Z")
_VALUE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Request:
    """What to run on what: picklable. `data` has the bytes of each file, or the path of one too large to hand over.

    `frames` are those wanted, all where None; `most_bytes` is what all that is made may weigh together.
    """

    algorithm: Entry
    parameters: Mapping[str, Any]
    data: tuple[bytes | str, ...] = field(repr=False)
    kind: Kind
    limits: Limits = field(default_factory=Limits)
    most_bytes: int = 512 << 20
    frames: tuple[int, ...] | None = None
    series: bool = False


def run(request: Request) -> Output:
    """Raises Rejected as the algorithm did, and Unsupported for whatever else it raised, by its type's name alone."""
    algorithm = loaded(request.algorithm)
    parameters = algorithm.parameters.model_validate(dict(request.parameters))
    try:
        with ExitStack() as held:
            output = _output(algorithm, parameters, request, held)
    except (IsocenterError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and its message may quote the image
        raise Unsupported(f"the algorithm failed ({type(error).__name__})", code="algorithm-failed") from None
    return well_formed(replace(output, findings=tuple(map(_plain, output.findings))), request.most_bytes)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Shown frames by their number, for a detector that does not run in the worker; `count` is how many there are."""

    frames: Mapping[int, npt.NDArray[np.uint8]]
    count: int


def pictures(request: Request) -> Pictures:
    """The shown frames of an image: those wanted that there are, up to `most_bytes` of them and one at least."""
    if request.kind in PICTURES:
        return Pictures({1: decode_picture(_whole(request))}, 1)
    if request.kind is not Kind.DICOM:
        raise _wrong_kind()
    with ExitStack() as held:
        source = InstanceSource(_readable(request.data[0], held), request.limits)
        found: dict[int, npt.NDArray[np.uint8]] = {}
        size = 0
        for number in request.frames or range(1, source.count + 1):
            if number <= source.count:
                found[number] = source.frame(number).shown
                size += found[number].nbytes
            if size >= request.most_bytes:
                break
        return Pictures(found, source.count)


def _output(algorithm: Algorithm, parameters: Any, request: Request, held: ExitStack) -> Output:
    """The inputs that fit what the algorithm takes, one after the other, and what came of them."""
    whole = Output()
    size = 0
    for given in _inputs(algorithm, request, held):
        output = algorithm.run(given, parameters)
        if not isinstance(output, Output):
            raise _ill_formed("it gave back no Output")
        if isinstance(given, Frame | Picture):
            # The number is ours to say: whoever looks at one frame knows no other.
            output = replace(output, findings=tuple(replace(each, frame=given.number) for each in output.findings))
        size += sum(len(made.data) for made in output.made)
        if size > request.most_bytes or len(whole.findings) + len(output.findings) > MOST_FINDINGS:
            raise _too_large(request.most_bytes)
        whole = whole + output
    return whole


def _inputs(
    algorithm: Algorithm, request: Request, held: ExitStack
) -> Iterator[Frame | Volume | DataSetInput | Picture]:
    takes = algorithm.takes
    if request.series:
        if Takes.VOLUME not in takes:
            raise Unsupported("this algorithm does not take a series", code="wrong-kind")
        return iter((series_volume([InstanceSource(_readable(part, held), request.limits) for part in request.data]),))
    if request.kind is Kind.NIFTI:
        if Takes.VOLUME not in takes:
            raise _wrong_kind()
        return iter((nifti_volume(_whole(request), request.limits.inflated_bytes),))
    if request.kind in PICTURES:
        return iter((_of_picture(takes, decode_picture(_whole(request))),))
    source = InstanceSource(_readable(request.data[0], held), request.limits)
    for kind in takes:
        if kind is not Takes.VOLUME:
            return _OF_DICOM[kind](source)
    raise Unsupported("this algorithm takes a series, not one instance", code="wrong-kind")


_OF_DICOM: Final[Mapping[Takes, Callable[[InstanceSource], Iterator[Any]]]] = {
    Takes.FRAME: lambda source: source.frames(),
    Takes.DATA_SET: lambda source: iter((source,)),
    Takes.PICTURE: lambda source: (Picture(each.shown, each.number, each.spacing) for each in source.frames()),
}


def _of_picture(takes: tuple[Takes, ...], pixels: npt.NDArray[np.uint8]) -> Frame | Picture:
    if Takes.PICTURE in takes:
        return Picture(pixels)
    if Takes.FRAME in takes:
        return Frame(pixels, pixels)
    raise _wrong_kind()


def _wrong_kind() -> Unsupported:
    return Unsupported("this algorithm does not take images of this kind", code="wrong-kind")


def _readable(data: bytes | str, held: ExitStack) -> Readable:
    return InMemory(data) if isinstance(data, bytes) else held.enter_context(InFile(data))


def _whole(request: Request) -> bytes:
    with ExitStack() as held:
        source = _readable(request.data[0], held)
        return source.read(0, source.size)


def well_formed(output: Any, most_bytes: int) -> Output:
    """The output, held to what the contract says of it: what a worker sends is as little trusted as what it read."""
    if not isinstance(output, Output) or not isinstance(output.findings, tuple) or not isinstance(output.made, tuple):
        raise _ill_formed("it gave back no Output")
    if len(output.findings) > MOST_FINDINGS or not all(map(_is_finding, output.findings)):
        raise _ill_formed("a finding is not as findings are")
    if not all(map(_is_made, output.made)) or len({made.suffix for made in output.made}) < len(output.made):
        raise _ill_formed("a file it made has a wrong type or name, or another's name")
    if sum(len(made.data) for made in output.made) > most_bytes:
        raise _too_large(most_bytes)
    return output


def _ill_formed(why: str) -> Unsupported:
    return Unsupported(f"the algorithm's result is not well formed: {why}", code="algorithm-result")


def _too_large(most_bytes: int) -> LimitExceeded:
    return LimitExceeded(f"the algorithm's result is over {most_bytes} bytes", code="algorithm-result-too-large")


def _is_finding(found: Any) -> bool:
    if not isinstance(found, Finding) or not isinstance(found.label, str) or not _LABEL.match(found.label):
        return False
    if not (_number(found.confidence) and 0 <= found.confidence <= 1 and type(found.frame) is int and found.frame > 0):
        return False
    box, ring = found.box, found.polygon
    if box is not None and not (
        isinstance(box, tuple) and len(box) == 4 and all(map(_number, box)) and min(box[2:]) >= 0
    ):
        return False
    if ring is not None and not (isinstance(ring, tuple) and 3 <= len(ring) <= _MOST_POINTS and all(map(_point, ring))):
        return False
    if found.mask is not None and not _is_mask(found.mask, box):
        return False
    return isinstance(found.values, dict) and all(
        isinstance(name, str) and _VALUE.match(name) and _number(value) for name, value in found.values.items()
    )


def _is_mask(mask: Any, box: tuple[float, ...] | None) -> bool:
    """Whether the runs are of whole pixels and fill the box; only the first of them may be empty."""
    return (
        isinstance(mask, tuple)
        and box is not None
        and 0 < len(mask) <= MOST_RUNS
        and all(type(run) is int and run >= (place > 0) for place, run in enumerate(mask))
        and all(float(side).is_integer() for side in box)
        and sum(mask) == box[2] * box[3]
    )


def _plain(found: Finding) -> Finding:
    """With Python's numbers in place of NumPy's, which nobody means to give back."""
    if not isinstance(found, Finding):
        return found
    return replace(
        found,
        confidence=_as_number(found.confidence),
        frame=_as_number(found.frame),
        box=None if found.box is None else tuple(map(_as_number, found.box)),
        polygon=None if found.polygon is None else tuple(tuple(map(_as_number, point)) for point in found.polygon),
        values={name: _as_number(value) for name, value in found.values.items()},
        mask=None if found.mask is None else tuple(map(_as_number, found.mask)),
    )


def _as_number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _point(point: Any) -> bool:
    return isinstance(point, tuple) and len(point) == 2 and all(map(_number, point))


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_made(made: Any) -> bool:
    return (
        isinstance(made, Made)
        and isinstance(made.data, bytes)
        and isinstance(made.media_type, str)
        and isinstance(made.suffix, str)
        and bool(_MEDIA_TYPE.match(made.media_type) and _SUFFIX.match(made.suffix))
    )
