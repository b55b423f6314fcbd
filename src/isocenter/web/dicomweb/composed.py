"""Instances sent as metadata and bulk data (PS3.18 10.5.1.2), put together and handed to the one front door."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any

import orjson

from isocenter.dicom.elements import Limits
from isocenter.dicom.media_types import FORMER, SYNTAXES
from isocenter.dicom.write import BulkPart, part10_file
from isocenter.dicom.xml_read import from_xml
from isocenter.errors import BadRequest, PayloadTooLarge, Rejected
from isocenter.pipeline.ingest import Intake
from isocenter.web.dicomweb.resources import DICOM_XML
from isocenter.web.multipart import Headers, Part, media_type

_IN_MEMORY = 1 << 20  # of a bulk value; what is longer goes to a temporary file without a name
_STEP = 1 << 20
_PIXEL_DATA, _STATED = "7FE00010", ("00020010", "00083002")

Begin = Callable[[], Intake]


class Spool:
    """A part of the request, kept until all have come: what refers to it may come before or after it."""

    def __init__(self, syntax: str | None = None) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self.size = 0
        self.syntax = syntax  # of compressed pixel data, where its media type says it

    def write(self, chunk: bytes | memoryview) -> None:
        self.size += self._file.write(chunk)

    def finish(self) -> None:
        pass

    def chunks(self) -> Iterator[bytes]:
        position = 0
        while position < self.size:
            self._file.seek(position)
            chunk = self._file.read(_STEP)
            position += len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()


class ComposedParts:
    """Takes the parts of a request: metadata first, then bulk data with its Content-Location.

    `begin` opens an intake for the next instance; instances are put together when the last part has come.
    """

    def __init__(self, kind: str, begin: Begin, limits: Limits) -> None:
        self._kind = kind
        self._begin = begin
        self._limits = limits
        self._texts: list[Spool] = []
        self._bulk: dict[str, list[Spool]] = {}

    def part(self, headers: Headers) -> Part:
        """Where a part goes; metadata are those of the request's own type, and the first of JSON."""
        kind, parameters = media_type(headers.get("content-type"))
        location = headers.get("content-location", "").strip()
        if kind == self._kind or (not kind and not location):
            self._texts.append(Spool())
            return self._texts[-1]
        if not location:
            raise BadRequest("a part of bulk data has no Content-Location", code="bulk-data-unnamed")
        spool = Spool(parameters.get("transfer-syntax") or next(iter(SYNTAXES.get(FORMER.get(kind, kind), ())), None))
        self._bulk.setdefault(location, []).append(spool)
        return spool

    def finish(self) -> None:
        """Put the instances together; each that cannot be fails alone."""
        try:
            for text in self._texts:
                for model in self._models(text):
                    self._compose(self._begin(), model)
        finally:
            self.close()

    def close(self) -> None:
        """Leave nothing of what has come."""
        for spools in (self._texts, *self._bulk.values()):
            for spool in spools:
                spool.close()
        self._bulk.clear()
        self._texts.clear()

    def _models(self, text: Spool) -> Iterator[Mapping[str, Any] | Rejected]:
        """The Data Sets in it, or why there is none: a JSON array fails as a whole, an XML document for itself."""
        if self._kind == DICOM_XML:
            try:
                yield from_xml(text.chunks(), self._limits)
            except Rejected as error:
                yield error
            return
        if text.size > self._limits.header_bytes:
            most = self._limits.header_bytes
            raise PayloadTooLarge(f"metadata as JSON has {most} bytes at most (setting max_header_bytes)")
        try:
            found = orjson.loads(b"".join(text.chunks()))
        except ValueError:
            # `from None`: the message may quote what was sent.
            raise BadRequest("the metadata is not JSON", code="bad-json") from None
        if not isinstance(found, list):
            raise BadRequest("the metadata is an array of Data Sets (PS3.18 F.2.1)", code="bad-json")
        yield from found

    def _compose(self, intake: Intake, model: Mapping[str, Any] | Rejected) -> None:
        try:
            if isinstance(model, Rejected):
                raise model
            written = part10_file(model, self._found, transfer_syntax_uid=self._syntax(model), limits=self._limits)
            for chunk in written.chunks():
                intake.write(chunk)
        except Rejected as error:
            intake.fail(error)
            return
        intake.finish()

    def _found(self, uri: str) -> Sequence[BulkPart] | None:
        spools = self._bulk.get(uri.strip())
        return None if spools is None else [BulkPart(spool.size, spool.chunks) for spool in spools]

    def _syntax(self, model: Any) -> str | None:
        """The transfer syntax of the pixel data's part, where the metadata itself names none (PS3.18 8.7.3.3)."""
        if not isinstance(model, Mapping) or any(name in model for name in _STATED):
            return None
        pixels = model.get(_PIXEL_DATA)
        uri = pixels.get("BulkDataURI") if isinstance(pixels, Mapping) else None
        spools = self._bulk.get(uri.strip()) if isinstance(uri, str) else None
        return spools[0].syntax if spools else None
