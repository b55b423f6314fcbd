"""The Search transaction: what callers ask for becomes keys of a level, or a refusal that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isocenter.dicom.attributes import LEVELS, Named, level_of
from isocenter.dicom.dictionary import keyword_of
from isocenter.dicom.matching import Key, Tags, combine, make_key
from isocenter.errors import BadRequest, Unavailable
from isocenter.ports.platform import Platform
from isocenter.records import Found, ImageQuery, Order, Search, State

# What search knows by itself; raised when it comes to know more, so that what was kept before is indexed anew.
BASE = "levels:1"
_CHARACTER_SET = 0x00080005
_COMPUTED = frozenset((0x00080061, 0x00080062))
_NOT_KEYS = frozenset((0x00080056, 0x00081190, 0x00201206, 0x00201208, 0x00201209))
_SCOPES = {0x0020000D: "study", 0x0020000E: "series", 0x00080018: "instance"}
_MOST_UIDS = 1000
_MOST_KEYS = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as it was asked for; `keys` are texts by the way to their attribute, UIDs those of the address."""

    level: str
    store: str
    keys: Mapping[Tags, str]
    study_uid: str | None = None
    series_uid: str | None = None
    fuzzy: bool = False
    order: tuple[tuple[int, bool], ...] = ()  # (tag, descending)
    offset: int = 0
    after: str | None = None
    limit: int = 100
    with_above: bool = True


class Searching:
    """Searches; `named` are the attributes that are searched by besides those of the standard's tables."""

    def __init__(self, platform: Platform, named: Sequence[Named] = ()) -> None:
        self._index = platform.search
        self._named = {each.tags: each for each in named}

    def search(self, asked: Asked) -> Found:
        """One page; BadRequest says which key cannot be searched by and what to do."""
        if len(asked.keys) > _MOST_KEYS:
            raise BadRequest(f"a search takes at most {_MOST_KEYS} keys", code="too-many-keys")
        uids = {"study": _one(asked.study_uid), "series": _one(asked.series_uid), "instance": None}
        keys: list[Key] = []
        for tags, text in asked.keys.items():
            scope = _SCOPES.get(tags[0]) if len(tags) == 1 else None
            if scope is not None:
                _reachable(scope, asked.level, tags[0])
                uids[scope] = _narrowed(uids[scope], text, tags[0])
            elif (key := make_key(tags, self._level(tags, asked.level), text, fuzzy=asked.fuzzy)) is not None:
                keys += [] if tags[-1] == _CHARACTER_SET else [key]
        order = tuple(Order(tag, self._sorted_level(tag, asked.level), down) for tag, down in asked.order)
        search = Search(
            asked.level, asked.store, tuple(combine(keys, asked.keys)), uids["study"], uids["series"],
            uids["instance"], order, asked.offset, asked.after, asked.limit, asked.with_above,
        )  # fmt: skip
        return self._index.search(search)

    def total(self, store: str) -> int:
        """How many instances of a store can be found."""
        return self.search(Asked("instance", store, {}, limit=1)).total

    def is_kept(self, tags: Tags, level: str) -> bool:
        """Whether search results of a level carry this attribute by themselves."""
        named = self._named.get(tags)
        found = named.level if named is not None else level_of(tags[0])
        return found is not None and LEVELS.index(found) <= LEVELS.index(level)

    def _level(self, tags: Tags, wanted: str) -> str:
        """Whose attribute a key is, where it can be searched by on this level."""
        keyword = keyword_of(tags[0])
        if tags[0] in _NOT_KEYS:
            raise BadRequest(f"{keyword} is told, not searched by", code="unknown-key")
        named = self._named.get(tags)
        if named is not None and str(named) not in self._index.names():
            raise Unavailable(
                f"{keyword} is not indexed for every image yet; `isocenter reindex` does that", code="not-indexed"
            )
        level = "study" if tags[0] in _COMPUTED else level_of(tags[0]) if named is None else named.level
        if level is None:
            raise BadRequest(
                f"{keyword} is not searched by; the setting search_attributes can name it, and `isocenter reindex`"
                " then finds it in what is kept already",
                code="unknown-key",
            )
        _reachable(level, wanted, tags[0])
        return level

    def _sorted_level(self, tag: int, wanted: str) -> str:
        if tag in _COMPUTED:
            raise BadRequest(f"{keyword_of(tag)} is not sorted by", code="unknown-key")
        return self._level((tag,), wanted)


def _reachable(level: str, wanted: str, tag: int) -> None:
    if LEVELS.index(level) > LEVELS.index(wanted):
        plural = {"series": "series", "instance": "instances"}[level]
        raise BadRequest(f"{keyword_of(tag)} is of the {level} level; search /{plural} by it", code="unknown-key")


def _one(uid: str | None) -> tuple[str, ...] | None:
    return None if uid is None else (uid,)


def _narrowed(uids: tuple[str, ...] | None, text: str, tag: int) -> tuple[str, ...] | None:
    """Lists of UIDs by comma or backslash (PS3.18 8.3.4.1); within those of the address where it names any."""
    if text in ("", "*"):
        return uids
    given = tuple(dict.fromkeys(each.strip() for each in re.split(r"[,\\]", text) if each.strip()))
    if len(given) > _MOST_UIDS or any(len(uid) > 64 for uid in given):
        raise BadRequest(f"{keyword_of(tag)} takes up to {_MOST_UIDS} UIDs of 64 characters", code="bad-key")
    return given if uids is None else tuple(uid for uid in given if uid in uids)


def prepare(platform: Platform, named: Sequence[Named]) -> frozenset[str]:
    """What is not yet indexed for every image. Forgets names no longer wanted: what comes in is not indexed by them."""
    wanted = frozenset((BASE, *map(str, named)))
    known = platform.search.names()
    if known != wanted and not platform.index.images(ImageQuery(states=tuple(State), limit=1)).items:
        platform.search.complete(wanted)
        return frozenset()
    if known - wanted:
        platform.search.complete(known & wanted)
    return wanted - known
