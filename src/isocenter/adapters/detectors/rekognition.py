"""Labels told by Amazon Rekognition (DetectLabels) through boto3: pictures go to AWS, so only settings choose it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.errors import BackendUnavailable, Misconfigured, Saturated, Unsupported
from isocenter.ports.detector import LabelBox

_INSTALL: Final = "labels by Rekognition take boto3: pip install 'isocenter[aws]'"
_LEAST_SIDE: Final = 80  # pixels; the service refuses what is smaller
_MOST_SIDE: Final = 4096
_MOST_BYTES: Final = 5 << 20  # of a picture sent with the request
_LEAST_CONFIDENCE: Final = 5.0
_MOST_LABELS: Final = 1000
_BUSY: Final = ("ThrottlingException", "ProvisionedThroughputExceededException", "LimitExceededException")
_REFUSED: Final = ("InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException")
_SECONDS: Final = 20


class RekognitionLabels:
    """A LabelDetector. Credentials come as boto3 finds them; `endpoint` is for tests and private endpoints."""

    name = "rekognition DetectLabels 3.0"

    def __init__(self, region: str, *, endpoint: str | None = None, **credentials: str) -> None:
        """Misconfigured where boto3 is missing or knows no such region."""
        try:
            import boto3  # noqa: PLC0415 - heavy and optional
            import botocore.config  # noqa: PLC0415 - optional
            import botocore.exceptions  # noqa: PLC0415 - optional
        except ImportError:
            raise Misconfigured(_INSTALL, code="detector-missing") from None
        self._errors = botocore.exceptions
        config = botocore.config.Config(
            connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"max_attempts": 3, "mode": "standard"}
        )
        try:
            self._client: Any = boto3.client(
                "rekognition", region_name=region, endpoint_url=endpoint, config=config, **credentials
            )
        except (ValueError, botocore.exceptions.BotoCoreError) as error:
            raise Misconfigured(f"Rekognition cannot be set up ({type(error).__name__})", code="bad-region") from None

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[LabelBox]:
        rows, columns = picture.shape[:2]
        step = max(1, -(-max(rows, columns) // _MOST_SIDE))
        sent = np.ascontiguousarray(picture[::step, ::step])
        # Small ones are sent with black to the right and below, which moves nothing.
        more = [max(0, _LEAST_SIDE - side) for side in sent.shape[:2]]
        sent = np.pad(sent, [(0, more[0]), (0, more[1]), *((0, 0) for _ in sent.shape[2:])])
        with self._translated():
            answer = self._client.detect_labels(
                Image={"Bytes": _encoded(sent)}, MaxLabels=_MOST_LABELS, MinConfidence=_LEAST_CONFIDENCE
            )
            scale = (sent.shape[1] * step, sent.shape[0] * step)
            found = [box for label in answer["Labels"] for box in _boxes(label, scale, columns, rows)]
        return sorted(found, key=lambda each: -each.confidence)

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


def _part(percent: float) -> float:
    return min(1.0, max(0.0, float(percent) / 100))
