"""De-identification as commands from folder to folder: Isocenter's by profile, and those of others that are here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Of a source folder, a destination and a folder that is kept from run to run.
Command = Callable[[Path, Path, Path], list[str]]
_PYTHON_TOOLS = ("dicognito", "dicom-anonymizer", "deid")


@dataclass(frozen=True)
class Tool:
    """A program that de-identifies all files of a folder."""

    name: str
    version: str
    command: Command
    reads_pixels: bool = False


def tools(names: list[str], programs: Path | None = None) -> list[Tool]:
    """Isocenter with three profiles, then what is installed; `programs` is a folder of more of them."""
    found = (
        []
        if "isocenter" not in names
        else [
            _isocenter("basic"),
            _isocenter("longitudinal"),
            _isocenter("tcia", reads_pixels=True),
        ]
    )
    path = None if programs is None else str(programs)
    gdcm = shutil.which("gdcmanon")
    if gdcm is not None and shutil.which("openssl") is not None:
        found.append(Tool("gdcmanon", f"gdcmanon {_said(gdcm, '--version').rpartition('gdcm ')[2].split()[0]}", _gdcm))
    for name in _PYTHON_TOOLS:
        program = shutil.which(name, path=path)
        if program is not None:
            found.append(Tool(name, _version(name, program), _others(name, Path(program))))
    return found


def _isocenter(profile: str, *, reads_pixels: bool = False) -> Tool:
    program = str(Path(sys.executable).with_name("isocenter"))

    def command(source: Path, destination: Path, kept: Path) -> list[str]:
        home = ["--home", str(kept / "home"), "--report", f"{destination}.report"]
        return [program, "deid", str(source), str(destination), "--profile", profile, "--jobs", "1", *home]

    return Tool(f"Isocenter {profile}", "", command, reads_pixels)


def _gdcm(source: Path, destination: Path, kept: Path) -> list[str]:
    key, certificate = kept / "nobody.key", kept / "nobody.pem"
    if not certificate.exists():
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-subj", "/CN=nobody"]
        subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    destination.mkdir()
    return ["gdcmanon", "-r", "--continue", "-c", str(certificate), "-i", str(source), "-o", str(destination)]


def _others(name: str, program: Path) -> Command:
    def command(source: Path, destination: Path, kept: Path) -> list[str]:
        destination.mkdir()
        if name == "dicognito":
            # Its own script cannot be started in version 0.19.
            return [str(program.with_name("python")), "-m", "dicognito", "-o", str(destination), str(source)]
        if name == "deid":
            what = ["identifiers", "--action", "all", "--input", str(source)]
            return [str(program), "--quiet", "--outfolder", str(destination), "--overwrite", *what]
        return [str(program), str(source), str(destination)]

    return command


def _version(name: str, program: str) -> str:
    lines = _said(program, "--version").strip().splitlines()
    if name == "dicognito" or not lines:
        return name  # it tells a table of all that it stands on
    return lines[-1] if lines[-1].startswith(name) else f"{name} {lines[-1]}"


def _said(*command: str) -> str:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout or found.stderr
