"""Where a webhook leads, out of a URL that an operator gave: parsed once, by one parser."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from isocenter.errors import BadRequest

LONGEST = 2048
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
# Behind the host: ASCII without spaces, control characters, the backslash and the number sign.
PATTERN = rf"^https?://{_LABEL}(\.{_LABEL}){{0,9}}(:({_PORT}))?([/?][!\"$-\[\]-~]*)?$"
_WHOLE = re.compile(PATTERN.removesuffix("$") + r"\Z")
_PORTS = {"http": 80, "https": 443}
_HOW = "a webhook's URL is https://host/path, in ASCII, without a user, a password or a fragment"


@dataclass(frozen=True, slots=True)
class Listener:
    """One address that is told of events."""

    scheme: str
    host: str
    port: int
    target: str  # path and query, as they go into the request line

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Listener:
        """BadRequest where it is none; it repeats nothing of the URL."""
        if len(url) > LONGEST or not _WHOLE.match(url):
            raise BadRequest(_HOW, code="bad-url")
        split = urlsplit(url)
        target = (split.path or "/") + (f"?{split.query}" if split.query else "")
        return cls(split.scheme, split.hostname or "", split.port or _PORTS[split.scheme], target)

    def is_trusted(self, origins: Collection[str]) -> bool:
        """Whether the setting webhook_urls names its scheme, host and port."""
        return self.origin in origins


def trusted_origins(entries: Collection[str]) -> frozenset[str]:
    """The entries of the setting webhook_urls as origins; ValueError where one is none."""
    found = set()
    for entry in entries:
        try:
            listener = Listener.parse(entry)
        except BadRequest:
            listener = None
        if listener is None or listener.target != "/":
            raise ValueError("an entry of webhook_urls is http://host:port or https://host:port, without a path")
        found.add(listener.origin)
    return frozenset(found)
