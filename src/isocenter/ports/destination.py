"""The port to where images are sent: folders, buckets, other archives, listeners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from isocenter.errors import IsocenterError
from isocenter.records import Parcel


class Destination(Protocol):
    """One place that the operator named; used from several threads."""

    name: str

    def put(self, parcels: Sequence[Parcel]) -> Mapping[str, str | IsocenterError]:
        """Send images, and say of each by its id where it went, or why it did not go; one harms no other.

        Sending the same again is fine; where other bytes lie there already the answer is Conflict, and they stay. What
        cannot be reached is Unavailable, for each image or raised.
        """

    def close(self) -> None: ...
