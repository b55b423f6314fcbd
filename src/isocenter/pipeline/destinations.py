"""What the operator says of destinations, as models that check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class _At(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class FolderAt(_At):
    """A folder of this machine."""

    kind: Literal["folder"]
    path: Path


class BucketAt(_At):
    """A bucket, or a prefix in one."""

    kind: Literal["bucket"]
    url: str = Field(pattern=r"^(s3|gs|az|memory)://")
    options: dict[str, SecretStr] = Field(default_factory=dict, description="As `blobs_options` has them.")


class PeerAt(_At):
    """Another archive, by STOW-RS (PS3.18 10.5)."""

    kind: Literal["stow"]
    url: str = Field(pattern=r"^https?://", description="Its DICOMweb root: what /studies comes behind.")
    token: SecretStr | None = None
    verify: bool = Field(False, description="Read back and compare what it says it stored.")
    seconds: float = Field(60, gt=0, le=3600, description="Longest wait for it.")


class WebhookAt(_At):
    """A listener that is told, by a signed notice, which images are there."""

    kind: Literal["webhook"]
    url: str = Field(pattern=r"^https?://")
    secret: SecretStr = Field(min_length=16, description="Both sides' key of the signature.")
    seconds: float = Field(30, gt=0, le=600)


DestinationAt = Annotated[FolderAt | BucketAt | PeerAt | WebhookAt, Field(discriminator="kind")]
