"""Rules of how an image is shown and where it lies: windows and rescale (PS3.3 C.11), its plane (PS3.3 C.7.6.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from isocenter.pipeline.validation.elements import Items, Values
from isocenter.pipeline.validation.geometry import check_frames, is_orientation
from isocenter.pipeline.validation.report import Collector, Where

_CENTER, _WIDTH, _FUNCTION = 0x00281050, 0x00281051, 0x00281056
_INTERCEPT, _SLOPE = 0x00281052, 0x00281053
_POSITION, _ORIENTATION = 0x00200032, 0x00200037
_SPACINGS = (0x00280030, 0x00181164, 0x00182010)  # of pixels, of the imager's, nominal of scanned film
_THICKNESS = 0x00180050
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_PLANE_POSITION, _PLANE_ORIENTATION, _MEASURES = 0x00209113, 0x00209116, 0x00289110
_VOI, _TRANSFORMATION = 0x00289132, 0x00289145


def check_image(found: Collector, values: Values) -> None:
    """An instance and, of an enhanced multi-frame one, each functional group."""
    _check_display(found, values, None)
    _check_plane(found, values, None)
    shared, frames = values.items(_SHARED), values.items(_PER_FRAME)
    for sequence, items in ((_SHARED, shared), (_PER_FRAME, frames)):
        for number, item in enumerate(items):
            _check_groups(found, values, item, Where(None, sequence, number))
    if frames:
        check_frames(found, values, shared, frames)


def _check_groups(found: Collector, values: Values, item: Items, where: Where) -> None:
    group = values.inner(item)
    for tag in (_PLANE_POSITION, _PLANE_ORIENTATION, _MEASURES):
        for number, inner in enumerate(group.items(tag)):
            _check_plane(found, group.inner(inner), Where(where, tag, number))
    for tag in (_VOI, _TRANSFORMATION):
        for number, inner in enumerate(group.items(tag)):
            _check_display(found, group.inner(inner), Where(where, tag, number))


def _check_display(found: Collector, values: Values, where: Where | None) -> None:
    if _CENTER in values or _WIDTH in values:
        _check_windows(found, values, where)
    slope, intercept = values.has_value(_SLOPE), values.has_value(_INTERCEPT)
    if slope != intercept:
        found.add("rescale-incomplete", _INTERCEPT if slope else _SLOPE, where)
    if slope and values.number(_SLOPE) == 0:
        found.add("rescale-slope-zero", _SLOPE, where)


def _check_windows(found: Collector, values: Values, where: Where | None) -> None:
    centers, widths = values.numbers(_CENTER), values.numbers(_WIDTH)
    if values.has_value(_CENTER) != values.has_value(_WIDTH) or len(centers) != len(widths):
        found.add("window-width-missing", _WIDTH, where)
    linear = (values.code(_FUNCTION) or "LINEAR") == "LINEAR"
    if any(width < 1 if linear else width <= 0 for width in widths):
        found.add("window-width-invalid", _WIDTH, where)


def _check_plane(found: Collector, values: Values, where: Where | None) -> None:
    if values.has_value(_ORIENTATION) and not is_orientation(values.numbers(_ORIENTATION)):
        found.add("orientation-invalid", _ORIENTATION, where)
    if values.has_value(_POSITION) and not _is_position(values.numbers(_POSITION)):
        found.add("position-invalid", _POSITION, where)
    for tag in _SPACINGS:
        if values.has_value(tag):
            spacing = values.numbers(tag)
            if len(spacing) != 2 or min(spacing) <= 0:
                found.add("pixel-spacing-invalid", tag, where)
    if values.has_value(_THICKNESS):
        thickness = values.number(_THICKNESS)
        if thickness is None or thickness < 0:
            found.add("slice-thickness-invalid", _THICKNESS, where)


def _is_position(numbers: Sequence[float]) -> bool:
    return len(numbers) == 3 and all(math.isfinite(each) for each in numbers)
