"""What a preview tells is what a release does: nothing more, nothing less, and nothing of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.deid.engine import Deidentifier
from isocenter.deid.profile import load, shipped
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.dicom.elements import Limits
from isocenter.errors import NotFound, Rejected, Unsupported
from isocenter.pipeline.ingest import Ingest
from isocenter.pipeline.preview import Preview, Previews
from isocenter.ports.platform import Platform
from isocenter.records import ImageRecord
from isocenter.testing.instances import ct_slice, png_picture

Make = Callable[..., Platform]


def kept(platform: Platform, data: bytes) -> ImageRecord:
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    intake = batch.begin("", Placement("raw", "s", None if data.startswith(b"\0") else "picture"))
    intake.write(data)
    intake.finish()
    (receipt,) = batch.close()
    assert receipt.record is not None, receipt.error
    return receipt.record


def previews(platform: Platform) -> Previews:
    def deidentifier(name: str) -> Deidentifier:
        return Deidentifier(load(name), Pseudonyms(b"k" * 32))

    return Previews(Retrieve(platform), deidentifier, Limits())


@pytest.fixture
def platform(make_platform: Make) -> Platform:
    return make_platform()


def changes(preview: Preview) -> dict[str, tuple[str, str, str]]:
    return {each.path: (each.action, each.before, each.after) for each in preview.changes}


def test_every_change_is_told_before_and_after_and_nothing_is_kept(platform: Platform) -> None:
    record = kept(platform, ct_slice(1, 1, size=32))
    before = platform.events.last()
    found = previews(platform).of(record, "basic")
    told = changes(found)
    action, was, becomes = told["PatientName"]
    assert (action in ("emptied", "replaced"), bool(was)) == (True, True)
    assert becomes != was
    assert told["SOPInstanceUID"][0] == "replaced"
    assert told["SOPInstanceUID"][1] == record.sop_instance_uid != told["SOPInstanceUID"][2]
    assert told["PatientIdentityRemoved"] == ("added", "", "YES")
    assert "Rows" not in told
    assert found.kept > 10
    assert platform.events.last() == before
    assert len(list(platform.blobs.list())) == 1


def test_a_change_inside_a_sequence_is_named_by_its_way(platform: Platform) -> None:
    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3.4"
    record = kept(platform, ct_slice(2, 1, size=32, ReferencedImageSequence=[referenced]))
    told = changes(previews(platform).of(record, "basic"))
    way = "ReferencedImageSequence[1].ReferencedSOPInstanceUID"
    assert told[way][0] == "replaced"
    assert told[way][1] == "1.2.3.4" != told[way][2]


def test_what_would_be_refused_is_refused_now(platform: Platform) -> None:
    with pytest.raises(Unsupported):
        previews(platform).of(kept(platform, png_picture()), "basic")
    record = kept(platform, ct_slice(3, 1, size=32))
    for name in ("nothing", "../basic", "/etc/passwd"):
        with pytest.raises(NotFound):
            previews(platform).of(record, name)
    marked = kept(platform, ct_slice(4, 1, size=32, BurnedInAnnotation="YES"))
    with pytest.raises(Rejected):
        previews(platform).of(marked, "basic")


def test_profiles_are_told_with_what_they_are_for(platform: Platform) -> None:
    told: dict[str, Any] = previews(platform).profiles()
    assert [each["name"] for each in told["profiles"]] == shipped()
    assert all(each["title"] for each in told["profiles"])
    assert told["edition"]
