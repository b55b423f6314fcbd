"""NIfTI volumes drawn in radiological convention."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import gzip
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pytest

from isocenter.errors import LimitExceeded, Malformed, NotAnImage, Unsupported
from isocenter.render.asked import Viewport
from isocenter.render.volume import VolumeRequest, render_volume


def volume(voxels: Any, affine: Any = None) -> bytes:
    return nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine).to_bytes()


def draw(data: bytes, **options: Any) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = imagecodecs.png_decode(render_volume(VolumeRequest(data, **options)))
    return found


def marked() -> np.ndarray[Any, Any]:
    """A RAS+ volume 10 x 12 x 14 whose right, anterior and superior halves each add their own brightness."""
    voxels = np.zeros((10, 12, 14), "i2")
    voxels[5:] += 100
    voxels[:, 6:] += 40
    voxels[:, :, 7:] += 10
    return voxels


def test_right_is_left_anterior_and_superior_are_up() -> None:
    found = draw(volume(marked()))
    assert found.shape == (14, 10 + 4 + 10 + 4 + 12)
    axial, coronal, sagittal = (
        found[1:13, :10].astype(int),
        found[:, 14:24].astype(int),
        found[:, 28:].astype(int),
    )
    assert axial[5, 1] > axial[5, 8]
    assert axial[1, 1] > axial[10, 1]
    assert coronal[5, 1] > coronal[5, 8]
    assert coronal[1, 1] > coronal[12, 1]
    assert sagittal[5, 1] > sagittal[5, 10]
    assert sagittal[1, 1] > sagittal[12, 1]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_the_picture_is_the_same_however_the_voxels_are_stored(
    order: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    canonical = nibabel.Nifti1Image(np.pad(marked(), ((0, 1), (0, 1), (0, 1)), mode="edge"), np.eye(4))
    orientation = np.array(list(zip(order, signs, strict=True)))
    stored = canonical.as_reoriented(orientation)
    np.testing.assert_array_equal(draw(stored.to_bytes()), draw(canonical.to_bytes()))


def test_an_oblique_volume_uses_each_axis_once() -> None:
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, :3] = [[0.6, 0.6, 0.5], [0.6, -0.6, 0.4], [0.5, 0.5, -0.7]]
    assert draw(volume(marked(), affine)).ndim == 2


def test_slices_are_as_tall_as_their_spacing_says() -> None:
    assert draw(volume(marked(), np.diag([1, 1, 3, 1]))).shape[0] == 42


def test_gzip_of_one_and_of_many_members_and_scaling_are_read() -> None:
    image = nibabel.Nifti1Image(marked(), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    data = image.to_bytes()
    expected = draw(data)
    np.testing.assert_array_equal(draw(gzip.compress(data)), expected)
    np.testing.assert_array_equal(draw(gzip.compress(data[:100]) + gzip.compress(data[100:])), expected)


def test_the_first_of_many_volumes_is_drawn() -> None:
    many = np.stack([marked(), np.zeros_like(marked())], axis=-1)
    np.testing.assert_array_equal(draw(volume(many)), draw(volume(marked())))


def test_colour_volumes_are_drawn_in_colour() -> None:
    colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"], colours["B"] = 200, 7
    found = draw(volume(colours))
    assert found.shape[2] == 3
    assert found[2, 2].tolist() == [200, 0, 7]


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"])
def test_voxels_of_every_kind_are_drawn(kind: str) -> None:
    image = nibabel.Nifti1Image(marked().astype(kind), np.eye(4), dtype=kind)
    assert draw(image.to_bytes()).max() == 255


def test_nan_infinity_and_constants_are_drawn_without_a_warning() -> None:
    voxels = marked().astype("f4")
    voxels[0, 0], voxels[1, 1], voxels[2, 2] = np.nan, np.inf, -np.inf
    assert draw(volume(voxels)).max() == 255
    assert draw(volume(np.full((3, 3, 3), np.nan, "f4"))).max() == 0
    assert draw(volume(np.full((3, 3, 3), 1e308))).max() == 0
    assert draw(volume(np.array([[[-1e308, 1e308]] * 2] * 2))).shape


def test_a_mask_of_few_voxels_shows() -> None:
    mask = np.zeros((41, 41, 41), "u1")
    mask[20, 20, 20] = 1
    assert draw(volume(mask)).max() == 255


@pytest.mark.parametrize("shape", [(5,), (5, 6), (5, 6, 1), (1, 1, 1), (1, 5, 6)])
def test_flat_volumes_are_drawn(shape: tuple[int, ...]) -> None:
    assert draw(volume(np.arange(np.prod(shape), dtype="u1").reshape(shape))).size


def test_the_width_asked_for_is_kept_within_bounds() -> None:
    assert draw(volume(marked()), width=100).shape[1] == 100
    jpeg = render_volume(VolumeRequest(volume(marked()), media_type="image/jpeg"))
    assert imagecodecs.jpeg8_decode(jpeg).shape == (14, 40)
    with pytest.raises(LimitExceeded):
        draw(volume(marked()), width=0)


def test_files_cut_short_damaged_too_large_or_of_another_kind_are_rejected() -> None:
    data = volume(marked())
    for broken in (data[:-1], gzip.compress(data)[:-40], gzip.compress(data)[:60]):
        with pytest.raises(Malformed):
            render_volume(VolumeRequest(broken))
    damaged = bytearray(gzip.compress(data))
    damaged[30:40] = b"\xff" * 10
    with pytest.raises((Malformed, NotAnImage)):
        render_volume(VolumeRequest(bytes(damaged)))
    with pytest.raises(LimitExceeded):
        render_volume(VolumeRequest(data, most_bytes=1000))
    with pytest.raises(NotAnImage):
        render_volume(VolumeRequest(b"plain text" * 100))


def test_a_gzip_bomb_is_inflated_no_further_than_its_header_needs() -> None:
    small = volume(np.zeros((4, 4, 4), "u1"))
    assert draw(gzip.compress(small + bytes(200 * 2**20), compresslevel=1)).shape == (4, 20)


def test_128_bit_floating_point_is_unsupported() -> None:
    header = nibabel.Nifti1Image(np.zeros((2, 2, 2), "c16"), np.eye(4)).to_bytes()
    with pytest.raises(Unsupported):
        render_volume(VolumeRequest(header[:70] + b"\x00\x06" + header[72:]))


def test_a_window_a_viewport_and_a_profile_apply_to_volumes() -> None:
    voxels = np.zeros((8, 8, 1), "i2")
    voxels[4:] = 50
    voxels[6:] = 100
    found = draw(volume(voxels), window=(50.0, 100.0))
    # The patient's right is on the left.
    assert found[0].tolist() == [255, 255, 128, 128, 0, 0, 0, 0]
    assert draw(volume(voxels), viewport=Viewport(4, 4)).shape == (4, 4)
    flipped = draw(volume(voxels), window=(50.0, 100.0), viewport=Viewport(8, 8, 0, 0, -8, 8))
    assert flipped[0].tolist() == [0, 0, 0, 0, 128, 128, 255, 255]
    assert draw(volume(voxels), icc_profile="srgb").shape == (8, 8, 3)
    assert render_volume(VolumeRequest(volume(voxels), "image/gif"))[:6] == b"GIF89a"
    with pytest.raises(Malformed):
        draw(volume(voxels), window=(float("nan"), 1.0))


def test_the_scale_of_the_header_comes_before_a_window() -> None:
    image = nibabel.Nifti1Image(np.arange(4, dtype="i2").reshape(4, 1, 1).repeat(4, 1), np.diag([-1.0, 1, 1, 1]))
    image.header.set_slope_inter(10, -5)
    assert draw(image.to_bytes(), window=(10.0, 30.0))[0].tolist() == [0, 85, 170, 255]


def test_of_four_dimensions_the_first_volume_is_drawn() -> None:
    voxels = np.zeros((6, 6, 1, 3), "i2")
    voxels[3:, :, :, 0] = 9
    voxels[:, 3:, :, 1] = 9
    np.testing.assert_array_equal(draw(volume(voxels)), draw(volume(voxels[..., 0])))
