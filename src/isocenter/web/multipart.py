"""Multipart bodies (RFC 2046, RFC 7578) part by part, as they come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from isocenter.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType


class Part(Protocol):
    """Where the bytes of one part go."""

    def write(self, chunk: bytes | memoryview) -> None: ...

    def finish(self) -> None: ...


Headers = dict[str, str]


def media_type(value: str | None) -> tuple[str, dict[str, str]]:
    """A Content-Type value as lower-case type and its parameters (RFC 2045 5.1)."""
    kind, parameters = parse_options_header(value or "")
    return (
        kind.decode("latin-1").strip().lower(),
        {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in parameters.items()},
    )


def boundary_of(content_type: str | None, expected: str) -> bytes:
    """The boundary of a multipart Content-Type; UnsupportedMediaType unless it is `expected`."""
    kind, parameters = media_type(content_type)
    if kind != expected:
        raise UnsupportedMediaType(f"Content-Type must be {expected}")
    boundary = parameters.get("boundary", "").encode("latin-1", "replace")
    if not 1 <= len(boundary) <= 200:
        raise BadRequest("Content-Type has no usable boundary", code="bad-multipart")
    return boundary


class MultipartReader:
    """Feeds each part to what `begin` returns for its headers; None passes the part over."""

    def __init__(
        self,
        boundary: bytes,
        begin: Callable[[Headers], Part | None],
        *,
        most_parts: int,
        most_header_bytes: int,
    ) -> None:
        self._begin = begin
        self._most_parts = most_parts
        self._most_header_bytes = most_header_bytes
        self._parts = 0
        self._header_bytes = 0
        self._headers: Headers = {}
        self._name = b""
        self._value = b""
        self._part: Part | None = None
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            callbacks={
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    @property
    def parts(self) -> int:
        return self._parts

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise BadRequest("the multipart body does not follow its boundary", code="bad-multipart") from error

    def finish(self) -> None:
        """Raises BadRequest where the closing boundary is missing: the sender may have been cut off."""
        if not self._ended:
            raise BadRequest("the multipart body ends before its closing boundary", code="incomplete")

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > self._most_parts:
            raise PayloadTooLarge(f"a request may hold {self._most_parts} parts at most (setting max_parts)")
        self._header_bytes = 0
        self._headers = {}
        self._name = self._value = b""

    def _count(self, length: int) -> None:
        self._header_bytes += length
        if self._header_bytes > self._most_header_bytes:
            raise BadRequest(
                f"the headers of part {self._parts} are longer than {self._most_header_bytes} bytes"
                " (setting max_part_header_bytes)",
                code="bad-multipart",
            )

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        self._part = self._begin(self._headers)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part is not None:
            # A view: the bytes are not copied on their way to the blob store.
            self._part.write(memoryview(data)[start:end] if end - start < len(data) else data)

    def _on_part_end(self) -> None:
        if self._part is not None:
            part, self._part = self._part, None
            part.finish()

    def _on_end(self) -> None:
        self._ended = True
