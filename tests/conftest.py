"""What tests of many folders share: a platform in memory, with any part of it replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from _pytest.nodeid import coerce_node_id
from hypothesis import settings

from isocenter.adapters.memory.api_keys import MemoryApiKeys
from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.memory.deliveries import MemoryDeliveries
from isocenter.adapters.memory.events import MemoryEventFeed
from isocenter.adapters.memory.index import MemoryIndex
from isocenter.adapters.memory.job_ledger import MemoryJobLedger
from isocenter.adapters.memory.open_studies import MemoryOpenStudies
from isocenter.adapters.memory.results import MemoryResults
from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.adapters.memory.search import MemorySearchIndex
from isocenter.adapters.memory.secrets import MemorySecrets
from isocenter.adapters.memory.webhooks import MemoryWebhooks
from isocenter.ports.platform import Platform

# In CI a change is judged by its own faults: the examples are the same at each run. At a desk they are new.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of one group on one worker: pytest-xdist 3.8 writes groups where pytest 9.2 no longer reads them."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        if groups:
            told: Any = item
            told._id = coerce_node_id(f"{item.nodeid}@{'_'.join(groups)}")


AUDIT_KEY = b"audit key of the tests, 32 bytes"


def in_memory(**parts: Any) -> Platform:
    database, ledger = MemoryDatabase(), MemoryJobLedger()
    platform = Platform(
        blobs=MemoryBlobStore(),
        index=MemoryIndex(database, AUDIT_KEY),
        search=MemorySearchIndex(database),
        events=MemoryEventFeed(database),
        audit=MemoryAuditLog(database, AUDIT_KEY),
        jobs=ledger,
        steps=ledger,
        results=MemoryResults(),
        secrets=MemorySecrets(),
        api_keys=MemoryApiKeys(database, AUDIT_KEY),
        deliveries=MemoryDeliveries(database, AUDIT_KEY),
        webhooks=MemoryWebhooks(database, AUDIT_KEY),
        open_studies=MemoryOpenStudies(),
        sandbox=InProcessSandbox(),
    )
    return replace(platform, **parts)


@pytest.fixture
def make_platform() -> Callable[..., Platform]:
    """Makes platforms in memory; give a port's implementation by its name to replace it."""
    return in_memory
