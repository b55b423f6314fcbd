"""The port to searching studies, series and instances by their attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from isocenter.records import Found, Indexed, Search


class SearchIndex(Protocol):
    """Search over what the index commits, right after every commit and transition."""

    def search(self, search: Search) -> Found:
        """One page of what matches, with the total, in a constant number of queries.

        What a key means is `dicom.matching.matches` over the models of the level and those above it; a study
        besides has ModalitiesInStudy and SOPClassesInStudy of what it holds. A study or series has the
        attributes of the earliest image in it that is current. A cursor that is none of ours raises BadRequest.
        """

    def names(self) -> frozenset[str]:
        """What every kept image is indexed by, as `complete` was told."""

    def complete(self, names: frozenset[str]) -> None:
        """Keep that every image is indexed by exactly these names."""

    def reindex(self, batch: Sequence[Indexed]) -> None:
        """Replace what search knows of these images, and of the studies and series that they speak for."""
