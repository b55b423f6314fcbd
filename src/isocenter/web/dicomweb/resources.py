"""What DICOMweb routes share: path parameters, the store they speak of, addresses of resources."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request

from isocenter.records import ImageQuery, ImageRecord
from isocenter.web.access import Access
from isocenter.web.services import Services

_UID = r"^[0-9.]{1,64}$"
StudyUid = Annotated[str, Path(pattern=_UID, description="StudyInstanceUID")]
SeriesUid = Annotated[str, Path(pattern=_UID, description="SeriesInstanceUID")]
InstanceUid = Annotated[str, Path(pattern=_UID, description="SOPInstanceUID")]

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"


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


def with_addresses(model: dict[str, Any], instance: str) -> dict[str, Any]:
    """The model with each BulkDataURI made an address under the instance's own."""
    for attribute in model.values():
        if "BulkDataURI" in attribute:
            attribute["BulkDataURI"] = f"{instance}/bulkdata/{attribute['BulkDataURI']}"
        elif attribute.get("vr") == "SQ":
            for item in attribute.get("Value", ()):
                with_addresses(item, instance)
    return model
