"""Every hostile file that Store takes, asked for in every form there is: an answer or a reason, and never a fault."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pydicom
import pytest

from isocenter.testing import hostile_data_sets, hostile_kinds, hostile_pixels
from isocenter.testing.hostile_data_sets import Hostile
from isocenter.testing.instances import ct_slice, us_cine
from isocenter.testing.mixtures import mixture
from isocenter.testing.server import Answer, Server, running

_BUNDLED = Path(pydicom.__file__).parent / "data"
_SLOWEST = 5.0
_LARGE = 16 << 20
_GROWTH = 100 << 20
_FRAMES = 3  # of an instance, and one beyond its last
_UNKNOWN = "1.2.840.10008.1.2.99"
_PARTS = 'multipart/related; type="{}"'.format
OCTETS = "application/octet-stream"
FRAME_TYPES = (
    OCTETS, "image/jpeg", "image/jls", "image/jp2", "image/jpx", "image/jphc", "image/jxl", "image/dicom-rle",
)  # fmt: skip
PICTURES = ("image/jpeg", "image/png", "image/gif")
WHEREVER = frozenset((200, 206, 404, 406, 413, 422))
# What may be said in an answer although some file has it for a value.
_TAME = re.compile(r"[\d.\-+e\\ ]*")


def bundled() -> Iterator[Hostile]:
    for path in sorted([*_BUNDLED.glob("test_files/**/*"), *_BUNDLED.glob("charset_files/*")]):
        if path.is_file():
            yield Hostile(f"pydicom/{path.name}", path.read_bytes(), "either")


def data_sets() -> Iterator[Hostile]:
    for part in (
        hostile_data_sets.structure, hostile_data_sets.nesting, hostile_data_sets.lengths, hostile_data_sets.headers,
        hostile_data_sets.values, hostile_data_sets.text, hostile_data_sets.deflated,
    ):  # fmt: skip
        yield from part()


def pixels() -> Iterator[Hostile]:
    for part in (
        hostile_pixels.lies, hostile_pixels.codestreams, hostile_kinds.volumes, hostile_kinds.pictures,
        hostile_kinds.polyglots, hostile_kinds.packed,
    ):  # fmt: skip
        yield from part()


def mixtures() -> Iterator[Hostile]:
    for name, data in mixture(32, seed=9):
        yield Hostile(f"mixture/{name}", data, "either")


def texts(models: Any) -> Iterator[str]:
    """Every text value in metadata that no message could hold by chance."""
    if isinstance(models, list):
        for each in models:
            yield from texts(each)
    elif isinstance(models, dict):
        for attribute in models.values():
            for value in attribute.get("Value", ()) if isinstance(attribute, dict) else ():
                if attribute["vr"] == "SQ":
                    yield from texts(value)
                elif isinstance(value, dict):
                    yield from (each for each in value.values() if isinstance(each, str))
                elif isinstance(value, str) and attribute["vr"] not in ("UI", "CS", "UR"):
                    yield value


@dataclass
class Reader:
    """Asks for what was kept and notes what is wrong with the answers."""

    server: Server
    faults: list[str] = field(default_factory=list)
    kept: int = 0
    asked: int = 0
    answered: int = 0  # with what was asked for
    slowest: tuple[float, str] = (0.0, "")
    _name: str = ""
    _secrets: tuple[str, ...] = ()
    _many: bool = False

    def take(self, file: Hostile) -> None:
        """Store a file, and retrieve it in every way where it was kept."""
        answer = self.server.stow(file.data)
        if answer.status != 200:
            return
        self.kept += 1
        self._name, self._secrets = file.name, ()
        url = str(answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0])
        self.everything(url.removeprefix(self.server.url))
        if self.server.request("GET", "/health", seconds=2).status != 200:
            self.faults.append(f"{file.name}: no answer to /health")

    def everything(self, instance: str) -> None:
        metadata = self.get(f"{instance}/metadata", "application/dicom+json")
        models = metadata.json() if metadata is not None and metadata.status == 200 else []
        if not models:
            self.faults.append(f"{self._name}: no metadata")
            return
        found = {text.strip() for text in texts(models)}
        self._secrets = tuple(text for text in found if 5 <= len(text) <= 200 and not _TAME.fullmatch(text))
        for accept in ("application/dicom+xml", _PARTS("application/dicom+xml"), "application/json"):
            self.get(f"{instance}/metadata", accept)
        self.files(instance)
        self.frames(instance)
        self.pictures(instance)
        self.bulk(instance, models[0])
        self.wado(instance)

    def levels(self) -> None:
        """What was kept under one study and series, all at once: it is many, and may take the time that many take."""
        self._name, self._secrets, self._many = "study", (), True
        studies = self.server.request("GET", "/dicomweb/studies?limit=5000").json()
        largest = max(studies, key=lambda model: int(model["00201208"]["Value"][0]))
        study = f"/dicomweb/studies/{largest['0020000D']['Value'][0]}"
        series = self.server.request("GET", f"{study}/series").json()
        for path in (study, f"{study}/series/{series[0]['0020000E']['Value'][0]}"):
            for accept in (None, "application/zip", f"{_PARTS('application/dicom')}; transfer-syntax=*"):
                self.get(path, accept, must=True)
            for accept in ("application/dicom+json", _PARTS("application/dicom+xml")):
                self.get(f"{path}/metadata", accept, must=True)
            self.get(path, _PARTS("application/dicom"), must=True)
            self.get(path, f"{_PARTS('application/dicom')}; transfer-syntax=1.2.840.10008.1.2.4.80")
            for resource in ("rendered", "thumbnail", "bulkdata", "pixeldata"):
                self.get(f"{path}/{resource}", None)

    def wado(self, instance: str) -> None:
        study, series, uid = instance.split("/")[3::2]
        query = f"requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={uid}"
        for more in ("", "&contentType=application/dicom", "&contentType=image/png&rows=9&region=0.1,0.1,0.9,0.9"):
            self.get(f"/wado?{query}{more}", None)

    def files(self, instance: str) -> None:
        wrong = self.get(instance, f"application/dicom; transfer-syntax={_UNKNOWN}")
        offered = wrong.json().get("available", []) if wrong is not None and wrong.status == 406 else []
        if not offered:
            self.faults.append(f"{self._name}: no transfer syntax is offered")
        for syntax in (*offered, "*"):
            self.get(instance, f"application/dicom; transfer-syntax={syntax}", must=syntax in (offered[0], "*"))
        self.get(instance, "application/dicom")
        self.get(instance, None, must=True)
        self.get(instance, "application/zip", must=True)
        self.get(instance, "application/dicom; transfer-syntax=*", Range="bytes=100-199")

    def frames(self, instance: str) -> None:
        for number in range(1, _FRAMES + 2):
            stored = self.get(f"{instance}/frames/{number}", None)
            for kind in FRAME_TYPES:
                self.get(f"{instance}/frames/{number}", kind)
            self.get(f"{instance}/frames/{number}", _PARTS(OCTETS))
            if stored is None or stored.status != 200:
                break
        self.get(f"{instance}/frames/1,2", None)
        self.get(f"{instance}/frames/1,1", _PARTS("image/jls"))
        self.get(f"{instance}/frames/999999999", None)

    def pictures(self, instance: str) -> None:
        for place in (instance, f"{instance}/frames/1"):
            for kind in PICTURES:
                self.get(f"{place}/rendered", kind)
            self.get(f"{place}/thumbnail", None)
        self.get(f"{instance}/rendered", _PARTS("image/jpeg"))
        self.get(f"{instance}/rendered?window=40,400,sigmoid&viewport=64,64,1,1,-9,9&annotation=patient", "image/png")
        self.get(f"{instance}/frames/2/rendered", "image/png")

    def bulk(self, instance: str, model: dict[str, Any]) -> None:
        for resource in ("bulkdata", "pixeldata"):
            self.get(f"{instance}/{resource}", None)
            self.get(f"{instance}/{resource}", _PARTS(OCTETS))
        uris = [each["BulkDataURI"] for each in model.values() if "BulkDataURI" in each]
        for uri in uris[:20]:
            where = str(uri).removeprefix(self.server.url)
            self.get(where, None)
            self.get(where, OCTETS)
            self.get(where, OCTETS, Range="bytes=0-9")

    def get(self, path: str, accept: str | None, *, must: bool = False, **headers: str) -> Answer | None:
        """One request; what must come, because it is there as it is asked for, has to come with 200."""
        told = f"{self._name}: {path[path.find('/instances/') :][:200].partition('/')[2]} {accept}"
        given = headers if accept is None else {**headers, "Accept": accept}
        self.asked += 1
        started = time.perf_counter()
        try:
            with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=60)) as connection:
                connection.request("GET", path, headers=given)
                found = connection.getresponse()
                begun = time.perf_counter() - started
                answer = Answer(found.status, found.headers, found.read())
        except (OSError, HTTPException) as error:
            self.faults.append(f"{told}: {error!r}")
            return None
        seconds = time.perf_counter() - started
        self.slowest = max(self.slowest, (seconds, told))
        # Hundreds of megabytes take the time that they take; that they come is to be seen as soon as with all others.
        late = begun > _SLOWEST or (seconds > _SLOWEST and len(answer.body) < _LARGE)
        usual = WHEREVER | {416} if "Range" in headers else WHEREVER  # of an empty value there is no range
        if (late and not self._many) or answer.status not in usual or (must and answer.status != 200):
            self.faults.append(f"{told}: {answer.status} after {seconds:.1f} s {answer.body[:300]!r}")
        elif answer.status >= 400:
            self.reason(told, answer)
        else:
            self.answered += 1
            if answer.headers["Content-Type"].startswith("multipart/") and answer.body[-4:] != b"--\r\n":
                self.faults.append(f"{told}: the parts do not end")
        return answer

    def reason(self, told: str, answer: Answer) -> None:
        if answer.headers["Content-Type"] != "application/problem+json" or not answer.json()["detail"]:
            self.faults.append(f"{told}: {answer.status} without a reason")
        text = answer.body.decode() + str(answer.headers)
        for secret in self._secrets:
            if secret in text:
                self.faults.append(f"{told}: the answer holds {secret!r}: {answer.body!r}")


_HEAVY = (
    "codes/rle-many-large-frames", "deflated/bomb-in-text", "structure/element-flood", "structure/item-flood",
    "text/charset-03-junk",
)  # fmt: skip


@pytest.mark.parametrize(
    ("files", "least"),
    [(bundled, 100), (data_sets, 60), (pixels, 40), (mixtures, 20)],
    ids=["bundled", "data_sets", "pixels", "mixtures"],
)
def test_whatever_was_kept_is_given_in_every_form_or_refused_with_a_reason(
    files: Callable[[], Iterator[Hostile]], least: int, tmp_path: Path
) -> None:
    with running(tmp_path / "home") as server:
        warm = Reader(server)
        # What the first uses load, and the largest of these files need, is no growth.
        for data in (ct_slice(7), us_cine(7), *(file.data for file in files() if file.name in _HEAVY)):
            warm.take(Hostile("warm", data, "either"))
        warm.levels()
        assert warm.kept >= 2
        before = server.memory()
        reader = Reader(server)
        for file in files():
            reader.take(file)
        reader.levels()
        growth = server.memory() - before
        assert reader.faults == [], "\n".join(reader.faults[:20])
        assert reader.kept >= least
        assert reader.answered > 10 * reader.kept
        assert growth <= _GROWTH, f"{growth >> 20} MB more after {reader.asked} requests"
        assert "unexpected fault" not in server.log.read_text()
        print(f"{reader.kept} kept, {reader.answered} of {reader.asked} answered, {growth >> 10} KB, {reader.slowest}")
