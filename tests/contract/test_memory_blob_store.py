"""The blob store contract on the store in memory."""

from __future__ import annotations

import pytest

from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.testing.blob_store_contract import BlobStoreContract


class TestMemoryBlobStore(BlobStoreContract):
    @pytest.fixture
    def blobs(self) -> MemoryBlobStore:
        return MemoryBlobStore()
