"""The HTTP API behind API Gateway (payload format 2.0)."""

from __future__ import annotations

from isocenter.bootstrap.functions.api import open_api
from isocenter.bootstrap.functions.opened import ready

handler = ready(open_api)
