"""Labels and text told by Amazon Rekognition: pictures go to AWS, so only settings choose it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil, floor
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.errors import BackendUnavailable, Misconfigured, Saturated, Unsupported
from isocenter.ports.detector import LabelBox, TextBox

_INSTALL: Final = "Rekognition takes botocore: pip install 'isocenter[aws]'"
_LEAST_SIDE: Final = 80  # pixels; the service refuses what is smaller
_MOST_SIDE: Final = 4096
_MOST_BYTES: Final = 5 << 20  # of a picture sent with the request
_LEAST_CONFIDENCE: Final = 5.0
_MOST_LABELS: Final = 1000
_MOST_WORDS: Final = 100  # that DetectText tells of one picture
_LEAST_QUARTERED: Final = 128  # pixels; no hundred words stand on less
_BUSY: Final = ("ThrottlingException", "ProvisionedThroughputExceededException", "LimitExceededException")
_REFUSED: Final = ("InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException")
_SECONDS: Final = 20


class _Rekognition:
    """A client of the service, its errors as ours."""

    def __init__(self, region: str, *, endpoint: str | None = None, **credentials: str) -> None:
        """Credentials come as botocore finds them; `endpoint` is for tests and private endpoints.

        Misconfigured where botocore is missing or knows no such region.
        """
        try:
            import botocore.config  # noqa: PLC0415 - heavy and optional
            import botocore.exceptions  # noqa: PLC0415 - optional
            import botocore.session  # noqa: PLC0415 - optional
        except ImportError:
            raise Misconfigured(_INSTALL, code="detector-missing") from None
        self._errors = botocore.exceptions
        config = botocore.config.Config(
            connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"max_attempts": 3, "mode": "standard"}
        )
        try:
            self._client: Any = botocore.session.get_session().create_client(
                "rekognition", region_name=region, endpoint_url=endpoint, config=config, **credentials
            )
        except (ValueError, botocore.exceptions.BotoCoreError) as error:
            raise Misconfigured(f"Rekognition cannot be set up ({type(error).__name__})", code="bad-region") from None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """AWS's errors as ours, by their code alone: their messages may name account and resource."""
        try:
            yield
        except self._errors.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _BUSY:
                raise Saturated("Rekognition is asked too much", code="detector-busy") from None
            if code in _REFUSED:
                raise Unsupported("Rekognition does not take this picture", code="detector-refused") from None
            raise BackendUnavailable(f"Rekognition refused ({code[:64]})", code="detector-failed") from None
        except (self._errors.BotoCoreError, KeyError, TypeError, ValueError) as error:
            failed = f"Rekognition did not answer ({type(error).__name__})"
            raise BackendUnavailable(failed, code="detector-failed") from None


class RekognitionLabels(_Rekognition):
    """A LabelDetector by DetectLabels."""

    name = "rekognition DetectLabels 3.0"

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[LabelBox]:
        rows, columns = picture.shape[:2]
        sent, scale = _sent(picture)
        with self._translated():
            answer = self._client.detect_labels(
                Image={"Bytes": _encoded(sent)}, MaxLabels=_MOST_LABELS, MinConfidence=_LEAST_CONFIDENCE
            )
            found = [box for label in answer["Labels"] for box in _boxes(label, scale, columns, rows)]
        return sorted(found, key=lambda each: -each.confidence)


class RekognitionText(_Rekognition):
    """A TextDetector by DetectText, which tells a hundred words of a picture and no more: where it tells as many, the
    picture is looked at again by its quarters, which overlap."""

    name = "rekognition DetectText 3.0"

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[TextBox]:
        rows, columns = picture.shape[:2]
        sent, scale = _sent(picture)
        with self._translated():
            told = self._client.detect_text(Image={"Bytes": _encoded(sent)})["TextDetections"]
            lines = [each for each in told if each["Type"] == "LINE"]
            found = [box for line in lines if (box := _line(line, scale, columns, rows)) is not None]
            words = len(told) - len(lines)
        if words >= _MOST_WORDS and min(rows, columns) >= _LEAST_QUARTERED:
            for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):
                # Each five eighths of a side, so that what the cut goes through is whole in a neighbour.
                y, x = top * (rows * 3 // 8), left * (columns * 3 // 8)
                part = picture[y : y + -(-rows * 5 // 8), x : x + -(-columns * 5 // 8)]
                found += [replace(box, x=box.x + x, y=box.y + y) for box in self.find(part)]
        return found


def _sent(picture: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """The picture as it is sent, and what its width and height measure in pixels of the original."""
    step = max(1, -(-max(picture.shape[:2]) // _MOST_SIDE))
    sent = np.ascontiguousarray(picture[::step, ::step])
    # Small ones are sent with black to the right and below, which moves nothing.
    more = [max(0, _LEAST_SIDE - side) for side in sent.shape[:2]]
    sent = np.pad(sent, [(0, more[0]), (0, more[1]), *((0, 0) for _ in sent.shape[2:])])
    return sent, (sent.shape[1] * step, sent.shape[0] * step)


def _encoded(picture: npt.NDArray[np.uint8]) -> bytes:
    """PNG, or a JPEG where that is too large."""
    data = bytes(imagecodecs.png_encode(picture, level=3))
    quality = 95
    while len(data) > _MOST_BYTES and quality > 20:
        data = bytes(imagecodecs.jpeg8_encode(picture, level=quality))
        quality -= 15
    return data


def _boxes(label: Mapping[str, Any], scale: tuple[int, int], columns: int, rows: int) -> Iterator[LabelBox]:
    """Each place where a label was seen; the whole picture where it has none."""
    name = str(label["Name"])
    if not label.get("Instances"):
        yield LabelBox(name, _part(label["Confidence"]))
    for seen in label.get("Instances") or ():
        box = seen["BoundingBox"]
        x, y = max(0.0, box["Left"] * scale[0]), max(0.0, box["Top"] * scale[1])
        width = min(float(columns), (box["Left"] + box["Width"]) * scale[0]) - x
        height = min(float(rows), (box["Top"] + box["Height"]) * scale[1]) - y
        if width > 0 and height > 0:
            yield LabelBox(name, _part(seen["Confidence"]), x, y, width, height)


def _line(line: Mapping[str, Any], scale: tuple[int, int], columns: int, rows: int) -> TextBox | None:
    """A line of text in whole pixels that cover it, None where it lies outside."""
    box = line["Geometry"]["BoundingBox"]
    x, y = max(0, floor(box["Left"] * scale[0])), max(0, floor(box["Top"] * scale[1]))
    width = min(columns, ceil((box["Left"] + box["Width"]) * scale[0])) - x
    height = min(rows, ceil((box["Top"] + box["Height"]) * scale[1])) - y
    if width <= 0 or height <= 0:
        return None
    return TextBox(str(line["DetectedText"]), _part(line["Confidence"]), x, y, width, height)


def _part(percent: float) -> float:
    return min(1.0, max(0.0, float(percent) / 100))
