"""Which work is chosen, and the index that is searched at scale."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.corpus import Corpus
from bench.index_fill import Shape, images
from bench.index_scale import FULL, QUICK
from bench.loading import Archive, Sizes
from bench.rounds import Bench


def bench(folder: Path, *only: str) -> Bench:
    sizes = Sizes(frames=2, studies=3, tiny=2)
    return Bench((), Corpus(folder), folder, sizes, FULL, rounds=1, seconds=0.1, count=10, only=only)


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["wado"], ["wado-instance", "wado-instance-multipart", "wado-study"]),
        (["wado-study"], ["wado-study"]),
        (["search"], ["qido-studies", "qido-patient", "qido-instances"]),
        (["stow-ct"], ["stow-ct-1", "stow-ct-4", "stow-ct-16"]),
        (["index-patient"], ["index-patient-400", "index-patient-10000"]),
        (["nothing"], []),
    ],
)
def test_work_is_chosen_by_name_beginning_or_section(tmp_path: Path, only: list[str], names: list[str]) -> None:
    assert bench(tmp_path, *only).names() == names


def test_every_work_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = bench(tmp_path).names()
    assert len(names) == len(set(names)) > 30


def test_instances_of_an_archive_are_different(tmp_path: Path) -> None:
    archive = Archive(Corpus(tmp_path), Sizes(studies=4, tiny=6), run=1)
    found = archive.tiny_identities()
    assert len({identity.uids[0] for identity in found}) == 4
    assert len({identity.uids[1] for identity in found}) == 8
    assert len({identity.uids[2] for identity in found}) == 24


def test_an_index_has_the_shape_it_is_named_for() -> None:
    shape = Shape(studies=4, per_series=3)
    found = [each.record for each in images(shape)]
    assert len({record.id for record in found}) == len(found) == shape.instances == 24
    assert {record.study_uid for record in found} == {shape.study_uid(n) for n in range(4)}
    assert {record.series_uid for record in found} == {shape.series_uid(n, s) for n in range(4) for s in (0, 1)}
    assert sum(record.subject_id == shape.patient(1) for record in found) == 12
    assert FULL[1].instances == 1_000_000
    assert len({shape.name for shape in (*FULL, *QUICK)}) == 4
