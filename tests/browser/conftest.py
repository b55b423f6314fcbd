"""The page in Debian's Chromium, on a real server with images of every kind that it shows."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from pydicom.uid import generate_uid

from isocenter.testing import instances
from isocenter.testing.pixel_samples import bundled_image
from isocenter.testing.server import Server, running
from isocenter.web.page import FILES

ROOT = Path(__file__).parents[2]
PICTURES = Path(os.environ.get("ISOCENTER_PAGE_PICTURES", ROOT / "build" / "pictures"))
# Software rendering, so that a picture is the same on every machine; nothing of Chromium's own goes out.
FLAGS = (
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip
BUNDLED = {
    "MR": "MR_small.dcm",
    "J2K": "MR_small_jp2klossless.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "RLE": "MR_small_RLE.dcm",
    "BIG-ENDIAN": "MR_small_bigendian.dcm",
    "DEFLATED": "image_dfl.dcm",
    "JPEG-12": "JPGExtended.dcm",
    "LOSSY-J2K": "693_J2KI.dcm",
    "PALETTE": "examples_palette.dcm",
    "US-YBR": "examples_ybr_color.dcm",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


def lacking() -> str | None:
    """What these tests need and this machine has not."""
    if shutil.which("chromium") is None:
        return "chromium is not there: make system"
    return None if (FILES / "index.html").is_file() else "the page is not built: make page"


@pytest.fixture(scope="session")
def needed() -> None:
    missing = lacking()
    if missing is not None:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="session")
def wheel(needed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Isocenter as it is shipped, the page in it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, capture_output=True, check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has the wheel, and what it depends on from here, but nothing of the sources."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*install, "--disable-pip-version-check", str(wheel)], check=True)
    # A line of a .pth file is a folder to look in; what that folder's own .pth files name, as the sources, is not.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    told = subprocess.run(
        [python, "-c", "import isocenter; print(isocenter.__file__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith(str(packages))
    return str(python)


def labelled(data: bytes, label: str, **changes: Any) -> bytes:
    """The same image as another instance of its own study, found by its Patient ID."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(io.BytesIO(data))
        data_set.PatientID, data_set.PatientName = label, f"Sample^{label.title()}"
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = generate_uid(), generate_uid()
        data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for keyword, value in changes.items():
            setattr(data_set, keyword, value)
        out = io.BytesIO()
        pydicom.dcmwrite(out, data_set)
    return out.getvalue()


@dataclass
class World:
    """A server, and where in it images are."""

    server: Server
    series: dict[str, str] = field(default_factory=dict)  # by label, as addresses of the viewer have them
    images: dict[str, str] = field(default_factory=dict)  # internal ids of volumes and pictures by kind

    def find(self, label: str, patient: str, modality: str | None = None, store: str = "raw") -> None:
        root = f"/stores/{store}/dicomweb"
        query = f"{root}/series?PatientID={patient}" + (f"&Modality={modality}" if modality else "")
        (found,) = self.server.request("GET", query).json()
        study, series = (found[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
        self.series[label] = f"{store}/{study}/{series}"


@pytest.fixture(scope="session")
def world(installed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("browser") / "home", python=installed) as server:
        made = World(server)
        assert server.stow(*(data for _, data in instances.sample_study())).status == 200
        for label, modality in (("CT", "CT"), ("CR", "CR"), ("US", "US")):
            made.find(label, "PHANTOM-1", modality)
        copies = [instances.ct_slice(7, number, PatientID="PSEUDONYM", PatientName="") for number in range(1, 13)]
        assert server.stow(*copies, path="/stores/deidentified/dicomweb/studies").status == 200
        made.find("COPY", "PSEUDONYM", store="deidentified")
        for label, name in BUNDLED.items():
            data = bundled_image(name).read_bytes()
            assert server.stow(labelled(data, label)).status == 200, name
            made.find(label, label)
        for kind, data in (
            ("nifti", instances.nifti_volume()),
            ("jpeg", instances.jpeg_picture()),
            ("png", instances.png_picture()),
            ("gif", instances.gif_picture()),
        ):
            answer = server.request(
                "POST", f"/images?subject_id=SUBJECT-1&image_id={kind}", data, {"Content-Type": "image/x"}
            )
            assert answer.status == 201
            made.images[kind] = answer.json()["id"]
        yield made


@pytest.fixture(scope="module")
def chromium(needed: None) -> Iterator[Browser]:
    # Not for the session: while Playwright runs, an event loop runs in this thread, which other tests want for theirs.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        yield browser
        browser.close()


class Visit:
    """One person's browser: a page, and everything that went wrong in it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.page: Page = context.new_page()
        self.expected: list[str] = []  # of console errors that the test is about
        self.wrong: list[str] = []
        self.requests: list[str] = []
        page = self.page
        page.set_default_timeout(15_000)
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self._requested(request.url))

    def _console(self, kind: str, text: str) -> None:
        if kind == "error" and not any(known in text for known in self.expected):
            self.wrong.append(f"console: {text}")

    def _dialog(self, dialog: Any) -> None:
        if dialog.type != "beforeunload":
            self.wrong.append("a dialog opened")
        dialog.accept()

    def _requested(self, url: str) -> None:
        self.requests.append(url)
        if not url.startswith((self.url, "blob:", "data:", "about:")):
            self.wrong.append(f"a request beyond the server: {url}")

    def go(self, where: str, ready: str) -> Page:
        """Open a view anew and wait until this is there."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#/{where}")
        self.page.wait_for_selector(ready)
        return self.page

    def view(self, *series: str, image: str | None = None) -> Page:
        """Open the viewer and wait until every place shows something."""
        query = "&".join([f"series={each}" for each in series] + ([f"image={image}"] if image else []))
        page = self.go(f"view?{query}", ".pane.shown")
        if len(series) > 1:
            page.wait_for_function(f"() => document.querySelectorAll('.pane.shown').length >= {len(series)}")
        self.settled()
        return page

    def settled(self) -> None:
        """Until what was asked for is drawn: two frames on."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
        )
        self.page.wait_for_timeout(120)

    def pixels(self, place: int = 1, middle: float = 0.5) -> np.ndarray[Any, Any]:
        """RGB of the middle of an image area, without what is written at its edges."""
        box = self.page.locator(f"[data-pane='{place}'] .canvas").bounding_box()
        assert box is not None
        width, height = box["width"] * middle, box["height"] * middle
        clip: Any = {
            "x": box["x"] + (box["width"] - width) / 2,
            "y": box["y"] + (box["height"] - height) / 2,
            "width": width,
            "height": height,
        }
        found: np.ndarray[Any, Any] = imagecodecs.png_decode(self.page.screenshot(clip=clip))
        return found[..., :3].astype(int)

    def point(self, across: float = 0.5, down: float = 0.5, place: int = 1) -> tuple[float, float]:
        """Move the mouse over a part of an image area."""
        box = self.page.locator(f"[data-pane='{place}'] .canvas").bounding_box()
        assert box is not None
        at = box["x"] + box["width"] * across, box["y"] + box["height"] * down
        self.page.mouse.move(*at)
        return at

    def read(self, across: float = 0.5, down: float = 0.5, place: int = 1) -> tuple[int, int, str]:
        """Column, row and what the readout says of the pixel under the mouse."""
        self.point(across, down, place)
        text = self.page.locator(f"[data-pane='{place}'] .readout").inner_text()
        found = re.fullmatch(r"x (-?\d+) y (-?\d+)\s+(.+)", text)
        assert found, f"the readout says {text!r}"
        return int(found[1]), int(found[2]), found[3]

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: Any = "left") -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down(button=button)
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
        mouse.move(*end, steps=4)
        mouse.up(button=button)
        self.settled()

    def corner(self, which: str, place: int = 1) -> str:
        return self.page.locator(f"[data-pane='{place}'] .corner.{which}").inner_text()

    def marks(self) -> str:
        """What is written beside measurements."""
        return "\n".join(self.page.locator(".canvas svg tspan").all_text_contents())

    def picture(self, name: str) -> None:
        """Keep what is seen, for people to look at: in build/pictures or what ISOCENTER_PAGE_PICTURES names."""
        self.settled()
        self.page.screenshot(path=str(PICTURES / f"{name}.png"))  # makes the folder too


NewVisit = Callable[..., Visit]


@pytest.fixture
def visits(chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens browsers; whatever goes wrong in one of them fails the test."""
    made: list[tuple[BrowserContext, Visit]] = []

    def visit(server: Server, **options: Any) -> Visit:
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options}
        context = chromium.new_context(**options)
        made.append((context, Visit(context, server.url)))
        return made[-1][1]

    yield visit
    wrong = [each for _, visit in made for each in visit.wrong]
    for context, _ in made:
        context.close()
    assert wrong == []


@pytest.fixture
def visit(world: World, visits: NewVisit) -> Visit:
    return visits(world.server)
