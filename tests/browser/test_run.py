"""Running algorithms and pipelines from the page: a form from the schema, the job as it goes, findings on the image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browser import working


@pytest.fixture
def running(installed: str, tmp_path: Path) -> Iterator[Any]:
    with working.work(tmp_path / "home", installed) as made:
        yield made


@pytest.fixture
def visit(running: Any, visits: Any) -> Any:
    return visits(running.server)


def started(running: Any) -> set[str]:
    return {job["id"] for job in running.json("GET", "/jobs")["jobs"]}


def test_an_algorithm_is_chosen_set_and_run_and_its_findings_lie_on_the_image(running: Any, visit: Any) -> None:
    before = started(running)
    page = visit.go(f"study?store=raw&study={running.study}", ".cards")
    page.locator(".card", has_text="CT").get_by_role("link", name=re.compile("^Run:")).click()
    page.wait_for_selector("text=What to run")
    page.get_by_label("What to run").select_option("algorithm/labels")
    page.get_by_label("Image", exact=True).select_option(index=1)
    working.checked(visit, ".fields input")
    # What is wrong is said beside its field, and nothing is started.
    page.get_by_label("Confidence").fill("7")
    page.get_by_role("button", name="Start").click()
    assert page.locator(".field .bad").first.inner_text() == "It can be at most 1."
    page.get_by_label("Most").fill("2.5")
    page.get_by_label("Most").blur()
    assert "whole number" in page.locator(".fields").inner_text()
    assert started(running) == before
    working.pictured(visit, "run")
    page.get_by_label("Confidence").fill("0.4")
    page.get_by_label("Most").fill("10")
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".result .marked polygon", timeout=60_000)
    image = running.images(running.study, running.ct)[1]
    (job,) = started(running) - before
    (told,) = running.json("GET", f"/jobs/{job}/results?image={image}")["results"]
    findings = told["said"]["findings"]
    assert {each["label"] for each in findings} >= {"body"}
    rows = page.locator(".result tbody tr")
    assert rows.count() == len(findings)
    assert page.locator(".result .marked polygon").count() == len(findings)
    x, y, width, height = findings[0]["box"]
    points = page.locator(".result .marked polygon").first.get_attribute("points")
    assert points == f"{x:g},{y:g} {x + width:g},{y:g} {x + width:g},{y + height:g} {x:g},{y + height:g}"
    working.checked(visit, ".result .marked polygon")
    working.pictured(visit, "job-findings")
    # On the image itself: where the viewer draws a box, the pixels of its corners are.
    page.get_by_role("link", name="Show on the image").click()
    page.wait_for_selector("svg.findings polygon")
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('2 / 3')")
    visit.settled()
    visit.picture("viewer-findings")
    drawn = page.locator("svg.findings polygon").first.get_attribute("points")
    corner = [float(part) for part in drawn.split(" ")[0].split(",")]
    box = page.locator("svg.findings").bounding_box()
    page.mouse.move(box["x"] + corner[0] + 1, box["y"] + corner[1] + 1)
    found = re.match(r"x (-?\d+) y (-?\d+)", page.locator(".readout").inner_text())
    assert found is not None
    assert (int(found[1]), int(found[2])) == pytest.approx((x, y), abs=1)
    assert "body" in page.locator("svg.findings").text_content()
    page.keyboard.press("f")
    visit.settled()
    assert page.locator("svg.findings polygon").count() == 0
    page.locator("[data-name='findings']").click()
    page.wait_for_selector("svg.findings polygon")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('3 / 3')")
    page.wait_for_function("() => !document.querySelector('svg.findings polygon')")  # nothing was found on that one
    # Enlarged, it stays with what it marks.
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("svg.findings polygon")
    page.keyboard.press("+")
    visit.settled()
    assert page.locator("svg.findings polygon").first.get_attribute("points") != drawn


def test_masks_lie_on_the_pixels_that_they_are_of(running: Any, visit: Any) -> None:
    image = running.images(running.study, running.ct)[1]
    body = {"url": f"isocenter:{image}", "algorithm": "threshold", "parameters": {"lower": 300, "fill": True}}
    told = running.json("POST", "/process", body)
    page = visit.go(f"job?id={told['job']}", ".result .marked path")
    assert page.locator(".result .marked path").count() == len(told["findings"])
    working.checked(visit, ".result .marked path")
    address = f"view?series=raw/{running.study}/{running.ct}&at={image}"
    page = visit.go(address, ".pane.shown")
    page.wait_for_function("() => document.querySelector('.corner.bl').innerText.includes('2 / 3')")
    visit.settled()
    plain = visit.pixels(middle=1.0)
    page = visit.go(f"{address}&job={told['job']}", "svg.findings path")
    visit.settled()
    marked = visit.pixels(middle=1.0)
    visit.picture("viewer-mask")
    working.checked(visit, "svg.findings path")
    coloured = np.ptp(marked, axis=2) > 25
    found = {}
    for across in np.linspace(0.42, 0.58, 17):
        for down in (0.64, 0.69, 0.74, 0.79):
            x, y, _ = visit.read(across, down)
            row, column = int(down * marked.shape[0]), int(across * marked.shape[1])
            found[x, y] = bool(coloured[row, column]), bool((np.ptp(plain, axis=2) > 25)[row, column])
    inside = {place: bool(inside_mask(told["findings"], *place)) for place in found}
    assert 3 < sum(inside.values()) < len(inside) - 3
    agree = sum(found[place][0] == inside[place] for place in found)
    assert agree >= 0.95 * len(found), "but at the very edges a pixel is tinted where it was found, and only there"
    assert not any(was for _, was in found.values())
    # Turned, the mask turns with the image.
    page.keyboard.press("o")
    page.keyboard.press("h")
    visit.settled()
    turned = np.ptp(visit.pixels(middle=1.0), axis=2) > 25
    for across in np.linspace(0.3, 0.7, 9):
        x, y, _ = visit.read(across, 0.5)
        if inside_mask(told["findings"], x, y, least=2) is not None:
            at = turned[turned.shape[0] // 2, int(across * turned.shape[1])]
            assert bool(at) == inside_mask(told["findings"], x, y)


def inside_mask(findings: list[dict[str, Any]], x: int, y: int, least: int = 0) -> bool | None:
    """Whether a mask has the pixel; None where one within `least` of it differs."""
    whole = np.zeros((256, 256), np.bool_)
    for each in findings:
        left, top, width, height = (int(side) for side in each["box"])
        part = np.repeat(np.arange(len(each["mask"])) % 2 == 1, each["mask"]).reshape(height, width)
        whole[top : top + height, left : left + width] |= part
    if not (0 <= x < 256 and 0 <= y < 256):
        return False if not least else None
    near = whole[max(0, y - least) : y + least + 1, max(0, x - least) : x + least + 1]
    return bool(whole[y, x]) if near.all() or not near.any() else None


def test_a_pipeline_runs_over_the_study_is_followed_and_its_results_are_opened(running: Any, visit: Any) -> None:
    page = visit.go(f"run?on=raw/{running.study}/{running.us}", "text=What to run")
    page.get_by_label("What to run").select_option("pipeline/annotate")
    assert "three-circles" in page.locator(".steps").inner_text()
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".chip.state.done", timeout=60_000)
    # It was followed by events, with no look between.
    assert any("/events" in each for each in visit.requests)
    page.get_by_role("link", name=re.compile("Open result 1")).first.click()
    page.wait_for_selector(".pane.shown")
    visit.settled()
    shown = visit.pixels(middle=0.95)
    reddish = (shown[..., 0] > 200) & (shown[..., 1] < 60) & (shown[..., 2] < 60)
    greenish = (shown[..., 1] > 200) & (shown[..., 0] < 60) & (shown[..., 2] < 60)
    assert np.count_nonzero(reddish) > 50
    assert np.count_nonzero(greenish) > 50


def test_hostile_words_in_findings_are_shown_as_words(running: Any, visit: Any) -> None:
    image = running.images(*running.nasty)[0]
    page = visit.page

    def spoilt(route: Any) -> None:
        answer = route.fetch()
        told = json.loads(answer.text())
        for each in told["results"]:
            each["said"]["algorithm"] = working.NASTY
            for finding in each["said"]["findings"]:
                finding["label"], finding["values"] = working.NASTY, {working.NASTY: 1}
        route.fulfill(response=answer, json=told)

    page.route("**/results?**", spoilt)
    body = {"url": f"isocenter:{image}", "algorithm": "labels"}
    job = running.json("POST", "/process", body)["job"]
    visit.go(f"job?id={job}", ".result tbody tr")
    assert page.locator(".result tbody tr td").first.inner_text() == working.NASTY
    assert working.NASTY in page.locator(".result h3").inner_text()
    assert page.locator(".result img[src='x']").count() == 0
    page.get_by_role("link", name="Show on the image").click()
    page.wait_for_selector("svg.findings text")
    assert page.locator("svg.findings text").first.text_content() == working.NASTY
    visit.go(f"run?on=raw/{running.nasty[0]}", "text=What to run")
    page.wait_for_function("() => document.querySelector('.target a').innerText.includes('onerror')")


def test_where_events_do_not_come_through_it_looks_again_and_again(running: Any, visit: Any) -> None:
    visit.expected.append("Failed to load resource")
    page = visit.page
    page.route("**/jobs/*/events", lambda route: route.abort())
    job = running.json("POST", "/pipelines/analyse/runs", {"study_uid": running.nasty[0]})["id"]
    visit.go(f"job?id={job}", ".job-head")
    page.wait_for_selector(".chip.state.done", timeout=60_000)
    page.wait_for_selector(".result")
