"""Hostile images and names are text and nothing else; headers of the page, axe's rules, a server without the page."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.browser.conftest import ROOT

import isocenter
from isocenter.testing import instances
from isocenter.testing.server import Server, running

AXE = ROOT / "page" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
IMG = "<img src=x onerror=alert(1)>"
SCRIPT = '"><script>alert(1)</script>'
LINK = "javascript:alert(1)"
TURNED = "abc\u202egnp.exe\u2066"
KEYWORDS = {
    "PatientName": f"<svg/onload>^{SCRIPT}", "PatientID": IMG, "StudyDescription": SCRIPT, "SeriesDescription": IMG,
    "AccessionNumber": "'><svg onload=1", "BodyPartExamined": "<I>", "Manufacturer": LINK,
    "ManufacturerModelName": TURNED, "InstitutionName": IMG, "ReferringPhysicianName": SCRIPT,
    "ProtocolName": "{{7*7}}${7*7}", "PatientComments": "A" * 10_000 + IMG, "ImageComments": f"nul\0{IMG}",
    "StudyID": "<s>", "StationName": "<u>", "ImageLaterality": "<L>", "PatientBirthDate": "19700101",
    "WindowCenterWidthExplanation": IMG, "RescaleType": "<HU>", "PerformedProcedureStepDescription": LINK,
}  # fmt: skip


def hostile(number: int = 1, **more: Any) -> bytes:
    """A CT whose every text is an attack on a page that would take it for markup."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return instances.ct_slice(66, number, size=64, **{**KEYWORDS, **more})


@pytest.fixture(scope="module")
def infested(installed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("hostile") / "home", python=installed) as server:
        assert server.stow(hostile(1), hostile(2)).status == 200
        head = {"Content-Type": "image/x"}
        for name in ("%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", "javascript%3Aalert(1)"):
            path = f"/images?subject_id={name}&image_id={name}"
            assert server.request("POST", path, instances.jpeg_picture(len(name)), head).status == 201
        yield server


def harmless(page: Any) -> None:
    """No element is there that data would have made, and no script ran."""
    made = "body script, img[src=x], [onerror], [onload], [onclick], a[href^=javascript]"
    assert page.locator(made).count() == 0


def test_hostile_values_are_shown_as_text_on_every_view(infested: Server, visits: Any) -> None:
    visit = visits(infested)
    page = visit.go("studies", ".results .row a")
    row = page.locator(".results .row", has_text=IMG)
    assert IMG in row.inner_text()
    assert SCRIPT in row.inner_text()
    harmless(page)
    page.get_by_label("Search").fill(IMG)
    page.wait_for_function("() => document.querySelector('.find .status').innerText === '1 study'")
    visit.picture("hostile-list")
    row.locator("a").click()
    page.wait_for_selector(".person")
    assert page.locator(".person h1").inner_text() == f"<svg/onload>, {SCRIPT}"
    assert IMG in page.locator(".person").inner_text()
    assert IMG in page.locator(".card .about").first.inner_text()
    harmless(page)
    page.locator(".card > a").first.click()
    page.wait_for_selector(".pane.shown")
    visit.settled()
    overlay = page.locator(".pane").inner_text()
    assert IMG in overlay
    assert SCRIPT in overlay
    assert IMG in " ".join(page.locator("select[title='Window preset'] option").all_inner_texts())
    harmless(page)
    page.keyboard.press("d")
    page.wait_for_selector(".panel .line .value")
    search = page.locator(".panel input")
    for keyword in KEYWORDS:
        search.fill(keyword)
        page.wait_for_function(
            "keyword => [...document.querySelectorAll('.panel .line .name span')].some(e => e.innerText === keyword)",
            arg=keyword,
        )
        harmless(page)
    search.fill("PatientComments")
    page.wait_for_function("() => document.querySelectorAll('.panel .rows .line').length === 1")
    wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "ten thousand letters do not push the page apart"
    visit.picture("hostile-header")
    page = visit.go("images", ".card")
    assert IMG in page.locator(".cards").inner_text()
    assert LINK in page.locator(".cards").inner_text()
    harmless(page)
    page.locator(".card > a", has_text=IMG).click()
    page.wait_for_selector(".pane.shown")
    assert IMG in visit.corner("tl")
    harmless(page)


def test_hostile_file_names_and_members(infested: Server, visits: Any, tmp_path: Path) -> None:
    names = [IMG.replace("/", "_"), SCRIPT.replace("/", "_"), LINK, TURNED, "a\nb\rc", "n" * 240, "..%2f..%2fetc", "'"]
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(names):
        (folder / name).write_bytes(b"no image" if number % 2 else instances.ct_slice(70 + number, 1, size=16))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"../../{IMG}", instances.ct_slice(90, 1, size=16))
        archive.writestr("nul\x01name\u202e", b"no image")
    (folder / "z.zip").write_bytes(packed.getvalue())
    visit = visits(infested, viewport={"width": 1280, "height": 1600})
    page = visit.go("upload", ".drop")
    page.locator("input[data-name='folder']").set_input_files(folder)
    page.wait_for_function("() => document.querySelector('.figures')?.innerText.startsWith('10 of 10')")
    told = page.locator(".files").inner_text()
    assert IMG.replace("/", "_") in told
    assert SCRIPT.replace("/", "_") in told
    assert sorted(page.locator(".files .chip").all_inner_texts()) == ["Rejected"] * 5 + ["Stored"] * 5
    harmless(page)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
    visit.picture("hostile-upload")


def test_hostile_addresses_lead_nowhere(infested: Server, visits: Any) -> None:
    visit = visits(infested)
    visit.expected.append("Failed to load resource")
    for where in (
        f"{IMG}", "constructor", "__proto__", f"study?store={SCRIPT}&study=1", "study?store=../../admin&study=1.2/../3",
        "view?series=../../x/1/2", "view?image=../../admin/keys", f"view?image={LINK}", "studies?store=__proto__",
    ):  # fmt: skip
        page = visit.go(where, "main h1, main .notice, .cover strong")
        visit.settled()
        harmless(page)
    assert not [url for url in visit.requests if re.search(r"/admin/", url)]


def test_headers_of_the_page(world: Any) -> None:
    answer = world.server.request("GET", "/")
    assert answer.status == 200
    policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data: blob:",
        "connect-src": "'self'", "worker-src": "'self' blob:", "font-src": "'self'", "manifest-src": "'self'",
        "base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert answer.headers["Cache-Control"] == "no-cache"
    again = world.server.request("GET", "/", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    page = answer.body.decode()
    assert not re.search(r"<style|style=|<script(?![^>]* src=)|\bon\w+=", page), "nothing stands in the page itself"
    assert not re.search(r"https?://", page), "nothing is foreign"
    names = re.findall(r'(?:src|href)="\./assets/([^"]+)"', page)
    assert names
    for name in names:
        packed = world.server.request("GET", f"/assets/{name}", headers={"Accept-Encoding": "gzip"})
        plain = world.server.request("GET", f"/assets/{name}")
        assert (packed.status, plain.status) == (200, 200)
        assert "immutable" in plain.headers["Cache-Control"]
        assert plain.headers["X-Content-Type-Options"] == "nosniff"
        if packed.headers["Content-Encoding"] == "gzip":
            assert gzip.decompress(packed.body) == plain.body
    for name in ("..%2findex.html", "%2e%2e%2f%2e%2e%2fpage.py", "x.html", "index.html%00.js", ".hidden.js"):
        assert world.server.request("GET", f"/assets/{name}").status in (400, 404)


@dataclass(frozen=True)
class Rule:
    rule: str
    where: str


def axe(page: Any) -> list[Rule]:
    """What axe-core finds wrong; run from the test's side, so that the page's own policy stays as it is."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "tags => axe.run(document, { runOnly: { type: 'tag', values: tags } })"
        ".then(told => told.violations.flatMap(v => v.nodes.map(n => [v.id, `${n.target} ${n.failureSummary}`])))",
        list(TAGS),
    )
    return [Rule(*each) for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_by_the_rules_of_axe(world: Any, visits: Any, tmp_path: Path, scheme: str, width: int) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make page")
    visit = visits(world.server, color_scheme=scheme, viewport={"width": width, "height": 800})
    found: dict[str, list[Rule]] = {}

    def look(name: str) -> None:
        visit.settled()
        found[name] = axe(page)
        visit.picture(f"{name}-{scheme}-{width}")

    page = visit.go("studies", ".results .row a")
    page.wait_for_selector(".results .picture img")
    look("list")
    page.get_by_label("Search").fill("nobody at all")
    page.wait_for_selector(".results .notice")
    look("none")
    page.get_by_label("Search").fill("PHANTOM-1")
    page.wait_for_function("() => document.querySelector('.find .status').innerText === '1 study'")
    page.locator(".results .row a").click()
    page.wait_for_function("() => document.querySelectorAll('.card .picture img').length === 3")
    page.get_by_role("button", name="Compare").first.click()
    look("study")
    page.get_by_role("button", name="Clear").click()
    page = visit.go("images", ".card .picture img")
    look("images")
    page = visit.go("upload", ".drop")
    (tmp_path / "a.dcm").write_bytes(instances.ct_slice(1, 1))
    (tmp_path / "b.txt").write_bytes(b"no image")
    page.locator("input[data-name='files']").set_input_files([tmp_path / "a.dcm", tmp_path / "b.txt"])
    page.wait_for_function("() => document.querySelector('.figures')?.innerText.startsWith('2 of 2')")
    look("upload")
    page = visit.view(world.series["CT"])
    look("viewer")
    page.keyboard.press("d")
    page.wait_for_selector(".panel .line .value")
    look("header")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    look("help")
    page = visit.view(world.series["CT"], world.series["COPY"])
    page.locator(".links summary").click()
    look("two")
    page = visit.view(image=world.images["nifti"])
    look("volume")
    page = visit.go("nowhere", "main h1")
    look("nowhere")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    page.evaluate("() => document.querySelector('main').append(document.createElement('input'))")
    assert [each.rule for each in axe(page)] == ["label"], "what is wrong is found"


def test_the_question_for_a_key_by_the_rules_of_axe(installed: str, visits: Any, tmp_path: Path) -> None:
    with running(tmp_path / "home", python=installed, ISOCENTER_AUTH="keys") as server:
        for scheme in ("light", "dark"):
            visit = visits(server, color_scheme=scheme)
            visit.expected.append("401")
            page = visit.go("studies", "dialog[open]")
            page.get_by_role("textbox", name="API key").fill("wrong")
            page.keyboard.press("Enter")
            page.wait_for_selector("dialog .bad")
            visit.picture(f"key-{scheme}")
            assert axe(page) == []


def test_without_the_page_the_server_says_how_it_is_built_and_works(visits: Any, tmp_path: Path) -> None:
    source = Path(isocenter.__file__).parent
    bare = shutil.ignore_patterns("page_files", "__pycache__")
    shutil.copytree(source, tmp_path / "src" / "isocenter", ignore=bare)
    with running(tmp_path / "home", PYTHONPATH=str(tmp_path / "src")) as server:
        visit = visits(server)
        page = visit.page
        page.goto(server.url)
        assert "make page" in page.locator("body").inner_text()
        assert "Node.js" in page.locator("body").inner_text()
        assert page.get_by_role("link", name="Every route").get_attribute("href") == "/docs"
        assert axe(page) == [] if AXE.is_file() else True
        assert server.request("GET", "/assets/index.js").status == 404
        assert server.request("GET", "/licences.txt").status == 404
        assert server.stow(instances.ct_slice(1, 1, size=16)).status == 200
        found = server.request("GET", "/dicomweb/studies").json()
        assert found[0]["00100020"]["Value"] == ["PHANTOM-1"]
