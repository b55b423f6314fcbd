"""Headers of any values: a picture or an error of ours, never another exception, never a warning."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.pixel_description import EXPLICIT_BIG
from isocenter.errors import BadRequest, IsocenterError
from isocenter.render.asked import Viewport
from isocenter.render.frame import FrameRequest, is_plain, needed_tags, render_frame
from isocenter.render.functional_groups import rendering_model
from isocenter.render.gif import frame_delays
from isocenter.testing.pixel_samples import EXPLICIT_LITTLE, image_model

SIDE = 6
numbers = st.one_of(
    st.integers(-3, 20),
    st.sampled_from([255, 256, 4095, 32767, 32768, 65535, 65536, -32768, 2**31, 2**32 - 1, 10**30]),
    st.floats(width=64),
    st.sampled_from(["1", "0.5", "-7", "1e400", "nan", "G", "COLOR", "x" * 70, "é", ""]),
    st.none(),
    st.booleans(),
)
plain_value = st.one_of(numbers, st.fixed_dictionaries({"Alphabetic": st.text(max_size=9)}))
binary = st.binary(max_size=600).map(lambda data: {"vr": "OW", "InlineBinary": base64.b64encode(data).decode("ascii")})
attribute = st.one_of(
    st.lists(plain_value, max_size=4).map(lambda values: {"vr": "US", "Value": values}),
    binary,
    st.just({"vr": "OW", "BulkDataURI": "x"}),
    st.just({"vr": "US"}),
)
# What says how the pixels are to be read, and the rest.
CORE = (
    "00280002", "00280004", "00280006", "00280008", "00280010", "00280011", "00280100", "00280101", "00280102",
    "00280103", "7FE00008",
)  # fmt: skip
REST = (
    "00080008", "00082144", "00089205", "00181063", "00181065", "00180040", "00181164", "00182010", "00280030",
    "00280034", "00280120", "00280121", "00281050", "00281051", "00281052", "00281053", "00281056", "00281101",
    "00281102", "00281103", "00281201", "00281202", "00281203", "00281221", "00281222", "00281223", "00282000",
    "00283000", "00283002", "00283006", "00283010", "20500010", "20500020", "52009229", "52009230", "00289110",
    "00289132", "00289145", "00189226", "00189329", "60000010", "60000011", "60000015", "60000040", "60000050",
    "60000051", "60000100", "60000102", "60001001", "60003000", "00100010", "00100030", "00080020", "00080030",
    "00080060", "00180050", "00200032", "00280122", "00280124", "00280123", "00480105",
)  # fmt: skip
flat = st.dictionaries(st.sampled_from(REST), attribute, max_size=6)
nested = st.one_of(attribute, st.lists(flat, max_size=2).map(lambda items: {"vr": "SQ", "Value": items}))
changes = st.one_of(
    st.dictionaries(st.sampled_from(REST), nested, max_size=8),
    st.dictionaries(st.sampled_from(CORE + REST), nested, max_size=8),
)
photometrics = st.sampled_from(
    ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_ICT"]
)
viewports = st.none() | st.builds(
    Viewport,
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    left=st.floats(0, 9),
    top=st.floats(0, 9),
    region_width=st.none() | st.floats(-9, 9),
    region_height=st.none() | st.floats(-9, 9),
)


@settings(max_examples=400, deadline=None)
@given(
    changes=changes,
    photometric=photometrics,
    depth=st.sampled_from([(1, 1), (8, 8), (8, 6), (16, 16), (16, 12), (32, 32), (32, 20)]),
    signed=st.booleans(),
    data=st.binary(min_size=SIDE * SIDE * 12, max_size=SIDE * SIDE * 12),
    syntax=st.sampled_from([EXPLICIT_LITTLE, EXPLICIT_BIG]),
    options=st.fixed_dictionaries(
        {
            "media_type": st.sampled_from(["image/png", "image/jpeg", "image/gif"]),
            "window": st.none() | st.tuples(st.floats(), st.floats()),
            "width": st.none() | st.integers(-1, 40),
            "viewport": viewports,
            "overlays": st.booleans(),
            "annotations": st.sampled_from([(), ("patient",), ("patient", "technique")]),
            "icc_profile": st.sampled_from([None, "no", "yes", "srgb", "adobergb", "rommrgb"]),
            "window_function": st.sampled_from([None, "LINEAR", "LINEAR_EXACT", "SIGMOID"]),
        }
    ),
)
def test_a_header_of_any_values_is_a_picture_or_an_error_of_ours(
    changes: dict[str, Any],
    photometric: str,
    depth: tuple[int, int],
    signed: bool,
    data: bytes,
    syntax: str,
    options: dict[str, Any],
) -> None:
    bits, stored = depth
    model: dict[str, Any] = image_model(SIDE, SIDE, bits=bits, stored=stored, signed=signed, photometric=photometric)
    model |= changes
    needed = needed_tags(options["annotations"], options["icc_profile"])
    request = FrameRequest(rendering_model(model, 1, needed), syntax, data, **options)
    assert is_plain(request) in (True, False)
    with suppress(IsocenterError):
        assert len(render_frame(request)) > 40


@settings(max_examples=200, deadline=None)
@given(changes=changes, frames=st.lists(st.integers(1, 9), max_size=9))
def test_delays_of_any_header_are_ones_a_gif_can_hold(changes: dict[str, Any], frames: list[int]) -> None:
    delays = frame_delays(DataSet(changes), frames)
    assert len(delays) == len(frames)
    assert all(2 <= delay <= 65535 for delay in delays)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(alphabet="0123456789,.-e", max_size=30), st.text(max_size=20)))
def test_a_viewport_of_any_text_is_one_or_an_error_of_ours(text: str) -> None:
    with suppress(BadRequest):
        Viewport.parse(text).region(10, 10)
