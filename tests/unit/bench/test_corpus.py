"""The images that benchmarks send."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from bench.corpus import Corpus, Identity, Template
from bench.encodings import ENCODINGS, Encoding
from pydicom import dcmread
from pydicom.encaps import generate_frames

WHO = Identity(run=12, study=3, series=4, number=56)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"))


def test_an_instance_is_whose_it_is_asked_to_be_and_everything_else_stays(corpus: Corpus) -> None:
    found = dcmread(io.BytesIO(corpus.tiny.instance(WHO)))
    assert (found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID) == WHO.uids
    assert found.file_meta.MediaStorageSOPInstanceUID == WHO.uids[2]
    assert (found.PatientID, found.InstanceNumber) == (WHO.patient, 100_056)
    assert len(found) + len(found.file_meta) >= 110
    other = dcmread(io.BytesIO(corpus.tiny.instance(Identity(99, 98, 97, 96))))
    assert {e.tag for e in found if e != other[e.tag]} == {0x00100020, 0x0020000D, 0x0020000E, 0x00080018, 0x00200013}


def test_every_identity_is_another_one() -> None:
    places = [(run, study, number) for run in range(3) for study in range(3) for number in range(3)]
    assert len({Identity(run, study, study, number).texts for run, study, number in places}) == 27


def test_the_same_seed_gives_the_same_bytes_and_the_folder_keeps_them(tmp_path: Path, corpus: Corpus) -> None:
    again = Corpus(tmp_path)
    assert again.tiny == corpus.tiny
    (kept,) = tmp_path.iterdir()
    assert Corpus(tmp_path).tiny.size == kept.stat().st_size
    assert Corpus(tmp_path, seed=2).tiny != corpus.tiny


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.name)
def test_compressed_images_give_back_the_pixels(corpus: Corpus, encoding: Encoding) -> None:
    found = dcmread(io.BytesIO(corpus.compressed(encoding.name).instance(WHO)))
    assert found.file_meta.TransferSyntaxUID == encoding.syntax
    pixels = encoding.decode(next(generate_frames(found.PixelData, number_of_frames=1)))
    assert np.array_equal(np.ravel(pixels), np.ravel(corpus.ct_pixels))


def test_a_multi_frame_has_the_frames_it_says_and_each_is_known_by_its_number(corpus: Corpus) -> None:
    what = corpus.multi_frame(3)
    data = b"".join(what.chunks(WHO))
    found = dcmread(io.BytesIO(data))
    assert len(data) == what.size
    assert found.NumberOfFrames == len(found.PerFrameFunctionalGroupsSequence) == 3
    assert found.PixelData == what.frame(1) + what.frame(2) + what.frame(3)
    assert what.frame(1) != what.frame(2)


def test_a_template_replaces_nothing_in_pixels() -> None:
    tail = Identity(0, 0, 0, 87_654).uids[0].encode()
    assert Template(b"", tail).instance(WHO) == tail
