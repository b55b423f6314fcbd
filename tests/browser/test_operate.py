"""Running a server from the page: jobs steered, what was kept out and why, events as they happen, the system."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser import working

from isocenter.testing import instances


@pytest.fixture
def running(installed: str, tmp_path: Path) -> Iterator[Any]:
    with working.work(tmp_path / "home", installed) as made:
        yield made


@pytest.fixture
def visit(running: Any, visits: Any) -> Any:
    return visits(running.server)


def until(running: Any, job: str) -> Any:
    for _ in range(600):
        told = running.json("GET", f"/jobs/{job}")
        if told["state"] in ("done", "failed", "cancelled"):
            return told
        time.sleep(0.05)
    raise AssertionError(told)


def test_jobs_are_filtered_steered_and_tried_again(running: Any, visit: Any) -> None:
    job = running.json("POST", "/pipelines/validate-deidentify/runs", {"study_uid": running.burned[0]})["id"]
    assert until(running, job)["rejected"] == 1
    page = visit.go("jobs", ".table tbody tr")
    assert "validate-deidentify" in page.locator(".table").inner_text()
    working.checked(visit, ".table tbody tr")
    working.pictured(visit, "jobs")
    page.get_by_label("State").select_option("paused")
    page.wait_for_selector("text=There are no jobs here.")
    page.get_by_label("State").select_option("done")
    page.wait_for_selector(".table tbody tr")
    # What was kept out, with the reason in words and its code, and once more.
    page.get_by_role("button", name="Kept out").click()
    page.wait_for_selector(".panel-box .reason")
    told = page.locator(".panel-box").inner_text()
    assert "Its pixels are said to hold text" in told
    assert "burned-in-annotation" in told
    assert "Its own fault" in told
    working.checked(visit, ".panel-box .reason")
    working.pictured(visit, "kept-out")
    page.get_by_role("button", name="Try again what was kept out").click()
    page.wait_for_selector("text=Tries again what this job kept out", timeout=60_000)
    page.wait_for_selector(".chip.state.done", timeout=60_000)
    page.wait_for_selector(".reason")
    assert "Tries again what this job kept out" in page.locator("main").inner_text()
    assert len(running.json("GET", "/jobs")["jobs"]) == 2
    assert "burned-in-annotation" in page.locator("main").inner_text()


def test_a_job_is_paused_resumed_and_cancelled(running: Any, visit: Any) -> None:
    """The states are the server's; a job too short to be caught is told of as if it were under way."""
    job = running.json("POST", "/pipelines/analyse/runs", {"study_uid": running.study})["id"]
    running.server.request("POST", f"/jobs/{job}/pause")
    page = visit.go(f"job?id={job}", ".job-head")
    if page.locator(".chip.state.paused").count():
        working.checked(visit, ".chip.state.paused")
        page.locator("[data-name='resume']").click()
        page.wait_for_selector(".chip.state.running, .chip.state.queued, .chip.state.done")
        page.wait_for_selector(".chip.state.done", timeout=60_000)
    other = running.json("POST", "/pipelines/analyse/runs", {"study_uid": running.study})["id"]
    visit.go(f"job?id={other}", ".job-head")
    page.locator("[data-name='pause']").click()
    page.wait_for_selector(".chip.state.paused")
    assert running.json("GET", f"/jobs/{other}")["state"] == "paused"
    page.locator("[data-name='cancel']").click()
    page.locator("dialog .button.main").click()
    page.wait_for_selector(".chip.state.cancelled")
    assert running.json("GET", f"/jobs/{other}")["state"] == "cancelled"


def test_the_system_and_its_events_as_they_happen(running: Any, visit: Any) -> None:
    page = visit.go("system", ".fact")
    told = running.json("GET", "/system")
    shown = page.locator("main").inner_text()
    assert "Ready" in shown
    assert told["version"] in shown
    raw = next(store for store in told["stores"] if store["name"] == "raw")
    assert f"{raw['instances']} DICOM instances" in shown
    page.wait_for_selector(".table tbody tr")
    before = page.locator(".table tbody tr").count()
    working.checked(visit, ".table tbody tr")
    working.pictured(visit, "system")
    assert running.server.stow(instances.ct_slice(77, 1, PatientID="LATER")).status == 200
    page.wait_for_function(f"() => document.querySelectorAll('.table tbody tr').length === {before + 1}")
    assert "Stored" in page.locator(".table tbody tr").first.inner_text()


def test_without_the_scopes_it_says_which_are_missing(running: Any, visit: Any) -> None:
    visit.expected.append("403")
    page = visit.page
    for path in ("**/system", "**/jobs?*", "**/deliveries?*"):
        page.route(path, lambda route: route.fulfill(status=403, json={"code": "forbidden", "detail": "x"}))
    visit.go("system", ".facts .notice")
    assert "scope admin" in page.locator(".facts").inner_text()
    visit.go("jobs", ".notice.bad")
    assert "scope process" in page.locator(".notice.bad").inner_text()
    visit.go("deliveries", ".notice.bad")
    assert "scope deliver" in page.locator(".notice.bad").inner_text()
