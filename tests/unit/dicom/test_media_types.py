"""Media types and their transfer syntaxes, as PS3.18 lists them."""

from __future__ import annotations

import pytest

from isocenter.dicom.media_types import SYNTAXES, chosen_syntax, media_type_of
from isocenter.dicom.transfer_syntax import KNOWN
from isocenter.testing.elements import (
    BIG_ENDIAN,
    EXPLICIT,
    HTJ2K,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
)


@pytest.mark.parametrize(
    ("syntax", "media"),
    [(EXPLICIT, "application/octet-stream"), (IMPLICIT, "application/octet-stream"), (JPEG, "image/jpeg"),
     (BIG_ENDIAN, "application/octet-stream"), (JPEG_LS, "image/jls"), (JPEG_2000, "image/jp2"), (HTJ2K, "image/jphc"),
     (RLE, "image/dicom-rle"), ("1.2.840.10008.1.2.4.110", "image/jxl")],
)  # fmt: skip
def test_frames_have_the_media_type_of_their_transfer_syntax(syntax: str, media: str) -> None:
    assert media_type_of(syntax) == media


@pytest.mark.parametrize(
    ("media", "wanted", "possible", "chosen"),
    [
        ("image/jpeg", None, (EXPLICIT, JPEG, JPEG_LOSSLESS), JPEG_LOSSLESS),
        ("image/jpeg", JPEG, (EXPLICIT, JPEG, JPEG_LOSSLESS), JPEG),
        ("image/jpeg", "*", (JPEG, JPEG_LOSSLESS), JPEG),
        ("image/jpeg", None, (JPEG, EXPLICIT), JPEG),
        ("image/jpeg", JPEG_LS, (EXPLICIT, JPEG_LS), None),
        ("image/jls", None, (EXPLICIT, JPEG), None),
        ("application/octet-stream", None, (JPEG, EXPLICIT), EXPLICIT),
        ("application/octet-stream", "*", (JPEG,), None),
        ("text/html", None, (EXPLICIT,), None),
    ],
)
def test_the_transfer_syntax_is_the_one_wanted_or_the_default(
    media: str, wanted: str | None, possible: tuple[str, ...], chosen: str | None
) -> None:
    assert chosen_syntax(media, wanted, possible) == chosen


def test_every_transfer_syntax_listed_is_one() -> None:
    listed = {syntax for media, syntaxes in SYNTAXES.items() for syntax in syntaxes if media != "image/jxl"}
    assert listed <= KNOWN  # whose edition is older than JPEG XL
