"""The viewer as people use it: what is on the screen is what is stored, on every kind of image."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import numpy as np
import pydicom
import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import decode_frame
from isocenter.testing import instances
from isocenter.testing.pixel_samples import bundled_image, read_sample

MR_KIN = ("MR", "J2K", "JPEG-LS", "RLE", "BIG-ENDIAN")
NAMES = {"MR": "MR_small.dcm", "DEFLATED": "image_dfl.dcm", "JPEG-12": "JPGExtended.dcm", "LOSSY-J2K": "693_J2KI.dcm"}


def stored(name: str) -> np.ndarray[Any, Any]:
    """Stored values by the server's own decoder, which has tests of its own against others."""
    sample = read_sample(bundled_image(name))
    return decode_frame(sample.description, sample.frame()).pixels


def hounsfield(number: int) -> np.ndarray[Any, Any]:
    data_set = pydicom.dcmread(io.BytesIO(instances.ct_slice(1, number)))
    return data_set.pixel_array.astype(int) * int(data_set.RescaleSlope) + int(data_set.RescaleIntercept)


def value(text: str) -> float:
    found = re.match(r"-?[\d.]+", text)
    assert found
    return float(found[0])


def test_ct_hounsfield_units_window_and_keys(world: Any, visit: Any) -> None:
    page = visit.view(world.series["CT"])
    expected = hounsfield(1)
    for across, down in ((0.5, 0.5), (0.4, 0.6), (0.62, 0.42), (0.5, 0.7)):
        x, y, told = visit.read(across, down)
        assert told == f"{expected[y, x]} HU"
    # The pixels on the screen follow from values and window: PS3.3 C.11.2.1.2.
    assert "L 40 W 400" in visit.corner("br")
    x, y, told = visit.read(0.5, 0.5)
    shown = visit.pixels(middle=0.01).mean()
    assert shown == pytest.approx(np.clip((expected[y, x] - 39.5) / 399 + 0.5, 0, 1) * 255, abs=2)
    before = visit.pixels()
    page.select_option("select[title='Window preset']", label="3  Lung")
    visit.settled()
    assert "L -600 W 1500" in visit.corner("br")
    assert np.abs(visit.pixels() - before).mean() > 20
    visit.drag(visit.point(0.5, 0.5), visit.point(0.6, 0.7))
    assert "L -600 W 1500" not in visit.corner("br")
    page.keyboard.press("0")
    visit.settled()
    assert "L 40 W 400" in visit.corner("br")
    assert np.abs(visit.pixels() - before).mean() < 1
    page.keyboard.press("i")
    visit.settled()
    assert visit.pixels(middle=0.01).mean() == pytest.approx(255 - shown, abs=2)
    page.keyboard.press("i")
    # Other slices are reached by keys, wheel and slider, and are what is stored in them.
    page.keyboard.press("ArrowDown")
    page.keyboard.press("PageDown")
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('12 / 12')")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('11 / 12')")
    visit.settled()
    x, y, told = visit.read(0.42, 0.55)
    assert told == f"{hounsfield(11)[y, x]} HU"
    page.mouse.wheel(0, -120)
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('10 / 12')")
    page.locator(".slider").fill("5")
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('6 / 12')")


def test_directions_scale_and_what_turns_the_image(world: Any, visit: Any) -> None:
    page = visit.view(world.series["CT"])

    def edges() -> list[str]:
        return [page.locator(f".edge.{side}").inner_text() for side in ("left", "right", "upper", "lower")]

    assert edges() == ["R", "L", "A", "P"]
    assert re.search(r"^\d+ (cm|mm)$", page.locator(".scale").inner_text())
    upright = visit.pixels(middle=0.6)
    page.keyboard.press("h")
    visit.settled()
    assert edges() == ["L", "R", "A", "P"]
    assert np.abs(visit.pixels(middle=0.6)[:, ::-1] - upright).mean() < 8
    page.keyboard.press("h")
    page.keyboard.press("v")
    visit.settled()
    assert edges() == ["R", "L", "P", "A"]
    page.keyboard.press("v")
    page.keyboard.press("o")
    visit.settled()
    assert edges() in (["P", "A", "R", "L"], ["A", "P", "L", "R"])
    page.keyboard.press("0")
    visit.settled()
    assert edges() == ["R", "L", "A", "P"]
    zoomed = visit.corner("br")
    page.keyboard.press("+")
    visit.settled()
    assert visit.corner("br") != zoomed
    visit.drag(visit.point(0.5, 0.5), visit.point(0.5, 0.7), button="middle")
    _, y, _ = visit.read(0.5, 0.5)
    assert y < 110, "the middle button moves the image down"
    page.keyboard.press("t")
    assert not page.locator(".corner.tl").is_visible()
    page.keyboard.press("t")
    assert page.locator(".corner.tl").is_visible()


def test_measurements_are_in_millimetres_and_hounsfield_units(world: Any, visit: Any) -> None:
    page = visit.view(world.series["CT"])

    def drawn(key: str, start: tuple[float, float], end: tuple[float, float]) -> tuple[Any, Any, str]:
        page.keyboard.press(key)
        first, last = visit.read(*start), visit.read(*end)
        visit.drag(visit.point(*start), visit.point(*end))
        page.mouse.move(*visit.point(0.9, 0.9))
        return first, last, visit.marks()

    first, last, told = drawn("l", (0.45, 0.5), (0.55, 0.5))
    length = re.search(r"([\d.]+) mm", told)
    assert length is not None
    assert float(length[1]) == pytest.approx((last[0] - first[0]) * 1.25, abs=2.5)
    assert "detector" not in told
    page.locator("[data-name='clear']").click()
    first, last, told = drawn("r", (0.46, 0.42), (0.53, 0.52))
    # Pixels whose centre lies in the rectangle: those at its edges or not, as the pointer stood within them.
    regions = [
        hounsfield(1)[first[1] + top : last[1] + bottom, first[0] + left : last[0] + right]
        for top in (0, 1) for bottom in (0, 1) for left in (0, 1) for right in (0, 1)
    ]  # fmt: skip
    mean, most = (float(re.search(rf"{name} (-?[\d.]+) HU", told)[1]) for name in ("Mean", "Max"))  # type: ignore[index]
    assert any(abs(mean - values.mean()) < 0.006 and most == values.max() for values in regions)
    assert re.search(r"Area [\d.]+ mm²", told)
    page.locator("[data-name='clear']").click()
    _, _, told = drawn("e", (0.46, 0.42), (0.53, 0.52))
    assert re.search(r"Mean -?[\d.]+ HU", told)
    page.keyboard.press("Delete")
    visit.settled()
    assert "Mean" not in visit.marks()
    page.keyboard.press("b")
    x, y, _ = visit.read(0.42, 0.55)
    at = visit.point(0.42, 0.55)
    visit.drag(at, (at[0] + 0.2, at[1]))
    page.wait_for_function("() => document.querySelector('.canvas svg tspan')")
    told = visit.marks()
    assert f"x {x} y {y}" in told
    assert f"{hounsfield(1)[y, x]} HU" in told
    visit.picture("measurements")
    page.locator("[data-name='clear']").click()
    page.keyboard.press("a")
    start = visit.point(0.45, 0.6)
    visit.drag(start, visit.point(0.55, 0.6))
    page.mouse.click(*visit.point(0.55, 0.4))
    visit.settled()
    assert re.search(r"\d+(\.\d)?°", visit.marks())


def test_a_length_at_the_detector_says_so_and_one_without_spacing_is_in_pixels(world: Any, visit: Any) -> None:
    for label, unit in (("CR", "mm at detector"), ("US", "px")):
        page = visit.view(world.series[label])
        page.keyboard.press("l")
        visit.drag(visit.point(0.45, 0.5), visit.point(0.55, 0.5))
        told = visit.marks()
        assert told.strip().endswith(unit), told
    assert page.locator(".scale").is_hidden()


@pytest.mark.parametrize("label", [*MR_KIN, "DEFLATED", "JPEG-12", "LOSSY-J2K"])
def test_values_are_those_stored_in_every_transfer_syntax(world: Any, visit: Any, label: str) -> None:
    name = NAMES["MR"] if label in MR_KIN else NAMES[label]
    expected = stored(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(bundled_image(name), stop_before_pixels=True)
    slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    visit.view(world.series[label])
    seen = set()
    for across in np.linspace(0.46, 0.54, 5):
        for down in (0.3, 0.5, 0.65):
            x, y, told = visit.read(float(across), down)
            assert value(told) == expected[y, x] * slope + intercept
            seen.add(told)
    assert len(seen) > 1
    assert visit.pixels().std() > 1


def test_colour_is_shown_as_colour_and_frames_play(world: Any, visit: Any) -> None:
    page = visit.view(world.series["US"])
    pixels = pydicom.dcmread(io.BytesIO(instances.us_cine())).pixel_array
    for across, down in ((0.5, 0.55), (0.45, 0.4)):
        x, y, told = visit.read(across, down)
        assert told == " ".join(map(str, pixels[0, y, x]))
    red = visit.pixels(middle=0.9)
    assert ((red[..., 0] > 180) & (red[..., 1] < 100)).sum() > 500
    assert "1 / 6" in visit.corner("bl")
    assert page.locator("input.rate").input_value() == "25"  # from FrameTime
    page.locator("input.rate").fill("8")
    page.locator("[data-name='play']").click()
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('4 / 6')")
    page.locator("[data-name='play']").click()
    at = visit.corner("bl")
    page.wait_for_timeout(200)
    assert visit.corner("bl") == at
    for label in ("US-YBR", "PALETTE"):
        visit.view(world.series[label])
        shown = visit.pixels(middle=0.95)
        assert np.abs(shown[..., 0] - shown[..., 2]).max() > 60, "there is colour in it"


def test_side_by_side_follows_in_slice_window_and_zoom(world: Any, visit: Any) -> None:
    page = visit.view(world.series["CT"], world.series["COPY"])
    assert "holds identity" in visit.corner("tl", 1)
    assert "PSEUDONYM" in visit.corner("tl", 2)
    assert "holds identity" not in visit.corner("tl", 2)
    visit.point(0.5, 0.5)
    page.mouse.wheel(0, 120)
    page.mouse.wheel(0, 120)
    for place in (1, 2):
        page.wait_for_function(
            f"() => document.querySelector(\"[data-pane='{place}'] .corner.bl\").innerText.includes('3 / 12')"
        )
    visit.picture("side-by-side")
    page.select_option("select[title='Window preset']", label="4  Bone")
    page.keyboard.press("+")
    visit.settled()
    assert visit.corner("br", 1) == visit.corner("br", 2)
    assert "L 300 W 1500" in visit.corner("br", 2)
    assert np.abs(visit.pixels(1) - visit.pixels(2)).mean() < 40
    # Unlinked, each goes its own way.
    page.locator(".links summary").click()
    page.get_by_label("Scrolling").uncheck()
    page.locator(".links summary").click()
    visit.point(0.5, 0.5)
    page.mouse.wheel(0, 120)
    page.wait_for_function("() => document.querySelector(\"[data-pane='1'] .corner.bl\").innerText.includes('4 / 12')")
    assert "3 / 12" in visit.corner("bl", 2)
    # Two by two, and the series of the study to choose from.
    page.select_option("select[title='Layout']", label="Two by two")
    page.locator("[data-pane='3']").click()
    page.locator(".pick", has_text="frontal").click()
    page.wait_for_selector("[data-pane='3'].shown")
    visit.settled()
    assert "frontal" in visit.corner("tr", 3)


def test_an_image_fills_its_place_whatever_size_that_gets(world: Any, visit: Any) -> None:
    page = visit.view(world.series["CT"], world.series["COPY"])

    def across() -> list[int]:
        """The columns at the left and right edges of both places, which are higher than wide."""
        visit.settled()
        return [visit.read(share, 0.5, place)[0] for place in (1, 2) for share in (0.01, 0.99)]

    assert across() == pytest.approx([2, 253, 2, 253], abs=3)
    page.set_viewport_size({"width": 1000, "height": 760})
    assert across() == pytest.approx([2, 253, 2, 253], abs=3)
    # What was turned and enlarged stays so, as large beside its place as before.
    for key in ("h", "+", "+"):
        page.keyboard.press(key)
    before = across()
    assert before[0] > 200
    page.set_viewport_size({"width": 1280, "height": 800})
    assert across() == pytest.approx(before, abs=3)


def test_volumes_are_shown_in_three_planes_and_pictures_as_they_are(world: Any, visit: Any) -> None:
    page = visit.view(image=world.images["nifti"])
    page.wait_for_function("() => document.querySelectorAll('.pane.shown').length === 3")
    visit.settled()
    for place, plane in enumerate(("Axial", "Coronal", "Sagittal"), 1):
        told = visit.corner("tr", place)
        assert plane in told
        assert "patient's right is on the left" in told
    assert [page.locator(f"[data-pane='2'] .edge.{side}").inner_text() for side in ("left", "upper")] == ["R", "H"]
    assert [page.locator(f"[data-pane='3'] .edge.{side}").inner_text() for side in ("left", "upper")] == ["A", "H"]
    # The volume is stored in RAS by rows to the left and back, as the phantom's slices are.
    slices = [pydicom.dcmread(io.BytesIO(instances.ct_slice(1, n, size=32))) for n in range(1, 13)]
    top = slices[11 - 6]  # scrolled from the head down, and opened in the middle
    x, y, told = visit.read(0.5, 0.5)
    assert value(told) == int(top.pixel_array[y, x]) - 1024
    for kind in ("jpeg", "png", "gif"):
        visit.view(image=world.images[kind])
        assert visit.pixels().std() > 3
        assert "SUBJECT-1" in visit.corner("tl")


def test_the_header_is_browsed_and_searched(world: Any, visit: Any) -> None:
    page = visit.view(world.series["CT"])
    page.keyboard.press("d")
    page.wait_for_selector(".panel .line .value")
    page.locator(".panel input").fill("windowwid")
    page.wait_for_function("() => document.querySelectorAll('.panel .rows .line').length === 1")
    assert page.locator(".panel .rows .line").inner_text().split("\n") == ["WindowWidth", "(0028,1051) DS", "400"]
    page.locator(".panel input").fill("PHANTOM-1")
    page.wait_for_function("() => document.querySelector('.panel .rows').innerText.includes('PatientID')")
    visit.picture("header")
    page.keyboard.press("Escape")
    assert page.locator(".panel").is_hidden()


def test_help_and_the_way_back_by_keys(world: Any, visit: Any) -> None:
    page = visit.view(world.series["CT"])
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    assert "Previous and next image" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("Escape")
    page.wait_for_selector(".person")


def test_what_cannot_be_loaded_leaves_no_image_of_before(world: Any, visit: Any) -> None:
    page = visit.view(world.series["CT"])
    assert visit.pixels().max() > 100
    visit.expected.append("Failed to load resource")
    page.route("**/viewing/series/**", lambda route: route.fulfill(status=503, body="{}"))
    page.locator(".pick", has_text="frontal").click()
    page.wait_for_selector(".cover strong")
    visit.settled()
    assert "cannot be shown" in page.locator(".cover").inner_text()
    assert not page.locator(".pane.shown").count()
    assert visit.corner("tl") == ""
    page.locator(".cover").evaluate("element => { element.hidden = true }")
    assert visit.pixels().max() < 10, "the last patient's image is gone"
    page.unroute("**/viewing/series/**")
    # The same for a single frame that cannot be had.
    visit.view(world.series["CT"])
    page.route("**/frames/1", lambda route: route.abort())
    page.locator(".pick", has_text="frontal").click()
    page.wait_for_selector(".cover strong")
    assert "cannot be reached" in page.locator(".cover").inner_text()


def test_without_webgl_it_is_drawn_all_the_same(world: Any, visit: Any) -> None:
    visit.page.add_init_script(
        "const real = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        " return /webgl/.test(kind) ? null : real.call(this, kind, ...rest) };"
    )
    visit.view(world.series["CT"])
    x, y, told = visit.read(0.5, 0.5)
    assert told == f"{hounsfield(1)[y, x]} HU"
    expected = np.clip((hounsfield(1)[y, x] - 39.5) / 399 + 0.5, 0, 1) * 255
    assert visit.pixels(middle=0.01).mean() == pytest.approx(expected, abs=3)
    visit.page.keyboard.press("i")
    visit.settled()
    assert visit.pixels(middle=0.01).mean() == pytest.approx(255 - expected, abs=3)
    visit.view(world.series["US"])
    shown = visit.pixels(middle=0.9)
    assert ((shown[..., 0] > 180) & (shown[..., 1] < 100)).sum() > 500


def test_on_a_phone_a_finger_scrolls_and_windows(world: Any, visits: Any) -> None:
    visit = visits(world.server, viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    page = visit.view(world.series["CT"])
    page.locator("[data-name='tool-scroll']").tap()
    session = page.context.new_cdp_session(page)
    box = page.locator(".canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        points = [{"x": x, "y": y + 12 * step}]
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("() => !document.querySelector('.corner.bl').innerText.startsWith('1 / 12')")
    visit.picture("phone")


def test_data_sets_describe_the_sample(world: Any) -> None:
    """What the tests above take for granted of the made-up CT."""
    data_set = DataSet(read_sample(bundled_image("MR_small.dcm")).model)
    assert data_set.integer(0x00280010) == 64
    assert hounsfield(1).shape == (256, 256)
