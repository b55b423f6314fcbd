"""The zips that `make lambda` makes: small enough, the same each time, and with all that functions load."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.aws.conftest import ROOT

MOST_UNZIPPED = 262_144_000
MACHINES = {"x86_64": 62, "arm64": 183}  # as the header of an ELF file tells them


def unpacked(packages: Path, folder: Path) -> list[str]:
    """Code and layer, as a function finds them."""
    for name in ("isocenter.zip", "dependencies.zip"):
        with zipfile.ZipFile(packages / name) as package:
            package.extractall(folder / name)
    return [str(folder / "isocenter.zip"), str(folder / "dependencies.zip" / "python")]


def test_the_packages_fit_into_a_function_and_say_what_they_are_for(packages: Path) -> None:
    told = json.loads((packages / "packages.json").read_text())
    unzipped = 0
    for name in ("isocenter.zip", "dependencies.zip"):
        with zipfile.ZipFile(packages / name) as package:
            unzipped += sum(entry.file_size for entry in package.infolist())
    assert unzipped == told["code_unzipped"] + told["layer_unzipped"] <= MOST_UNZIPPED
    assert told["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert told["architecture"] in ("x86_64", "arm64")
    assert told["glibc"] <= 34  # that of Amazon Linux 2023


def test_the_same_input_gives_the_same_bytes_in_another_folder(packages: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "lambda-packages"), "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    for name in ("isocenter.zip", "dependencies.zip", "packages.json"):
        assert (tmp_path / name).read_bytes() == (packages / name).read_bytes(), name


def machines_of(package: zipfile.ZipFile) -> dict[str, int]:
    """The processor that each shared object is for, as its header says."""
    found = {}
    for entry in package.infolist():
        head = package.open(entry).read(20)
        if head[:4] == b"\x7fELF":
            found[entry.filename] = int.from_bytes(head[18:20], "little")
    return found


def test_packages_for_another_processor_hold_nothing_of_this_one(packages: Path, tmp_path: Path) -> None:
    """They are made of wheels that this machine cannot load."""
    here = json.loads((packages / "packages.json").read_text())
    other = "arm64" if here["architecture"] == "x86_64" else "x86_64"
    command = [sys.executable, str(ROOT / "scripts" / "lambda-packages"), "--architecture", other]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], capture_output=True, text=True, check=False, timeout=600
    )
    if "Retrying" in done.stderr and done.returncode != 0:
        pytest.skip("wheels for the other processor cannot be had here")
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "packages.json").read_text())
    assert (told["architecture"], told["python"]) == (other, here["python"])
    assert told["code_unzipped"] + told["layer_unzipped"] <= MOST_UNZIPPED
    for folder, architecture in ((packages, here["architecture"]), (tmp_path, other)):
        with zipfile.ZipFile(folder / "dependencies.zip") as package:
            machines = machines_of(package)
            named = {entry.filename for entry in package.infolist() if ".so" in Path(entry.filename).suffixes}
        assert named <= set(machines)
        assert len(machines) > 50
        assert set(machines.values()) == {MACHINES[architecture]}
    with zipfile.ZipFile(tmp_path / "isocenter.zip") as package:
        assert machines_of(package) == {}  # our own code is of no processor


def test_every_module_is_compiled_and_every_package_has_its_licence(packages: Path) -> None:
    with zipfile.ZipFile(packages / "dependencies.zip") as package:
        names = set(package.namelist())
    compiled = {name for name in names if name.endswith(".pyc")}
    for name in names:
        if name.endswith(".py"):
            folder, _, file = name.rpartition("/")
            beside = f"{folder}/__pycache__/{file[:-3]}."
            assert any(each.startswith(beside) for each in compiled if each.startswith(f"{folder}/__pycache__/")), name
    packed = {name.split("/")[1] for name in names if name.split("/")[1].endswith(".dist-info")}
    stated = {
        name.split("/")[1] for name in names if re.search(r"\.dist-info/.*(LICEN[CS]E|COPYING|NOTICE)", name, re.I)
    }
    told = set()  # packages that ship no file of their licence name it in their metadata
    with zipfile.ZipFile(packages / "dependencies.zip") as package:
        for name in packed - stated:
            if re.search(r"^(License|Classifier: License)", package.read(f"python/{name}/METADATA").decode(), re.M):
                told.add(name)
    assert packed == stated | told
    with zipfile.ZipFile(packages / "isocenter.zip") as package:
        assert "LICENSE" in package.namelist()


def test_what_no_function_needs_is_left_out(packages: Path) -> None:
    with zipfile.ZipFile(packages / "isocenter.zip") as package:
        ours = package.namelist()
    with zipfile.ZipFile(packages / "dependencies.zip") as package:
        theirs = {name.split("/")[1].lower() for name in package.namelist()}
    assert not [name for name in ours if name.startswith(("isocenter/testing/", "isocenter/cli/"))]
    assert not theirs & {"sqlalchemy", "dbos", "alembic", "uvicorn", "rich", "psycopg", "typer", "pytest", "moto"}


def test_the_packages_alone_can_load_and_do_what_our_code_asks_of_them(packages: Path, tmp_path: Path) -> None:
    """Services that our code calls by name, codecs that it calls, and the handlers' modules."""
    sources = [
        path.read_text("utf-8") for path in (ROOT / "src" / "isocenter").rglob("*.py") if "testing" not in path.parts
    ]
    services = sorted(
        {
            name
            for text in sources
            for name in re.findall(r"(?:clients\.client|create_client)\(\s*\"([a-z0-9-]+)\"", text)
        }
    )
    codecs = sorted({name for text in sources for name in re.findall(r"imagecodecs\.(\w+_(?:en|de)code)", text)})
    assert "stepfunctions" in services
    assert "jpegls_decode" in codecs
    script = "\n".join(
        (
            "import boto3, imagecodecs, sys",
            "assert not [path for path in sys.path if 'site-packages' in path], sys.path",
            f"for name in {services}: boto3.client(name, region_name='us-east-1')",
            f"for name in {codecs}: getattr(imagecodecs, name).__call__; "
            "assert getattr(imagecodecs, name.rpartition('_')[0].upper()).available, name",
            "from highdicom import pr, sr",
            "import mangum, nibabel, obstore",
            "import isocenter.bootstrap.functions.opened, isocenter.bootstrap.serving",
        )
    )
    path = ":".join(unpacked(packages, tmp_path))
    interpreter = getattr(sys, "_base_executable", sys.executable)
    command = ["/usr/bin/env", "-i", f"PYTHONPATH={path}", "PYTHONDONTWRITEBYTECODE=1", interpreter, "-S", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]


def test_deployed_machines_are_those_that_the_plans_make(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts" / "lambda-machines"), str(tmp_path)], check=True, timeout=60)
    deployed = ROOT / "infra" / "terraform" / "modules" / "workflow"
    assert {path.name: path.read_text() for path in deployed.rglob("*.asl.json")} == {
        path.name: path.read_text() for path in tmp_path.rglob("*.asl.json")
    }
