"""The blob store contract on object stores: obstore's memory, and S3 as moto speaks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isocenter.adapters.blobs.objects import ObjectBlobStore
from isocenter.errors import BackendUnavailable, Misconfigured
from isocenter.testing.blob_store_contract import BlobStoreContract
from isocenter.testing.s3 import S3Server, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


class TestMemoryObjectStore(BlobStoreContract):
    @pytest.fixture
    def blobs(self) -> ObjectBlobStore:
        return ObjectBlobStore("memory://")


class TestS3BlobStore(BlobStoreContract):
    @pytest.fixture
    def blobs(self, s3: S3Server) -> ObjectBlobStore:
        return ObjectBlobStore(s3.new_bucket(), s3.options)


class TestS3BlobStoreUnderAPrefix(BlobStoreContract):
    @pytest.fixture
    def blobs(self, s3: S3Server) -> ObjectBlobStore:
        return ObjectBlobStore(f"{s3.new_bucket()}/images/here", s3.options)


def test_a_bucket_that_is_not_there_is_unavailable(s3: S3Server) -> None:
    blobs = ObjectBlobStore("s3://no-such-bucket-here", s3.options)
    writer = blobs.create("raw/one")
    writer.write(b"1")
    with pytest.raises(BackendUnavailable) as caught:
        writer.commit()
    assert "no-such-bucket-here" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense://x", "s3://", "http//x"])
def test_a_url_that_names_no_store_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(Misconfigured):
        ObjectBlobStore(url)
