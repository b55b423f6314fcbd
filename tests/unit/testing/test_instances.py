"""The shipped samples are valid by dciodvfy, the same on every run, and of nobody."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from isocenter.testing.instances import ct_slice, sample_files, sample_study


@pytest.mark.parametrize("seed", [1, 20240215])
@pytest.mark.parametrize("name", ["ct-01.dcm", "ct-12.dcm", "cr.dcm", "us.dcm"])
def test_dciodvfy_finds_no_error(tmp_path: Path, seed: int, name: str) -> None:
    assert shutil.which("dciodvfy"), "install the Debian package dicom3tools"
    path = tmp_path / name
    path.write_bytes(dict(sample_study(seed))[name])
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False, timeout=60)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "Error" not in said, said
    assert any(kind in said for kind in ("CTImage", "CRImage", "USMultiFrameImage")), said


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones() -> None:
    assert sample_files(3) == sample_files(3)
    assert all(one != other for one, other in zip(sample_study(3), sample_study(4), strict=True))


def test_slices_lie_one_above_the_other() -> None:
    slices = [pydicom.dcmread(BytesIO(data)) for name, data in sample_study() if name.startswith("ct")]
    heights = [float(each.ImagePositionPatient[2]) for each in slices]
    assert heights == [5.0 * number for number in range(12)]
    assert len({each.FrameOfReferenceUID for each in slices}) == 1
    pixels = slices[0].pixel_array.astype(int) - 1024
    assert pixels.min() == -1000
    assert pixels.max() == 1200


def test_attributes_can_be_changed_and_taken_out() -> None:
    data_set = pydicom.dcmread(BytesIO(ct_slice(StudyDescription="Other", KVP=None)))
    assert data_set.StudyDescription == "Other"
    assert "KVP" not in data_set
