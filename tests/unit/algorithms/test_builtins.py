"""What the shipped algorithms say, against values that were put into the images or computed another way."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from isocenter.algorithms.base import Finding, Output
from isocenter.algorithms.builtin.regions import filled, regions_of, widened
from isocenter.deid.source import InMemory
from isocenter.errors import BadRequest, Unsupported
from isocenter.pipeline.analyse import Analysis
from isocenter.records import Kind
from isocenter.render.voi import GreyTransform, Window, to_levels
from isocenter.testing.instances import ct_slice, gif_picture, jpeg_picture, nifti_volume, png_picture, us_cine
from isocenter.testing.pixel_instances import pixel_instance

Run = Callable[..., Output]


def grey(frames: NDArray[Any], **attributes: Any) -> bytes:
    return pixel_instance(frames if frames.ndim > 2 else frames[None], **attributes)


def values(output: Output, label: str) -> dict[str, float]:
    (found,) = [finding for finding in output.findings if finding.label == label]
    return dict(found.values)


def labelled(output: Output, label: str, **wanted: float) -> list[Finding]:
    return [
        finding
        for finding in output.findings
        if finding.label == label and all(finding.values[name] == value for name, value in wanted.items())
    ]


# Pictures -----------------------------------------------------------------------------------------------------------


def test_png_has_the_pixels_as_their_window_shows_them(run: Run) -> None:
    data = ct_slice()
    (made,) = run("to-png", data).made
    source = pydicom.dcmread(BytesIO(data))
    hounsfield = source.pixel_array.astype(float) - 1024
    expected = np.floor(np.clip((hounsfield - 39.5) / 399 + 0.5, 0, 1) * 255 + 0.5)
    assert (made.media_type, made.suffix) == ("image/png", ".png")
    assert np.array_equal(imagecodecs.png_decode(made.data), expected)


def test_jpeg_is_near_to_it_and_nearer_with_quality(run: Run) -> None:
    data = us_cine(frames=1)
    exact = imagecodecs.png_decode(run("to-png", data).made[0].data).astype(int)
    errors = []
    for quality in (20, 95):
        (made,) = run("to-jpeg", data, quality=quality).made
        assert (made.media_type, made.suffix) == ("image/jpeg", ".jpg")
        errors.append(np.abs(imagecodecs.jpeg8_decode(made.data) - exact).mean())
    assert errors[1] < errors[0] < 10
    assert errors[1] < 3


def test_frames_come_apart_or_alone(run: Run) -> None:
    data = us_cine(frames=3)
    made = run("to-png", data).made
    assert [one.suffix for one in made] == ["_0001.png", "_0002.png", "_0003.png"]
    (one,) = run("to-png", data, frame=2).made
    assert (one.suffix, one.data) == (".png", made[1].data)
    with pytest.raises(Unsupported) as none:
        run("to-png", data, frame=4)
    assert none.value.code == "no-frame"


@pytest.mark.parametrize(("kind", "data"), [(Kind.PNG, png_picture()), (Kind.GIF, gif_picture())])
def test_pictures_are_made_anew(run: Run, kind: Kind, data: bytes) -> None:
    decode = imagecodecs.png_decode if kind is Kind.PNG else imagecodecs.gif_decode
    expected = decode(data)
    expected = expected[0] if kind is Kind.GIF and expected.ndim == 4 else expected
    assert np.array_equal(imagecodecs.png_decode(run("to-png", data, kind).made[0].data), expected)


# Quality ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", [5, 20, 80])
def test_noise_is_what_was_put_in_whatever_the_image_shows(run: Run, deviation: int) -> None:
    source = pydicom.dcmread(BytesIO(ct_slice()))
    clean = source.pixel_array.astype(float) + 1000
    noisy = clean + np.random.default_rng(1).normal(0, deviation, clean.shape)
    data = grey(np.round(noisy).astype("u2"), RescaleSlope=0.5, RescaleIntercept=-1024)
    assert values(run("quality", data), "quality")["noise"] == pytest.approx(deviation / 2, rel=0.05)
    quiet = values(run("quality", grey(clean.astype("u2"))), "quality")
    assert quiet["noise"] == 0


def test_contrast_clipping_and_variety_are_counted(run: Run) -> None:
    image = np.full((64, 64), 100, np.uint8)
    image[:16] = 0
    image[48:56] = 255
    found = values(run("quality", grey(image)), "quality")
    assert found["clipped_low"] == 0.25
    assert found["clipped_high"] == 0.125
    assert found["contrast"] == pytest.approx(image.std() / 255)
    assert found["varied"] == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        (np.full((40, 40), 7), ["blank"]),
        (np.tile([100, 103], (40, 20)), ["low contrast"]),
        (np.where(np.arange(1600).reshape(40, 40) < 800, 255, 60), ["clipped at white"]),
        (np.random.default_rng(2).integers(0, 255, (64, 64)), ["noisy"]),
        (np.tile(np.arange(40) * 6, (40, 1)), []),
    ],
)
def test_what_is_wrong_with_an_image_is_said(run: Run, image: NDArray[Any], labels: list[str]) -> None:
    found = run("quality", grey(image.astype(np.uint8)))
    assert [finding.label for finding in found.findings if finding.label != "quality"] == labels


def test_motion_is_the_change_from_frame_to_frame(run: Run) -> None:
    still = np.random.default_rng(3).integers(50, 100, (64, 64)).astype(np.uint8)
    found = run("quality", grey(np.stack([still, still, still + 51])))
    motion = [finding.values.get("motion") for finding in found.findings if finding.label == "quality"]
    assert motion == [None, 0.0, pytest.approx(0.2)]
    assert [finding.frame for finding in found.findings if finding.label == "motion"] == [3]


def test_padding_counts_for_nothing(run: Run) -> None:
    image = np.random.default_rng(4).normal(1000, 10, (64, 64)).round().astype("u2")
    image[:, :32] = 0
    found = values(run("quality", grey(image, PixelPaddingValue=0)), "quality")
    assert found["noise"] == pytest.approx(10, rel=0.1)
    assert found["clipped_low"] < 0.01


# Window -------------------------------------------------------------------------------------------------------------


def test_the_window_shows_its_ends_black_and_white(run: Run) -> None:
    image = np.random.default_rng(5).permutation(4096).reshape(64, 64).astype("u2")
    found = values(run("window-suggest", grey(image, RescaleSlope=2, RescaleIntercept=-1000)), "window")
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(image * 2.0 - 1000, (1, 99))))
    ends = np.array([found["low"], found["low"] + 20, found["high"] - 20, found["high"]])
    levels = to_levels(ends[None], GreyTransform(voi=Window(found["center"], found["width"])))[0]
    assert (levels[0], levels[-1]) == (0, 255)
    assert 0 < levels[1] < levels[2] < 255


def test_background_and_padding_do_not_count(run: Run) -> None:
    image = np.random.default_rng(6).integers(500, 600, (64, 64)).astype("u2")
    image[:20] = 0
    image[60:] = 4000
    data = grey(image, PixelPaddingValue=4000)
    inside = image[20:60]
    assert values(run("window-suggest", data), "window")["low"] == np.percentile(inside, 1)
    assert values(run("window-suggest", data), "window")["high"] == np.percentile(inside, 99)
    assert values(run("window-suggest", data, background=True), "window")["low"] == 0


def test_a_window_of_a_volume_and_of_a_series(run: Run, analysis: Analysis) -> None:
    data = nifti_volume()
    voxels = np.asarray(nibabel.Nifti1Image.from_bytes(data).dataobj).astype(float)
    found = values(run("window-suggest", data, Kind.NIFTI, background=True), "window")
    assert (found["low"], found["high"]) == tuple(np.percentile(voxels, (1, 99)))
    checked = analysis.check("window-suggest", {"background": True})
    slices = [ct_slice(number=number, size=32) for number in (3, 1, 2)]
    whole = values(analysis.run_series(checked, [InMemory(each) for each in slices]), "window")
    stored = np.stack([pydicom.dcmread(BytesIO(each)).pixel_array for each in slices]) - 1024.0
    assert (whole["low"], whole["high"]) == tuple(np.percentile(stored, (1, 99)))


def test_colour_has_no_window(run: Run) -> None:
    with pytest.raises(Unsupported):
        run("window-suggest", us_cine(frames=1))


def test_percentiles_have_to_be_in_order(analysis: Analysis) -> None:
    with pytest.raises(BadRequest, match="low has to lie below high"):
        analysis.check("window-suggest", {"low": 60, "high": 40})


# Labels -------------------------------------------------------------------------------------------------------------


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray((y - row) ** 2 + (x - column) ** 2 <= radius**2)


def box_of(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.min()), float(rows.min()), float(np.ptp(columns) + 1), float(np.ptp(rows) + 1)


def overlap(one: tuple[float, ...] | None, other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    assert one is not None
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(0, wide) * max(0, high)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def scene(rows: int, columns: int) -> dict[str, NDArray[np.bool_]]:
    """A body with a cavity and a pin, and a marker beside it."""
    size = min(rows, columns)
    body = disc((rows, columns), rows / 2, columns / 2, size * 0.38)
    return {
        "body": body,
        "cavity": disc((rows, columns), rows / 2, columns / 2 - size * 0.15, size * 0.1),
        "implant": disc((rows, columns), rows / 2 + size * 0.1, columns / 2 + size * 0.15, size * 0.03),
        "marker": disc((rows, columns), size * 0.08, size * 0.08, size * 0.025),
    }


def told_apart(output: Output, parts: dict[str, NDArray[np.bool_]]) -> None:
    (body,) = labelled(output, "body")
    (cavity,) = labelled(output, "air", inside=1)
    (outside,) = labelled(output, "air", inside=0)
    (implant,) = labelled(output, "implant")
    (marker,) = labelled(output, "marker")
    for finding, part in ((body, "body"), (cavity, "cavity"), (implant, "implant"), (marker, "marker")):
        assert overlap(finding.box, box_of(parts[part])) > 0.85, part
        assert 0.5 <= finding.confidence <= 1
    assert overlap(outside.box, (0, 0, *parts["body"].shape[::-1])) == 1
    assert body.values["area"] == pytest.approx((parts["body"] & ~parts["cavity"]).sum() / parts["body"].size, rel=0.05)


@pytest.mark.parametrize("noise", [0, 30])
def test_ct_is_told_apart_by_hounsfield_units(run: Run, noise: int) -> None:
    parts = scene(256, 256)
    hounsfield = np.full((256, 256), -1000.0)
    for part, value in (("body", 40), ("cavity", -900), ("implant", 2900), ("marker", 1500)):
        hounsfield[parts[part]] = value
    hounsfield += np.random.default_rng(7).normal(0, noise, hounsfield.shape)
    stored = np.clip(hounsfield + 1024, 0, 4095).astype("u2")
    told_apart(run("labels", grey(stored, modality="CT", RescaleIntercept=-1024, RescaleSlope=1)), parts)


@pytest.mark.parametrize("shape", [(300, 300), (200, 400), (2400, 1800)])
def test_other_images_are_told_apart_by_their_levels(run: Run, shape: tuple[int, int]) -> None:
    parts = scene(*shape)
    levels = np.full(shape, 10.0)
    for part, value in (("body", 120), ("cavity", 12), ("implant", 250), ("marker", 240)):
        levels[parts[part]] = value
    levels += np.random.default_rng(8).normal(0, 3, shape)
    shown = np.clip(levels, 0, 255).astype(np.uint8)
    told_apart(run("labels", grey(shown, modality="CR")), parts)
    told_apart(run("labels", grey(255 - shown, modality="CR", photometric="MONOCHROME1")), parts)
    png = bytes(imagecodecs.png_encode(np.repeat(shown[..., None], 3, axis=2)))
    told_apart(run("labels", png, Kind.PNG), parts)


@pytest.mark.parametrize("image", [np.zeros((50, 50)), np.full((1, 1), 9), np.tile(np.arange(64), (64, 1))])
def test_what_holds_nothing_has_no_labels(run: Run, image: NDArray[Any]) -> None:
    output = run("labels", grey(image.astype(np.uint8)), confidence=0.9)
    assert not labelled(output, "implant") + labelled(output, "marker") + labelled(output, "body")


def test_labels_are_few_and_sure_as_asked(run: Run) -> None:
    data = ct_slice()
    everything = run("labels", data).findings
    assert [f.confidence for f in everything] == sorted((f.confidence for f in everything), reverse=True)
    assert run("labels", data, most=2).findings == everything[:2]
    assert run("labels", data, confidence=0.99).findings == ()


def test_frames_are_looked_at_one_by_one(run: Run) -> None:
    assert {finding.frame for finding in run("labels", us_cine(frames=3)).findings} == {1, 2, 3}


@pytest.mark.parametrize("seed", range(5))
def test_regions_are_those_of_a_flood(seed: int) -> None:
    mask = np.random.default_rng(seed).random((30, 41)) < 0.55
    labels, regions = regions_of(mask)
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    areas = []
    while left:
        edge, area = [left.pop()], 0
        number = labels[edge[0]]
        while edge:
            row, column = edge.pop()
            area += 1
            assert labels[row, column] == number
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if near in left:
                    left.remove(near)
                    edge.append(near)
        areas.append(area)
    assert sorted(areas, reverse=True) == [region.area for region in regions]
    assert not labels[~mask].any()
    for region in regions:
        own = labels == region.number
        assert (region.x, region.y, region.width, region.height) == box_of(own)
        assert region.at_edge == bool(own[[0, -1]].any() or own[:, [0, -1]].any())


def test_a_ring_is_filled_and_widened() -> None:
    ring = disc((40, 40), 20, 20, 10) & ~disc((40, 40), 20, 20, 8)
    assert np.array_equal(filled(ring), disc((40, 40), 20, 20, 10))
    dot = np.zeros((9, 11), np.bool_)
    dot[4, 0] = True
    wide = np.zeros_like(dot)
    wide[2:7, 0:3] = True
    assert np.array_equal(widened(dot, 2), wide)


def test_a_jpeg_is_taken_as_well(run: Run) -> None:
    assert values(run("quality", jpeg_picture(), Kind.JPEG), "quality")["contrast"] > 0


# Regions by threshold -----------------------------------------------------------------------------------------------


def pixels_of(found: Finding, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of a finding over the whole frame, undone run by run."""
    assert found.box is not None
    assert found.mask is not None
    x, y, width, height = (int(side) for side in found.box)
    states = np.arange(len(found.mask)) % 2 == 1
    whole = np.zeros(shape, np.bool_)
    whole[y : y + height, x : x + width] = np.repeat(states, found.mask).reshape(height, width)
    return whole


def test_regions_by_threshold_have_their_pixels(run: Run) -> None:
    rows, columns = np.mgrid[:60, :80]
    disc = (rows - 25) ** 2 + (columns - 30) ** 2 <= 12**2
    hole = (rows - 25) ** 2 + (columns - 30) ** 2 <= 4**2
    bar = (rows >= 50) & (rows < 54) & (columns >= 70)
    image = np.full((60, 80), 1000, np.uint16)
    image[disc & ~hole], image[bar] = 1500, 1700
    data = grey(image, RescaleSlope=2, RescaleIntercept=-1000, PixelSpacing=[0.5, 2])
    ring, low = run("threshold", data, lower=1900, upper=2500).findings
    assert np.array_equal(pixels_of(ring, image.shape), disc & ~hole)
    assert np.array_equal(pixels_of(low, image.shape), bar)
    area = int((disc & ~hole).sum())
    expected = {"area": area / image.size, "area_mm2": float(area), "mean": 2000.0, "lowest": 2000.0, "highest": 2000.0}
    assert ring.values == pytest.approx(expected)
    assert low.box == (70, 50, 10, 4)
    assert low.mask == (0, 40)
    (whole, _) = run("threshold", data, lower=1900, fill=True).findings
    assert np.array_equal(pixels_of(whole, image.shape), disc)
    assert run("threshold", data, upper=1000).findings[0].box == (0, 0, 80, 60)
    assert run("threshold", data, lower=9000).findings == ()
    assert len(run("threshold", data, lower=1900, most=1).findings) == 1
    assert len(run("threshold", data, lower=1900, least=0.05).findings) == 1
    # Without limits what is bright counts, and what is sent is what was found.
    told = run("threshold", data).findings[0].as_json()
    assert sum(told["mask"]) == told["box"][2] * told["box"][3]
    with pytest.raises(BadRequest):
        run("threshold", data, lower=2, upper=1)


def test_regions_of_colour_and_of_noise(run: Run) -> None:
    """Colour goes by its luminance; what is too ragged has its box alone."""
    assert run("threshold", png_picture(), Kind.PNG).findings
    noise = np.random.default_rng(1).integers(0, 2, (400, 400)).astype(np.uint16)
    noise[::2, :] = 1  # all of one piece
    (found,) = run("threshold", grey(noise * 100, RescaleSlope=1, RescaleIntercept=0), lower=50).findings
    assert found.mask is not None
    rough = np.zeros((600, 600), np.uint16)
    rough[:, ::2] = 1
    rough[0] = 1
    (comb,) = run("threshold", grey(rough, RescaleSlope=1, RescaleIntercept=0), lower=1).findings
    assert (comb.box, comb.mask) == ((0, 0, 600, 600), None)
