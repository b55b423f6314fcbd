"""What is remembered is bounded by number and by bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from isocenter.archive.recent import Recent


def kept(recent: Recent[int, str]) -> list[int]:
    return [key for key in range(20) if recent.get(key) is not None]


def test_the_values_last_used_are_kept() -> None:
    recent: Recent[int, str] = Recent(3, 1000)
    for key in range(3):
        recent.put(key, str(key), 1)
    assert recent.get(0) == "0"
    recent.put(3, "3", 1)
    assert kept(recent) == [0, 2, 3]


def test_many_bytes_push_out_what_was_used_longest_ago() -> None:
    recent: Recent[int, str] = Recent(10, 100)
    for key in range(4):
        recent.put(key, str(key), 30)
    assert kept(recent) == [1, 2, 3]
    recent.put(9, "large", 100)
    assert kept(recent) == [9]


def test_what_is_larger_than_the_room_is_not_kept_and_drives_out_nothing_else() -> None:
    recent: Recent[int, str] = Recent(10, 100)
    recent.put(1, "one", 50)
    recent.put(2, "two", 101)
    assert kept(recent) == [1]


def test_a_value_that_grew_takes_the_place_of_what_it_was() -> None:
    recent: Recent[int, str] = Recent(10, 100)
    for size in (10, 60, 90):
        recent.put(1, f"{size}", size)
    assert recent.get(1) == "90"
    recent.put(2, "two", 10)
    assert kept(recent) == [1, 2]
    recent.put(1, "grown too large", 101)
    assert kept(recent) == [2]
    recent.put(3, "three", 90)
    assert kept(recent) == [2, 3]


def test_threads_share_it_within_its_bounds() -> None:
    recent: Recent[int, str] = Recent(5, 100)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: recent.put(key % 20, "x", 10 + key % 40), range(2000)))
    assert len(kept(recent)) <= 5
    assert 0 <= recent._held <= 100
