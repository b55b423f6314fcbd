"""Runs algorithms on images: parameters checked first, the work in a process with limits, detectors where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from isocenter.algorithms.base import Algorithm, Asks, Output, Seen
from isocenter.algorithms.registry import Entry, Registry
from isocenter.algorithms.reports import ReportRequest, report
from isocenter.algorithms.run import Request, pictures, run, well_formed
from isocenter.deid.source import InMemory, Readable, steps
from isocenter.dicom.elements import Limits
from isocenter.errors import BadRequest, IsocenterError, LimitExceeded, Unsupported
from isocenter.pipeline.spool import nameless
from isocenter.ports.sandbox import Sandbox
from isocenter.records import Kind

_HANDED_OVER: Final = 64 << 20  # bytes sent to the worker; what is larger lies in a file that it reads by position
_MOST_SOURCE: Final = 4 << 30
_MOST_SHOWN: Final = 64 << 20  # bytes of frames that a detector's turn takes
_MOST_SLICES: Final = 5000

# A detector looks at a picture: what it saw, as boxes.
Look = Callable[[Any], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Checked:
    """An algorithm that there is, with parameters that are right."""

    algorithm: str
    version: str
    suffix: str
    gives: tuple[str, ...]
    parameters: dict[str, Any]
    asks: Asks | None = None
    entry: Entry = field(default=Entry("", ""), repr=False)


class Analysis:
    """Runs algorithms; `detectors` make what algorithms may ask for, each when it is first needed."""

    def __init__(
        self,
        known: Registry,
        sandbox: Sandbox,
        *,
        seconds: float = 60.0,
        limits: Limits | None = None,
        most_bytes: int = 512 << 20,
        detectors: Mapping[Asks, Callable[[], Look]] | None = None,
    ) -> None:
        self.known = known
        self._sandbox = sandbox
        self._seconds = seconds
        self._limits = limits or Limits()
        self._most_bytes = most_bytes
        self._detectors = dict(detectors or {})

    def check(self, algorithm: str, parameters: Mapping[str, Any]) -> Checked:
        """NotFound for an unknown algorithm, BadRequest for wrong parameters, which it names; Misconfigured."""
        found = self.known.get(algorithm)
        try:
            given = found.parameters.model_validate(dict(parameters))
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, each['loc'])) or 'parameters'}: {each['msg']}" for each in error.errors())
            raise BadRequest(f"wrong parameters for {algorithm}: {'; '.join(faults)}", code="bad-parameters") from None
        gives = tuple(str(each) for each in found.gives)
        plain = given.model_dump(mode="json")
        entry = self.known.entry(algorithm)
        return Checked(found.name, found.version, found.suffix, gives, plain, found.asks, entry)

    def run(self, checked: Checked, source: Readable, kind: Kind, *, seconds: float | None = None) -> Output:
        """Run it on one image; `seconds` are for the algorithm, or for each turn of a detector's worker.

        Rejected where the image is at fault or a limit was met, Unavailable where the surroundings are.
        """
        limit = self._seconds if seconds is None else seconds
        with ExitStack() as held:
            request = self._request(checked, (_handed(source, held),), kind)
            # An algorithm that asks for a detector which is not set up does without, or says that it cannot.
            if checked.asks in self._detectors:
                return self._looked(checked, request, limit)
            return self._done(request, limit)

    def run_series(self, checked: Checked, sources: Sequence[Readable], *, seconds: float | None = None) -> Output:
        """Run an algorithm that takes volumes on the instances of one series, in any order."""
        if not sources:
            raise BadRequest("a series has an instance at least")
        if len(sources) > _MOST_SLICES or sum(source.size for source in sources) > _MOST_SOURCE:
            raise LimitExceeded(f"a series has {_MOST_SLICES} instances and {_MOST_SOURCE} bytes at most")
        with ExitStack() as held:
            large = sum(source.size for source in sources) > _HANDED_OVER
            data = tuple(_handed(source, held, small=not large) for source in sources)
            request = self._request(checked, data, Kind.DICOM, series=True)
            return self._done(request, self._seconds if seconds is None else seconds)

    def report(self, checked: Checked, source: Readable, found: Output, *, seconds: float | None = None) -> Output:
        """What was found in an instance as DICOM: a Comprehensive SR, and a presentation state where it has places.

        Its files end in "_sr.dcm" and "_pr.dcm".
        """
        with ExitStack() as held:
            request = ReportRequest(
                data=_handed(source, held),
                algorithm=checked.algorithm,
                version=checked.version,
                parameters=checked.parameters,
                findings=found.findings,
                limits=self._limits,
            )
            limit = self._seconds if seconds is None else seconds
            return well_formed(Output(made=self._sandbox.run(report, request, seconds=limit)), self._most_bytes)

    def _request(self, checked: Checked, data: tuple[bytes | str, ...], kind: Kind, *, series: bool = False) -> Request:
        return Request(
            algorithm=checked.entry,
            parameters=checked.parameters,
            data=data,
            kind=kind,
            limits=self._limits,
            most_bytes=self._most_bytes,
            series=series,
        )

    def _done(self, request: Request, seconds: float) -> Output:
        output = self._sandbox.run(run, request, seconds=seconds)
        # Again on this side: a worker that a hostile image took over can send anything.
        return well_formed(output, self._most_bytes)

    def _looked(self, checked: Checked, request: Request, seconds: float) -> Output:
        """Frames are decoded in the worker; the detector, which needs its model or the network, looks at them here."""
        algorithm = self.known.get(checked.algorithm)
        parameters = algorithm.parameters.model_validate(checked.parameters)
        assert checked.asks is not None
        look = self._detectors[checked.asks]()
        whole = Output()
        for number, shown in self._shown(request, seconds):
            whole = whole + _told(algorithm, Seen(tuple(look(shown)), number), parameters)
        return well_formed(whole, self._most_bytes)

    def _shown(self, request: Request, seconds: float) -> Iterator[tuple[int, Any]]:
        number, count = 1, 1
        while number <= count:
            turn = Request(
                algorithm=request.algorithm,
                parameters={},
                data=request.data,
                kind=request.kind,
                limits=request.limits,
                most_bytes=_MOST_SHOWN,
                frames=None if number == 1 else tuple(range(number, min(count, number + 255) + 1)),
            )
            found = self._sandbox.run(pictures, turn, seconds=seconds)
            if not found.frames:
                raise Unsupported("the image has no frames to look at", code="no-pixel-data")
            yield from sorted(found.frames.items())
            number, count = max(found.frames) + 1, found.count


def _told(algorithm: Algorithm, seen: Seen, parameters: Any) -> Output:
    try:
        return algorithm.run(seen, parameters)
    except IsocenterError:
        raise
    except Exception as error:  # noqa: BLE001 - as in the worker: its message may quote the image
        raise Unsupported(f"the algorithm failed ({type(error).__name__})", code="algorithm-failed") from None


def _handed(source: Readable, held: ExitStack, *, small: bool = True) -> bytes | str:
    """The bytes, or the path of a file of ours alone that holds them until `held` closes."""
    if source.size > _MOST_SOURCE:
        raise LimitExceeded(f"algorithms take images up to {_MOST_SOURCE} bytes", code="too-large-to-analyse")
    if isinstance(source, InMemory) and len(source.data) <= _HANDED_OVER and small:
        return source.data
    if source.size <= _HANDED_OVER and small:
        return b"".join(steps(source, 0, source.size))
    file, path = nameless(held)
    for piece in steps(source, 0, source.size):
        file.write(piece)
    file.flush()
    return path
