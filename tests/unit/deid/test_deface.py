"""A site's own defacer: its pixels go out, marked and told of; whatever goes wrong with it keeps the instance back."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from isocenter.deid import deface
from isocenter.deid import profile as profiles
from isocenter.deid.deface import Defacer, Geometry, Volume
from isocenter.deid.engine import Deidentifier
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.errors import Misconfigured, Rejected
from isocenter.testing.instances import ct_slice, written

HEAD: dict[str, Any] = {"BodyPartExamined": "HEAD", "PatientName": "QUARLES^ALMA"}


class Front:
    """Blackens the front half of each frame."""

    name = "front half 1"

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[int, ...], Geometry]] = []

    def deface(self, frames: Volume, geometry: Geometry) -> Volume:
        self.seen.append((frames.shape, geometry))
        found = frames.copy()
        found[:, : frames.shape[1] // 2] = frames.min()
        return found


class Broken(Front):
    def deface(self, frames: Volume, geometry: Geometry) -> Volume:
        raise RuntimeError("QUARLES was here")


class Smaller(Front):
    def deface(self, frames: Volume, geometry: Geometry) -> Volume:
        return frames[:, 1:]


class Floating(Front):
    def deface(self, frames: Volume, geometry: Geometry) -> Volume:
        return frames.astype(np.float64)


def deidentifier(given: Defacer | None, /, **changes: Any) -> Deidentifier:
    profile = profiles.load("basic").model_dump(mode="json") | {"faces": "deface"} | changes
    return Deidentifier(profiles.Profile.model_validate(profile), Pseudonyms(bytes(32)), defacer=given)


def codes(data_set: Dataset) -> set[str]:
    return {item.CodeValue for item in data_set.DeidentificationMethodCodeSequence}


def big_endian(data: bytes) -> bytes:
    data_set = dcmread(BytesIO(data))
    data_set.PixelData = data_set.pixel_array.byteswap().tobytes()
    out = BytesIO()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(out, data_set, implicit_vr=False, little_endian=False, force_encoding=True)
    return out.getvalue()


@pytest.mark.parametrize("size", [64, 1800])  # the larger one is not held in memory as a whole
def test_the_defacers_pixels_go_out(size: int) -> None:
    front = Front()
    data = ct_slice(size=size, **HEAD)
    output, evidence = deidentifier(front).deidentify_bytes(data)
    before, after = dcmread(BytesIO(data)), dcmread(BytesIO(output))
    assert (after.pixel_array[: size // 2] == before.pixel_array.min()).all()
    assert np.array_equal(after.pixel_array[size // 2 :], before.pixel_array[size // 2 :])
    assert after.RecognizableVisualFeatures == "NO"
    assert codes(after) == {"113100", "113102"}
    assert evidence.model()["defaced_by"] == "front half 1"
    ((shape, geometry),) = front.seen
    assert shape == (1, size, size)
    assert geometry.modality == "CT"
    assert geometry.spacing == tuple(map(float, before.PixelSpacing))
    assert geometry.position == tuple(map(float, before.ImagePositionPatient))


def test_it_is_given_values_in_the_machines_own_order() -> None:
    data = ct_slice(size=64, **HEAD)
    plain, _ = deidentifier(Front()).deidentify_bytes(data)
    swapped, _ = deidentifier(Front()).deidentify_bytes(big_endian(data))
    assert np.array_equal(dcmread(BytesIO(plain)).pixel_array, dcmread(BytesIO(swapped)).pixel_array)


def test_what_shows_no_face_is_not_marked() -> None:
    front = Front()
    output, evidence = deidentifier(front).deidentify_bytes(ct_slice(size=64, BodyPartExamined="KNEE"))
    after = dcmread(BytesIO(output))
    assert front.seen == []
    assert codes(after) == {"113100"}
    assert "RecognizableVisualFeatures" not in after
    assert evidence.defaced_by is None


def test_what_says_that_it_shows_a_face_is_defaced_whatever_it_is() -> None:
    front = Front()
    deidentifier(front).deidentify_bytes(ct_slice(size=64, BodyPartExamined="KNEE", RecognizableVisualFeatures="YES"))
    assert len(front.seen) == 1


@pytest.mark.parametrize("defacer", [Broken(), Smaller(), Floating()])
def test_a_defacer_that_fails_keeps_the_instance_back(defacer: Defacer) -> None:
    with pytest.raises(Rejected) as caught:
        deidentifier(defacer).deidentify_bytes(ct_slice(size=64, **HEAD))
    assert caught.value.code == "defacing-failed"
    assert "QUARLES" not in caught.value.detail


def test_pixels_that_no_defacer_takes_are_kept_back() -> None:
    deflated = written(dcmread(BytesIO(ct_slice(size=64, **HEAD))), DeflatedExplicitVRLittleEndian)
    without = dcmread(BytesIO(ct_slice(size=64, **HEAD)))
    del without.PixelData
    for data in (deflated, written(without)):
        with pytest.raises(Rejected) as caught:
            deidentifier(Front()).deidentify_bytes(data)
        assert caught.value.code == "recognizable-face"


def test_a_profile_names_an_installed_defacer(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*, group: str, name: str) -> list[EntryPoint]:
        return [EntryPoint(name, f"{__name__}:Front", group)] if (group, name) == (deface.GROUP, "front") else []

    monkeypatch.setattr(deface, "entry_points", found)
    output, _ = deidentifier(None, defacer="front").deidentify_bytes(ct_slice(size=64, **HEAD))
    assert "113102" in codes(dcmread(BytesIO(output)))
    for name in (None, "other"):
        with pytest.raises(Misconfigured):
            deidentifier(None, defacer=name)


def test_a_profile_that_defaces_nothing_names_no_defacer() -> None:
    with pytest.raises(ValueError, match="defacer"):
        deidentifier(None, faces="keep", defacer="front")
