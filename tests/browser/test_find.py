"""Finding as people do it: by what they type, by dates and stores, page after page, with a key where one is asked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from isocenter.testing import instances
from isocenter.testing.server import Server, running

STUDIES = 130  # more than one answer of the server holds
NAMES = {17: "Novák^Jana", 18: "Novotny^Petr", 90: "Ürgüp^Ayşe", 91: "山田^太郎"}


def small(number: int) -> bytes:
    """One image that is a study of its own."""
    told: dict[str, Any] = {
        "PatientName": NAMES.get(number, f"Person{number:03}^Test"),
        "PatientID": f"ID-{number:04}",
        "AccessionNumber": f"ACC{number:04}",
        "StudyDescription": "Knee control" if number % 40 == 0 else "Chest",
        "StudyDate": f"2023{1 + number % 12:02}{1 + number % 28:02}",
    }
    if number % 10 == 0:
        return instances.cr_image(100 + number, rows=32, columns=24, **told)
    return instances.ct_slice(100 + number, 1, size=16, **told)


@pytest.fixture(scope="module")
def archive(installed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("find") / "home", python=installed) as server:
        assert server.stow(*map(small, range(1, STUDIES + 1))).status == 200
        copy = instances.ct_slice(7, 1, size=16, PatientID="PSEUDONYM", PatientName="")
        assert server.stow(copy, path="/stores/deidentified/dicomweb/studies").status == 200
        yield server


def told(page: Any, text: str) -> None:
    """Wait until the list says this of how many there are."""
    page.wait_for_function("text => document.querySelector('.find .status')?.innerText === text", arg=text)


def patients(page: Any) -> list[str]:
    return [each.strip() for each in page.locator(".results .cell.who small").all_inner_texts()]


def test_search_as_one_types(archive: Server, visits: Any) -> None:
    visit = visits(archive)
    page = visit.go("studies", ".results .row a")
    search = page.get_by_role("searchbox", name="Search")
    for typed, found in (
        ("Novák", ["ID-0017"]),
        ("Novotny, Petr", ["ID-0018"]),
        ("petr novot", ["ID-0018"]),
        ("ürg", ["ID-0090"]),
        ("山田", ["ID-0091"]),
        ("D-0123", ["ID-0123"]),
        ("ACC0044", ["ID-0044"]),
        ("knee", ["ID-0040", "ID-0080", "ID-0120"]),
    ):
        search.fill("")
        told(page, f"100 of {STUDIES} studies loaded; scroll for more")
        search.press_sequentially(typed, delay=5)
        told(page, "1 study" if len(found) == 1 else f"{len(found)} studies")
        assert sorted(patients(page)) == found, typed
    # What means something to the server's patterns means nothing here beyond one letter.
    for typed in ("*", "ID-00*", "%", "' OR 1=1 --", "\\"):
        search.fill(typed)
        page.wait_for_function("() => !document.querySelector('.results').classList.contains('stale')")
        visit.settled()
    search.fill("nobody at all")
    page.wait_for_selector(".results .notice")
    assert page.locator(".results .notice").inner_text() == "No study fits."
    assert page.url.endswith("#/studies"), "nothing of a patient is in the address"
    page.get_by_role("button", name="Clear").click()
    told(page, f"100 of {STUDIES} studies loaded; scroll for more")
    assert search.evaluate("element => element === document.activeElement")


def test_dates_modality_store_and_order(archive: Server, visits: Any) -> None:
    page = visits(archive).go("studies", ".results .row a")
    page.get_by_label("Modality").select_option("CR")
    told(page, "13 studies")
    assert set(page.locator(".results .cell.kinds .chip").all_inner_texts()) == {"CR"}
    page.get_by_label("From").fill("2023-06-01")
    page.get_by_label("To", exact=True).fill("2023-07-31")
    fitting = sorted(f"ID-{n:04}" for n in range(10, STUDIES + 1, 10) if n % 12 in (5, 6))
    told(page, f"{len(fitting)} studies")
    assert sorted(patients(page)) == fitting
    page.get_by_label("Search").fill("ID-0030")  # with the other filters still on
    told(page, "1 study")
    page.get_by_role("button", name="Clear").click()
    told(page, f"100 of {STUDIES} studies loaded; scroll for more")
    page.get_by_label("Order").select_option("By patient")
    page.wait_for_function("() => document.querySelector('.results .cell.who small')?.innerText === 'ID-0001'")
    assert patients(page)[:3] == ["ID-0001", "ID-0002", "ID-0003"]
    page.get_by_label("Order").select_option("Oldest first")
    page.wait_for_function("() => document.querySelector('.results .cell.when')?.innerText.includes('2023')")
    page.get_by_label("Store").select_option("deidentified")
    told(page, "1 study")
    assert patients(page) == ["PSEUDONYM"]
    # The store is remembered for the tab, and named where it holds identity.
    page.reload()
    told(page, "1 study")
    assert "raw (holds identity)" in page.get_by_label("Store").locator("option").all_inner_texts()
    page.get_by_label("Store").select_option("raw")
    told(page, f"100 of {STUDIES} studies loaded; scroll for more")


def test_paging_says_how_many_there_are_and_reaches_all(archive: Server, visits: Any) -> None:
    visit = visits(archive)
    page = visit.go("studies", ".results .row a")
    told(page, f"100 of {STUDIES} studies loaded; scroll for more")
    seen: set[str] = set()
    for _ in range(60):
        seen.update(patients(page))
        assert page.locator(".results .row").count() < 60, "only what is seen is in the document"
        if len(seen) == STUDIES:
            break
        page.locator(".virtual").evaluate("element => element.scrollBy(0, 300)")
        visit.settled()
    assert len(seen) == STUDIES
    told(page, f"{STUDIES} studies")
    # Found by words the list goes on too: each of four keys is asked for page by page.
    page.locator(".virtual").evaluate("element => element.scrollTo(0, 0)")
    page.get_by_label("Search").fill("chest")
    told(page, "100 studies loaded; there are more, scroll for them")
    page.locator(".virtual").evaluate("element => element.scrollTo(0, element.scrollHeight)")
    told(page, f"{STUDIES - 3} studies")


def test_from_list_to_image_by_mouse_with_thumbnails(world: Any, visit: Any) -> None:
    page = visit.go("studies", ".results .row a")
    page.get_by_label("Search").fill("PHANTOM-1")
    told(page, "1 study")
    page.wait_for_selector(".results .picture img")
    drawn = "image => image.complete && image.naturalWidth > 20 && image.src.startsWith('blob:')"
    assert page.locator(".results .picture img").first.evaluate(drawn)
    visit.picture("studies")
    page.locator(".results .row .what").last.click()  # anywhere in the row
    page.wait_for_selector(".person")
    assert page.locator(".person h1").inner_text() == "Phantom, Öl"
    assert "born 1970-01-01" in page.locator(".person").inner_text()
    page.wait_for_function("() => document.querySelectorAll('.card .picture img').length === 3")
    told_of = [card.split("\n") for card in page.locator(".card .about").all_inner_texts()]
    assert [(each[0], each[-1]) for each in told_of] == [
        ("Phantom, axial", "CT 12 images"), ("Phantom, frontal", "CR 1 image"), ("Phantom, cine", "US 1 image"),
    ]  # fmt: skip
    visit.picture("study")
    page.locator(".card > a", has_text="frontal").click()
    page.wait_for_selector(".pane.shown")
    assert "frontal" in visit.corner("tr")
    page.go_back()
    page.wait_for_selector(".person")
    # Two series of it side by side.
    for name in ("axial", "frontal"):
        page.locator(".card", has_text=name).get_by_role("button", name="Compare").click()
    assert "2 series chosen" in page.locator(".tray").inner_text()
    page.get_by_role("button", name="View side by side").click()
    page.wait_for_function("() => document.querySelectorAll('.pane.shown').length === 2")
    assert "axial" in visit.corner("tr", 1)
    assert "frontal" in visit.corner("tr", 2)


def test_from_list_to_image_by_keyboard(world: Any, visit: Any) -> None:
    page = visit.go("studies", ".results .row a")

    def focused() -> str:
        told: str = page.evaluate("() => document.activeElement.closest('a')?.innerText ?? ''")
        return told

    def tab_to(words: str) -> None:
        for _ in range(40):
            if words in focused():
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not come to {words}")

    page.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("PHANTOM-1")
    told(page, "1 study")
    tab_to("Phantom, Öl")
    page.keyboard.press("Enter")
    page.wait_for_selector(".person")
    tab_to("Phantom, axial")
    page.keyboard.press("Enter")
    page.wait_for_selector(".pane.shown")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('2 / 12')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".person")


def test_arrows_walk_through_the_list(archive: Server, visits: Any) -> None:
    page = visits(archive).go("studies", ".results .row a")
    page.get_by_label("Order").select_option("By patient")
    page.wait_for_function("() => document.querySelector('.results .cell.who small')?.innerText === 'ID-0001'")
    page.locator(".results .row a").first.focus()
    for _ in range(24):
        page.keyboard.press("ArrowDown")
    row = "() => document.activeElement.closest('.row').querySelector('small').innerText"
    assert page.evaluate(row) == "ID-0025"
    page.keyboard.press("ArrowUp")
    assert page.evaluate(row) == "ID-0024"


def test_volumes_and_pictures_by_subject(world: Any, visit: Any) -> None:
    page = visit.go("images", ".card")
    page.get_by_label("Subject").fill("SUBJECT-1")
    told(page, "4 images")
    page.wait_for_function("() => document.querySelectorAll('.card .picture img').length === 4")
    assert sorted(page.locator(".card .chip").all_inner_texts()) == ["GIF", "JPEG", "NIfTI", "PNG"]
    page.get_by_label("Kind").select_option("JPEG")
    told(page, "1 image")
    page.get_by_label("Subject").fill("SUBJECT-2")
    told(page, "No volume or picture fits.")
    page.get_by_label("Subject").fill("SUB*")
    page.get_by_label("Kind").select_option("NIfTI")
    told(page, "1 image")
    page.locator(".card > a").click()
    page.wait_for_function("() => document.querySelectorAll('.pane.shown').length === 3")


def downloaded(page: Any, what: Any) -> list[Any]:
    """The File-set's index and how many instances the archive has that comes of a click."""
    what.wait_for()
    with page.expect_download() as waited:
        what.click()
    with zipfile.ZipFile(waited.value.path()) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert waited.value.suggested_filename.endswith(".zip")
    return [*(name for name in names if name == "DICOMDIR"), len(names) - 1]


def test_a_study_is_downloaded_as_an_archive(archive: Server, visits: Any) -> None:
    visit = visits(archive)
    page = visit.go("studies", ".results .row a")
    page.locator(".results .row a").first.click()
    assert downloaded(page, page.get_by_role("link", name="Download")) == ["DICOMDIR", 1]


def key_of(server: Server, *scopes: str) -> str:
    words = [word for scope in scopes for word in ("--scope", scope)]
    made = server.run("keys", "new", "--label", "person", *words)
    assert made.returncode == 0, made.stderr
    return made.stdout.decode().strip()


def test_a_server_that_asks_for_a_key(installed: str, tmp_path: Any, visits: Any) -> None:
    with running(tmp_path / "home", python=installed, ISOCENTER_AUTH="keys") as server:
        key = key_of(server, "images:read", "images:write", "identified:read")
        weak = key_of(server, "process")
        boundary = "b"
        body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + instances.ct_slice(1, 1, size=32) + b"\r\n--b--\r\n"
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        head = {"Content-Type": kind, "Authorization": f"Bearer {key}"}
        assert server.request("POST", "/dicomweb/studies", body, head).status == 200
        visit = visits(server)
        visit.expected += ["401", "403"]
        page = visit.go("studies", "dialog[open]")
        assert "An API key is needed" in page.locator("dialog").inner_text()
        assert page.get_by_role("textbox", name="API key").get_attribute("type") == "password"
        page.get_by_role("textbox", name="API key").fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog .bad")
        assert page.locator("dialog .bad").inner_text() == "The server did not take that key."
        page.get_by_role("textbox", name="API key").fill(key)
        page.get_by_role("button", name="Continue").click()
        told(page, "1 study")
        page.wait_for_selector(".results .picture img")
        page.locator(".results .row a").click()
        assert downloaded(page, page.get_by_role("button", name="Download")) == ["DICOMDIR", 1]
        page.locator(".card > a").click()
        page.wait_for_selector(".pane.shown")
        page.reload()  # kept in this tab
        page.wait_for_selector(".pane.shown")
        assert not [url for url in visit.requests if key in url or "wrong" in url]
        assert page.evaluate("() => document.cookie + JSON.stringify(localStorage)").find(key) == -1
        # Forgotten, and asked for again; what a key does not reach is said.
        page.goto(f"{server.url}/#/studies")
        told(page, "1 study")
        page.get_by_role("button", name="Forget the key").click()
        page.wait_for_selector("dialog[open]")
        assert page.locator("dialog .bad").count() == 0
        assert page.locator(".results").count() == 0, "nothing of before is left on the screen"
        page.get_by_role("textbox", name="API key").fill(weak)
        page.keyboard.press("Enter")
        page.wait_for_selector(".notice.bad")
        assert "images:read" in page.locator(".notice.bad").inner_text()
        assert page.locator(".results .row").count() == 0
        assert not [url for url in visit.requests if weak in url]
