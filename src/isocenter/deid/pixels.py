"""Takes burned-in text out of pixel data: found, blackened in the stored values, and looked at once more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from isocenter.deid.boxes import Box, Cut, Why, covered, outside
from isocenter.deid.burned_in import Wanted
from isocenter.deid.identifiers import Known
from isocenter.deid.pixel_frames import Frames
from isocenter.deid.pixel_policy import Pixels
from isocenter.deid.pixel_reading import Reader
from isocenter.deid.pixel_search import Found, Search
from isocenter.deid.pixel_views import Read
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import Header
from isocenter.dicom.recode import Changes
from isocenter.errors import Misconfigured
from isocenter.ports.detector import TextDetector
from isocenter.ports.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class CutRecord:
    """A rectangle that went, why, and from which frames (from 1, as "1-40,57"); never what stood in it."""

    x: int
    y: int
    width: int
    height: int
    why: Why
    frames: str


@dataclass(frozen=True, slots=True)
class PixelEvidence:
    """What was done about the pixels of one instance; no value of an attribute is in it, and no text that was read.

    `frames_read` were looked at by `detector`, in `looks` pictures, for the part of the policy's `read` that `because`
    names. Of all pixels `redacted_percent` went, and
    `outside_text_percent` that no text was read in: masks, regions and the room around text. `verified` says that
    what was left of the frames was read again and nothing found; None where nothing was read or nothing went.
    """

    frames: int
    frames_read: int = 0
    detector: str | None = None
    looks: int = 0
    cuts: tuple[CutRecord, ...] = ()
    redacted_percent: float = 0.0
    outside_text_percent: float = 0.0
    verified: bool | None = None
    because: str | None = None


@dataclass(frozen=True, slots=True)
class PixelResult:
    """`changes` as `Recoder.rewritten` takes them, Explicit VR Little Endian; each can be taken once.

    Empty where the pixel data stays as it lies, in its own transfer syntax. Otherwise all of the Data Set has to be
    written as `transfer_syntax_uid` says, which is never Implicit VR nor big endian.
    """

    changes: Changes
    transfer_syntax_uid: str
    record: PixelEvidence

    @property
    def evidence(self) -> dict[str, object]:
        return asdict(self.record)


class PixelCleaner:
    """Cleans instances by a policy; `seconds` is what decoding or encoding one frame may take in the sandbox.

    Misconfigured where the policy has text read and there is no detector.
    """

    def __init__(
        self, policy: Pixels, detector: TextDetector | None, sandbox: Sandbox, *, seconds: float = 30.0
    ) -> None:
        if policy.takes_a_detector and detector is None:
            raise Misconfigured(
                "the profile has text in pixels read, and there is no text detector: install the extra `ocr`"
                " (requirements/ocr.txt), or say `read: never` in its section `pixels`",
                code="detector-missing",
            )
        self._policy = policy
        self._detector = detector
        self._sandbox = sandbox
        self._seconds = seconds

    def needs(self, data_set: DataSet) -> bool:
        """Whether an instance has to go through `clean`, told from its header alone."""
        return self._policy.concerns(data_set)

    def clean(self, header: Header, read: Read, known: Known) -> PixelResult | None:
        """Find what the policy wants gone, and give the elements that take the place of others; None without `needs`.

        `read` takes offset and length as `Element` counts them. Frames are read here, one at a time; those that are
        written are made as `changes` are taken. Raises Malformed, Unsupported or LimitExceeded where pixels that
        have to be looked at cannot be decoded (`video` among them), Rejected (`burned-in-text-left`) where text
        stays legible.
        """
        data_set = DataSet(encode(header.elements, big_endian=header.encoding.big_endian).model)
        if not self.needs(data_set):
            return None
        frames = Frames(header, read, data_set, self._sandbox, self._seconds)
        first = self._first_cuts(data_set, frames.description.rows, frames.description.columns)
        because = self._policy.because(data_set)
        if self._detector is not None and because is not None:
            reader = Reader(self._detector, frames.display)
            found = Search(frames, reader, Wanted(known, self._policy.remove), first).run()
            looked = PixelEvidence(frames.count, frames.count, self._detector.name, reader.looks, because=because)
        else:
            everywhere = dict.fromkeys(range(1, frames.count + 1), tuple(first)) if first else {}
            found, looked = Found(everywhere, None), PixelEvidence(frames.count)
        if not found.cuts:
            return PixelResult({}, header.transfer_syntax_uid, looked)
        changes = frames.changes({number: [cut.box for cut in cuts] for number, cuts in found.cuts.items()})
        description = frames.description
        return PixelResult(changes, frames.target, _evidence(looked, found, description.rows, description.columns))

    def _first_cuts(self, data_set: DataSet, rows: int, columns: int) -> list[Cut]:
        """What goes before anything is read: masks of the device, and all outside the ultrasound regions."""
        cuts = [Cut(box.clipped(rows, columns), "mask") for box in self._policy.masked(data_set)]
        regions = self._policy.regions(data_set)
        cuts += [Cut(box, "region") for box in outside(regions, rows, columns)] if regions else []
        return [cut for cut in cuts if cut.box.area]


def _evidence(looked: PixelEvidence, found: Found, rows: int, columns: int) -> PixelEvidence:
    frames_of: dict[tuple[Box, Why], list[int]] = {}
    areas: dict[tuple[Cut, ...], tuple[int, int]] = {}
    redacted = without_text = 0
    for number, cuts in sorted(found.cuts.items()):
        for cut in cuts:
            frames_of.setdefault((cut.box, cut.why), []).append(number)
        if cuts not in areas:
            gone = covered((cut.box for cut in cuts), rows, columns)
            text = covered((cut.text for cut in cuts if cut.text is not None), rows, columns)
            areas[cuts] = int(np.count_nonzero(gone)), int(np.count_nonzero(gone & ~text))
        redacted += areas[cuts][0]
        without_text += areas[cuts][1]
    every = looked.frames * rows * columns
    records = [
        CutRecord(box.x, box.y, box.width, box.height, why, _ranges(numbers))
        for (box, why), numbers in frames_of.items()
    ]
    return PixelEvidence(
        looked.frames,
        looked.frames_read,
        looked.detector,
        looked.looks,
        tuple(records),
        round(100 * redacted / every, 4),
        round(100 * without_text / every, 4),
        found.verified,
        looked.because,
    )


def _ranges(numbers: Iterable[int]) -> str:
    """Rising numbers as "1-40,57"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
