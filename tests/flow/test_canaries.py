"""What patients' data says never shows in logs, metrics, errors, blob keys, the audit log or the event feed."""

from __future__ import annotations

import sqlite3
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import keyword_dict

from isocenter.testing.elements import EXPLICIT, element, identity, meta
from isocenter.testing.hostile_kinds import nifti
from isocenter.testing.instances import ct_slice, uid
from isocenter.testing.server import Answer, Server

MARK = "CANARYQX"
_TEXT = {"LO", "SH", "PN", "ST", "LT", "UT", "UC"}


def marked(seed: int) -> bytes:
    """An instance with the marker in every text attribute of the dictionary, in a private one and in a name."""
    data_set = pydicom.dcmread(BytesIO(ct_slice(seed, size=16)))
    for keyword, tag in keyword_dict.items():
        if keyword and tag >> 16 not in (0, 2, 4) and DicomDictionary[tag][0] in _TEXT and tag not in data_set:
            data_set.add_new(tag, DicomDictionary[tag][0], f"{MARK}{seed}")
    for keyword in ("PatientName", "PatientID", "StudyDescription", "SeriesDescription", "AccessionNumber"):
        setattr(data_set, keyword, f"{MARK}{seed}")
    data_set.private_block(0x0009, f"{MARK}", create=True).add_new(1, "LO", MARK)
    file = BytesIO()
    data_set.save_as(file)
    return file.getvalue()


def refused() -> list[bytes]:
    """Files that are refused, each with the marker near what is wrong."""
    text = MARK.encode()
    head, sound = meta(EXPLICIT, "2.25.1"), identity("2.25.1", patient_name=text, patient_id=text)
    return [
        head + identity("2.25.1", sop_instance=text),
        head + identity("2.25.1", study=text),
        head + sound + element(0x00104000, "LT", text, length=60_000),
        head + sound + element(0x00100020, "LO", text + b"2"),
        head + sound + b"\x10\0\x11\0" + text,
        meta(MARK, "2.25.1") + sound,
        head + sound + element(0x00280008, "IS", text) + element(0x7FE00010, "OW", b"12"),
        marked(1)[:-7],
        text * 100,
        nifti(data=text)[:350] + text,
        b"\x89PNG\r\n\x1a\n" + text,
    ]


def asked(server: Server) -> list[Answer]:
    """Requests that fail, with the marker in every place of them."""
    headers = {"Accept": MARK, "X-Request-ID": f"{MARK} {MARK}", "Authorization": f"Bearer {MARK}"}
    paths = (
        f"/dicom-image/{MARK}", f"/dicom-image/{MARK}/png?window={MARK}",
        f"/images/content?subject_id={MARK}&image_id={MARK}",
        f"/dicomweb/studies/{MARK}", f"/dicomweb/studies?PatientName={MARK}", f"/dicomweb/studies?{MARK}=1",
        f"/dicomweb/instances?limit={MARK}", f"/dicomweb/studies?after={MARK}", f"/{MARK}",
        f"/stores/{MARK}/dicomweb/studies",
        f"/images?subject_id={MARK}&after={MARK}",
    )  # fmt: skip
    found = [server.request("GET", path) for path in paths]
    found += [server.request("GET", path, headers=headers) for path in paths]
    found.append(server.request("POST", f"/images?subject_id={MARK}&image_id={MARK}", MARK.encode()))
    found.append(
        server.request("POST", "/dicomweb/studies", MARK.encode(), {"Content-Type": f"multipart/related; {MARK}"})
    )
    return found


def test_no_attribute_value_shows_outside_of_answers_that_are_about_it(own_server: Server) -> None:
    server = own_server
    for seed in range(5):
        data = marked(seed)
        assert server.stow(data).status == 200
        assert server.post_form(data).status == 200
        assert server.stow(data[:-2] + b"\1\2").status == 409
    listed = server.request("GET", f"/images?subject_id={MARK}1").json()["images"]
    path = f"/dicomweb/studies/{uid(1, 'study')}"
    for address in (path, f"{path}/metadata", f"{path}/series", f"/dicom-image/{listed[0]['id']}"):
        assert server.request("GET", address).status == 200
    attribute = server.request("GET", f"/dicom-image/{listed[0]['id']}?dicom_tag=PatientName").body
    assert MARK.encode() in attribute  # the marker is kept and answered to who asks for it
    server.request("GET", f"/dicom-image/{listed[0]['id']}/png")
    problems = [server.post_form(data) for data in refused()] + [server.stow(data) for data in refused()]
    problems += [server.request("POST", f"/images?subject_id=x&image_id={n}", data) for n, data in enumerate(refused())]
    assert all(400 <= problem.status < 500 for problem in problems), [problem.status for problem in problems]
    problems += asked(server)
    for problem in problems:
        assert problem.status < 500
        assert MARK.encode() not in problem.body, problem.body
        assert MARK not in str(problem.headers), str(problem.headers)
    assert MARK not in server.request("GET", "/metrics").body.decode()
    assert MARK not in server.request("GET", "/events?limit=1000").body.decode()
    server.request("DELETE", f"/dicomweb/studies/{uid(2, 'study')}")
    server.stop()
    assert MARK not in server.log.read_text()
    assert not [path for path in server.home.rglob("*") if MARK in str(path)]
    with sqlite3.connect(server.home / "isocenter.sqlite") as database:
        tables = list(database.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        audit = next(name for (name,) in tables if "audit" in name and "head" not in name)
        rows = list(database.execute(f'SELECT * FROM "{audit}"'))
    database.close()
    assert len(rows) > 20
    assert MARK not in str(rows)
    assert not list(Path("/tmp").glob(f"*{MARK}*"))
    exported = server.run("audit", "export")
    assert exported.returncode == 0
    assert len(exported.stdout) > 2000
    assert MARK.encode() not in exported.stdout + exported.stderr
