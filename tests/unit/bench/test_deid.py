"""De-identification as a measurement: what is counted, what is taken off, and what counts as wrong."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import pytest
from bench import deid, one_core
from bench.corpus import Corpus, Identity
from bench.deid_tools import Tool, tools
from bench.one_core import Spent
from pydicom import dcmread

COPY = """import pathlib, sys
for p in pathlib.Path(sys.argv[1]).iterdir():
    pathlib.Path(sys.argv[2], p.name).write_bytes({made})
"""


def tool(made: str) -> Tool:
    def command(source: Path, destination: Path, kept: Path) -> list[str]:
        destination.mkdir()
        return [sys.executable, "-c", COPY.format(made=made), str(source), str(destination)]

    return Tool("Copier", "", command)


@pytest.mark.parametrize(("side", "size"), [(128, 39_000), (512, 534_000)])
def test_slices_have_private_attributes_and_about_the_size_they_are_named_for(tmp_path, side, size):
    template = Corpus(tmp_path).private(side)
    assert abs(template.size - size) < size * 0.05
    found = dcmread(BytesIO(template.instance(Identity(1, 2, 3, 4))))
    assert sum(element.tag.is_private and not element.tag.is_private_creator for element in found) == 100
    assert found.Rows == side


def test_a_run_says_its_time_and_memory(tmp_path):
    core = one_core.available()
    spent = one_core.run([sys.executable, "-c", "x = bytes([1]) * (60 << 20); print('said')"], tmp_path, core)
    assert spent.code == 0
    assert spent.said == "said\n"
    assert 60 << 20 < spent.peak < 200 << 20
    assert spent.cpu > 0
    assert spent.wall > 0


def test_start_up_is_taken_off(tmp_path, monkeypatch):
    folders, work = deid.Folders(Corpus(tmp_path), tmp_path), deid.works(24)[1]
    said = {deid.FEW: Spent(1.0, 2.0, 50_000_000, 0, ""), 24: Spent(2.0, 4.0, 60_000_000, 0, "")}
    monkeypatch.setattr(folders, "run", lambda tool, name, count, core: said[count])
    found = deid.measure(folders, tool("b''"), work, 0, 0)
    assert found.operations == 20
    assert (found.cpu_ms, found.wall_ms, found.per_second) == (50, 100, 10)
    assert found.growth_mb == 60


@pytest.mark.parametrize(
    ("made", "note"),
    [
        ("p.read_bytes()", "refused: Patient ID is left"),
        ("b''", "refused: 0 of 4 files came out (exit code 0)"),
    ],
)
def test_what_leaves_identity_or_files_out_is_told(tmp_path, made, note):
    found = deid.measure(
        deid.Folders(Corpus(tmp_path), tmp_path), tool(made), deid.works(8)[0], 0, one_core.available()
    )
    assert found.note.startswith(note)
    assert found.cpu_ms is None


def test_others_count_where_they_are_installed(tmp_path):
    program = tmp_path / "dicom-anonymizer"
    program.write_text("#!/bin/sh\necho dicom-anonymizer 9.9\n")
    program.chmod(0o755)
    found = {one.name: one for one in tools(["isocenter"], tmp_path)}
    assert {"Isocenter basic", "Isocenter tcia", "dicom-anonymizer"} <= set(found)
    assert "dicognito" not in found
    assert found["dicom-anonymizer"].version == "dicom-anonymizer 9.9"
    assert "--jobs" in found["Isocenter tcia"].command(Path("in"), Path("out"), tmp_path)


def test_who_searches_pixels_for_text_does_the_work_made_for_it_and_no_other():
    found = {one.name: one for one in tools(["isocenter"])}
    done = {tool: [work.name for work in deid.works(8) if work.is_for(found[tool])] for tool in found}
    assert done["Isocenter tcia"] == ["deid-slices"]
    assert done["Isocenter longitudinal"] == ["deid-start", "deid-39k", "deid-534k", "deid-134m"]
