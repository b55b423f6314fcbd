"""The servers under measurement: started fresh in a folder of their own, or somebody else's by their base URL."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.client import Address
from bench.processes import Processes
from isocenter import __version__

_DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


class Server(ABC):
    """A server with its address, and its processes where they run on this machine and are known."""

    name: str
    address: Address
    processes: Processes | None

    @abstractmethod
    def stop(self) -> None:
        """End it where it is ours."""


class Started(Server):
    """A server in a folder of its own, ended with everything it started."""

    root = ""
    health = ""

    def __init__(self, *more_processes: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="isocenter-bench-server-"))
        self.port = _free_port()
        self.address = Address("127.0.0.1", self.port, self.root)
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.processes: Processes = Processes(self._process.pid, *more_processes)
        self._wait()

    @abstractmethod
    def command(self) -> list[str]:
        """How it is started in `folder` on `port`."""

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
                connection.request("GET", self.health)
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.05)
        told = (self.folder / "log").read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"{self.name} did not start: {told}")

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


class Isocenter(Started):
    """`isocenter serve`, in a new home or in one that is there already; a database URL goes into isocenter.toml."""

    name, root, health = "Isocenter", "/dicomweb", "/health"

    def __init__(self, home: Path | None = None, *, name: str = "Isocenter", more_processes: tuple[int, ...] = ()):
        self.name = name
        self._home = home
        super().__init__(*more_processes)

    def command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("isocenter"))
        home = self._home or self.folder / "home"
        return [program, "serve", "--home", str(home), "--port", str(self.port)]


class Orthanc(Started):
    name, root, health = "Orthanc", "/dicom-web", "/system"

    @staticmethod
    def is_here() -> bool:
        return shutil.which("Orthanc") is not None and Path(_DICOMWEB).exists()

    def command(self) -> list[str]:
        settings = {
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "StorageDirectory": str(self.folder),
            "IndexDirectory": str(self.folder),
            "SyncStorageArea": True,
            "Plugins": [_DICOMWEB],
        }
        file = self.folder / "orthanc.json"
        file.write_text(json.dumps(settings))
        return ["Orthanc", str(file)]


class Running(Server):
    """A server that somebody else started; without a process id its CPU and memory are not known."""

    def __init__(self, name: str, address: Address, pid: int | None) -> None:
        self.name = name
        self.address = address
        self.processes = None if pid is None else Processes(pid)

    def stop(self) -> None:
        """It stays as it is, with what was sent to it."""


@dataclass(frozen=True)
class Kind:
    """A server to measure; `first_run` numbers what it is sent, new where it keeps what it has."""

    name: str
    version: str
    start: Callable[[], Server]
    first_run: int = 1


def kinds(names: list[str], url: str | None, pid: int | None, name: str, headers: Mapping[str, str]) -> list[Kind]:
    """Those of `names` that are installed, and the one at `url`."""
    found = []
    if "isocenter" in names:
        found.append(Kind("Isocenter", f"Isocenter {__version__}", Isocenter))
    if "orthanc" in names and Orthanc.is_here():
        found.append(Kind("Orthanc", _orthanc_version(), Orthanc))
    if url is not None:
        address = Address.parse(url, headers)
        run = int(time.time()) % 10**9
        found.append(Kind(name, f"{name} as somebody started it", lambda: Running(name, address, pid), run))
    return found


def _orthanc_version() -> str:
    told = subprocess.run(["Orthanc", "--version"], capture_output=True, text=True, check=False).stdout
    plugin = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "orthanc-dicomweb"], capture_output=True, text=True, check=False
    ).stdout
    return " ".join(told.split()[:2]) + (f" with DICOMweb plugin {plugin}" if plugin else "")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
