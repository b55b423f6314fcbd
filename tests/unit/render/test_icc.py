"""ICC profiles: which one a picture gets, conversion to a named space, embedding."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.errors import Malformed, Unsupported
from isocenter.render.encode import encode
from isocenter.render.frame import FrameRequest, is_plain, render_frame
from isocenter.render.icc import embed, named_profile, own_profile, with_profile
from isocenter.testing.pixel_samples import EXPLICIT_LITTLE, attributes, image_model

PIXELS = np.array([[[255, 255, 255], [128, 128, 128], [255, 0, 0], [10, 200, 30]]], "u1")


def embedded(picture: bytes) -> bytes | None:
    """The profile in a JPEG or PNG, put together by the rules of their standards."""
    if picture.startswith(b"\x89PNG"):
        at = 8
        while at < len(picture):
            (length,), kind = struct.unpack_from(">I", picture, at), picture[at + 4 : at + 8]
            body = picture[at + 8 : at + 8 + length]
            assert struct.unpack_from(">I", picture, at + 8 + length)[0] == zlib.crc32(kind + body)
            if kind == b"iCCP":
                return zlib.decompress(body.partition(b"\0")[2][1:])
            at += 12 + length
        return None
    found, at = [], 2
    while picture[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", picture, at + 2)
        body = picture[at + 4 : at + 2 + length]
        if picture[at + 1] == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            found.append((body[12], body[13], body[14:]))
        at += 2 + length
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    assert all(count == len(found) for _, count, _ in found)
    return b"".join(piece for _, _, piece in found) or None


def rendered(profile: Any, *, media_type: str = "image/png", more: dict[int, Any] | None = None) -> bytes:
    model = image_model(1, 4, bits=8, photometric="RGB", more=more)
    return render_frame(
        FrameRequest(model, EXPLICIT_LITTLE, PIXELS.tobytes(), media_type=media_type, icc_profile=profile)
    )


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg"])
def test_a_profile_is_embedded_and_the_picture_stays_readable(media_type: str) -> None:
    for size in (588, 70_000, 200_000):
        profile = bytes(np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8))
        made = encode(PIXELS, media_type, 90, profile)
        assert embedded(made) == profile
        decode = imagecodecs.png_decode if media_type == "image/png" else imagecodecs.jpeg8_decode
        assert decode(made).shape == PIXELS.shape
    assert embedded(encode(PIXELS, media_type)) is None


def test_no_means_none_and_yes_means_srgb_where_the_image_has_none() -> None:
    assert embedded(rendered(None)) is None
    assert embedded(rendered("no", more={0x00282000: named_profile("adobergb")})) is None
    assert embedded(rendered("yes")) == named_profile("srgb")
    np.testing.assert_array_equal(imagecodecs.png_decode(rendered("yes")), PIXELS)


def test_yes_gives_the_images_own_profile_and_leaves_its_pixels() -> None:
    own = named_profile("adobergb")
    made = rendered("yes", more={0x00282000: own})
    assert embedded(made) == own
    np.testing.assert_array_equal(imagecodecs.png_decode(made), PIXELS)
    path = attributes({0x00282000: own})
    assert own_profile(DataSet(attributes({0x00480105: [path]}))) == own


def test_a_named_space_converts() -> None:
    # Adobe RGB (1998): sRGB's red is 0.715 linear red, to the power of 1/2.2, with no green and no blue.
    made = rendered("adobergb")
    assert embedded(made) == named_profile("adobergb")
    np.testing.assert_allclose(
        imagecodecs.png_decode(made).astype(int), [[[255] * 3, [127] * 3, [219, 0, 0], [113, 199, 56]]], atol=1
    )
    # ROMM RGB: 0.529, 0.099, 0.017 linear, to the power of 1/1.8.
    red = imagecodecs.png_decode(rendered("rommrgb"))[0, 2].astype(int)
    np.testing.assert_allclose(red, [179, 70, 26], atol=1)
    back = imagecodecs.png_decode(rendered("srgb", more={0x00282000: named_profile("rommrgb")}))
    assert not np.array_equal(back, PIXELS)
    assert (rendered("srgb") == rendered("yes")) is True


def test_grey_has_a_profile_of_grey_and_in_a_named_space_three_channels() -> None:
    level = np.array([[0, 128, 255]], "u1")
    pixels, profile = with_profile(level, "yes", None)
    assert pixels.ndim == 2
    assert profile is not None
    assert profile[16:20] == b"GRAY"
    coloured, _ = with_profile(level, "srgb", b"not read for grey")
    np.testing.assert_array_equal(coloured, np.repeat(level[..., None], 3, axis=2))


def test_profiles_are_the_same_bytes_each_time() -> None:
    named_profile.cache_clear()
    first = rendered("adobergb")
    named_profile.cache_clear()
    assert rendered("adobergb") == first


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        (b"short", Malformed),
        (bytes(200), Malformed),
        (named_profile("srgb")[:300], Malformed),
        (named_profile("srgb").replace(b"RGB ", b"CMYK", 1), Unsupported),
    ],
)
def test_a_profile_that_is_none_is_refused_only_where_it_is_needed(profile: bytes, error: type[Exception]) -> None:
    more = {0x00282000: profile}
    assert embedded(rendered("no", more=more)) is None
    with pytest.raises(error):
        rendered("adobergb", more=more)


def test_gif_has_no_place_for_a_profile() -> None:
    with pytest.raises(Unsupported):
        rendered("yes", media_type="image/gif")
    with pytest.raises(Unsupported):
        embed(b"", b"", "image/gif")


def test_the_colour_engine_never_reads_a_foreign_profile_outside_a_worker() -> None:
    model = image_model(1, 4, bits=8, photometric="RGB")
    plain = FrameRequest(model, EXPLICIT_LITTLE, PIXELS.tobytes())
    assert is_plain(plain)
    for profile in ("yes", "srgb"):
        assert not is_plain(FrameRequest(model, EXPLICIT_LITTLE, PIXELS.tobytes(), icc_profile=profile))


def test_other_programs_find_the_profile() -> None:
    image = pytest.importorskip("PIL.Image")
    for media_type in ("image/png", "image/jpeg"):
        opened = image.open(io.BytesIO(rendered("srgb", media_type=media_type)))
        assert opened.info["icc_profile"] == named_profile("srgb")
