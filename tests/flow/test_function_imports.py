"""What each function of AWS loads before it is asked anything: nothing that it does not need for every request."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flow.functions_world import cloud

from isocenter.testing.aws_server import aws_server

pytestmark = pytest.mark.xdist_group("functions")

# Of other platforms, and what boto3 is around botocore.
NEVER = {"alembic", "boto3", "dbos", "prometheus_client", "psycopg", "s3transfer", "sqlalchemy", "typer", "uvicorn"}
# Pixels and their readers: hundreds of milliseconds, for those who ask for pixels.
PIXELS = {"cv2", "highdicom", "imagecodecs", "nibabel", "numpy", "onnxruntime", "PIL", "pydicom", "rapidocr"}
WEB = {"fastapi", "jwt", "mangum", "starlette"}
BANNED = {
    "api": NEVER | PIXELS,
    "bulk": NEVER | PIXELS | WEB,
    "maintenance": NEVER | PIXELS | WEB,
    "step": NEVER | PIXELS | WEB,
    "upload_event": NEVER | PIXELS | WEB,
}
LAMBDAS = Path(__file__).parents[2] / "src" / "isocenter" / "lambdas"


def test_every_function_is_named_here_and_short() -> None:
    modules = {path.stem: path for path in LAMBDAS.glob("*.py") if path.stem != "__init__"}
    assert modules.keys() == BANNED.keys()
    assert all(len(path.read_text("utf-8").splitlines()) <= 30 for path in modules.values())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = str(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patched, aws_server() as server, cloud(server, patched, home):
        yield


@pytest.mark.parametrize("name", sorted(BANNED))
@pytest.mark.usefixtures("settings")
def test_a_function_loads_what_it_needs_and_no_more(name: str) -> None:
    code = f"import json, sys, isocenter.lambdas.{name}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = {module.partition(".")[0] for module in json.loads(done.stdout.splitlines()[-1])}
    assert not loaded & BANNED[name]
