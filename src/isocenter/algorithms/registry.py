"""Which algorithms there are: those built in, and those of installed packages (entry points)."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final

from isocenter.algorithms.base import Algorithm, Gives, Parameters, Takes
from isocenter.errors import Misconfigured, NotFound

GROUP: Final = "isocenter.algorithms"
NAME: Final = re.compile(r"[a-z0-9](-?[a-z0-9]){0,62}\Z")
_SUFFIX: Final = re.compile(r"_[a-z0-9_-]{1,63}\Z")
_BUILT_IN: Final = "isocenter.algorithms.builtin."
BUILT_IN: Final[Mapping[str, str]] = {
    "labels": _BUILT_IN + "labels:labels",
    "quality": _BUILT_IN + "quality:quality",
    "text-regions": _BUILT_IN + "text_regions:text_regions",
    "threshold": _BUILT_IN + "threshold:threshold",
    "three-circles": _BUILT_IN + "three_circles:three_circles",
    "to-jpeg": _BUILT_IN + "pictures:to_jpeg",
    "to-png": _BUILT_IN + "pictures:to_png",
    "window-suggest": _BUILT_IN + "window_suggest:window_suggest",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an algorithm lies, as `module:attribute`, and the package that brought it."""

    name: str
    target: str
    package: str = "isocenter"


class Registry:
    """Algorithms by name. Each is imported when it is first asked for; a broken one breaks no other."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)

    @classmethod
    def standard(cls) -> Registry:
        """Those built in and those installed; a name that is built in stays so."""
        found = {}
        for point in entry_points(group=GROUP):
            package = point.dist.name if point.dist is not None else "unknown"
            found[point.name] = Entry(point.name, point.value, package)
        return cls(found | {name: Entry(name, target) for name, target in BUILT_IN.items()})

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._entries))

    def entry(self, name: str) -> Entry:
        """NotFound where there is none of that name."""
        if name not in self._entries:
            raise NotFound("there is no such algorithm; `isocenter algorithm list` shows those there are")
        return self._entries[name]

    def get(self, name: str) -> Algorithm:
        """NotFound where there is none of that name, Misconfigured where it cannot be loaded."""
        return loaded(self.entry(name))

    def fault(self, name: str) -> str | None:
        """Why an algorithm cannot be used; None where it can."""
        try:
            self.get(name)
        except Misconfigured as error:
            return error.detail
        return None

    def schema(self, name: str) -> dict[str, Any]:
        """JSON Schema of its parameters."""
        return self.get(name).parameters.model_json_schema()


def loaded(entry: Entry) -> Algorithm:
    """Import an algorithm and hold it to the contract; Misconfigured says what is wrong with it."""
    module, _, attribute = entry.target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        found = found() if isinstance(found, type) else found
        fault = _fault(entry, found)
    except Exception as error:  # noqa: BLE001 - whatever somebody's package does when it is imported, it is told here
        raise Misconfigured(
            f"the algorithm of {entry.package} cannot be loaded ({type(error).__name__})", code="algorithm-broken"
        ) from None
    if fault is not None:
        raise Misconfigured(f"the algorithm of {entry.package} is not right: {fault}", code="algorithm-broken")
    algorithm: Algorithm = found
    return algorithm


def _fault(entry: Entry, found: Any) -> str | None:
    """What is missing in what a package calls an algorithm."""
    if not NAME.match(entry.name):
        return "a name is lower-case letters, digits and hyphens"
    if found.name != entry.name:
        return "its name is not that of its entry point"
    if not (isinstance(found.version, str) and found.version and isinstance(found.description, str)):
        return "it has no version or no description"
    if not (isinstance(found.parameters, type) and issubclass(found.parameters, Parameters)):
        return "its parameters are no subclass of Parameters"
    if not (found.takes and all(isinstance(each, Takes) for each in found.takes)):
        return "it does not say what it takes"
    if not (found.gives and all(isinstance(each, Gives) for each in found.gives)):
        return "it does not say what it gives"
    if not _SUFFIX.match(found.suffix):
        return "a suffix is an underscore, then lower-case letters, digits, hyphens and underscores"
    return None if callable(found.run) else "it has no run"
