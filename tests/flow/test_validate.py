"""`isocenter validate` as people and machines run it."""

from __future__ import annotations

import json
import sys
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from pydicom.fileset import FileSet

from isocenter.cli.main import main
from isocenter.testing.elements import element, instance
from isocenter.testing.instances import ct_slice, sample_files, sample_study


@dataclass
class Done:
    code: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def run(*arguments: object, cwd: Path, stdin: bytes = b"") -> Done:
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setenv("COLUMNS", "120")
        patch.setattr(sys, "argv", ["isocenter", "validate", *map(str, arguments)])
        patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin)))
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    for name, data in sample_files():
        (folder / name).write_bytes(data)
    return folder


def test_a_good_study_is_valid_by_every_profile(study: Path) -> None:
    for profile in ("lenient", "standard"):
        done = run("study", "--profile", profile, cwd=study.parent)
        assert done.code == 0
        assert "18 files (14 dicom, 1 nifti, 3 picture): all valid." in done.out


def test_a_table_says_what_is_wrong_where_and_what_to_do(study: Path) -> None:
    (study / "bad.dcm").write_bytes(ct_slice(2, 1, size=8, RescaleSlope=None))
    (study / "words.txt").write_text("nothing of the kind")
    done = run("study", cwd=study.parent)
    assert done.code == 1
    for words in ("type-1-missing", "RescaleSlope", "have the writer supply it", "PS3.5 7.4.1", "study/bad.dcm",
                  "not-an-image", "study/words.txt", "20 files", "2 not valid"):  # fmt: skip
        assert words in done.out
    every = run("study", "--all", cwd=study.parent)
    assert "type-1-missing at RescaleSlope: " in " ".join(every.out.split())


def test_a_missing_slice_is_found_across_files(study: Path) -> None:
    (study / "ct-05.dcm").unlink()
    done = run("--json", "study", cwd=study.parent)
    assert done.code == 1
    *_, series, summary = done.lines()
    assert [finding["rule"] for finding in series["findings"]] == ["slice-missing"]
    assert series["files"][0] == "study/ct-01.dcm"
    assert (summary["not_valid"], summary["groups_not_valid"]) == (0, 1)
    assert run("--no-series", "study", cwd=study.parent).code == 0


def test_json_lines_say_the_same_to_a_file_and_to_standard_output(study: Path) -> None:
    done = run("study", "--json", "--report", "found.jsonl", cwd=study.parent)
    assert (study.parent / "found.jsonl").read_text() == done.out
    assert [line["type"] for line in done.lines()] == ["file"] * 18 + ["summary"]
    assert done.lines()[0].keys() == {"type", "file", "kind", "profile", "valid", "left_out", "findings"}
    assert run("study", "--report", "found.jsonl", cwd=study.parent).code == 0


def test_a_report_never_takes_the_place_of_anything_else(study: Path) -> None:
    image = study / "ct-01.dcm"
    before = image.read_bytes()
    done = run("study", "--report", image, cwd=study.parent)
    assert done.code == 2
    assert "no report" in done.err
    assert image.read_bytes() == before


def test_archives_directories_and_standard_input_are_walked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sample_study():
            archive.writestr(name, data)
        archive.writestr("broken", sample_study()[0][1][:-10])
    done = run("study.zip", "--json", cwd=tmp_path)
    assert [line["findings"][0]["rule"] for line in done.lines() if line["type"] == "file" and line["findings"]] == [
        "truncated"
    ]
    files = FileSet()
    for name, data in sample_study()[:3]:
        (tmp_path / name).write_bytes(data)
        files.add(tmp_path / name)
    files.write(tmp_path / "set")
    files._stage["t"].cleanup()  # pydicom leaves its own folder to the garbage collector, which warns
    directory = run("set/DICOMDIR", "--json", cwd=tmp_path)
    assert directory.lines()[-1]["files"] == 3
    assert directory.code == 0
    assert run("-", cwd=tmp_path, stdin=ct_slice()).code == 0
    assert run("-", cwd=tmp_path, stdin=b"").code == 1


def test_an_instance_in_a_folder_and_in_an_archive_is_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(ct_slice())
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("one.dcm", ct_slice())
    done = run("one.dcm", "one.zip", "--json", cwd=tmp_path)
    assert done.lines()[-1]["rules"] == {"sop-instance-repeated": 1}
    assert done.code == 0


def test_what_it_fails_on_is_a_choice(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(ct_slice(WindowWidth=0.5))
    assert run("one.dcm", cwd=tmp_path).code == 0
    assert run("one.dcm", "--fail-on", "warning", cwd=tmp_path).code == 1
    assert run("one.dcm", "--profile", "strict", cwd=tmp_path).code == 1
    assert run("one.dcm", "--profile", "strict", "--fail-on", "error", cwd=tmp_path).code == 0


def test_a_site_has_a_profile_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(ct_slice(KVP=None))
    (tmp_path / "site.yaml").write_text(
        "name: site\ntitle: Ours\nbase: standard\nignore: [{keyword: KVP, reason: an old scanner}]\n"
    )
    assert run("one.dcm", cwd=tmp_path).code == 1
    assert run("one.dcm", "--profile", "site.yaml", cwd=tmp_path).code == 0


def test_wrong_calls_end_with_2(tmp_path: Path) -> None:
    assert run(cwd=tmp_path).code == 2
    assert run("x", "--profile", "nonesuch", cwd=tmp_path).code == 2
    assert run("x", "--fail-on", "sunday", cwd=tmp_path).code == 2


def test_what_is_not_there_is_a_result(tmp_path: Path) -> None:
    done = run("nowhere.dcm", cwd=tmp_path)
    assert done.code == 1
    assert "there is no such file or folder" in " ".join(done.out.split())
    (tmp_path / "empty").mkdir()
    assert run("empty", cwd=tmp_path).code == 1


def test_many_files_go_to_several_processes(tmp_path: Path) -> None:
    for number in range(1, 41):
        (tmp_path / f"{number:03}.dcm").write_bytes(ct_slice(1, number, size=8, slices=40))
    done = run(tmp_path, "--json", "--jobs", "2", cwd=tmp_path)
    assert done.code == 0
    assert done.lines()[-1]["files"] == 40
    (tmp_path / "020.dcm").unlink()
    assert run(tmp_path, "--json", "--jobs", "2", cwd=tmp_path).lines()[-1]["rules"] == {"slice-missing": 1}


def test_nothing_of_contents_is_shown(tmp_path: Path) -> None:
    secret = "QUARLES^ALMA"
    parts = [element(0x00081030, "LO", secret * 9), element(0x00180015, "CS", secret.lower())]
    parts += [element(0x00200052, "UI", secret), element(0x00180050, "DS", secret), element(0x00080021, "DA", secret)]
    (tmp_path / "one.dcm").write_bytes(instance("2.25.1", *parts))
    (tmp_path / "two.dcm").write_bytes(instance("2.25.1", *parts, element(0x00400244, "DA", secret)))
    for options in ((), ("--all",), ("--json",), ("--profile", "strict", "--all")):
        done = run(tmp_path, *options, cwd=tmp_path)
        assert done.code == 1
        for word in ("quarles", "alma", "hostile^file", "2.25.1"):
            assert word not in (done.out + done.err).lower()


def test_names_of_files_do_not_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "[red]\x1b[2J.dcm").write_bytes(b"nothing")
    done = run(tmp_path, "--all", cwd=tmp_path)
    assert "\x1b[2J" not in done.out
    assert "[red]" in done.out
