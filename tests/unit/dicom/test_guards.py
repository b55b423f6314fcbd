"""A file of a few hundred bytes, whose error text would take all memory, ends in no time under the guard."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from io import BytesIO

import pydicom
import pytest

from isocenter.dicom.guards import guard_pydicom
from isocenter.testing.elements import EXPLICIT, element, item, meta, sequence
from isocenter.testing.instances import written


def nested(depth: int) -> bytes:
    """Sequences in sequences around a US of one byte, which no reader can convert."""
    core = element(0x00280010, "US", b"\1", pad=False)
    for _ in range(depth):
        core = sequence(0x00081140, item(core))
    return meta(EXPLICIT, "2.25.1") + core


@pytest.mark.parametrize("depth", [12, 16, 60])
def test_walking_and_writing_it_ends_quickly(depth: int) -> None:
    guard_pydicom()
    guard_pydicom()  # again does no harm
    data = nested(depth)
    assert len(data) < 2000
    started = time.perf_counter()
    with pytest.raises(Exception) as walked:
        pydicom.dcmread(BytesIO(data)).walk(lambda data_set, found: None)
    with pytest.raises(Exception) as rewritten:
        data_set = pydicom.dcmread(BytesIO(data))
        data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2", "1.3"
        data_set.decode()
        written(data_set)
    assert time.perf_counter() - started < 5
    assert len(str(walked.value)) < 10_000
    assert len(str(rewritten.value)) < 10_000


def test_without_the_guard_it_takes_all_memory() -> None:
    """Should a later pydicom have mended this, the guard can go."""
    code = (
        "import sys, pydicom\nfrom io import BytesIO\n"
        "pydicom.dcmread(BytesIO(sys.stdin.buffer.read())).walk(lambda data_set, element: None)"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

    done = subprocess.run(
        [sys.executable, "-c", code],
        input=nested(18),
        capture_output=True,
        preexec_fn=limit,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert b"MemoryError" in done.stderr or len(done.stderr) > 100_000 or done.returncode < 0
