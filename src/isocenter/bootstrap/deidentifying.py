"""Projects with their secrets, and what de-identifies."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_bytes

from isocenter.adapters.processes import ProcessSandbox
from isocenter.adapters.vault import FolderVault
from isocenter.bootstrap.backends import limits_of, open_backends
from isocenter.bootstrap.reading import on_demand
from isocenter.deid.encrypted import recipient
from isocenter.deid.engine import Deidentifier
from isocenter.deid.pixels import PixelCleaner
from isocenter.deid.profile import Profile
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.dicom.guards import guard_pydicom
from isocenter.errors import BadRequest, NotFound
from isocenter.ports.audit_log import AuditLog
from isocenter.settings import Settings

SIGNING_KEY = "deid-signing"
DEID_KEY = "deid:"


@dataclass(frozen=True, slots=True)
class Project:
    """The secrets of one de-identification project, out of the key store."""

    name: str
    secret: bytes
    is_new: bool
    pseudonyms: Pseudonyms
    signing_key: bytes  # Ed25519, of this installation
    vault: FolderVault
    audit: AuditLog
    close: Callable[[], None]


def open_project(settings: Settings, name: str, *, make: bool = True) -> Project:
    """A project's secrets; there is no default one, so the first use of a name makes it, if `make`."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
        raise BadRequest("a project's name is lower-case letters, digits and hyphens")
    backends = open_backends(settings)
    secrets = backends.platform.secrets
    entry = DEID_KEY + name
    if not make and secrets.get(entry) is None:
        backends.close()
        raise NotFound("there is no project of that name; isocenter key list shows those there are")
    made = token_bytes(32)
    secret = secrets.create(entry, made)
    pseudonyms = Pseudonyms(secret)
    vault = FolderVault(settings.home / "vault" / name, pseudonyms.vault_key())

    def close() -> None:
        vault.close()
        backends.close()

    signing_key = secrets.create(SIGNING_KEY, token_bytes(32))
    return Project(name, secret, secret == made, pseudonyms, signing_key, vault, backends.platform.audit, close)


def deidentifier_of(
    settings: Settings, profile: Profile, secret: bytes, certificate: bytes | None = None
) -> tuple[Deidentifier, Callable[[], None]]:
    """What de-identifies in one process, and how it is closed. Misconfigured where it takes a part not installed."""
    guard_pydicom()
    pseudonyms, limits = Pseudonyms(secret), limits_of(settings)
    to = None if certificate is None else recipient(certificate)
    pixels = profile.pixels
    if not (pixels.takes_a_detector or pixels.masks or pixels.ultrasound_regions):
        return Deidentifier(profile, pseudonyms, limits=limits, recipient=to), lambda: None
    detector = on_demand(settings) if pixels.takes_a_detector else None
    sandbox = ProcessSandbox(1, settings.decode_memory_bytes, preload=("isocenter.dicom.decode",))
    cleaner = PixelCleaner(profile.pixels, detector, sandbox, seconds=settings.decode_seconds)
    return Deidentifier(profile, pseudonyms, pixels=cleaner, limits=limits, recipient=to), sandbox.close
