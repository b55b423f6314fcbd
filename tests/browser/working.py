"""A server of their own for the tests that run jobs, and what these tests have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isocenter.testing import instances
from isocenter.testing.server import Server, running

ROOT = Path(__file__).parents[2]
AXE = ROOT / "page" / "node_modules" / "axe-core" / "axe.min.js"
NASTY = "<img src=x onerror=alert(1)>"
NARROW = {"width": 390, "height": 800}
WIDE = {"width": 1600, "height": 900}


class Work:
    """A server with one study of a CT and an ultrasound, and one that says that text is burned into it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        kept = [instances.ct_slice(1, number) for number in range(1, 4)]
        assert server.stow(*kept, instances.us_cine(1, frames=2)).status == 200
        nasty = instances.ct_slice(
            9, 1, PatientID="NASTY", PatientName=NASTY, StudyDescription=NASTY, SeriesDescription=NASTY
        )
        burned = instances.us_cine(8, frames=1, PatientID="BURNED", BurnedInAnnotation="YES")
        assert server.stow(nasty, burned).status == 200
        self.study, self.ct = self.find("PHANTOM-1", "CT")
        self.us = self.find("PHANTOM-1", "US")[1]
        self.nasty = self.find("NASTY", "CT")
        self.burned = self.find("BURNED", "US")

    def find(self, patient: str, modality: str) -> tuple[str, str]:
        (found,) = self.server.request("GET", f"/dicomweb/series?PatientID={patient}&Modality={modality}").json()
        return found["0020000D"]["Value"][0], found["0020000E"]["Value"][0]

    def images(self, study: str, series: str, store: str = "raw") -> list[str]:
        told = self.json("GET", f"/viewing/series/{store}/{study}/{series}")
        return [frame["image"] for frame in told["stacks"][0]["frames"]]

    def json(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        answer = self.server.request(method, path, data, {"Content-Type": "application/json"})
        assert answer.status < 300, answer.body
        return answer.json()


@contextmanager
def work(home: Path, python: str) -> Iterator[Work]:
    with running(home, python=python) as server:
        yield Work(server)


def checked(visit: Any, ready: str) -> None:
    """No fault at A and AA, in light and dark, on a phone and on a wide screen; nothing is wider than the page."""
    page = visit.page
    page.wait_for_selector(ready)
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    before = page.viewport_size
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        for theme in ("light", "dark"):
            page.evaluate(f"() => {{ document.documentElement.dataset.theme = '{theme}' }}")
            visit.settled()
            found = page.evaluate(
                "() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
                ".then(told => told.violations.map(each => each.id + ': ' + each.nodes.map(n => n.html).slice(0, 3)))"
            )
            assert found == [], (size, theme)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= size["width"]
    page.evaluate("() => { delete document.documentElement.dataset.theme }")
    page.set_viewport_size(before)


def pictured(visit: Any, name: str) -> None:
    """Kept for people to look at: on a phone and wide, light and dark."""
    page = visit.page
    before = page.viewport_size
    for label, size in (("narrow", NARROW), ("wide", WIDE)):
        page.set_viewport_size(size)
        for theme in ("light", "dark"):
            page.evaluate(f"() => {{ document.documentElement.dataset.theme = '{theme}' }}")
            visit.picture(f"{name}-{label}-{theme}")
    page.evaluate("() => { delete document.documentElement.dataset.theme }")
    page.set_viewport_size(before)
