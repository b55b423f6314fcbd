"""The readable report of a de-identified batch: totals, attributes and rules, what was kept back, pictures."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from isocenter.cli.deid_log import EVIDENCE, PAGE, latest, read_lines
from isocenter.deid.manifest import fingerprint
from isocenter.deid.rules import WORDS, Action
from isocenter.deid.source import InMemory, header_of
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import PIXEL_DATA, UNDEFINED, Limits
from isocenter.dicom.json_model import encode
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import IsocenterError
from isocenter.ports.blob_store import BlobStore
from isocenter.render.frame import FrameRequest, render_frame

_PICTURES = 24
_WIDTH = 320
_MOST_BYTES = 256 << 20
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1b2733}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #d5dde5;padding:.3rem .6rem;text-align:left;vertical-align:top}
td.n,th.n{text-align:right}figure{display:inline-block;margin:.5rem;vertical-align:top;max-width:20rem}
figcaption{font-size:.8rem;overflow-wrap:anywhere}.shown{position:relative}.shown img{display:block;width:100%}
.shown svg{position:absolute;inset:0;width:100%;height:100%}
rect{fill:none;stroke:#e8590c;vector-effect:non-scaling-stroke}
.totals b{font-size:1.6rem;display:block}.totals div{display:inline-block;margin-right:2.5rem}
"""


def write_page(folder: Path, manifest: dict[str, Any], store: BlobStore) -> None:
    """report.html in the report's folder: one file, no scripts, nothing loaded from elsewhere."""
    body = "\n".join(_sections(folder, manifest, store))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>De-identification report</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )
    temporary = folder / f".{PAGE}"
    temporary.write_text(page, "utf-8")
    temporary.replace(folder / PAGE)


def _sections(folder: Path, manifest: dict[str, Any], store: BlobStore) -> Iterator[str]:
    actions: Counter[tuple[str, str, str]] = Counter()
    cut: list[dict[str, Any]] = []
    looked_for = scanned = read = 0
    for line in read_lines(folder / EVIDENCE):
        evidence = line["evidence"]
        for done in evidence.get("actions", ()):
            for attribute, count in done["attributes"].items():
                actions[attribute, done["action"], done["rule"]] += count
        if evidence:
            looked_for += evidence["scan"]["identifiers"]
            scanned += evidence["scan"]["bytes"]
        pixels = evidence.get("pixels")
        read += bool(pixels and pixels["frames_read"])
        if pixels and pixels["cuts"] and line["outcome"] == "released" and len(cut) < _PICTURES:
            cut.append(line)
    yield _head(manifest)
    yield (
        f"<p>{scanned:,} bytes of finished headers were searched for {looked_for:,} identifiers; none is left."
        f" Instances whose pixels were read for text: {read}.</p>"
    )
    yield _kept_back(folder, manifest)
    yield _cut_regions(cut, store)
    yield _attributes(actions)


def _head(manifest: dict[str, Any]) -> str:
    totals = "".join(f"<div><b>{count}</b>{escape(kind)}</div>" for kind, count in manifest["totals"].items())
    profile = manifest["profile"]
    rows = (
        ("Profile", f"{profile['name']}: {profile['title']}"),
        ("Options", ", ".join(profile["options"]) or "none"),
        ("Table", manifest["edition"]),
        ("Made", f"{manifest['made']} by {manifest['software']}"),
        ("Project and key", f"{manifest['project']}, {manifest['key']}"),
        ("Signed by", fingerprint(manifest["public_key"])),
        ("Evidence", f"{manifest['evidence']['file']}, SHA-256 {manifest['evidence']['sha256']}"),
    )
    table = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in rows)
    return f'<h1>De-identification report</h1><div class="totals">{totals}</div><table>{table}</table>'


def _kept_back(folder: Path, manifest: dict[str, Any]) -> str:
    if not manifest["reasons"]:
        return "<h2>Kept back</h2><p>Nothing.</p>"
    details: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    for line in latest(folder / EVIDENCE).values():
        if line["code"]:
            details.setdefault(line["code"], line["detail"] or "")
            names.setdefault(line["code"], []).append(line["source"])
    rows = "".join(
        f'<tr><td>{escape(code)}</td><td class="n">{count}</td><td>{escape(details.get(code, ""))}</td>'
        f"<td>{escape(', '.join(names.get(code, [])[:5]))}{' …' if count > 5 else ''}</td></tr>"
        for code, count in manifest["reasons"].items()
    )
    head = '<tr><th>code</th><th class="n">files</th><th>why</th><th>sources (keyed names)</th></tr>'
    return f"<h2>Kept back</h2><table>{head}{rows}</table>"


def _cut_regions(cut: list[dict[str, Any]], store: BlobStore) -> str:
    figures = "".join(filter(None, (_figure(line, store) for line in cut)))
    return f"<h2>Redacted regions</h2>{figures or '<p>None.</p>'}"


def _figure(line: dict[str, Any], store: BlobStore) -> str:
    pixels = line["evidence"]["pixels"]
    frame = int(pixels["cuts"][0]["frames"].replace(",", "-").split("-")[0])
    try:
        picture, rows, columns = _picture(store, line["key"], frame)
    except IsocenterError:
        return ""
    rectangles = "".join(
        f'<rect x="{box["x"]}" y="{box["y"]}" width="{box["width"]}" height="{box["height"]}"/>'
        for box in pixels["cuts"]
    )
    encoded = base64.b64encode(picture).decode()
    told = (
        f"{line['key'].rsplit('/', 1)[-1]}, frame {frame} of {pixels['frames']}: {pixels['redacted_percent']:.2f} %"
        f" redacted, {pixels['outside_text_percent']:.2f} % outside text, read again: {pixels['verified']}"
    )
    return (
        f'<figure><div class="shown"><img alt="released frame" src="data:image/png;base64,{encoded}">'
        f'<svg viewBox="0 0 {columns} {rows}" preserveAspectRatio="none">{rectangles}</svg></div>'
        f"<figcaption>{escape(told)}</figcaption></figure>"
    )


def _picture(store: BlobStore, key: str, frame: int) -> tuple[bytes, int, int]:
    data = store.read(key, 0, _MOST_BYTES)
    header = header_of(InMemory(data), Limits())
    model = encode(header.elements, big_endian=header.encoding.big_endian).model
    description = PixelDescription.from_data_set(DataSet(model), header.transfer_syntax_uid)
    element = header.elements[PIXEL_DATA]
    if element.length == UNDEFINED and header.fragments is not None:
        start, length = header.fragments.offsets[frame - 1], header.fragments.lengths[frame - 1]
    else:
        span = description.frame_span(frame)
        start, length = element.offset + span.offset, span.length
    request = FrameRequest(
        model, header.transfer_syntax_uid, data[start : start + length], frame, "image/png", width=_WIDTH
    )
    return render_frame(request), description.rows, description.columns


def _attributes(actions: Counter[tuple[str, str, str]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(attribute)}</td><td>{escape(WORDS[Action(action)])}</td><td>{escape(rule)}</td>"
        f'<td class="n">{count}</td></tr>'
        for (attribute, action, rule), count in sorted(actions.items())
    )
    head = '<tr><th>attribute</th><th>what was done</th><th>rule</th><th class="n">times</th></tr>'
    return f"<h2>Attributes</h2><table>{head}{rows}</table>"
