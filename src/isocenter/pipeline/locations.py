"""Where an image lies outside, out of a URL that a caller gave: parsed once, by one parser, and held against a list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from isocenter.errors import BadRequest, Forbidden

_LONGEST = 2048
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}\Z")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\\\u2028-\u202e\u2066-\u2069\ufeff]")
_ID = re.compile(r"isocenter:([a-z2-7]{26})\Z")
# Addresses under which Amazon S3, Google Cloud Storage and Azure give the same object as by their own scheme.
_S3_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9._-]{1,62})\.)?s3(?:[.-](?:dualstack\.)?[a-z0-9-]+)?\.amazonaws\.com\Z"
)
_GS_HOSTS = ("storage.googleapis.com", "storage.cloud.google.com")
_AZURE_HOST = re.compile(r"[a-z0-9]{3,24}\.blob\.core\.windows\.net\Z")
_SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "azure": "az", "abfs": "az"}
_HOW = (
    "a URL is s3://bucket/key, gs://bucket/key, az://container/key, one of the https:// forms of these,"
    " https://host/path, or isocenter:id"
)


@dataclass(frozen=True, slots=True)
class Ours:
    """An image that is kept here."""

    id: str


@dataclass(frozen=True, slots=True)
class InBucket:
    """An object: `scheme` is s3, gs or az."""

    scheme: str
    bucket: str
    key: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"

    def beside(self, name: str) -> InBucket:
        """Another object of the same folder."""
        return InBucket(self.scheme, self.bucket, self.key.rpartition("/")[0] + f"/{name}" if "/" in self.key else name)

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class OnHost:
    """A resource that is fetched by HTTPS and cannot be written to."""

    host: str
    port: int
    target: str  # path and query, as they go into the request line

    def __repr__(self) -> str:
        return f"OnHost({self.host})"  # what else is in a URL may be a secret


Location = Ours | InBucket | OnHost


def parsed(url: str, endpoint: str | None = None) -> Location:
    """The location a URL names. `endpoint` is that of the object store in use, whose own URLs are understood too.

    Raises BadRequest, which repeats nothing of the URL.
    """
    if len(url) > _LONGEST or _CONTROL.search(url):
        raise BadRequest(f"the URL is over {_LONGEST} characters long, or has spaces or control characters in it")
    if (ours := _ID.match(url)) is not None:
        return Ours(ours[1])
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        raise BadRequest(_HOW, code="bad-url") from None
    host = split.hostname or ""
    if split.username is not None or split.password is not None or split.fragment or not host:
        raise BadRequest(f"{_HOW}; without a user, a password or a fragment", code="bad-url")
    if split.scheme in _SCHEMES:
        if port is not None or split.query or split.netloc != host:
            raise BadRequest(_HOW, code="bad-url")
        return _object(_SCHEMES[split.scheme], host, split.path.removeprefix("/"))
    own = urlsplit(endpoint) if endpoint else None
    if own is not None and own.hostname == host and (own.scheme, own.port) == (split.scheme, port):
        return _path_style("s3", _unquoted(split.path))
    if split.scheme != "https":
        raise BadRequest(_HOW, code="bad-url")
    return _by_https(split, host, port)


def _by_https(split: SplitResult, host: str, port: int | None) -> Location:
    if not _HOST.match(host) or ".." in host:
        raise BadRequest("a host is written in lower-case ASCII letters, digits, dots and hyphens", code="bad-url")
    path = _unquoted(split.path)
    if port in (None, 443):
        if (s3 := _S3_HOST.match(host)) is not None:
            bucket = s3["bucket"]
            return _path_style("s3", path) if bucket is None else _object("s3", bucket, path.removeprefix("/"))
        if host in _GS_HOSTS:
            return _path_style("gs", path)
        if host.endswith(".storage.googleapis.com"):
            return _object("gs", host.removesuffix(".storage.googleapis.com"), path.removeprefix("/"))
        if _AZURE_HOST.match(host):
            return _path_style("az", path)
    if not split.path.startswith("/"):
        raise BadRequest(_HOW, code="bad-url")
    target = split.path + (f"?{split.query}" if split.query else "")
    if not target.isascii():
        raise BadRequest("what is not ASCII in a URL is written as %XX", code="bad-url")
    return OnHost(host, port or 443, target)


def _unquoted(path: str) -> str:
    found = unquote(path, errors="strict") if "%" in path else path
    if _CONTROL.search(found.replace(" ", "")):
        raise BadRequest("the URL has control characters in it", code="bad-url")
    return found


def _path_style(scheme: str, path: str) -> InBucket:
    bucket, _, key = path.removeprefix("/").partition("/")
    return _object(scheme, bucket, key)


def _object(scheme: str, bucket: str, key: str) -> InBucket:
    if not _BUCKET.match(bucket) or ".." in bucket:
        raise BadRequest("that is no name of a bucket or container", code="bad-url")
    if not key or key.endswith("/") or any(part in ("", ".", "..") for part in key.split("/")):
        raise BadRequest("the URL names no object: its key is empty, or has empty, . or .. parts", code="bad-url")
    return InBucket(scheme, bucket, key)


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of the list of what may be read (and, in buckets, written): a bucket or host, and a prefix in it."""

    scheme: str
    place: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, entry: str) -> Allowed:
        """`s3://bucket`, `gs://bucket/prefix`, `az://container`, `https://host/prefix`; ValueError where it is none."""
        split = urlsplit(entry)
        host = split.hostname or ""
        scheme = _SCHEMES.get(split.scheme, split.scheme)
        pattern = _HOST if scheme == "https" else _BUCKET
        if scheme not in ("s3", "gs", "az", "https") or not pattern.match(host) or split.query or split.fragment:
            raise ValueError(
                "an allowed place is s3://bucket, gs://bucket, az://container or https://host, and a prefix"
            )
        return cls(scheme, host, split.port or 443, split.path.strip("/"))

    def covers(self, location: InBucket | OnHost) -> bool:
        if isinstance(location, InBucket):
            named, path = (location.scheme, location.bucket, 443), location.key
        else:
            named, path = ("https", location.host, location.port), _plain(location.target)
        inside = not self.prefix or path == self.prefix or path.startswith(f"{self.prefix}/")
        return named == (self.scheme, self.place, self.port) and inside


def _plain(target: str) -> str:
    """The path that a server may take a target for; one that climbs is of no prefix."""
    path = unquote(target.partition("?")[0]).removeprefix("/")
    return "" if any(part in ("", ".", "..") for part in path.split("/")[:-1]) or path.endswith("..") else path


def require_allowed(location: InBucket | OnHost, allowed: Sequence[Allowed]) -> None:
    """Forbidden where no entry of the list covers the location; none does where the list is empty."""
    if not any(entry.covers(location) for entry in allowed):
        raise Forbidden(
            "that place is not on the list of those that may be read (setting process_urls)", code="place-not-allowed"
        )
