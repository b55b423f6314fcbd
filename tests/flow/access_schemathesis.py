"""Hooks that schemathesis loads: how a multipart/related body is written."""

from __future__ import annotations

from typing import Any

import schemathesis

_BOUNDARY = "isocenter-test"


@schemathesis.serializer("multipart/related")
def related(context: Any, value: Any) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode()
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return head + data + f"\r\n--{_BOUNDARY}--\r\n".encode()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    headers = case.headers or {}
    if case.media_type == "multipart/related" and "Authorization" in headers and "Content-Type" not in headers:
        case.headers["Content-Type"] = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
