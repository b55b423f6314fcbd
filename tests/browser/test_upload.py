"""Uploading as people do it: files, folders and archives, broken off and taken up again, each with its own outcome."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isocenter.testing import instances
from isocenter.testing.server import Server, running

OVER = """() => {
  const told = document.querySelector('.overall .figures span')?.innerText ?? '';
  const found = /^([\\d,]+) of ([\\d,]+) files? done$/.exec(told);
  return found !== null && found[2] !== '0' && found[1] === found[2];
}"""


@pytest.fixture
def server(installed: str, tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "home", python=installed) as server:
        yield server


def choose(page: Any, *files: Path, folder: Path | None = None) -> None:
    if folder is not None:
        page.locator("input[data-name='folder']").set_input_files(folder)
    else:
        page.locator("input[data-name='files']").set_input_files(files)


def over(page: Any, seconds: float = 60) -> None:
    """Wait until every file has its outcome."""
    page.wait_for_function(OVER, timeout=seconds * 1000)


def rows(page: Any) -> dict[str, str]:
    """What the list says of each file, all at one moment."""
    found = page.locator(".files .file").evaluate_all(
        "rows => rows.map(row => ['.name', '.chip', '.told'].map(part => row.querySelector(part)?.innerText ?? ''))"
    )
    return {name: f"{outcome} {reason}".strip() for name, outcome, reason in found}


def written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    paths = []
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def held_after(page: Any, most: int) -> list[Any]:
    """Let so many parts through and hold on to the rest, so that there is a moment in which an upload is under way."""
    passed: list[Any] = []
    held: list[Any] = []

    def take(route: Any) -> None:
        if len(passed) < most:
            passed.append(route)
            route.continue_()
        else:
            held.append(route)

    page.route("**/uploaded/*", take)
    return held


def count(server: Server, store: str = "raw") -> int:
    """Instances that a search finds."""
    answer = server.request("GET", f"/stores/{store}/dicomweb/instances?limit=1")
    return int(answer.headers["X-Total-Count"]) if answer.status == 200 else 0


def test_every_kind_with_receipts_and_reasons(server: Server, visits: Any, tmp_path: Path) -> None:
    same = instances.ct_slice(1, 1, size=32)
    files = {
        "one.dcm": same,
        "no ending": instances.ct_slice(1, 2, size=32),
        "again.dcm": same,
        "volume.nii": instances.nifti_volume(),
        "volume.nii.gz": gzip.compress(instances.nifti_volume(2)),
        "picture.jpg": instances.jpeg_picture(),
        "picture.png": instances.png_picture(),
        "picture.gif": instances.gif_picture(),
        "letter.txt": b"Dear colleague, here is nothing to be seen.",
        "cut.dcm": instances.ct_slice(1, 3, size=32)[:700],
        "empty.dcm": b"",
        "study.zip": archive({"in/a.dcm": instances.ct_slice(2, 1, size=32), "in/b.png": instances.png_picture(5)}),
        "broken.zip": b"PK\x03\x04" + b"\0" * 90,
    }
    visit = visits(server, viewport={"width": 1280, "height": 1600})  # high enough for all rows
    page = visit.go("upload", ".drop")
    page.get_by_label("Subject ID").fill("SUBJECT-7")
    choose(page, *written(tmp_path / "in", files))
    over(page)
    found = rows(page)
    assert set(found) == (set(files) - {"study.zip"}) | {"study.zip/in/a.dcm", "study.zip/in/b.png"}
    stored = {name for name, said in found.items() if said == "Stored"}
    assert stored | {name for name, said in found.items() if said == "There already"} == set(found) - {
        "letter.txt", "cut.dcm", "empty.dcm", "broken.zip",
    }  # fmt: skip
    assert len({"one.dcm", "again.dcm"} & stored) == 1
    assert found["letter.txt"].startswith("Rejected It is not an image that is taken here")
    assert found["cut.dcm"].startswith("Rejected It ends too early.")
    assert found["empty.dcm"] == "Rejected The file is empty."
    assert found["broken.zip"] == "Rejected It is no ZIP archive that can be read here."
    chips = page.locator(".summary .chip").all_inner_texts()
    assert chips == [f"{len(stored)} stored", "1 there already", "4 rejected"]
    assert page.locator(".overall progress").evaluate("bar => bar.value") == 1
    visit.picture("upload")
    page.get_by_role("button", name="Rejected or failed").click()
    assert set(rows(page)) == {"letter.txt", "cut.dcm", "empty.dcm", "broken.zip"}
    # The receipts tell the truth: what they call stored is there, under the subject that was said.
    assert count(server) == 3
    listed = server.request("GET", "/images?subject_id=SUBJECT-7").json()["images"]
    assert sorted(each["kind"] for each in listed) == ["gif", "jpeg", "nifti", "nifti", "png", "png"]
    page.get_by_role("link", name="See what came in").click()
    page.wait_for_selector(".results .row a")
    # And what is sent once more is there already.
    page.get_by_role("link", name="Upload").click()
    page.get_by_role("button", name="Clear the list").click()
    page.locator(".overall").wait_for(state="hidden")
    choose(page, tmp_path / "in" / "one.dcm", tmp_path / "in" / "picture.png")
    over(page)
    assert set(rows(page).values()) == {"There already"}


def test_a_folder_and_what_is_dropped(server: Server, visits: Any, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    written(folder, {f"series-{n % 2}/{n}.dcm": instances.ct_slice(3, n, size=32) for n in range(1, 7)})
    page = visits(server).go("upload", ".drop")
    choose(page, folder=folder)
    over(page)
    assert set(rows(page)) == {f"case/series-{n % 2}/{n}.dcm" for n in range(1, 7)}
    assert set(rows(page).values()) == {"Stored"}
    # Dropped: the same files, as an event of the browser's own kind.
    data = page.evaluate_handle(
        "bytes => { const transfer = new DataTransfer();"
        " transfer.items.add(new File([new Uint8Array(bytes)], 'dropped.dcm')); return transfer }",
        list(instances.ct_slice(3, 7, size=32)),
    )
    page.locator(".drop").dispatch_event("dragover", {"dataTransfer": data})
    assert "over" in (page.locator(".drop").get_attribute("class") or "")
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": data})
    page.wait_for_function("() => document.querySelector('.figures')?.innerText.includes('7 of 7')")
    assert rows(page)["dropped.dcm"] == "Stored"
    assert count(server) == 7


def test_into_another_store(server: Server, visits: Any, tmp_path: Path) -> None:
    page = visits(server).go("upload", ".drop")
    page.get_by_label("Into the store").select_option("deidentified")
    choose(page, *written(tmp_path / "in", {"x.dcm": instances.ct_slice(4, 1, size=32)}))
    over(page)
    assert (count(server), count(server, "deidentified")) == (0, 1)


def test_paused_and_gone_on_with(server: Server, visits: Any, tmp_path: Path) -> None:
    visit = visits(server)
    page = visit.go("upload", ".drop")
    held = held_after(page, 4)
    choose(page, *written(tmp_path / "in", {f"{n}.dcm": instances.ct_slice(5, n, size=32) for n in range(1, 13)}))
    while not held:
        page.wait_for_timeout(20)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector(".overall button:has-text('Go on')")
    assert page.locator(".figures").inner_text().startswith("0 of 12 files done")
    assert count(server) == 0
    page.unroute("**/uploaded/*")
    held.clear()
    resent: list[str] = []
    page.on("request", lambda request: resent.append(request.url) if request.method == "PUT" else None)
    page.get_by_role("button", name="Go on").click()
    over(page)
    assert set(rows(page).values()) == {"Stored"}
    assert count(server) == 12
    assert len(resent) <= 12 - 1, "what had been sent is not sent again"


def test_taken_up_after_a_reload_by_what_files_hold(server: Server, visits: Any, tmp_path: Path) -> None:
    visit = visits(server)
    page = visit.go("upload", ".drop")
    files = written(tmp_path / "in", {f"{n}.dcm": instances.ct_slice(6, n, size=32) for n in range(1, 9)})
    held = held_after(page, 3)
    choose(page, *files)
    while not held:
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    page.reload()
    page.wait_for_selector(".notice:has-text('interrupted')")
    held.clear()
    assert page.locator(".notice").inner_text().startswith("An upload was interrupted: 5 of 8 files are still missing.")
    kept = page.evaluate("() => JSON.stringify(localStorage)")
    assert ".dcm" not in kept, "no file name is kept"
    page.unroute("**/uploaded/*")
    again: list[str] = []
    page.on("request", lambda request: again.append(request.url) if request.method == "PUT" else None)
    moved = written(tmp_path / "moved", {f"renamed-{n}": path.read_bytes() for n, path in enumerate(files)})
    choose(page, *moved)
    over(page)
    assert set(rows(page).values()) == {"Stored"}
    assert len(again) == 5
    assert count(server) == 8
    page.reload()
    page.wait_for_selector(".drop")
    visit.settled()
    assert page.locator(".notice").count() == 0


def test_an_upload_that_is_given_up(server: Server, visits: Any, tmp_path: Path) -> None:
    page = visits(server).go("upload", ".drop")
    held = held_after(page, 0)
    choose(page, *written(tmp_path / "in", {"x.dcm": instances.ct_slice(8, 1, size=32)}))
    while not held:
        page.wait_for_timeout(20)
    page.reload()
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
        page.get_by_role("button", name="Give it up").click()
    assert ended.value.status == 204
    assert page.evaluate("() => JSON.stringify(localStorage)") == "{}"
    page.unroute("**/uploaded/*")
    held.clear()


def test_the_server_goes_away_and_comes_back(server: Server, visits: Any, tmp_path: Path) -> None:
    visit = visits(server)
    visit.expected += ["Failed to load resource", "ERR_CONNECTION"]
    page = visit.go("upload", ".drop")
    page.clock.install()
    server.stop()
    choose(page, *written(tmp_path / "in", {f"{n}.dcm": instances.ct_slice(9, n, size=32) for n in range(1, 4)}))
    for _ in range(40):  # the pauses between attempts, without waiting for them
        page.wait_for_timeout(60)
        page.clock.fast_forward(31_000)
        if page.locator(".overall button:has-text('Try the failed ones again')").count():
            break
    assert set(rows(page).values()) == {"Failed The server cannot be reached. Is it running, and is the network there?"}
    server.start()
    page.get_by_role("button", name="Try the failed ones again").click()
    for _ in range(100):
        page.wait_for_timeout(60)
        page.clock.fast_forward(200)
        if page.evaluate(OVER) and "3 stored" in page.locator(".summary").inner_text():
            break
    assert set(rows(page).values()) == {"Stored"}
    assert count(server) == 3
    # Killed while files are on their way, and back again: nothing is lost, and nothing stored twice.
    page.get_by_role("button", name="Clear the list").click()
    page.locator(".overall").wait_for(state="hidden")
    passed: list[str] = []

    def killed_at_the_third(route: Any) -> None:
        passed.append("")
        if len(passed) == 3:
            server.kill()
            server.start()
        route.continue_()

    page.route("**/uploaded/*", killed_at_the_third)
    choose(page, *written(tmp_path / "more", {f"{n}.dcm": instances.ct_slice(10, n, size=32) for n in range(1, 13)}))
    for _ in range(200):
        page.wait_for_timeout(60)
        page.clock.fast_forward(5_000)
        if page.evaluate(OVER):
            break
    page.unroute("**/uploaded/*")
    assert set(rows(page).values()) == {"Stored"}
    assert count(server) == 15


def test_three_hundred_files_at_once(server: Server, visits: Any, tmp_path: Path) -> None:
    page = visits(server).go("upload", ".drop")
    files = {f"{n:03}.dcm": instances.ct_slice(11, n, size=16, slices=300) for n in range(1, 301)}
    written(tmp_path / "many", files)
    choose(page, folder=tmp_path / "many")
    page.wait_for_selector(".files .file")
    assert page.locator(".files .file").count() < 60, "only what is seen is in the document"
    over(page, 120)
    assert page.locator(".summary").inner_text() == "300 stored"
    assert count(server) == 300
    page.locator(".files").evaluate("element => element.scrollTo(0, element.scrollHeight)")
    page.wait_for_selector(".files [data-index='299'] .name")
