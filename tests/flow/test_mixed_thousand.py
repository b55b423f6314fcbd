"""A thousand mixed files by every way in: all come back byte for byte, again they change nothing."""

from __future__ import annotations

import json
import warnings
import zipfile
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.fileset import FileSet

from isocenter.testing.instances import ct_slice, sample_study, uid
from isocenter.testing.mixtures import mixture
from isocenter.testing.pixel_samples import bundled_images
from isocenter.testing.server import Server, running

COUNT = 1000


@pytest.fixture(scope="module")
def files() -> list[tuple[str, bytes]]:
    """Synthetic files of every kind, and pydicom's own that are whole and say what they are."""
    found, seen = [], set()
    for path in bundled_images():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        named = all(name in header for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"))
        whole = named and path.stat().st_size < 300_000 and path.name not in ("MR_truncated.dcm", "badVR.dcm")
        if whole and header.SOPInstanceUID not in seen:
            seen.add(header.SOPInstanceUID)
            found.append((path.name, path.read_bytes()))
    return [*mixture(COUNT - len(found)), *found]


def told(server: Server, report: Path, *arguments: str | Path, stdin: bytes | None = None) -> dict[str, dict[str, str]]:
    """What `isocenter ingest` says became of each source."""
    done = server.run("ingest", "--report", str(report), *map(str, arguments), stdin=stdin)
    assert b"Traceback" not in done.stderr, done.stderr.decode()[-3000:]
    return {entry["source"]: entry for entry in map(json.loads, report.read_text().splitlines())}


def laid_out(folder: Path, files: list[tuple[str, bytes]]) -> dict[str, bytes]:
    """Half of the files in folders and half in a ZIP; bytes by the source that `ingest` will name."""
    expected = {}
    half = len(files) // 2
    for number, (name, data) in enumerate(files[:half]):
        path = folder / "in" / str(number % 7) / f"{number}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        expected[str(path)] = data
    archive = folder / "rest.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, (name, data) in enumerate(files[half:]):
            packed.writestr(f"{number % 5}/{number}-{name}", data)
            expected[f"{archive}, member {number + 1}"] = data
    return expected


def test_a_thousand_mixed_files_from_folder_and_zip_come_back_byte_for_byte(
    tmp_path: Path, files: list[tuple[str, bytes]]
) -> None:
    assert len(files) == COUNT
    expected = laid_out(tmp_path, files)
    home = tmp_path / "home"
    sources = (tmp_path / "in", tmp_path / "rest.zip", "--subject", "mixed")
    first = told(Server(home), tmp_path / "report", *sources)
    assert first.keys() == expected.keys()
    assert {source: each for source, each in first.items() if each["outcome"] != "stored"} == {}
    again = told(Server(home), tmp_path / "report", *sources)
    assert {each["outcome"] for each in again.values()} == {"duplicate"}
    assert {source: each["id"] for source, each in again.items()} == {s: each["id"] for s, each in first.items()}
    with running(home) as server:
        for source, data in expected.items():
            assert server.request("GET", f"/dicom-image/{first[source]['id']}").body == data, source
    checked = Server(home).run("fsck")
    assert checked.returncode == 0, checked.stderr + checked.stdout


def test_a_dicomdir_leads_to_its_files(tmp_path: Path) -> None:
    media = FileSet()
    files = {f"2.25.{n}": ct_slice(77, n, size=32) for n in range(1, 6)}
    for data in files.values():
        media.add(pydicom.dcmread(BytesIO(data)))
    media.write(tmp_path / "media")
    media._stage["t"].cleanup()  # pydicom leaves its own folder to the garbage collector, which warns
    home = tmp_path / "home"
    found = told(Server(home), tmp_path / "report", tmp_path / "media" / "DICOMDIR")
    assert [each["outcome"] for each in found.values()] == ["stored"] * 5
    with running(home) as server:
        kept = {server.request("GET", f"/dicom-image/{each['id']}").body for each in found.values()}
    assert kept == {Path(source).read_bytes() for source in found}


def test_standard_input_is_one_image(tmp_path: Path) -> None:
    home = tmp_path / "home"
    data = ct_slice(78)
    found = told(Server(home), tmp_path / "report", "-", stdin=data)
    assert found["standard input"]["outcome"] == "stored"
    with running(home) as server:
        assert server.request("GET", f"/dicom-image/{found['standard input']['id']}").body == data


def test_a_thousand_by_store_come_back_again_are_duplicates_and_changed_are_refused(
    tmp_path: Path, files: list[tuple[str, bytes]]
) -> None:
    dicom = [data for name, data in files if name.endswith(("dcm", "cine", "bare"))]
    with running(tmp_path / "home") as server:
        addresses = []
        for start in range(0, len(dicom), 100):
            answer = server.stow(*dicom[start : start + 100])
            assert answer.status == 200, answer.body[:2000]
            addresses += [each["00081190"]["Value"][0] for each in answer.json()["00081199"]["Value"]]
        for address, data in zip(addresses, dicom, strict=True):
            path = address.removeprefix(server.url)
            back = server.request("GET", path, headers={"Accept": "application/dicom; transfer-syntax=*"}).body
            assert back[132:] == data[132:] if data[128:132] == b"DICM" else back.endswith(data[-500:])
        before = server.request("GET", "/events?limit=1000").json()["last"]
        for start in range(0, len(dicom), 100):
            assert server.stow(*dicom[start : start + 100]).status == 200
        assert server.request("GET", f"/events?after={before}").json()["events"] == []
        blobs = [path for path in (tmp_path / "home" / "blobs").rglob("*") if path.is_file()]
        assert len(blobs) == len(dicom)


def test_other_bytes_under_a_known_identity_are_refused_and_the_first_stay(own_server: Server) -> None:
    first = [data for _, data in sample_study(5)]
    assert own_server.stow(*first).status == 200
    changed = [data[:-2] + b"\x55\xaa" for data in first]
    answer = own_server.stow(*changed)
    assert answer.status == 409
    reasons = {each["00081197"]["Value"][0] for each in answer.json()["00081198"]["Value"]}
    assert reasons == {0x0111}
    path = f"/dicomweb/studies/{uid(5, 'study')}/series/{uid(5, 'CT')}/instances/{uid(5, 'CT', 4)}"
    assert own_server.request("GET", path, headers={"Accept": "application/dicom; transfer-syntax=*"}).body == first[3]
    blobs = [path for path in (own_server.home / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == len(first)
