"""GIF pictures and animations, read back by Pillow's rules: frame by frame, colours and times."""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.errors import LimitExceeded, Unsupported
from isocenter.render.gif import END, animation_frame, animation_start, encode_gif, frame_delays, quantise
from isocenter.testing.pixel_samples import attributes

NOISE = np.random.default_rng(5)


def grey(rows: int = 9, columns: int = 14) -> np.ndarray[Any, Any]:
    return NOISE.integers(0, 256, (rows, columns), dtype=np.uint8)


def read(gif: bytes, index: int = 0) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = imagecodecs.gif_decode(gif, index=index)
    return found


@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (300, 257)])
def test_grey_comes_back_exactly(shape: tuple[int, int]) -> None:
    pixels = grey(*shape)
    found = read(encode_gif(pixels))
    np.testing.assert_array_equal(found, np.repeat(pixels[..., None], 3, axis=2))


def test_up_to_256_colours_come_back_exactly() -> None:
    colours = NOISE.integers(0, 256, (256, 3), dtype=np.uint8)
    pixels = colours[NOISE.integers(0, 256, (70, 80))]
    np.testing.assert_array_equal(read(encode_gif(pixels)), pixels)


def test_more_colours_come_back_near() -> None:
    y, x = np.mgrid[0:128, 0:128].astype("u1")
    pixels = np.stack([2 * x, 2 * y, x + y], axis=-1)
    found = read(encode_gif(pixels)).astype(int)
    assert np.abs(found - pixels).mean() < 8
    noise = NOISE.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    indices, table = quantise(noise)
    assert indices.shape == (64, 64)
    assert table.shape == (256, 3)
    assert len(np.unique(indices)) == 256


def test_a_few_rare_colours_keep_theirs_beside_much_of_one() -> None:
    pixels = np.zeros((100, 100, 3), "u1")
    pixels[:50, :] = NOISE.integers(0, 60, (50, 100, 3))
    pixels[99, 99] = [255, 0, 0]
    assert np.abs(read(encode_gif(pixels))[99, 99].astype(int) - [255, 0, 0]).max() < 40


def test_a_side_too_long_for_the_format_is_a_limit() -> None:
    with pytest.raises(LimitExceeded):
        encode_gif(np.zeros((1, 65536), np.uint8))


def animation(frames: list[np.ndarray[Any, Any]], delays: list[int]) -> bytes:
    gifs = [encode_gif(frame) for frame in frames]
    parts = [animation_frame(gif, gifs[0], delay) for gif, delay in zip(gifs, delays, strict=True)]
    return animation_start(gifs[0]) + b"".join(parts) + END


def test_an_animation_holds_each_frame_with_its_own_colours_and_time() -> None:
    frames = [np.repeat(grey()[..., None], 3, axis=2), NOISE.integers(0, 9, (9, 14, 3), dtype=np.uint8) * 28]
    made = animation([frames[0][..., 0], frames[1]], [4, 250])
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(read(made, number), frame)
    controls = [at for at in range(len(made)) if made[at : at + 3] == b"\x21\xf9\x04"]
    assert [struct.unpack_from("<H", made, at + 4)[0] for at in controls] == [4, 250]
    assert b"NETSCAPE2.0\x03\x01\x00\x00\x00" in made
    assert struct.unpack_from("<HH", made, 6) == (14, 9)


def test_frames_of_other_sizes_and_what_is_no_gif_are_refused() -> None:
    first = encode_gif(grey())
    for other in (encode_gif(grey(9, 15)), b"", b"GIF89a", b"\xff\xd8" + bytes(900), first[:400]):
        with pytest.raises(Unsupported):
            animation_frame(other, first, 10)


FRAME_TIME, VECTOR, RECOMMENDED, CINE_RATE = 0x00181063, 0x00181065, 0x00082144, 0x00180040


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, [10, 10, 10]),
        ({FRAME_TIME: 40}, [4, 4, 4]),
        ({FRAME_TIME: 33.333}, [3, 4, 3]),  # the sum keeps time
        ({FRAME_TIME: 1}, [2, 2, 2]),  # as fast as viewers go
        ({FRAME_TIME: 1e5}, [10000] * 3),
        ({FRAME_TIME: 0, CINE_RATE: 50}, [2, 2, 2]),
        ({FRAME_TIME: 40, RECOMMENDED: 1}, [4, 4, 4]),
        ({RECOMMENDED: 5, CINE_RATE: 50}, [20, 20, 20]),
        ({CINE_RATE: 4}, [25, 25, 25]),
        ({VECTOR: [0, 100, 300]}, [10, 30, 10]),  # each frame lasts until the next one's time
        ({FRAME_TIME: -5}, [10, 10, 10]),
        ({CINE_RATE: 1e-9}, [10, 10, 10]),
    ],
)
def test_frames_last_as_long_as_the_cine_module_says(header: dict[int, Any], expected: list[int]) -> None:
    assert frame_delays(DataSet(attributes(header)), [1, 2, 3]) == expected
