"""The function that reads text, of the files that its Dockerfile puts into the image, without a container."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.aws.conftest import ROOT
from tests.flow.functions_world import Cloud, Context, cloud, told

from isocenter.bootstrap.functions.upload_event import open_upload_event
from isocenter.testing.aws_server import aws_server
from isocenter.testing.instances import ct_slice

DOCKERFILE = (ROOT / "infra" / "docker" / "ocr.Dockerfile").read_text("utf-8")
SCRIPT = """
import importlib, json, sys
import isocenter, numpy
from PIL import Image, ImageDraw
assert isocenter.__file__.startswith(sys.argv[1]), isocenter.__file__

module, _, name = sys.argv[2].rpartition(".")
handler = getattr(importlib.import_module(module), name)

class Context:
    aws_request_id = "1"
    def get_remaining_time_in_millis(self):
        return 60_000

for event in json.loads(sys.argv[3]):
    answer = handler(event, Context())
from isocenter.adapters.detectors.rapid_ocr import RapidOcr
picture = Image.new("L", (400, 80))
ImageDraw.Draw(picture).text((20, 20), "ISOCENTER 42", fill=255, font_size=40)
found = [box.text for box in RapidOcr().find(numpy.asarray(picture))]
print(json.dumps([answer, found]))
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with aws_server() as server, cloud(server, monkeypatch, str(tmp_path / "home")) as made:
        yield made


def test_the_handler_of_the_image_does_steps_and_reads_text(world: Cloud, tmp_path: Path) -> None:
    pytest.importorskip("rapidocr", reason="`make ocr` installs what reads text in pixels")
    task = tmp_path / "task"
    for source, target in re.findall(r"^COPY (src\S+) \$\{LAMBDA_TASK_ROOT\}/(\S+)$", DOCKERFILE, re.M):
        shutil.copytree(ROOT / source, task / target, ignore=shutil.ignore_patterns("__pycache__"))
    away = re.findall(r'"\$\{LAMBDA_TASK_ROOT\}/(isocenter/\w+)"', DOCKERFILE)
    assert set(away) == {"isocenter/cli", "isocenter/testing"}
    for folder in away:
        shutil.rmtree(task / folder)
    handler = re.search(r'^CMD \["([\w.]+)"\]$', DOCKERFILE, re.M)
    assert handler is not None
    world.put("incoming/a.dcm", ct_slice(91, 1, size=64))
    assert open_upload_event()(told("incoming/a.dcm", bucket=world.raw), Context()) == {"batchItemFailures": []}
    (execution,) = world.started()
    task_of = {"job": execution["job"], "attempt": execution["attempt"]}
    events = [{**task_of, "stage": 0, "chunk": execution["chunks"][0]}, {**task_of, "end": True}]
    libraries = sysconfig.get_path("purelib")
    variables = {**world.settings, "PYTHONPATH": f"{task}:{libraries}", "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/bin"}
    command = [sys.executable, "-S", "-c", SCRIPT, str(task), handler[1], json.dumps(events)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    answer, found = json.loads(done.stdout.splitlines()[-1])
    assert answer == {"left": 0}
    assert "42" in "".join(found)
    assert len(world.keys(world.deidentified)) == 1


def test_the_image_has_the_versions_that_are_tried_here() -> None:
    lock = (ROOT / "requirements" / "ocr-lambda.txt").read_text("utf-8")
    assert "--require-hashes" in DOCKERFILE
    for name in ("rapidocr", "onnxruntime", "pydicom", "pillow", "opencv-python-headless"):
        try:
            here = version(name)
        except ModuleNotFoundError:
            pytest.skip("`make ocr` installs what reads text in pixels")
        assert f"\n{name}=={here} " in f"\n{lock}", name
