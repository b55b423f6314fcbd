"""What every destination that keeps images must do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from isocenter.errors import BackendUnavailable, Conflict, IsocenterError
from isocenter.ports.destination import Destination
from isocenter.records import Parcel
from isocenter.testing.instances import ct_slice, uid
from isocenter.testing.threads import together

_seeds = iter(range(10_000, 1_000_000))


@dataclass(frozen=True)
class DestinationRooms:
    """A destination, and what gives the bytes that it keeps of an image (None where there are none)."""

    destination: Destination
    kept: Callable[[Parcel], bytes | None]


def parcel_of(data: bytes, seed: int, number: int = 1) -> Parcel:
    """An instance that `ct_slice` made of this seed and number, on its way."""
    uids = (uid(seed, "study"), uid(seed, "CT"), uid(seed, "CT", number))
    path = f"raw/{seed}-{number}.dcm"
    digest = hashlib.sha256(data).hexdigest()
    return Parcel(f"{seed}-{number}", path, "application/dicom", len(data), digest, lambda: iter((data,)), uids)


def new_parcels(count: int) -> list[Parcel]:
    """Slices of one new series."""
    seed = next(_seeds)
    return [parcel_of(ct_slice(seed, n, size=16, slices=count), seed, n) for n in range(1, count + 1)]


def bytes_of(parcel: Parcel) -> bytes:
    return b"".join(parcel.chunks())


class DestinationContract:
    """Subclass this, and override the fixture `rooms`."""

    @pytest.fixture
    def rooms(self) -> DestinationRooms:
        raise NotImplementedError("override the fixture `rooms`")

    def test_images_arrive_byte_for_byte_and_each_is_told_where(self, rooms: DestinationRooms) -> None:
        parcels = new_parcels(5)
        said = rooms.destination.put(parcels)
        assert set(said) == {parcel.id for parcel in parcels}
        for parcel in parcels:
            assert isinstance(said[parcel.id], str), said[parcel.id]
            assert rooms.kept(parcel) == bytes_of(parcel)
        assert rooms.destination.put([]) == {}

    def test_the_same_again_changes_nothing(self, rooms: DestinationRooms) -> None:
        parcels = new_parcels(2)
        first = rooms.destination.put(parcels)
        assert rooms.destination.put(parcels) == first
        assert rooms.kept(parcels[0]) == bytes_of(parcels[0])

    def test_other_bytes_are_a_conflict_and_what_was_there_stays(self, rooms: DestinationRooms) -> None:
        seed = next(_seeds)
        first, other = (
            parcel_of(ct_slice(seed, 1, size=16, slices=1, Manufacturer=name), seed) for name in ("ONE", "OTHER")
        )
        beside = new_parcels(1)
        assert isinstance(rooms.destination.put([first])[first.id], str)
        said = rooms.destination.put([other, *beside])
        assert isinstance(said[other.id], Conflict)
        assert isinstance(said[beside[0].id], str)
        assert rooms.kept(first) == bytes_of(first)

    def test_what_cannot_be_read_fails_alone_and_leaves_nothing(self, rooms: DestinationRooms) -> None:
        def broken() -> Iterator[bytes]:
            yield bytes_of(parcels[1])[:1000]
            raise BackendUnavailable("the blob store went away")

        parcels = new_parcels(4)
        unread = replace(parcels[1], chunks=broken)
        altered = replace(parcels[2], chunks=lambda: iter((bytes_of(parcels[2])[:-2],)))
        said = rooms.destination.put([parcels[0], unread, altered, parcels[3]])
        assert [isinstance(said[parcel.id], IsocenterError) for parcel in parcels] == [False, True, True, False]
        assert rooms.kept(parcels[1]) is None
        assert rooms.kept(parcels[2]) is None
        assert isinstance(rooms.destination.put([parcels[1]])[unread.id], str)

    def test_many_may_send_the_same_at_once(self, rooms: DestinationRooms) -> None:
        parcels = new_parcels(2)
        said = together(lambda _: rooms.destination.put(parcels), range(6))
        assert all(isinstance(where, str) for each in said for where in each.values())
        assert rooms.kept(parcels[1]) == bytes_of(parcels[1])
