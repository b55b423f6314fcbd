"""Plug-ins are found, held to the contract, and run where they can harm nobody; what goes wrong is told by its type."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from tests.unit.algorithms.plugins import SECRET

from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.adapters.processes import ProcessSandbox
from isocenter.algorithms import registry as registry_module
from isocenter.algorithms.base import Asks, Output
from isocenter.algorithms.registry import BUILT_IN, Entry, Registry
from isocenter.deid.source import InFile, InMemory, Readable
from isocenter.errors import BadRequest, LimitExceeded, Malformed, Misconfigured, NotFound, Rejected, Unsupported
from isocenter.pipeline import analyse
from isocenter.pipeline.analyse import Analysis
from isocenter.ports.detector import LabelBox
from isocenter.ports.sandbox import Sandbox
from isocenter.records import Kind
from isocenter.testing.instances import ct_slice, nifti_volume, png_picture, us_cine

PLUGINS = "tests.unit.algorithms.plugins:"


def registry() -> Registry:
    targets = {"mean": "Mean", "badly": "badly", "depth": "depth", "asking": "asking"}
    return Registry({name: Entry(name, PLUGINS + target) for name, target in targets.items()})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    found = ProcessSandbox(2, 512 << 20, preload=("isocenter.algorithms.run",))
    yield found
    found.close()


@pytest.fixture
def analysis(sandbox: Sandbox) -> Analysis:
    return Analysis(registry(), sandbox, seconds=30, most_bytes=1 << 20)


def run(
    analysis: Analysis, name: str, source: Readable | None = None, kind: Kind = Kind.DICOM, **given: object
) -> Output:
    return analysis.run(analysis.check(name, given), source or InMemory(ct_slice(size=16)), kind)


def test_a_class_runs_on_each_frame_and_its_numpy_numbers_become_plain(analysis: Analysis) -> None:
    found = run(analysis, "mean", InMemory(us_cine(frames=3))).findings
    assert [finding.frame for finding in found] == [1, 2, 3]
    for finding in found:
        assert {type(value) for value in finding.values.values()} == {float, int}
        assert type(finding.confidence) is float
        assert finding.as_json()["values"]["rows"] == 240


def test_pictures_are_frames_to_those_who_take_frames(analysis: Analysis) -> None:
    assert run(analysis, "mean", InMemory(png_picture()), Kind.PNG).findings[0].values["rows"] == 120


@pytest.mark.parametrize(
    ("how", "error", "code"),
    [
        ("raise", Unsupported, "algorithm-failed"), ("refuse", Malformed, "own-code"),
        ("exit", Unsupported, "decode-crashed"), ("write", Unsupported, "algorithm-failed"),
        *((how, Unsupported, "algorithm-result") for how in (
            "none", "label", "confidence", "nan", "box", "polygon", "suffix", "media", "twice",
            "mask", "mask-alone", "mask-of-nothing", "mask-between",
        )),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_a_coded_error_without_its_words(
    analysis: Analysis, how: str, error: type[Rejected], code: str
) -> None:
    with pytest.raises(error) as caught:
        run(analysis, "badly", how=how)
    assert caught.value.code == code
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert run(analysis, "badly", how="good").findings[0].label == "x"


def test_time_memory_and_results_are_limited(analysis: Analysis) -> None:
    checked = analysis.check("badly", {"how": "sleep"})
    with pytest.raises(LimitExceeded) as late:
        analysis.run(checked, InMemory(ct_slice(size=16)), Kind.DICOM, seconds=0.5)
    assert late.value.code == "decode-timeout"
    with pytest.raises(LimitExceeded) as hungry:
        run(analysis, "badly", how="eat", size=8 << 30)
    assert hungry.value.code == "decode-out-of-memory"
    with pytest.raises(LimitExceeded) as large:
        run(analysis, "badly", how="large", size=(1 << 20) + 1)
    assert large.value.code == "algorithm-result-too-large"
    assert len(run(analysis, "badly", how="large", size=1 << 20).made[0].data) == 1 << 20


def test_parameters_are_named_and_not_repeated(analysis: Analysis) -> None:
    with pytest.raises(NotFound):
        analysis.check("nothing", {})
    with pytest.raises(BadRequest) as wrong:
        analysis.check("badly", {"size": SECRET, "more": SECRET})
    assert wrong.value.code == "bad-parameters"
    assert "how" in wrong.value.detail
    assert "size" in wrong.value.detail
    assert "more" in wrong.value.detail
    assert SECRET not in wrong.value.detail
    checked = analysis.check("badly", {"how": "good"})
    assert (checked.algorithm, checked.version, checked.suffix) == ("badly", "1", "_badly")
    assert checked.parameters == {"how": "good", "size": 0}
    assert checked.gives == ("findings",)


def test_kinds_that_an_algorithm_does_not_take_are_refused(analysis: Analysis) -> None:
    for name, source, kind in (
        ("mean", nifti_volume(), Kind.NIFTI), ("depth", png_picture(), Kind.PNG), ("depth", ct_slice(), Kind.DICOM),
    ):  # fmt: skip
        with pytest.raises(Unsupported) as refused:
            run(analysis, name, InMemory(source), kind)
        assert refused.value.code == "wrong-kind"
    with pytest.raises(Unsupported):
        analysis.run_series(analysis.check("mean", {}), [InMemory(ct_slice())])


def test_a_large_image_is_read_by_position_from_a_file_that_goes(
    analysis: Analysis, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = us_cine(frames=3)
    expected = run(analysis, "mean", InMemory(data))
    built_in = Analysis(Registry.standard(), sandbox)
    handed = {name: run(built_in, name, InMemory(data)) for name in ("three-circles", "quality", "labels")}
    checked, found = built_in.check("labels", {}), Output(findings=handed["labels"].findings[:2])
    reported = built_in.report(checked, InMemory(data), found)
    monkeypatch.setattr(analyse, "_HANDED_OVER", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "us.dcm"
    path.write_bytes(data)
    seen: list[list[str]] = []

    class Watching(InProcessSandbox):
        def run(self, task, argument, *, seconds):
            seen.append([path.name for path in tmp_path.iterdir() if path.is_file()])
            return super().run(task, argument, seconds=seconds)

    with InFile(path, whole_below=0) as file:
        assert run(analysis, "mean", file) == expected
        assert run(Analysis(registry(), Watching()), "mean", file) == expected
        assert {name: run(built_in, name, file) for name in handed} == handed
        assert built_in.report(checked, file, found) == reported
    assert seen == [[]]  # not even meanwhile has it a name
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


# Volumes ------------------------------------------------------------------------------------------------------------


def test_a_series_is_a_volume_whatever_the_order(analysis: Analysis) -> None:
    slices = [InMemory(ct_slice(number=number, size=32)) for number in (2, 4, 1, 3)]
    found = analysis.run_series(analysis.check("depth", {}), slices).findings[0].values
    half = 15.5 * 10
    assert [found[f"spacing_{n}"] for n in range(3)] == pytest.approx([5, 10, 10])
    assert [found[f"corner_{n}"] for n in range(3)] == pytest.approx([-half + 30, -half + 20, 5])
    assert found["slices"] == 4


@pytest.mark.parametrize(
    "slices",
    [
        [ct_slice(size=32)],
        [ct_slice(size=32), ct_slice(size=32)],
        [ct_slice(number=1, size=32), ct_slice(number=2, size=32), ct_slice(number=4, size=32)],
        [ct_slice(number=1, size=32), ct_slice(number=2, size=16)],
        [ct_slice(number=1, size=32), ct_slice(number=2, size=32, ImageOrientationPatient=[0, 1, 0, 1, 0, 0])],
        [ct_slice(number=1, size=32), ct_slice(number=2, size=32, ImagePositionPatient=None)],
    ],
)
def test_slices_that_make_no_volume_are_refused(analysis: Analysis, slices: list[bytes]) -> None:
    with pytest.raises(Unsupported) as refused:
        analysis.run_series(analysis.check("depth", {}), [InMemory(each) for each in slices])
    assert refused.value.code == "no-volume"


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_is_turned_to_slices_and_lps(analysis: Analysis, kind: type) -> None:
    voxels = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    affine = np.array([[-2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
    found = run(analysis, "depth", InMemory(kind(voxels, affine).to_bytes()), Kind.NIFTI).findings[0].values
    assert found["value"] == voxels[3, 2, 1]
    assert [found[f"spacing_{n}"] for n in range(3)] == pytest.approx([4, 3, 2])
    right, anterior, superior = (affine @ [3, 2, 1, 1])[:3]
    assert [found[f"corner_{n}"] for n in range(3)] == pytest.approx([-right, -anterior, superior])


# Detectors ----------------------------------------------------------------------------------------------------------


def test_a_detector_that_is_set_up_sees_every_frame_and_is_made_when_needed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyse, "_MOST_SHOWN", 240 * 320 * 3 * 2)  # two frames a turn
    made, seen = [], []

    def make() -> analyse.Look:
        made.append(1)

        def look(picture: np.ndarray) -> list[LabelBox]:
            seen.append(picture)
            return [LabelBox(f"number {len(seen)}", 0.5)]

        return look

    with_detector = Analysis(registry(), sandbox, detectors={Asks.LABELS: make})
    assert run(with_detector, "mean", InMemory(us_cine())).findings
    assert made == []
    found = run(with_detector, "asking", InMemory(us_cine(frames=5))).findings
    assert [(finding.label, finding.frame) for finding in found] == [(f"number {n}", n) for n in range(1, 6)]
    assert all(picture.shape == (240, 320, 3) for picture in seen)
    assert not np.array_equal(seen[0], seen[1])


# Registry -----------------------------------------------------------------------------------------------------------


def installed(folder: Path, points: dict[str, str]) -> None:
    """A package as pip leaves it, without one."""
    info = folder / "somebodys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[isocenter.algorithms]\n{lines}")


def test_installed_ones_are_found_and_broken_ones_break_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "somebodys_broken.py").write_text(f"raise RuntimeError({SECRET!r})")
    installed(
        tmp_path,
        {
            "mean": PLUGINS + "Mean", "broken": "somebodys_broken:x", "gone": "no_such_module:x",
            "wrong": PLUGINS + "Wrong", "BAD name": PLUGINS + "Mean", "quality": PLUGINS + "Mean",
        },
    )  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    found = Registry.standard()
    assert set(BUILT_IN) | {"mean", "broken", "gone", "wrong", "BAD name"} == set(found.names())
    assert found.entry("mean").package == "somebodys"
    assert found.entry("quality").package == "isocenter"
    faults = {name: found.fault(name) for name in found.names()}
    assert {name for name, fault in faults.items() if fault} == {"broken", "gone", "wrong", "BAD name"}
    assert "RuntimeError" in str(faults["broken"])
    assert SECRET not in str(faults)
    with pytest.raises(Misconfigured):
        found.get("wrong")
    sandbox = ProcessSandbox(1, 512 << 20)
    try:
        assert run(Analysis(found, sandbox), "mean").findings[0].label == "mean"
    finally:
        sandbox.close()
    sys.modules.pop("somebodys_broken", None)


def test_every_built_in_loads_and_has_a_schema() -> None:
    found = Registry.standard()
    for name in BUILT_IN:
        algorithm = found.get(name)
        assert (algorithm.name, found.fault(name)) == (name, None)
        assert found.schema(name)["type"] == "object"
        assert algorithm.description.endswith(".")
    assert registry_module.GROUP == "isocenter.algorithms"
