"""De-identifying from the page: what would change, the job, its evidence, before beside after, and links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser import working


@pytest.fixture
def running(installed: str, tmp_path: Path) -> Iterator[Any]:
    with working.work(tmp_path / "home", installed) as made:
        yield made


@pytest.fixture
def visit(running: Any, visits: Any) -> Any:
    return visits(running.server)


def test_a_study_is_tried_done_compared_and_given_out(running: Any, visit: Any) -> None:
    page = visit.go(f"study?store=raw&study={running.study}", ".cards")
    page.get_by_role("link", name="De-identify").click()
    page.wait_for_selector("text=Try it on one image")
    # A profile that no pipeline has is said to have none, and which there are.
    page.get_by_label("Profile").select_option("tcia")
    assert "No pipeline on this store de-identifies by the profile tcia" in page.locator("main").inner_text()
    assert "validate-deidentify (basic)" in page.locator("main").inner_text()
    page.get_by_label("Profile").select_option("basic")
    page.locator("[data-name='preview']").click()
    page.wait_for_selector("tr.change")
    image = running.images(running.study, running.ct)[0]
    told = running.json("POST", "/deidentification/previews", {"image": image, "profile": "basic"})
    assert page.locator("tr.change").count() == len(told["changes"])
    assert re.search(rf"{told['kept']} attributes stay", page.locator(".preview").first.inner_text())
    name = page.locator("tr.change", has_text="PatientName")
    assert "Phantom^Öl" in name.locator(".before").inner_text()
    assert "Phantom" not in name.locator(".after").inner_text()
    working.checked(visit, "tr.change")
    working.pictured(visit, "preview")
    removed = [each for each in told["changes"] if each["action"] == "removed"]
    page.get_by_role("button", name=re.compile("^Removed")).click()
    assert page.locator("tr.change").count() == len(removed)
    page.get_by_role("button", name=re.compile("^All")).click()
    page.get_by_placeholder("Search attributes and values").fill("patientname")
    assert page.locator("tr.change").count() == 1
    # Nothing was done so far.
    assert running.json("GET", "/jobs")["jobs"] == []
    page.get_by_role("button", name="De-identify now").click()
    page.wait_for_selector(".evidence", timeout=60_000)
    assert page.locator(".evidence").count() == 4
    said = page.locator(".evidence").first.inner_text()
    assert "Profile basic" in said
    assert "none is left" in said
    assert "The profile does not look at these pixels" in said
    working.checked(visit, ".evidence")
    working.pictured(visit, "evidence")
    # A delivery of what came of it: the links work, until they are revoked.
    page.get_by_label("Links live for").select_option("3600")
    page.get_by_role("button", name="Make links").click()
    page.wait_for_selector(".links-list input")
    links = [each.input_value() for each in page.locator(".links-list input").all()]
    assert len(links) == 4
    path = links[0].removeprefix(running.server.url)
    assert running.server.request("GET", path).body[128:132] == b"DICM"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("[data-name='copy']").first.click()
    page.wait_for_selector("text=Copied.")
    assert page.evaluate("() => navigator.clipboard.readText()") == links[0]
    working.checked(visit, ".links-list input")
    job = page.url
    visit.go("deliveries", ".table")
    page.get_by_role("button", name="Show the links").click()
    page.wait_for_selector("dialog .links-list input")
    assert [each.input_value() for each in page.locator("dialog .links-list input").all()] == links
    page.keyboard.press("Escape")
    working.checked(visit, ".table")
    working.pictured(visit, "deliveries")
    page.get_by_role("button", name="Revoke").click()
    page.locator("[data-name='revoke-now']").click()
    page.wait_for_selector("td .chip:has-text('Revoked')")
    assert running.server.request("GET", path).status == 404
    # Before beside after.
    page.goto(job)
    page.get_by_role("link", name="Compare before and after", exact=True).click()
    page.wait_for_function("() => document.querySelectorAll('.pane.shown').length === 2")
    visit.settled()
    visit.picture("compare")
    assert "Phantom, Öl" in visit.corner("tl", 1)
    assert "holds identity" in visit.corner("tl", 1)
    assert "Phantom" not in visit.corner("tl", 2)
    assert "holds identity" not in visit.corner("tl", 2)
    assert abs(visit.pixels(1) - visit.pixels(2)).mean() < 3


def test_what_is_kept_back_says_why(running: Any, visit: Any) -> None:
    visit.expected.append("422")
    page = visit.go(f"deidentify?on=raw/{running.burned[0]}", "[data-name='preview']")
    page.locator("[data-name='preview']").click()
    page.wait_for_selector(".notice.bad")
    assert "would be kept back" in page.locator(".notice.bad").inner_text()
    assert "Its pixels are said to hold text" in page.locator(".notice.bad").inner_text()
    assert "burned-in-annotation" in page.locator(".notice.bad code").inner_text()


def test_regions_of_the_evidence_are_drawn_where_they_are(running: Any, visit: Any) -> None:
    page = visit.page
    cut = {"x": 10, "y": 20, "width": 60, "height": 30, "why": "identifier", "frames": "1-2"}

    def with_cuts(route: Any) -> None:
        answer = route.fetch()
        told = json.loads(answer.text())
        told["pixels"] = {
            "frames": 2, "frames_read": 2, "cuts": [cut, {**cut, "frames": "2"}], "redacted_percent": 1.25,
            "verified": True,
        }  # fmt: skip
        route.fulfill(response=answer, json=told)

    page.route("**/deidentification/previews", with_cuts)
    visit.go(f"deidentify?on=raw/{running.study}/{running.us}", "[data-name='preview']")
    page.locator("[data-name='preview']").click()
    page.wait_for_selector(".marked polygon")
    assert page.locator(".marked polygon").count() == 1  # the other is of the second frame
    assert page.locator(".marked polygon").get_attribute("points") == "10,20 70,20 70,50 10,50"
    assert "as it is" in page.locator("figcaption").inner_text()
    assert "2 regions made black, 1.25 % of the pixels" in page.locator(".said").inner_text()
    working.pictured(visit, "regions")


def test_hostile_values_are_shown_as_words(running: Any, visit: Any) -> None:
    page = visit.go(f"deidentify?on=raw/{running.nasty[0]}", "[data-name='preview']")
    page.locator("[data-name='preview']").click()
    page.wait_for_selector("tr.change")
    assert working.NASTY in page.locator("tr.change", has_text="PatientName").inner_text()
    assert page.locator("img[src='x']").count() == 0
    working.checked(visit, "tr.change")
