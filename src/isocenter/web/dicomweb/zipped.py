"""A study or series as one ZIP archive (PS3.18 8.7.3.6): a PS3.10 File-set, resumable by ranges."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, Response

from isocenter.records import ImageRecord
from isocenter.web.sending import content_response
from isocenter.web.services import Services

ZIP = "application/zip"


def zip_response(request: Request, services: Services, records: Sequence[ImageRecord]) -> Response:
    """The archive, or the range of it that is asked for: the same bytes each time, as its ETag says."""
    content = services.file_sets.archive(records)
    name = records[0].id if len(records) == 1 else content.etag[:16]
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"', "Vary": "Accept"}
    return content_response(request, content, ZIP, headers)
