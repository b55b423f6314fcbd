"""The servers under measurement, started fresh, and what the kernel says they used."""

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
from contextlib import suppress
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(ABC):
    """One server in a folder of its own."""

    name = ""
    root = ""
    health = ""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="isocenter-bench-"))
        self.port = free_port()
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._wait()

    @abstractmethod
    def command(self) -> list[str]:
        """How it is started in `folder` on `port`."""

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
                connection.request("GET", self.health)
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not start")

    def pids(self) -> list[int]:
        """The server's processes: all of its session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == self.process.pid:
                        found.append(int(entry.name))
        return found

    def cpu_seconds(self) -> float:
        """User and system time of its processes so far."""
        ticks = 0
        for pid in self.pids():
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str) -> int:
        """VmRSS or VmHWM of its largest process, in bytes."""
        most = 0
        for pid in self.pids():
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith(name + ":"):
                        most = max(most, int(line.split()[1]) * 1024)
        return most

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class Isocenter(Server):
    name, root, health = "Isocenter", "/dicomweb", "/health"

    def command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("isocenter"))
        return [program, "serve", "--home", str(self.folder), "--port", str(self.port)]


class Orthanc(Server):
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


_DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
