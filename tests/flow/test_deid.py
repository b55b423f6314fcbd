"""`isocenter deid` as people run it: files and archives in, proof out, cut short and run again, changed, found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from pydicom import dcmread

from isocenter.adapters.blobs.objects import ObjectBlobStore
from isocenter.cli.main import main
from isocenter.testing.instances import cr_image, ct_slice, sample_study, uid
from isocenter.testing.s3 import s3_server

ISOCENTER = str(Path(sys.executable).with_name("isocenter"))


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(*arguments: object, cwd: Path, stdin: str = "") -> Done:
    """A verb in this process: starting another takes longer than most of what is run."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["isocenter", *map(str, arguments)])
        patch.setattr(sys, "stdin", StringIO(stdin))
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def outputs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


def lines(report: Path) -> list[dict]:
    return [json.loads(line) for line in (report / "evidence.jsonl").read_text().splitlines()]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "QUARLES^ALMA"
    folder.mkdir()
    for number in range(1, 5):
        data = ct_slice(number=number, PatientName="QUARLES^ALMA", PatientID="MRN4711X", StudyDate="20200103")
        (folder / f"quarles-{number}.dcm").write_bytes(data)
    # Says nobody's name in its own header but where no rule looks: the study knows it.
    late = ct_slice(number=9, PatientName="", PatientID="MRN4711X", Manufacturer="for Quarles")
    (folder / "late.dcm").write_bytes(late)
    return folder


def test_a_folder_a_zip_and_nonsense(study, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for name, data in sample_study():
            archive.writestr(f"deep/{name}", data)
    (tmp_path / "nonsense.txt").write_text("QUARLES was here")
    done = run("deid", study, "more.zip", "nonsense.txt", "out", "--profile", "tcia", cwd=tmp_path)
    assert done.returncode == 1  # one was kept back
    assert "nonsense.txt: this is no DICOM Data Set [not-dicom]" in done.stderr.replace("\n", " ")
    assert "A new secret was made" in done.stderr
    found = outputs(tmp_path / "out")
    assert len(found) == 5 + len(list(sample_study()))
    report = tmp_path / "out.report"
    everything = b"".join(path.read_bytes() + str(path).encode() for path in found)
    everything += b"".join(path.read_bytes() for path in report.iterdir())
    for value in (b"QUARLES", b"Quarles", b"quarles", b"MRN4711X", b"20200103"):
        assert value not in everything
    assert {dcmread(path).StudyInstanceUID for path in found if "deep" not in str(path)}
    manifest = json.loads((report / "manifest.json").read_text())
    assert manifest["totals"] == {"quarantined": 1, "released": len(found)}
    assert manifest["reasons"] == {"not-dicom": 1}
    before = (tmp_path / "out").stat().st_mtime_ns
    verified = run("verify", "out.report", cwd=tmp_path)
    assert (tmp_path / "out").stat().st_mtime_ns == before  # it may lie on a medium that cannot be written to
    assert verified.returncode == 0, verified.stderr
    assert all(path.name.startswith("P") for path in (tmp_path / "out").iterdir())
    assert "All fits" in verified.stderr


def test_it_goes_on_where_it_was_cut_short_and_says_so(study, tmp_path):
    assert run("deid", study, "out", "--profile", "basic", cwd=tmp_path).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in outputs(tmp_path / "out")}
    (study / "new.dcm").write_bytes(cr_image(PatientName="QUARLES^ALMA"))
    again = run("deid", study, "out", "--profile", "basic", cwd=tmp_path)
    assert again.returncode == 0
    assert "done before" in again.stderr
    after = {path: path.stat().st_mtime_ns for path in outputs(tmp_path / "out")}
    assert before.items() <= after.items()
    assert len(after) == 6
    assert run("verify", "out.report", cwd=tmp_path).returncode == 0


def test_another_profile_over_the_same_destination_changes_nothing_there(study, tmp_path):
    run("deid", study, "out", "--profile", "basic", cwd=tmp_path)
    before = [path.read_bytes() for path in outputs(tmp_path / "out")]
    done = run("deid", study, "out", "--profile", "internal", "--report", "other", cwd=tmp_path)
    assert [path.read_bytes() for path in outputs(tmp_path / "out") if path.read_bytes() in before] == before
    assert done.returncode in (0, 1)


def test_killed_in_the_middle_it_ends_the_same(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for number in range(80):
        data = ct_slice(1, 1, size=64, SOPInstanceUID=uid(7, number), PatientName="QUARLES^ALMA")
        (source / f"{number}.dcm").write_bytes(data)
    run("key", "new", cwd=tmp_path)
    for _ in range(2):
        process = subprocess.Popen(
            [ISOCENTER, "deid", str(source), "out", "--profile", "basic"], cwd=tmp_path, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        there = len(outputs(tmp_path / "out"))
        while len(outputs(tmp_path / "out")) < there + 5 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        with suppress(ProcessLookupError):  # a batch comes at once: it may have been the last, and the run over
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = run("deid", source, "out", "--profile", "basic", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(outputs(tmp_path / "out")) == 80
    assert run("verify", "out.report", cwd=tmp_path).returncode == 0
    assert run("deid", source, "clean", "--profile", "basic", cwd=tmp_path).returncode == 0
    for path in outputs(tmp_path / "clean"):
        assert (tmp_path / "out" / path.relative_to(tmp_path / "clean")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("what", ["output", "evidence", "manifest", "missing", "extra"])
def test_whatever_is_changed_afterwards_is_found(study, tmp_path, what):
    run("deid", study, "out", "--profile", "basic", cwd=tmp_path)
    report, first = tmp_path / "out.report", outputs(tmp_path / "out")[0]
    if what == "output":
        first.chmod(0o600)
        first.write_bytes(first.read_bytes()[:-1] + b"\7")
    elif what == "missing":
        first.unlink()
    elif what == "extra":
        (tmp_path / "out" / "extra.dcm").write_bytes(b"x")
    else:
        path = report / ("evidence.jsonl" if what == "evidence" else "manifest.json")
        path.write_text(path.read_text().replace('"released"', '"duplicate"', 1))
    done = run("verify", "out.report", cwd=tmp_path)
    assert done.returncode == 1
    assert "does not fit" in done.stderr


def test_without_a_key_nobody_is_told_that_a_report_is_genuine(study, tmp_path):
    assert run("deid", study, "out", "--profile", "basic", cwd=tmp_path).returncode == 0
    key = json.loads((tmp_path / "out.report" / "manifest.json").read_text())["public_key"]
    unknown = run("verify", "out.report", "--home", "elsewhere", cwd=tmp_path)
    assert unknown.returncode == 4
    assert "NOT checked" in unknown.stderr.replace("\n", " ")
    assert not (tmp_path / "elsewhere").exists()
    assert run("verify", "out.report", "--home", "elsewhere", "--public-key", key, cwd=tmp_path).returncode == 0
    other = run("verify", "out.report", "--home", "elsewhere", "--public-key", "00" * 32, cwd=tmp_path)
    assert other.returncode == 1
    assert "another key" in other.stderr


def test_two_machines_with_one_key_map_alike_and_others_do_not(study, tmp_path):
    run("key", "new", "--home", "one", cwd=tmp_path)
    secret = run("key", "export", "--home", "one", cwd=tmp_path).stdout
    assert run("key", "import", "--home", "two", cwd=tmp_path, stdin=secret).returncode == 0
    for home, out in (("one", "a"), ("two", "b"), ("three", "c")):
        assert run("deid", study, out, "--profile", "tcia", "--home", home, cwd=tmp_path).returncode == 0
    first, second, third = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in outputs(tmp_path / out)} for out in "abc"
    )
    assert first == second
    assert not set(first) & set(third)


def test_sources_that_claim_to_be_the_same_instance_all_come_out(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name, manufacturer in (("a", "ACME"), ("b", "ACME"), ("c", "Other")):
        (source / f"{name}.dcm").write_bytes(ct_slice(Manufacturer=manufacturer))
    (source / "d.dcm").write_bytes(ct_slice(number=2))
    assert run("deid", source, "out", "--profile", "basic", cwd=tmp_path).returncode == 0
    found = [path.name for path in outputs(tmp_path / "out")]
    assert len(found) == 4
    assert sorted(name.count(".") for name in found) == [3, 4, 4, 4]
    again = run("deid", source, "out", "--profile", "basic", "--report", "anew", cwd=tmp_path)
    assert again.returncode == 0
    assert "duplicate" in again.stderr


def test_a_dry_run_writes_nothing_and_says_what_it_would_do(study, tmp_path):
    done = run("deid", study, "--profile", "tcia", "--dry-run", "--sample", "2", cwd=tmp_path)
    assert done.returncode == 0
    assert "PatientName" in done.stdout
    assert "QUARLES" not in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["QUARLES^ALMA", "isocenter-home"]


def test_a_mirror_has_the_sources_folders_under_other_names(study, tmp_path):
    (study / "sub").mkdir()
    (study / "sub" / "one.dcm").write_bytes(cr_image())
    run("deid", study, "out", "--profile", "basic", "--layout", "mirror", cwd=tmp_path)
    found = [path.relative_to(tmp_path / "out") for path in outputs(tmp_path / "out")]
    assert sorted(len(path.parts) for path in found) == [1, 1, 1, 1, 1, 2]
    assert "quarles" not in str(found).lower()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("in", "in/out", "--profile", "basic"), "apart"),
        (("in", "in", "--profile", "basic"), "apart"),
        (("in", "--profile", "basic"), "destination last"),
        (("in", "out", "--profile", "nothing"), "there is no profile"),
        (("in", "out", "--profile", "basic", "--project", "Not Good"), "lower-case"),
        (("in", "out", "--profile", "basic", "--recipient", "nothing.pem"), "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_plain_words(tmp_path, arguments, says):
    (tmp_path / "in").mkdir()
    done = run("deid", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())


def test_brackets_in_a_message_are_shown_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("isocenter.adapters.detectors.on_demand.find_spec", lambda name: None)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.dcm").write_bytes(ct_slice())
    done = run("deid", "in", "out", "--profile", "tcia", cwd=tmp_path)
    assert done.returncode == 2
    assert "isocenter[ocr]" in "".join(done.stderr.split())


def test_who_is_behind_a_pseudonym_is_told_with_the_key_and_audited(study, tmp_path):
    run("deid", study, "out", "--profile", "basic", cwd=tmp_path)
    patient = next((tmp_path / "out").glob("P*")).name
    told = run("reidentify", patient, cwd=tmp_path)
    found = {entry["attribute"]: entry["identity"] for entry in map(json.loads, told.stdout.splitlines())}
    assert found == {"PatientID": "MRN4711X", "PatientName": "QUARLES^ALMA"}
    assert run("reidentify", "P000000000000000", cwd=tmp_path).returncode == 1
    assert run("reidentify", patient, "--project", "other", cwd=tmp_path).returncode == 2
    log = run("audit", "export", cwd=tmp_path).stdout
    assert log.count("deid.reidentify") == 2
    kept = b"".join(path.read_bytes() for path in (tmp_path / "isocenter-home" / "vault").rglob("*.vault"))
    assert b"QUARLES" not in kept


def test_without_a_vault_there_is_no_way_back(study, tmp_path):
    run("deid", study, "out", "--profile", "basic", "--no-vault", cwd=tmp_path)
    assert not (tmp_path / "isocenter-home" / "vault").exists()
    patient = next((tmp_path / "out").glob("P*")).name
    assert run("reidentify", patient, cwd=tmp_path).returncode == 1
    assert "deid.run" in run("audit", "export", cwd=tmp_path).stdout


def test_a_rotated_key_maps_anew_and_the_old_vault_still_opens_under_its_name(study, tmp_path):
    run("deid", study, "out", "--profile", "basic", cwd=tmp_path)
    assert run("key", "rotate", cwd=tmp_path).returncode == 0
    run("deid", study, "out2", "--profile", "basic", cwd=tmp_path)
    first, second = (next((tmp_path / name).glob("P*")).name for name in ("out", "out2"))
    assert first != second
    assert run("key", "list", cwd=tmp_path).stdout.count("default") == 2


def test_buckets_on_both_sides(study, tmp_path, monkeypatch):
    with s3_server() as server:
        monkeypatch.setenv("ISOCENTER_BLOBS_OPTIONS", json.dumps(server.options))
        source, destination = f"{server.new_bucket()}/in/coming", f"{server.new_bucket()}/released"
        store = ObjectBlobStore(source, server.options)
        for path in sorted(study.iterdir()):
            writer = store.create(f"QUARLES/{path.name}")
            writer.write(path.read_bytes())
            writer.commit()
        done = run("deid", source, destination, "--profile", "basic", "--report", "report", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        there = {stat.key for stat in ObjectBlobStore(destination, server.options).list()}
        assert len(there) == 5
        assert "QUARLES" not in str(there)
        assert run("verify", "report", destination, cwd=tmp_path).returncode == 0
        again = run("deid", source, destination, "--profile", "basic", "--report", "report", cwd=tmp_path)
        assert "done before" in again.stderr
        run("deid", study, "local", "--profile", "basic", cwd=tmp_path)
        assert {str(path.relative_to(tmp_path / "local")) for path in outputs(tmp_path / "local")} == there


def test_profiles_are_listed_shown_explained_and_compared(tmp_path):
    assert "safe-harbor" in run("profile", "list", cwd=tmp_path).stdout
    shown = run("profile", "show", "tcia", cwd=tmp_path).stdout
    (tmp_path / "mine.yaml").write_text(shown.replace("name: tcia", "name: mine"))
    assert run("profile", "diff", "tcia", "mine.yaml", cwd=tmp_path).returncode == 0
    assert run("profile", "diff", "tcia", "basic", cwd=tmp_path).returncode == 1
    told = run("profile", "explain", "(0010,0010)", "--profile", "mine.yaml", cwd=tmp_path).stdout
    assert "pseudonym" in told
    assert "2025b" in told
