"""Hostile files end no algorithm otherwise than by a coded refusal that is the data's fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isocenter.adapters.processes import ProcessSandbox
from isocenter.algorithms.registry import Registry
from isocenter.archive.recognise import HEAD, DicomInspector, PictureInspector, inspector_for
from isocenter.deid.source import InMemory
from isocenter.dicom.elements import Limits
from isocenter.errors import Rejected
from isocenter.picture import recognise
from isocenter.pipeline.analyse import Analysis
from isocenter.records import Kind
from isocenter.testing import hostile_data_sets, hostile_kinds, hostile_pixels
from isocenter.testing.hostile_data_sets import Hostile
from isocenter.testing.instances import ct_slice, nifti_volume

PARTS = {
    "structure": hostile_data_sets.structure, "values": hostile_data_sets.values, "text": hostile_data_sets.text,
    "lies": hostile_pixels.lies, "codestreams": hostile_pixels.codestreams, "volumes": hostile_kinds.volumes,
    "pictures": hostile_kinds.pictures,
}  # fmt: skip
# Of ours, or of the process: a fault in an algorithm, or one that ended the worker.
FAULTS = ("algorithm-failed", "algorithm-result", "decode-crashed", "decode-timeout")


@pytest.fixture(scope="module")
def analysis() -> Iterator[Analysis]:
    sandbox = ProcessSandbox(1, 1 << 30, preload=("isocenter.algorithms.run",))
    yield Analysis(Registry.standard(), sandbox, seconds=60)
    sandbox.close()


def kind_of(file: Hostile) -> Kind | None:
    try:
        inspector = inspector_for(file.data[:HEAD], Limits())
        if isinstance(inspector, DicomInspector):
            return Kind.DICOM
        picture = recognise(file.data) if isinstance(inspector, PictureInspector) else None
        return Kind.NIFTI if picture is None else Kind(picture.kind)
    except Rejected:
        return None


@pytest.mark.parametrize("part", PARTS)
def test_what_is_refused_is_refused_for_its_own_fault(analysis: Analysis, part: str) -> None:
    faults, tried = [], 0
    for file in PARTS[part]():
        kind = kind_of(file)
        for name in ("three-circles", "labels", "threshold", "window-suggest") if kind is not None else ():
            tried += 1
            try:
                assert kind is not None
                analysis.run(analysis.check(name, {}), InMemory(file.data), kind)
            except Rejected as error:
                if error.code in FAULTS:
                    faults.append((file.name, name, error.code))
    assert faults == []
    assert tried > 20


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_what_is_cut_short_is_told(analysis: Analysis, cut: float) -> None:
    for name, data, kind in (("quality", ct_slice(), Kind.DICOM), ("window-suggest", nifti_volume(), Kind.NIFTI)):
        with pytest.raises(Rejected) as refused:
            analysis.run(analysis.check(name, {}), InMemory(data[: int(len(data) * cut)]), kind)
        assert refused.value.code == "truncated"


def test_a_value_that_does_not_fit_its_vr_is_left_out_of_what_is_derived(analysis: Analysis) -> None:
    data = ct_slice(size=16)
    broken = data.replace(b"\x18\x00\x60\x00DS", b"\x18\x00\x60\x00FD")  # KVP: four characters are no double
    made = analysis.run(analysis.check("three-circles", {}), InMemory(broken), Kind.DICOM).made[0].data
    assert b"\x18\x00\x60\x00" not in made
