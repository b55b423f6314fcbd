"""A watched folder: what comes is taken in, looked after by a pipeline, and moved; what is no image is told."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import zipfile
from pathlib import Path

from isocenter.testing.instances import ct_slice, png_picture
from isocenter.testing.server import Server, running


def test_files_that_come_are_taken_in_and_deidentified_and_broken_ones_set_apart(
    own_server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    (folder / "SMITH^JOHN").mkdir(parents=True)
    for number in range(1, 21):
        (folder / "SMITH^JOHN" / f"{number}.dcm").write_bytes(ct_slice(number, 1, size=32))
    (folder / "broken.dcm").write_bytes(ct_slice(99, 1, size=32)[:-100])
    (folder / "letter.txt").write_bytes(b"no image")
    command = own_server.command("watch", str(folder), "--pipeline", "validate-deidentify", "--every", "0.3")
    log = tmp_path / "watch.log"
    with log.open("wb") as out:
        watcher = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        end = time.monotonic() + 60
        while len(list(folder.glob("processed/SMITH^JOHN/*.dcm"))) < 20:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        (folder / "late.dcm").write_bytes(ct_slice(31, 1, size=32))
        while not (folder / "processed" / "late.dcm").exists():
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        jobs = own_server.request("GET", "/jobs").json()["jobs"]
        while any(job["state"] != "done" for job in jobs):
            assert time.monotonic() < end, jobs
            time.sleep(0.2)
            jobs = own_server.request("GET", "/jobs").json()["jobs"]
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.wait(30)
    assert watcher.returncode == 0
    assert sum(job["finished"] for job in jobs) == 21
    assert len(own_server.request("GET", "/images?store=deidentified").json()["images"]) == 21
    assert (folder / "failed" / "letter.txt.reason.txt").read_text() == "not-an-image\n"
    assert (folder / "failed" / "broken.dcm.reason.txt").read_text() == "truncated\n"
    assert "SMITH" not in log.read_text()
    assert "SMITH" not in own_server.log.read_text()


def test_once_takes_what_is_there_and_says_what_failed(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(ct_slice(1, 1, size=32))
    done = server.run("watch", str(folder), "--once", "--every", "0.2")
    assert done.returncode == 0, done.stderr
    (folder / "picture.png").write_bytes(png_picture(1))
    (folder / "bad.dcm").write_bytes(b"bad")
    done = server.run("watch", str(folder), "--once", "--every", "0.2")
    assert done.returncode == 1
    assert b"1 taken in, 1 failed" in done.stderr
    assert json.loads(server.run("fsck", "--json").stdout)["images"] == 2
    assert server.run("watch", str(folder), "--pipeline", "nothing", "--once").returncode == 2
    assert server.run("watch", str(folder), "--store", "nowhere", "--once").returncode == 2


def test_the_members_of_an_archive_are_taken_in_each_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    images = [ct_slice(1, number, size=32) for number in (1, 2, 3)]
    with zipfile.ZipFile(folder / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(images[:2]):
            archive.writestr(f"../../SMITH/{number}.dcm", data)
        archive.writestr("README.txt", "no image")
    with zipfile.ZipFile(folder / "partly.zip", "w") as archive:
        archive.writestr("good.dcm", images[2])
        archive.writestr("cut.dcm", images[0][:-100])
    with zipfile.ZipFile(folder / "none.zip", "w") as archive:
        archive.writestr("README.txt", "no image")
    with zipfile.ZipFile(folder / "empty.zip", "w"):
        pass
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.dcm", images[0] + bytes(64 << 20))
    (folder / "damaged.zip").write_bytes((folder / "whole.zip").read_bytes()[:-40])
    limit = Server(tmp_path / "home", {"ISOCENTER_MAX_INFLATED_BYTES": str(32 << 20)})
    done = limit.run("watch", str(folder), "--once", "--every", "0.2")
    assert done.returncode == 1
    failed = {path.name.removesuffix(".reason.txt"): path.read_text().strip() for path in folder.glob("failed/*.txt")}
    assert failed == {
        "partly.zip": "truncated", "none.zip": "not-an-image", "empty.zip": "zip-archive",
        "bomb.zip": "inflated-too-large", "damaged.zip": "bad-zip",
    }  # fmt: skip
    assert [path.name for path in folder.glob("processed/*")] == ["whole.zip"]
    with running(tmp_path / "home") as server:
        kept = server.request("GET", "/images").json()["images"]
        assert len(kept) == 3  # of the one that failed too, what was right is taken in
        assert server.run("fsck").returncode == 0
    assert b"SMITH" not in done.stderr + done.stdout
