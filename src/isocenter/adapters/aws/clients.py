"""Clients of AWS's services: botocore's own, as boto3 around it loads what we never call."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from botocore.session import Session, get_session

_MAKING = threading.Lock()  # a session is not safe to be asked by two threads


@cache
def _session() -> Session:
    """One for the process: it keeps what it has read of AWS's endpoints."""
    return get_session()


def client(service: str, **options: Any) -> Any:
    """A client; region and credentials are botocore's to find, unless `options` of `create_client` say otherwise."""
    with _MAKING:
        return _session().create_client(service, **options)
