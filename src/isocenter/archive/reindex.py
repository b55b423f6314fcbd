"""Indexing anew what is kept: search learns attributes that were named, or meant otherwise, after images came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isocenter.archive.search import BASE
from isocenter.dicom.attributes import Named, of_level
from isocenter.dicom.instance import Metadata
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, Indexed, Kind, State

_BATCH = 200


def reindex(platform: Platform, named: Sequence[Named], progress: Callable[[int], None] | None = None) -> int:
    """Index every DICOM image from its kept metadata, while others go on; the number of images.

    Servers that take images in meanwhile must have the same settings already: then nothing is missed.
    """
    done, cursor = 0, None
    while True:
        page = platform.index.images(
            ImageQuery(
                kind=Kind.DICOM, states=(State.CURRENT, State.DELETED, State.SUPERSEDED), after=cursor, limit=_BATCH
            )
        )
        details = platform.index.details([record.id for record in page.items])
        batch = []
        for id, found in details.items():
            model = Metadata.from_bytes(found.metadata).model
            study, series, instance = (of_level(model, level, named) for level in ("study", "series", "instance"))
            batch.append(Indexed(id, study, series, instance))
        platform.search.reindex(batch)
        done += len(page.items)
        if progress is not None:
            progress(done)
        cursor = page.next
        if cursor is None:
            break
    platform.search.complete(frozenset((BASE, *map(str, named))))
    return done
