"""De-identification, looked at before it is done: the profiles, and what one would change in an image."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from isocenter.web.access import Reader
from isocenter.web.errors import problems
from isocenter.web.jobs import Processor
from isocenter.web.sending import json_response
from isocenter.web.services import Services

router = APIRouter(tags=["de-identification"])


class ProfileView(BaseModel):
    name: str
    title: str
    description: str
    options: list[str] = Field(description="Of PS3.15 Annex E.")
    reads_text: bool = Field(description="Whether text in pixels is read, and known names are taken out of them.")


class Profiles(BaseModel):
    """The profiles that come with Isocenter."""

    edition: str = Field(description="Of the standard's Table E.1-1.")
    profiles: list[ProfileView]


class PreviewRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    image: str = Field(min_length=1, max_length=64, description="Internal id of a DICOM instance.")
    profile: str = Field("basic", min_length=1, max_length=64, description="GET /deidentification/profiles lists them.")


class ChangeView(BaseModel):
    path: str = Field(description="Keyword, through sequences as A[1].B.")
    tag: str
    vr: str
    action: Literal["removed", "emptied", "replaced", "added"]
    before: str
    after: str


class PreviewView(BaseModel):
    """What would be done; pseudonyms are made with a key of the moment, and are others when it is done."""

    profile: str
    changes: list[ChangeView]
    kept: int = Field(description="Attributes that stay as they are.")
    pixels: dict[str, Any] | None = Field(None, description="What would be done with pixels.")
    warnings: list[str]


@router.get("/deidentification/profiles", response_model=Profiles, responses=problems())
def profiles(request: Request, access: Processor) -> Response:
    """The profiles by which images are de-identified."""
    services: Services = request.app.state.services
    return json_response(services.previews.profiles())


@router.post("/deidentification/previews", response_model=PreviewView, responses=problems(413, 415, 422))
def preview(request: Request, access: Reader, what: PreviewRequest) -> Response:
    """What a profile would change in an image, attribute by attribute. Nothing is kept of it.

    Refused with the reason where the image would be: then nothing would come out.
    """
    services: Services = request.app.state.services
    record = services.retrieve.image(what.image, access.stores)
    access.note("read.metadata", record=record)
    return json_response(asdict(services.previews.of(record, what.profile)))
