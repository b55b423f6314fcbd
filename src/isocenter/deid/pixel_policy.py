"""The `pixels` section of a profile: when pixels are looked at, and what is taken out of them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from isocenter.deid.boxes import Box
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import PIXEL_TAGS

# Secondary Capture and its multi-frame kin, and the pictures and videos of visible light that were captured likewise.
SECONDARY_CAPTURE: Final = tuple(f"1.2.840.10008.5.1.4.1.1.7{end}" for end in ("", ".1", ".2", ".3", ".4"))
_IMAGE_TYPE, _SOP_CLASS, _MODALITY, _BURNED_IN = 0x00080008, 0x00080016, 0x00080060, 0x00280301
_MANUFACTURER, _MODEL, _SOFTWARE = 0x00080070, 0x00081090, 0x00181020
_ROWS, _COLUMNS = 0x00280010, 0x00280011

Pattern = Annotated[str, Field(min_length=1, max_length=64)]
Rectangle = tuple[
    Annotated[int, Field(ge=0, lt=65536)],
    Annotated[int, Field(ge=0, lt=65536)],
    Annotated[int, Field(gt=0, le=65536)],
    Annotated[int, Field(gt=0, le=65536)],
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Device(_Strict):
    """A device by patterns with * and ?, letter case aside; what is not stated matches anything."""

    manufacturer: Pattern = "*"
    model: Pattern = "*"
    software: Pattern = "*"

    def matches(self, data_set: DataSet) -> bool:
        wanted = ((_MANUFACTURER, self.manufacturer), (_MODEL, self.model), (_SOFTWARE, self.software))
        return all(_fits(_text(data_set, tag), pattern) for tag, pattern in wanted)


class Mask(Device):
    """Rectangles, as x, y, width, height from the upper left corner, that a device writes identifiers into.

    Rows and Columns belong to it: elsewhere the same rectangle would be somebody's anatomy.
    """

    rows: Annotated[int, Field(gt=0, lt=65536)]
    columns: Annotated[int, Field(gt=0, lt=65536)]
    rectangles: Annotated[tuple[Rectangle, ...], Field(min_length=1, max_length=100)]
    modality: Pattern = "*"
    note: Annotated[str, Field(max_length=500)] = ""

    @field_validator("rectangles")
    @classmethod
    def _parted(cls, value: tuple[Rectangle, ...]) -> tuple[Rectangle, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a rectangle stands there twice")
        return value

    def matches(self, data_set: DataSet) -> bool:
        size = (data_set.integer(_ROWS), data_set.integer(_COLUMNS))
        known = size == (self.rows, self.columns) and _fits(_text(data_set, _MODALITY), self.modality)
        return known and Device.matches(self, data_set)

    @property
    def boxes(self) -> list[Box]:
        return [Box(*rectangle) for rectangle in self.rectangles]


class When(_Strict):
    """Instances whose text is read: those for which any one of these holds."""

    modalities: tuple[Pattern, ...] = ()
    burned_in_annotation: tuple[Literal["YES", "absent"], ...] = ()
    devices: tuple[Device, ...] = ()
    secondary_capture: bool = False
    image_types: tuple[Pattern, ...] = ()  # any value of Image Type: localizers carry text where slices do not

    @field_validator("burned_in_annotation", mode="before")
    @classmethod
    def _yes(cls, value: Any) -> Any:
        # YAML reads a bare YES as true.
        return ["YES" if item is True else item for item in value] if isinstance(value, list | tuple) else value

    def holds(self, data_set: DataSet) -> str | None:
        """Which of them holds first, by its name; None where none does."""
        stated = _text(data_set, _BURNED_IN).upper()
        held = {
            "modalities": _text(data_set, _MODALITY).upper() in {modality.upper() for modality in self.modalities},
            "burned_in_annotation": (stated == "YES" and "YES" in self.burned_in_annotation)
            or (stated not in ("YES", "NO") and "absent" in self.burned_in_annotation),
            "devices": any(device.matches(data_set) for device in self.devices),
            "image_types": any(
                _fits(value, pattern) for pattern in self.image_types for value in _values(data_set, _IMAGE_TYPE)
            ),
            "secondary_capture": self.secondary_capture and _text(data_set, _SOP_CLASS) in SECONDARY_CAPTURE,
        }
        return next((name for name, holds in held.items() if holds), None)


_USUAL: Final = When(modalities=("US", "IVUS"), burned_in_annotation=("YES",), secondary_capture=True)


class Pixels(_Strict):
    """What is done about burned-in text.

    `read` says when a detector reads the pixels; `remove` whether text goes that is a known identifier or looks
    like one (`identifiers`), or any text at all (`all`). `ultrasound_regions` first takes out all that lies outside
    the Sequence of Ultrasound Regions, where there is one; `masks` what known devices write into known places.
    """

    read: Literal["always", "never"] | When = _USUAL
    remove: Literal["identifiers", "all"] = "identifiers"
    ultrasound_regions: bool = False
    masks: tuple[Mask, ...] = ()

    @property
    def takes_a_detector(self) -> bool:
        return self.read != "never" and self.read != When()

    def reads(self, data_set: DataSet) -> bool:
        """Whether the text of this instance is read, told from its header."""
        return self.because(data_set) is not None

    def because(self, data_set: DataSet) -> str | None:
        """By what part of `read` the text of this instance is read; None where it is not."""
        if isinstance(self.read, When):
            return self.read.holds(data_set)
        return "always" if self.read == "always" else None

    def masked(self, data_set: DataSet) -> Sequence[Box]:
        """The rectangles of all masks that are for this instance's device."""
        return [box for mask in self.masks if mask.matches(data_set) for box in mask.boxes]

    def regions(self, data_set: DataSet) -> Sequence[Box]:
        """The Sequence of Ultrasound Regions (PS3.3 C.8.5.5), where the policy goes by it; empty ones left out."""
        if not self.ultrasound_regions:
            return []
        found = []
        for item in data_set.items(0x00186011):
            corners = [item.integer(tag) for tag in (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)]
            left, top, right, bottom = (-1 if corner is None else corner for corner in corners)
            if 0 <= left < right and 0 <= top < bottom:
                found.append(Box(left, top, right - left + 1, bottom - top + 1))
        return found

    def concerns(self, data_set: DataSet) -> bool:
        """Whether anything is to be done about this instance's pixels; False where it has none."""
        if not any(tag in data_set for tag in PIXEL_TAGS):
            return False
        return bool(self.reads(data_set) or self.masked(data_set) or self.regions(data_set))


def _values(data_set: DataSet, tag: int) -> list[str]:
    return [value.strip(" \0") for value in data_set.values(tag) if isinstance(value, str)]


def _text(data_set: DataSet, tag: int) -> str:
    return (data_set.text(tag) or "").strip(" \0")


def _fits(value: str, pattern: str) -> bool:
    return fnmatchcase(value.casefold(), pattern.casefold())
