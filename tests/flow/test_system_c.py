"""System C from end to end: a folder of 200 files is validated, de-identified and delivered; ten are broken."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from contextlib import closing, nullcontext
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
import pytest

from isocenter.archive.deliver import DeadLink, Deliver
from isocenter.archive.file_set import FileSets
from isocenter.archive.retrieve import Retrieve
from isocenter.bootstrap.backends import open_backends
from isocenter.records import now
from isocenter.settings import Settings
from isocenter.testing.instances import ct_slice, us_cine
from isocenter.testing.mixtures import transcoded
from isocenter.testing.server import Server, running

GOOD = 190
BIG_ENDIAN = "1.2.840.10008.1.2.2"
SYNTAXES = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", BIG_ENDIAN, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)  # fmt: skip
NAME = "QUIRRENBACH^CANARY"


def good(number: int) -> bytes:
    named = {"PatientName": NAME, "OtherPatientIDs": "CANARY-77"}
    if number % 10 == 9:
        return us_cine(number, frames=2, rows=24, columns=32, **named)
    data = ct_slice(number // 20, 1 + number % 20, size=32, slices=20, **named)
    return transcoded(data, SYNTAXES[number % len(SYNTAXES)])


def broken(number: int) -> bytes:
    """Cut off; of a class that nobody knows; with fewer pixels than it says."""
    if number < 4:
        return ct_slice(9000 + number, 1, size=32)[:-200]
    if number < 7:
        return ct_slice(9000 + number, 1, size=32, PatientName=NAME, SOPClassUID="1.2.840.99999.1")
    return ct_slice(9000 + number, 1, size=32, PatientName=NAME, Rows=64)


def test_190_of_200_files_are_delivered_by_links_that_need_nothing_else_and_ten_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(GOOD):
        (folder / f"{number:03}.dcm").write_bytes(good(number))
    for number in range(10):
        (folder / f"broken-{number}.dcm").write_bytes(broken(number))
    with running(tmp_path / "home") as server:
        report = tmp_path / "report.json"
        taken = server.run("ingest", str(folder), "--report", str(report))
        assert taken.returncode == 1
        refused = [line for line in report.read_text().splitlines() if '"rejected"' in line]
        assert len(refused) == 7  # cut off, or with too few pixels: they never become images
        started = server.request(
            "POST", "/pipelines/ingest-validate-deidentify-deliver/runs", b'{"all": true}',
            {"Content-Type": "application/json"},
        ).json()  # fmt: skip
        job = _over(server, started["id"])
        assert (job["state"], job["images"], job["finished"], job["rejected"]) == ("done", 193, 193, 3), job
        faults = server.request("GET", f"/jobs/{job['id']}/faults?limit=1000").json()["faults"]
        assert Counter((fault["step"], fault["code"]) for fault in faults) == {("deidentify", "unknown-sop-class"): 3}
        assert {step["name"]: step["done"] for step in job["steps"]} == {
            "validate": 193, "deidentify": GOOD, "deliver": GOOD,
        }  # fmt: skip

        links: dict[str, str] = {}
        for delivery in server.request("GET", "/deliveries?limit=100").json()["deliveries"]:
            links |= _links(server, delivery["id"])
        assert len(links) == GOOD
        syntaxes: Counter[str] = Counter()
        for url in links.values():
            answer = server.request("GET", url.removeprefix(server.url))
            assert answer.status == 200
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert b"QUIRRENBACH" not in answer.body
            assert b"CANARY" not in answer.body
            image = pydicom.dcmread(io.BytesIO(answer.body), stop_before_pixels=True)
            assert image.PatientIdentityRemoved == "YES"
            syntaxes[image.file_meta.TransferSyntaxUID] += 1
        assert syntaxes.keys() >= set(SYNTAXES) - {BIG_ENDIAN}  # retired: what was in it is little endian now
        _end(server, [url.rpartition("/")[2] for url in links.values()][:10])
        log = server.log.read_text()
        assert "QUIRRENBACH" not in log
        assert not any(url.rpartition("/")[2] in log for url in links.values())


def _end(server: Server, tokens: list[str]) -> None:
    """Ten minutes from now the links work, and in a quarter of an hour they do not."""
    with closing(open_backends(Settings(home=server.home))) as backends:
        retrieve = Retrieve(backends.platform)
        for seconds, alive in ((600, True), (901, False)):
            moment = now() + timedelta(seconds=seconds)
            then = Deliver(backends.platform, retrieve, FileSets(retrieve), {"raw"}, clock=partial(_at, moment))
            for token in tokens:
                with nullcontext() if alive else pytest.raises(DeadLink):
                    then.fetch(token)


def _at(moment: datetime) -> datetime:
    return moment


def _over(server: Server, id: str) -> Any:
    end = time.monotonic() + 120
    while (job := server.request("GET", f"/jobs/{id}").json())["state"] not in ("done", "failed"):
        assert time.monotonic() < end, json.dumps(job)
        time.sleep(0.2)
    return job


def _links(server: Server, id: str) -> dict[str, str]:
    found: dict[str, str] = {}
    after = ""
    while True:
        page = server.request("GET", f"/deliveries/{id}{after}").json()
        found |= {link["image_id"]: link["url"] for link in page["links"]}
        if page["next"] is None:
            return found
        after = f"?after={page['next']}"
