"""QIDO-RS (PS3.18 10.6): studies, series and instances by any key that is indexed; a key that is not is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from isocenter.archive.search import Asked
from isocenter.dicom.attribute_lines import Lines, joined, line, lines_of, model_of
from isocenter.dicom.attributes import INSTANCE, LEVELS, SERIES, STUDY, level_of
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.instance import Metadata
from isocenter.dicom.matching import Tags
from isocenter.dicom.tag_path import parse
from isocenter.dicom.xml_write import to_xml
from isocenter.errors import BadRequest
from isocenter.records import Found, LevelRecord
from isocenter.web.access import Access, Reader
from isocenter.web.dicomweb.resources import (
    DICOM_JSON,
    DICOM_XML,
    SeriesUid,
    StudyUid,
    root_of,
    store_of,
    with_addresses,
)
from isocenter.web.direct import Direct
from isocenter.web.errors import problems
from isocenter.web.negotiation import Form, NothingAcceptable, accept_of, choices
from isocenter.web.sending import BodyPart, multipart_response
from isocenter.web.services import Services

router = APIRouter(tags=["dicomweb"], route_class=Direct)

MOST = 5000
_FORMS = (Form(DICOM_JSON), Form("application/json"), Form(DICOM_XML, multipart=True))
_FOUND: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "DICOM JSON, a list; X-Total-Count tells how many there are in all",
        "content": {DICOM_JSON: {}, "application/json": {}, "multipart/related": {}},
    },
    **problems(406),
}
# Matching keys may be any attributes; these parameters are none.
_OTHERS = frozenset(("accept", "charset", "limit", "offset", "after", "fuzzymatching", "includefield", "orderby"))


@dataclass(frozen=True, slots=True)
class _Form:
    """Which part of the results, and how they should come."""

    limit: int
    offset: int
    after: str | None
    fuzzy: bool
    include: tuple[str, ...]
    order: str | None


def _sortable(level: str) -> str:
    """The pattern of what results can be sorted by: what the tables give a level or one above."""
    levels = (STUDY, SERIES, INSTANCE)[: LEVELS.index(level) + 1]
    tags = frozenset().union(*levels) - {0x00080005, 0x00080056}
    names = "|".join(keyword_of(tag) for tag in sorted(tags))
    return f"^-?({names})(,-?({names})){{0,3}}$"


_MOST_NUMBER = 2**31
_ONLINE = line("00080056", {"vr": "CS", "Value": ["ONLINE"]})
_SORTABLE = {level: re.compile(_sortable(level)) for level in LEVELS}


def _documented(level: str) -> dict[str, Any]:
    """What a route says of itself. Its parameters are read by hand: FastAPI takes longer for them than the index."""
    number = {"type": "integer", "minimum": 0, "maximum": _MOST_NUMBER}
    text = {"type": "string", "maxLength": 200}
    words = "Person names by the beginnings of words, without regard to case, accents and order."
    told = (
        ("limit", number, f"Results a page; at most {MOST} at a time."),
        ("offset", number, "Results to pass over."),
        ("after", text, "Cursor of a page, from the Link header."),
        ("fuzzymatching", {"type": "boolean"}, words),
        ("includefield", {"type": "array", "items": {"type": "string"}, "maxItems": 100},
         "Attributes to return besides, by comma; all for every one."),
        ("orderby", {"type": "string", "pattern": _SORTABLE[level].pattern},
         "Up to four attributes by comma, each descending with a minus before it."),
    )  # fmt: skip
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
        for name, schema, description in told
    ]
    return {"responses": _FOUND, "response_class": Response, "openapi_extra": {"parameters": parameters}}


def _form(request: Request, level: str) -> _Form:
    given = request.query_params
    order = given.get("orderby")
    if order is not None and not _SORTABLE[level].match(order):
        raise BadRequest("orderby takes up to four attributes of the level searched or one above", code="bad-parameter")
    after = given.get("after")
    if after is not None and len(after) > 200:
        raise BadRequest("after takes a cursor from a Link header", code="bad-parameter")
    fuzzy = given.get("fuzzymatching", "false").lower()
    if fuzzy not in ("true", "false"):
        raise BadRequest("fuzzymatching is true or false", code="bad-parameter")
    include = tuple(given.getlist("includefield")) if "includefield" in given else ()
    if len(include) > 100:
        raise BadRequest("includefield is given at most 100 times; several go by comma", code="bad-parameter")
    limit = _number(given.get("limit"), "limit", MOST)
    return _Form(min(limit, MOST), _number(given.get("offset"), "offset", 0), after, fuzzy == "true", include, order)


def _number(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MOST_NUMBER):
        raise BadRequest(f"{name} is a whole number from 0", code="bad-parameter")
    return int(text)


@router.get("/studies", **_documented("study"))
def studies(request: Request, access: Reader) -> Response:
    """Studies, by attributes of patient and study and by ModalitiesInStudy."""
    return _Search(request, access, "study").answer()


@router.get("/series", **_documented("series"))
def all_series(request: Request, access: Reader) -> Response:
    """Series of all studies, by attributes of patient, study and series."""
    return _Search(request, access, "series").answer()


@router.get("/studies/{study}/series", **_documented("series"))
def series_of_study(request: Request, access: Reader, study: StudyUid) -> Response:
    """Series of a study."""
    return _Search(request, access, "series", study).answer()


@router.get("/instances", **_documented("instance"))
def all_instances(request: Request, access: Reader) -> Response:
    """Instances of all studies, by attributes of every level."""
    return _Search(request, access, "instance").answer()


@router.get("/studies/{study}/instances", **_documented("instance"))
def instances_of_study(request: Request, access: Reader, study: StudyUid) -> Response:
    """Instances of a study."""
    return _Search(request, access, "instance", study).answer()


@router.get(
    "/studies/{study}/series/{series}/instances",
    **_documented("instance"),
)
def instances_of_series(request: Request, access: Reader, study: StudyUid, series: SeriesUid) -> Response:
    """Instances of a series."""
    return _Search(request, access, "instance", study, series).answer()


class _Search:
    """One search request and its answer."""

    def __init__(
        self,
        request: Request,
        access: Access,
        level: str,
        study: str | None = None,
        series: str | None = None,
    ) -> None:
        self._request = request
        self._access = access
        self._form = form = _form(request, level)
        self._level = level
        self._study, self._series = study, series
        self._services: Services = request.app.state.services
        self._keys = _keys(request)
        self._all, self._included, self._unknown = _included(form.include)
        self._root = root_of(request)

    def answer(self) -> Response:
        request, form = self._request, self._form
        chosen, _ = next(choices(accept_of(request), _FORMS), (None, None))
        if chosen is None:
            there = [DICOM_JSON, f'multipart/related; type="{DICOM_XML}"']
            raise NothingAcceptable(f"search results come as {' or '.join(there)}", there)
        store = store_of(request, self._access)
        found = self._services.searching.search(
            Asked(
                self._level,
                store,
                self._keys,
                self._study,
                self._series,
                form.fuzzy,
                _order(form.order),
                form.offset,
                form.after,
                form.limit,
                self._wants_above,
            )
        )
        self._access.note("search", store=store, count=max(1, len(found.items)))
        headers = {"Vary": "Accept", **self._headers(found)}
        if chosen.multipart:
            documents = (to_xml(model_of(lines)) for lines in self._lines(found))
            parts = (BodyPart(DICOM_XML, (document,), len(document)) for document in documents)
            return multipart_response(parts, DICOM_XML, headers=headers)
        body = ",".join(map(joined, self._lines(found)))
        return Response(f"[{body}]".encode(), headers=headers, media_type=chosen.type)

    def _lines(self, found: Found) -> Iterator[dict[str, str]]:
        """What is found, as it was kept, with what is told of it besides."""
        if self._level != "instance":
            return (self._of_level(record) for record in found.items)
        more = set(self._included) - {t for t in self._included if self._services.searching.is_kept(t, "instance")}
        whole = {}
        if self._all or more:
            whole = self._services.retrieve.metadata_by_id([record.id for record in found.items if record.id])
        return (self._of_instance(record, more, whole.get(record.id or "")) for record in found.items)

    def _of_instance(self, record: LevelRecord, more: set[Tags], whole: Metadata | None) -> dict[str, str]:
        url = self._address(record)
        lines = {**self._above(record), **record.attributes}
        if whole is not None:
            full = with_addresses(whole.model, url)
            names = full.keys() if self._all else {f"{tags[0]:08X}" for tags in more} & full.keys()
            lines |= {name: line(name, full[name]) for name in names}
        lines["00081190"] = line("00081190", {"vr": "UR", "Value": [url]})
        lines["00080056"] = _ONLINE
        return lines

    def _of_level(self, found: LevelRecord) -> dict[str, str]:
        """A study or series with its counts (PS3.18 Tables 10.6.3-3 and 10.6.3-4)."""
        told: dict[str, Any] = {"00081190": {"vr": "UR", "Value": [self._address(found)]}}
        if found.series_uid is None:
            told["00080061"] = {"vr": "CS", "Value": list(found.modalities)} if found.modalities else {"vr": "CS"}
            told["00201206"] = {"vr": "IS", "Value": [found.number_of_series]}
            told["00201208"] = {"vr": "IS", "Value": [found.number_of_instances]}
        else:
            told["0020000D"] = {"vr": "UI", "Value": [found.study_uid]}
            told["00201209"] = {"vr": "IS", "Value": [found.number_of_instances]}
        return {**self._above(found), **found.attributes, "00080056": _ONLINE, **lines_of(told)}

    @property
    def _wants_above(self) -> bool:
        whole = (self._study if self._level == "series" else self._series) is not None
        return self._all or not whole or bool(self._included or self._keys)

    def _above(self, found: LevelRecord) -> Lines:
        """What goes along of the levels above: all of those that the address does not name, and what is asked for."""
        if self._all or self._study is None:
            return found.above
        asked = {f"{tags[0]:08X}" for tags in (*self._included, *self._keys)}
        of_series = self._level == "instance" and self._series is None
        return {
            name: value
            for name, value in found.above.items()
            if name in asked or (of_series and level_of(int(name, 16)) != "study")
        }

    def _address(self, found: LevelRecord) -> str:
        url = f"{self._root}/studies/{found.study_uid}"
        if found.series_uid is not None:
            url += f"/series/{found.series_uid}"
        return url if found.sop_instance_uid is None else f"{url}/instances/{found.sop_instance_uid}"

    def _headers(self, found: Found) -> dict[str, str]:
        """Never cut silently: where there is more, Link leads on and Warning says so (PS3.18 8.3.4.4)."""
        headers = {"X-Total-Count": str(found.total)}
        warnings = []
        if found.next is not None:
            pairs = [(n, v) for n, v in self._request.query_params.multi_items() if n not in ("after", "offset")]
            headers["Link"] = f'<{self._request.url.path}?{urlencode([*pairs, ("after", found.next)])}>; rel="next"'
            warnings.append(f"there are more results, {found.total} in all; follow the Link header")
        if self._level != "instance":
            kept = self._services.searching.is_kept
            lost = sorted({keyword_of(tags[-1]) for tags in self._included if not kept(tags, self._level)})
            if lost:
                warnings.append(f"not kept with a {self._level} and left out: {', '.join(lost[:20])}")
        if self._unknown:
            warnings.append(f"{self._unknown} of includefield name no attribute and are left out")
        if warnings:
            headers["Warning"] = ", ".join(f'299 isocenter "{text}"' for text in warnings)
        return headers


def _keys(request: Request) -> dict[Tags, str]:
    """The matching keys by the way to their attribute; each once (PS3.18 8.3.4.1)."""
    found: dict[Tags, str] = {}
    for name, text in request.query_params.multi_items():
        if name in _OTHERS:
            continue
        tags = _tags(name)
        if tags in found:
            raise BadRequest(f"{keyword_of(tags[-1])} is given more than once", code="bad-key")
        found[tags] = text
    return found


def _included(given: tuple[str, ...]) -> tuple[bool, list[Tags], int]:
    """Whether everything is asked for, the attributes, and how many names are none."""
    names = [name.strip() for each in given for name in each.split(",") if name.strip()]
    found = [_found(name) for name in names if name != "all"]
    known = [tags for tags in found if tags is not None]
    return "all" in names, known, len(found) - len(known)


def _order(text: str | None) -> tuple[tuple[int, bool], ...]:
    names = [] if text is None else text.split(",")
    return tuple((_tags(name.removeprefix("-"))[0], name.startswith("-")) for name in names)


def _tags(name: str) -> Tags:
    tags = _found(name)
    if tags is None:
        raise BadRequest(
            "a parameter is neither an attribute (Keyword, ggggeeee, dotted through sequences) nor one of "
            + ", ".join(sorted(_OTHERS)),
            code="unknown-key",
        )
    return tags


def _found(name: str) -> Tags | None:
    try:
        path = parse(name)
    except BadRequest:
        return None
    if any(item for _, item in path.through):
        return None
    return (*(tag for tag, _ in path.through), path.tag)
