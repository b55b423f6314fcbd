"""The header that bare Data Sets get is one that DCMTK and pydicom read."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from isocenter.dicom.file_meta import IMPLEMENTATION_CLASS_UID, PREAMBLE, part10_header
from isocenter.testing.elements import EXPLICIT, IMPLICIT, identity, implicit
from isocenter.testing.instances import CT_STORAGE


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("uid", ["2.25.1", "2.25.12", "1." + "2" * 62])
def test_dcmdump_and_pydicom_read_the_header(tmp_path: Path, syntax: str, uid: str) -> None:
    assert shutil.which("dcmdump"), "install the Debian package dcmtk"
    body = identity(uid) if syntax == EXPLICIT else implicit(0x00080018, uid + "\0" * (len(uid) % 2))
    data = part10_header(CT_STORAGE, uid, syntax) + body
    assert data.startswith(PREAMBLE)
    meta = pydicom.dcmread(BytesIO(data)).file_meta
    assert meta.MediaStorageSOPClassUID == CT_STORAGE
    assert meta.MediaStorageSOPInstanceUID == uid
    assert meta.TransferSyntaxUID == syntax
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    path = tmp_path / "headed.dcm"
    path.write_bytes(data)
    done = subprocess.run(["dcmdump", "+L", str(path)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stderr == b""
    assert f"[{uid}]" in done.stdout.decode()
