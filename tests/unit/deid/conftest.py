"""A deidentifier for each shipped profile, without reading pixels, under one secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.deid import profile as profiles
from isocenter.deid.engine import Deidentifier
from isocenter.deid.pseudonyms import Pseudonyms

SECRET = bytes(range(32))


@pytest.fixture(scope="session")
def deidentifier() -> Callable[..., Deidentifier]:
    made: dict[tuple[str, bytes], Deidentifier] = {}

    def of(name: str = "basic", secret: bytes = SECRET, **changes: object) -> Deidentifier:
        if changes:
            changed = profiles.load(name).model_dump(mode="json") | changes
            return Deidentifier(profiles.Profile.model_validate(changed), Pseudonyms(secret))
        if (name, secret) not in made:
            made[name, secret] = Deidentifier(profiles.load(name), Pseudonyms(secret))
        return made[name, secret]

    return of
