"""`isocenter algorithm` as people use it: on files, with a plug-in of their own, and as the page about it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont

from isocenter.algorithms.registry import BUILT_IN, Registry
from isocenter.cli.main import main
from isocenter.errors import Misconfigured
from isocenter.settings import Settings
from isocenter.testing.instances import cr_image, ct_slice, jpeg_picture, nifti_volume
from isocenter.testing.onnx_models import dominant_colour

DOCS = Path(__file__).parents[2] / "docs"
NAME = "WINTERBOTTOM"


@dataclass
class Done:
    code: int
    out: str
    err: str


def run(*arguments: object, cwd: Path) -> Done:
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["isocenter", "algorithm", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def told(done: Done) -> list[dict]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_files_are_worked_on_one_by_one_and_stay_as_they_are(tmp_path: Path) -> None:
    files = {"one.dcm": ct_slice(number=1), "two.DCM": cr_image(), "three.jpg": jpeg_picture(), "bad.dcm": b"\0" * 300}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    done = run("run", "three-circles", *files, "--json", cwd=tmp_path)
    assert done.code == 1
    assert "bad.dcm" in done.err
    found = told(done)
    assert [Path(each["made"][0]).name for each in found] == ["one_annot.dcm", "two_annot.dcm", "three_annot.png"]
    assert all(len(each["findings"]) == 3 for each in found)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    made = pydicom.dcmread(tmp_path / "one_annot.dcm")
    assert made.PhotometricInterpretation == "RGB"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*files, "one_annot.dcm", "two_annot.dcm", "three_annot.png"]
    )


def test_again_is_no_conflict_and_something_else_is(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(ct_slice())
    assert run("run", "three-circles", "one.dcm", "--out", "made", cwd=tmp_path).code == 0
    assert run("run", "three-circles", "one.dcm", "--out", "made", cwd=tmp_path).code == 0
    made = tmp_path / "made" / "one_annot.dcm"
    before = made.read_bytes()
    filled = ("run", "three-circles", "one.dcm", "--out", "made", "--parameters", '{"fill": true}')
    refused = run(*filled, cwd=tmp_path)
    assert refused.code == 1
    assert "--overwrite" in refused.err
    assert made.read_bytes() == before
    assert run(*filled, "--overwrite", cwd=tmp_path).code == 0
    assert made.read_bytes() != before


def test_reports_lie_beside_what_they_are_of(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_bytes(ct_slice())
    done = run("run", "labels", "scan.dcm", "--report", cwd=tmp_path)
    assert done.code == 0
    assert "body" in done.out
    source = pydicom.dcmread(BytesIO(ct_slice()))
    for name, kind in (("scan_labels_sr.dcm", "SR"), ("scan_labels_pr.dcm", "PR")):
        found = pydicom.dcmread(tmp_path / name)
        assert (found.Modality, found.StudyInstanceUID) == (kind, source.StudyInstanceUID)


def test_a_series_and_a_volume_have_a_window(tmp_path: Path) -> None:
    names = [f"{number}.dcm" for number in range(1, 5)]
    for number, name in enumerate(names, 1):
        (tmp_path / name).write_bytes(ct_slice(number=number, size=32))
    (tmp_path / "volume.nii").write_bytes(nifti_volume())
    (series,) = told(run("run", "window-suggest", *names, "--series", "--json", cwd=tmp_path))
    (volume,) = told(run("run", "window-suggest", "volume.nii", "--json", cwd=tmp_path))
    assert series["findings"][0]["values"]["width"] > 1
    assert volume["findings"][0]["values"]["width"] > 1


def test_text_is_told_only_where_someone_asks_for_it(tmp_path: Path) -> None:
    image = Image.new("L", (560, 160))
    ImageDraw.Draw(image).text((40, 60), NAME, fill=255, font=ImageFont.load_default(32))
    pixels = np.asarray(image)
    (tmp_path / "letters.png").write_bytes(imagecodecs.png_encode(pixels))
    silent = run("run", "text-regions", "letters.png", "--json", "--report", cwd=tmp_path)
    assert NAME not in silent.out + silent.err
    (finding,) = told(silent)[0]["findings"]
    assert finding["label"] == "text"
    rows, columns = np.nonzero(pixels)
    x, y, width, height = finding["box"]
    assert x <= columns.min() + 2
    assert x + width >= columns.max() - 1
    assert y <= rows.min() + 2
    assert y + height >= rows.max() - 1
    asked = run("run", "text-regions", "letters.png", "--json", "--parameters", '{"with_text": true}', cwd=tmp_path)
    assert told(asked)[0]["findings"][0]["label"] == f"text: {NAME}"


def test_the_settings_choose_who_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured):
        Settings(labels_detector="onnx")
    (tmp_path / "colour.onnx").write_bytes(dominant_colour())
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    picture = np.zeros((30, 30, 3), np.uint8)
    picture[..., 2] = 255
    (tmp_path / "blue.png").write_bytes(imagecodecs.png_encode(picture))
    monkeypatch.setenv("ISOCENTER_LABELS_DETECTOR", "onnx")
    monkeypatch.setenv("ISOCENTER_LABELS_MODEL", str(tmp_path / "colour.onnx"))
    monkeypatch.setenv("ISOCENTER_LABELS_NAMES", str(tmp_path / "labels.txt"))
    (found,) = told(run("run", "labels", "blue.png", "--json", cwd=tmp_path))
    assert [(each["label"], each["confidence"] > 0.99) for each in found["findings"]] == [("blue", True)]


def test_wrong_calls_are_told(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(ct_slice(size=16))
    for arguments in (
        ("run", "nothing", "one.dcm"), ("run", "to-png", "one.dcm", "--parameters", "[1]"),
        ("run", "to-png", "one.dcm", "--parameters", "{"), ("run", "to-png", "one.dcm", "--parameters", '{"x": 1}'),
        ("show", "nothing"), ("new", "Not a name"), ("new", "7up"),
    ):  # fmt: skip
        done = run(*arguments, cwd=tmp_path)
        assert done.code == 2, arguments
        assert "no:" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["one.dcm"]


def test_list_and_show_tell_what_there_is(tmp_path: Path) -> None:
    listed = run("list", cwd=tmp_path).out
    for name in BUILT_IN:
        assert name in listed
        schema = json.loads(run("show", name, "--schema", cwd=tmp_path).out)
        assert schema == Registry.standard().schema(name)
        shown = run("show", name, cwd=tmp_path).out
        assert all(parameter in shown for parameter in schema.get("properties", {}))


def test_a_new_plug_in_passes_its_own_test(tmp_path: Path) -> None:
    assert run("new", "my-algorithm", cwd=tmp_path).code == 0
    folder = tmp_path / "my-algorithm"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert run("new", "my-algorithm", cwd=tmp_path).code == 2
    checked = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", str(folder)]
    style = subprocess.run(checked, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert style.returncode == 0, style.stdout


def test_the_page_lists_every_parameter_with_its_default() -> None:
    page = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([\w-]+)` \| `(\w+)` \| (.*?) \| (.*) \|$", page, re.M))
    known = Registry.standard()
    assert rows == {
        (name, parameter, json.dumps(about["default"]), about["description"])
        for name in BUILT_IN
        for parameter, about in known.schema(name).get("properties", {}).items()
    }
    for name in BUILT_IN:
        assert f"**{name}**" in page or f"`{name}`" in page
