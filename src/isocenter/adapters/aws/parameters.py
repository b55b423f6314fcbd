"""Settings kept as parameters of AWS Systems Manager."""

from __future__ import annotations

from typing import Any

from botocore.config import Config

from isocenter.adapters.aws import clients
from isocenter.adapters.aws.errors import translated


def read(path: str, **client: Any) -> dict[str, str]:
    """All parameters below a path, decrypted, by what follows it: /isocenter/dev/log_level gives log_level."""
    config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=10)
    found: dict[str, str] = {}
    below = path.rstrip("/") + "/"
    with translated("Systems Manager"):
        service = clients.client("ssm", **{"config": config, **client})
        for page in service.get_paginator("get_parameters_by_path").paginate(Path=below, WithDecryption=True):
            for one in page["Parameters"]:
                found[one["Name"].removeprefix(below)] = one["Value"]
    return found
