"""A pipeline drawn: its steps from left to right as SVG."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from isocenter.pipeline.plan import Plan, Retry

_WIDTH, _HEIGHT, _GAP, _MARGIN = 190, 84, 46, 24
_STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1b2733}.small{font-size:11px;fill:#51606e}"
    "rect{fill:#f3f7fb;stroke:#3b6ea5;stroke-width:1.5}.store{fill:#fff;stroke:#8a97a3}"
    "path{fill:none;stroke:#3b6ea5;stroke-width:1.5}.out{stroke:#b4452c;stroke-dasharray:4 3}.bar{stroke-width:4}"
)
_ON_REJECT = {"keep-back": "rejected: kept back", "go-on": "rejected: goes on", "stop": "rejected: the job stops"}


def svg(plan: Plan) -> str:
    """The pipeline as an SVG picture; a thick bar stands where all images are waited for."""
    columns = len(plan.steps) + 1
    width = 2 * _MARGIN + columns * _WIDTH + (columns - 1) * _GAP
    height = 2 * _MARGIN + _HEIGHT + 56
    root = ET.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}", "width": str(width), "role": "img"},
    )
    ET.SubElement(root, "title").text = f"Pipeline {plan.name}"
    ET.SubElement(root, "style").text = _STYLE
    _box(root, 0, "store", plan.store, "store", f"{plan.batch.images} images a chunk")
    for number, step in enumerate(plan.steps, start=1):
        left = _MARGIN + number * (_WIDTH + _GAP)
        middle = _MARGIN + _HEIGHT // 2
        ET.SubElement(root, "path", {"d": f"M{left - _GAP} {middle}h{_GAP - 2}m-7 -5l7 5l-7 5"})
        if step.wait_for_all:
            ET.SubElement(root, "path", {"class": "bar", "d": f"M{left - _GAP // 2} {_MARGIN}v{_HEIGHT}"})
        _box(root, number, "step", step.name, step.use, _told(step.retry))
        if step.on_reject != "go-on":
            ET.SubElement(root, "path", {"class": "out", "d": f"M{left + _WIDTH // 2} {_MARGIN + _HEIGHT}v26"})
        text = ET.SubElement(
            root,
            "text",
            {
                "class": "small",
                "x": str(left + _WIDTH // 2),
                "y": str(_MARGIN + _HEIGHT + 42),
                "text-anchor": "middle",
            },
        )
        text.text = _ON_REJECT[step.on_reject]
    return ET.tostring(root, encoding="unicode")


def _box(root: ET.Element, column: int, kind: str, *lines: str) -> None:
    left = _MARGIN + column * (_WIDTH + _GAP)
    box = {"x": str(left), "y": str(_MARGIN), "width": str(_WIDTH), "height": str(_HEIGHT), "rx": "8"}
    ET.SubElement(root, "rect", {**box, **({"class": "store"} if kind == "store" else {})})
    for number, line in enumerate(lines):
        place = {"x": str(left + 14), "y": str(_MARGIN + 27 + 21 * number)}
        ET.SubElement(root, "text", place | ({"class": "small"} if number else {})).text = line[:28]


def _told(retry: Retry) -> str:
    return "tried once" if retry.attempts == 1 else f"tried up to {retry.attempts} times"
