"""What DICOMweb routes share: path parameters, the store they speak of, addresses of resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Path, Request

from isocenter.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.records import ImageQuery, ImageRecord
from isocenter.web.access import Access
from isocenter.web.services import Services

_UID = r"^[0-9.]{1,64}$"
StudyUid = Annotated[str, Path(pattern=_UID, description="StudyInstanceUID")]
SeriesUid = Annotated[str, Path(pattern=_UID, description="SeriesInstanceUID")]
InstanceUid = Annotated[str, Path(pattern=_UID, description="SOPInstanceUID")]

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
EXPLICIT = EXPLICIT_VR_LITTLE_ENDIAN
INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"
SERIES = "/studies/{study}/series/{series}"
STUDY = "/studies/{study}"


def named_store(store: Annotated[str, Path(max_length=64, description="Name of the archive.")]) -> None:
    """Declares the path parameter of /stores/{store}/dicomweb."""


def store_of(request: Request, access: Access) -> str:
    """The store that the address names; the first one for /dicomweb."""
    return access.store(request.path_params.get("store"))


def root_of(request: Request) -> str:
    """The DICOMweb root as the caller reached it, for Retrieve URLs."""
    store = request.path_params.get("store")
    base = str(request.base_url).rstrip("/")
    return f"{base}/stores/{store}/dicomweb" if store else f"{base}/dicomweb"


def address(root: str, record: ImageRecord) -> str:
    """The Retrieve URL of an instance."""
    return f"{root}/studies/{record.study_uid}/series/{record.series_uid}/instances/{record.sop_instance_uid}"


def instance_of(request: Request, access: Access, study: str, series: str, instance: str) -> ImageRecord:
    services: Services = request.app.state.services
    store = store_of(request, access)
    return services.retrieve.instance(
        ImageQuery((store,), study_uid=study, series_uid=series, sop_instance_uids=(instance,), limit=1)
    )


def records_of(
    request: Request, access: Access, study: str, series: str | None = None, instance: str | None = None
) -> list[ImageRecord]:
    """The instances of a study, of a series, or the one."""
    services: Services = request.app.state.services
    if series is not None and instance is not None:
        return [instance_of(request, access, study, series, instance)]
    return services.retrieve.instances(ImageQuery((store_of(request, access),), study_uid=study, series_uid=series))


def noted(access: Access, action: str, records: Sequence[ImageRecord]) -> None:
    """Audit the reading of these instances."""
    if len(records) == 1:
        access.note(action, record=records[0])
    else:
        access.note(action, store=records[0].store, count=len(records))


def left_out(count: int, of: int) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer that lacks some instances: 206 says that it is not all (PS3.18 10.4.3.2)."""
    if not count:
        return 200, {}
    return 206, {"Warning": f'299 isocenter "{count} of {of} instances cannot be given in this form and are left out"'}


def with_addresses(model: dict[str, Any], instance: str) -> dict[str, Any]:
    """The model with each BulkDataURI made an address under the instance's own."""
    for attribute in model.values():
        if "BulkDataURI" in attribute:
            attribute["BulkDataURI"] = f"{instance}/bulkdata/{attribute['BulkDataURI']}"
        elif attribute.get("vr") == "SQ":
            for item in attribute.get("Value", ()):
                with_addresses(item, instance)
    return model
