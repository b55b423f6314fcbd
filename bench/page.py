"""`python -m bench.page`: how long people wait for the page, in Chromium with software rendering.

A list of 10,000 studies, searched and scrolled to its end; the first image of a CT of 300 slices of 512 by 512; and
going through all of them once they have been fetched. Times are the browser's own, from the act to the frame that shows
what came of it. The first visit loads the viewer, later ones have it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from bench.index_fill import Shape, sqlite_home
from isocenter.testing import instances
from isocenter.testing.server import Server, running

STUDIES, SLICES, SIDE = 10_000, 300, 512
UPLOADED = 2000  # files of 33 kB
_FLAGS = ("--no-sandbox", "--disable-quic", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
_PATIENCE = 60_000  # milliseconds
# From the act until the selector is there and one more frame was drawn.
_TIMED = """([address, selector, patience]) => new Promise((done, failed) => {
  const start = performance.now();
  const look = () => {
    if (document.querySelector(selector)) requestAnimationFrame(() => done(performance.now() - start));
    else if (performance.now() - start > patience) failed(new Error(`${selector} does not come`));
    else requestAnimationFrame(look);
  };
  location.hash = address;
  look();
})"""
# A slice forward at each drawn frame; late is every frame at which another slice stood there than the one asked for.
_SCROLL = """([slices, patience]) => new Promise((done, failed) => {
  const pane = document.querySelector('.pane');
  const at = () => Number(pane.querySelector('.slider').value) + 1;
  const start = performance.now();
  const gaps = [];
  let [wanted, late, blank, before] = [at(), 0, 0, start];
  const step = (now) => {
    gaps.push(now - before);
    before = now;
    if (!pane.classList.contains('shown')) blank += 1;
    if (at() !== wanted) late += 1;
    if (now - start > patience) failed(new Error(`at slice ${at()}`));
    else if (wanted === slices && at() === slices) {
      gaps.sort((one, other) => one - other);
      const p95 = gaps[Math.floor(gaps.length * 0.95)];
      done({ frames: gaps.length, late, blank, seconds: (now - start) / 1000, p95 });
    } else {
      if (at() === wanted) {
        wanted += 1;
        pane.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true }));
      }
      requestAnimationFrame(step);
    }
  };
  requestAnimationFrame(step);
})"""
# Down the list a screen at each frame until its end is reached, more being fetched on the way.
_WHOLE_LIST = """([studies, patience]) => new Promise((done, failed) => {
  const list = document.querySelector('.results .virtual') ?? document.querySelector('.results');
  const start = performance.now();
  const gaps = [];
  let before = start;
  const step = (now) => {
    gaps.push(now - before);
    before = now;
    list.scrollTop += list.clientHeight;
    const told = document.querySelector('.find .status').innerText.replace(/[^0-9]/g, '');
    const ended = list.scrollTop + list.clientHeight >= list.scrollHeight - 2;
    if (ended && Number(told) === studies) {
      gaps.sort((one, other) => one - other);
      const p95 = gaps[Math.floor(gaps.length * 0.95)];
      done({ seconds: (now - start) / 1000, p95, rows: list.querySelectorAll('.row').length });
    } else if (now - start > patience) failed(new Error(`the list tells of ${told}`));
    else requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--studies", type=int, default=STUDIES)
    options.add_argument("--slices", type=int, default=SLICES)
    options.add_argument("--files", type=int, default=UPLOADED)
    given = options.parse_args()
    console, table = Console(), Table("what", "median", "worst", "goal")
    with tempfile.TemporaryDirectory() as name, visited() as page:
        console.print(f"filling an index of {given.studies} studies")
        with running(sqlite_home(Shape(given.studies, 1), Path(name), lambda told: None)) as server:
            row(table, f"list of {given.studies:,} studies", listed(page, server, given.rounds), "500")
            row(table, "search in it as one types", searched(page, server, given.rounds), "500")
            told = whole_list(page, server, given.studies)
            table.add_row("all of it scrolled through", f"{told['seconds']:.1f} s", "", "")
            table.add_row("  frame to frame, 95th percentile", f"{told['p95']:.0f} ms", "", "smooth")
            table.add_row("  rows in the document at its end", str(told["rows"]), "", "")
        console.print(f"storing {given.slices} slices of {SIDE} x {SIDE}")
        with running(Path(name) / "uploads") as server:
            seconds = uploaded(page, server, Path(name) / "files", given.files)
            table.add_row(f"{given.files:,} files of 33 kB uploaded", f"{given.files / seconds:.0f} files/s", "", "")
        with running(Path(name) / "home") as server:
            for number in range(1, given.slices + 1):
                stored = server.stow(instances.ct_slice(1, number, size=SIDE, slices=given.slices))
                assert stored.status == 200
            first, later = opened(page, server, given.rounds)
            row(table, "first image, the viewer not loaded yet", [first], "1500")
            row(table, "first image, later", later, "1500")
            waited, told = scrolled(page, given.slices)
        table.add_row(f"{given.slices} slices fetched ahead", f"{waited:.1f} s", "", "")
        table.add_row("each shown in turn", f"{told['seconds']:.1f} s", "", "")
        table.add_row("  frame to frame, 95th percentile", f"{told['p95']:.0f} ms", "", "")
        table.add_row("  blank frames", f"{told['blank']} of {told['frames']}", "", "0")
        table.add_row("  frames with the slice before", f"{told['late']} of {told['frames']}", "", "")
    console.print(table)


@contextmanager
def visited() -> Iterator[Page]:
    """A page of a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(_FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(2 * _PATIENCE)
        yield page
        browser.close()


def row(table: Table, what: str, found: list[float], goal: str) -> None:
    table.add_row(what, f"{statistics.median(found):.0f} ms", f"{max(found):.0f} ms", f"{goal} ms")


def listed(page: Page, server: Server, rounds: int) -> list[float]:
    """From the choice of the list to its first rows."""
    found = []
    for _ in range(rounds):
        page.goto("about:blank")
        page.goto(f"{server.url}/#/upload")
        page.wait_for_selector(".drop")
        found.append(float(page.evaluate(_TIMED, ["#/studies", ".results .row a", _PATIENCE])))
    return found


def searched(page: Page, server: Server, rounds: int) -> list[float]:
    """From the last letter of a patient's ID to that patient's studies; the wait for more letters counts."""
    found = []
    for turn in range(rounds):
        patient = 1000 + turn
        page.goto("about:blank")
        page.goto(f"{server.url}/#/studies")
        page.wait_for_selector(".results .row a")
        page.get_by_label("Search").fill(f"PAT{patient}")
        start = page.evaluate("() => performance.now()")
        page.wait_for_function("() => document.querySelector('.find .status').innerText === '2 studies'")
        found.append(float(page.evaluate("start => performance.now() - start", start)))
    return found


def whole_list(page: Page, server: Server, studies: int) -> dict[str, Any]:
    page.goto("about:blank")
    page.goto(f"{server.url}/#/studies")
    page.wait_for_selector(".results .row a")
    told: dict[str, Any] = page.evaluate(_WHOLE_LIST, [studies, _PATIENCE])
    return told


def uploaded(page: Page, server: Server, folder: Path, files: int) -> float:
    """Seconds from the choice of a folder until each of its files has its outcome, which is to be stored."""
    folder.mkdir()
    for number in range(1, files + 1):
        (folder / f"{number}.dcm").write_bytes(instances.ct_slice(2, number, size=128, slices=files))
    page.goto("about:blank")
    page.goto(f"{server.url}/#/upload")
    page.wait_for_selector(".drop")
    start = page.evaluate("() => performance.now()")
    page.locator("input[data-name='folder']").set_input_files(folder)
    page.wait_for_function(f"() => document.querySelector('.chip.stored')?.innerText === '{files:,} stored'")
    return float(page.evaluate("start => (performance.now() - start) / 1000", start))


def opened(page: Page, server: Server, rounds: int) -> tuple[float, list[float]]:
    """From the choice of a series to its first image: once with nothing loaded, then as often as asked for."""
    series = server.request("GET", "/dicomweb/series").json()[0]
    study, uid = (series[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
    address = f"#/view?series=raw/{study}/{uid}"
    found = []
    page.goto("about:blank")
    page.goto(f"{server.url}/#/upload")
    for turn in range(rounds + 1):
        page.wait_for_selector(".drop")
        found.append(float(page.evaluate(_TIMED, [address, ".pane.shown", _PATIENCE])))
        if turn < rounds:
            page.evaluate("() => { location.hash = '#/upload' }")
    return found[0], found[1:]


def scrolled(page: Page, slices: int) -> tuple[float, dict[str, Any]]:
    """Seconds until all was fetched, and what going through it was like, a slice at each frame."""
    start = page.evaluate("() => { performance.setResourceTimingBufferSize(100000); return performance.now() }")
    # What is fetched shows nowhere but in the traffic: nothing for a second.
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        "() => performance.now() - Math.max(...performance.getEntriesByType('resource').map(e => e.responseEnd)) > 1000"
    )
    waited = float(page.evaluate("start => (performance.now() - start) / 1000 - 1", start))
    told: dict[str, Any] = page.evaluate(_SCROLL, [slices, _PATIENCE])
    return waited, told


if __name__ == "__main__":
    main()
