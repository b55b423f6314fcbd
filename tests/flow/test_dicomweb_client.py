"""Every public method of dicomweb-client against the server, with pixels held against what was stored."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.encaps import generate_frames
from requests.exceptions import HTTPError

from isocenter.testing.elements import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    HTJ2K,
    IMPLICIT,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
)
from isocenter.testing.instances import cr_image, ct_slice, sample_study, uid, us_cine
from isocenter.testing.mixtures import transcoded
from isocenter.testing.server import Server

DICOM, OCTETS, ANY = "application/dicom", "application/octet-stream", "*/*"
STORED = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, RLE, JPEG_2000, HTJ2K, JPEG_LS)
TARGETS = (EXPLICIT, RLE, JPEG_LOSSLESS, JPEG_LS, JPEG_2000)
# A media type of frames, with the transfer syntax that the client names with it or None, and what comes then.
FRAME_TYPES: tuple[tuple[str, str | None, str], ...] = (
    (OCTETS, None, EXPLICIT),
    (OCTETS, EXPLICIT, EXPLICIT),
    ("image/dicom-rle", None, RLE),
    ("image/dicom-rle", RLE, RLE),
    ("image/jls", None, JPEG_LS),
    ("image/jls", JPEG_LS, JPEG_LS),
    ("image/jp2", None, JPEG_2000),
    ("image/jp2", JPEG_2000, JPEG_2000),
    ("image/jpeg", None, JPEG_LOSSLESS),
    ("image/jpeg", JPEG_LOSSLESS, JPEG_LOSSLESS),
)
UNTRIED: dict[str, str] = {}  # public methods that no test here calls, each with the reason
_CODECS: dict[str, Callable[[bytes], Any]] = {
    JPEG_LOSSLESS: imagecodecs.ljpeg_decode,
    JPEG_LS: imagecodecs.jpegls_decode,
    JPEG_2000: imagecodecs.jpeg2k_decode,
    HTJ2K: imagecodecs.htj2k_decode,
}
_seeds = itertools.count(110_000)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


@pytest.fixture
def client(server: Server) -> DICOMwebClient:
    client = DICOMwebClient(url=f"{server.url}/dicomweb")
    client.set_http_retry_params(retry=False)  # an answer of 503 is a fault here and not to be waited out
    return client


def ids(seed: int, modality: str = "CT", number: int = 1) -> tuple[str, str, str]:
    return uid(seed, "study"), uid(seed, modality), uid(seed, modality, number)


def read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data))


def stored(server: Server, *files: bytes) -> None:
    answer = server.stow(*files)
    assert answer.status == 200, answer.body


def syntax_of(data_set: pydicom.Dataset) -> str:
    return str(data_set.file_meta.TransferSyntaxUID)


def plain(frame: bytes, syntax: str, like: Any) -> Any:
    """One frame of `like`'s shape and type, decoded by a codec that is not the server's sandbox."""
    if syntax == EXPLICIT:
        return np.frombuffer(frame, like.dtype)[: like.size].reshape(like.shape)
    if syntax == RLE:
        return unpacked(frame, like)
    return np.asarray(_CODECS[syntax](frame)).reshape(like.shape)


def unpacked(frame: bytes, like: Any) -> Any:
    """A frame of PackBits segments, most significant byte first (PS3.5 G)."""
    header = np.frombuffer(frame[:64], "<u4")
    bounds = [*map(int, header[1 : 1 + int(header[0])]), len(frame)]
    pixels = like.size // (like.shape[2] if like.ndim == 3 else 1)
    rows = [imagecodecs.packbits_decode(frame[a:b])[:pixels] for a, b in itertools.pairwise(bounds)]
    if like.dtype.itemsize == 2:
        return (np.frombuffer(rows[0], "u1").astype("u2") << 8 | np.frombuffer(rows[1], "u1")).reshape(like.shape)
    return np.stack([np.frombuffer(row, "u1") for row in rows], -1).reshape(like.shape)


def pixels_of(data_set: pydicom.Dataset) -> Any:
    syntax = syntax_of(data_set)
    if syntax not in _CODECS:
        return data_set.pixel_array
    frame = next(generate_frames(data_set.PixelData, number_of_frames=1))
    return np.asarray(_CODECS[syntax](frame))


# All of it -------------------------------------------------------------------------------------------------------


def test_every_public_method_of_the_client_is_called_here() -> None:
    there = {name for name, _ in inspect.getmembers(DICOMwebClient, callable) if not name.startswith("_")}
    called = {
        node.attr
        for node in ast.walk(ast.parse(Path(__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "client"
    }
    assert called | set(UNTRIED) == there
    assert not called & set(UNTRIED)
    assert all(UNTRIED.values())


def test_names_of_attributes_are_looked_up_in_the_tables_that_the_server_has(
    client: DICOMwebClient, server: Server, seed: int
) -> None:
    stored(server, ct_slice(seed, size=16))
    for keyword in ("StudyInstanceUID", "PatientID", "AccessionNumber"):
        tag = client.lookup_tag(keyword)
        assert client.lookup_keyword(tag) == keyword
        value = str(read(ct_slice(seed, size=16))[keyword].value)
        for key in (tag, keyword):
            (found,) = client.search_for_studies(search_filters={key: value})
            assert found[tag]["Value"] == [value]


# Store -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [1, 1000, 10**6])
def test_stored_in_chunks_of_any_size(client: DICOMwebClient, seed: int, chunk_size: int) -> None:
    data = ct_slice(seed, size=16)
    client.set_chunk_size(chunk_size)
    answer = client.store_instances([read(data)])
    (reference,) = answer.ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == ids(seed)[2]
    assert reference.RetrieveURL.endswith("/dicomweb/studies/{}/series/{}/instances/{}".format(*ids(seed)))
    assert answer.RetrieveURL.endswith(f"/dicomweb/studies/{uid(seed, 'study')}")
    assert client.retrieve_instance(*ids(seed)) == read(data)
    (again,) = client.iter_study(uid(seed, "study"))
    assert again == read(data)


def test_stored_at_the_address_of_a_study(client: DICOMwebClient, seed: int) -> None:
    files = [read(ct_slice(seed, number, size=16)) for number in (1, 2)]
    answer = client.store_instances(files, study_instance_uid=uid(seed, "study"))
    assert len(answer.ReferencedSOPSequence) == 2
    with pytest.raises(HTTPError, match="409"):
        client.store_instances([read(ct_slice(seed, 3, size=16))], study_instance_uid="1.2.840.99")
    some = client.store_instances([*files, read(ct_slice(seed, 1, size=16, KVP=1))])
    assert len(some.ReferencedSOPSequence) == 2
    (failed,) = some.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (ids(seed)[2], 0x0111)


# Search ----------------------------------------------------------------------------------------------------------


def values(models: Sequence[dict[str, Any]], tag: str) -> list[Any]:
    return [model[tag]["Value"][0] for model in models]


def test_search_with_every_argument(client: DICOMwebClient, server: Server, seed: int) -> None:
    stored(server, *(ct_slice(seed + n, i, size=16, PatientID=f"S{seed}") for n in range(3) for i in (1, 2)))
    studies = [uid(seed + n, "study") for n in range(3)]
    only: dict[str, Any] = {"search_filters": {"PatientID": f"S{seed}"}}
    assert values(client.search_for_studies(**only), "0020000D") == studies
    assert values(client.search_for_studies(**only, limit=2), "0020000D") == studies[:2]
    assert values(client.search_for_studies(**only, limit=2, offset=1), "0020000D") == studies[1:]
    assert values(client.search_for_studies(**only, limit=1, get_remaining=True), "0020000D") == studies
    fuzzy = {"PatientID": f"S{seed}", "PatientName": "ol phan"}
    assert values(client.search_for_studies(search_filters=fuzzy, fuzzymatching=True), "0020000D") == studies
    assert client.search_for_studies(search_filters=fuzzy, fuzzymatching=False) == []
    descending = client.search_for_series(**only, additional_params={"orderby": "-StudyInstanceUID"})
    assert values(descending, "0020000D") == sorted(studies, reverse=True)
    assert len(client.search_for_series(studies[0])) == 1
    (series,) = client.search_for_series(studies[0], fields=["PatientName", "00081030"])
    assert series["00100010"]["Value"] == [{"Alphabetic": "Phantom^Öl"}]
    assert series["00081030"]["Value"] == ["Phantom"]
    assert len(client.search_for_instances(**only)) == 6
    assert len(client.search_for_instances(studies[1])) == 2
    one = client.search_for_instances(studies[1], uid(seed + 1, "CT"), search_filters={"InstanceNumber": 2})
    assert values(one, "00080018") == [uid(seed + 1, "CT", 2)]
    (first,) = client.search_for_instances(studies[1], uid(seed + 1, "CT"), fields=["KVP"], limit=1)
    assert first["00180060"]["Value"] == [120]
    assert client.search_for_instances("1.2.3.4") == []
    with pytest.raises(HTTPError, match="400"):
        client.search_for_studies(search_filters={"Modality": "CT"})


# Retrieve --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", STORED)
def test_an_instance_stored_in_any_transfer_syntax_comes_in_each_that_the_client_knows(
    client: DICOMwebClient, server: Server, seed: int, own: str
) -> None:
    original = ct_slice(seed, size=32)
    stored(server, transcoded(original, own))
    wanted = read(original).pixel_array
    back = client.retrieve_instance(*ids(seed))  # the client asks for transfer-syntax=*
    assert syntax_of(back) == own
    if own not in (EXPLICIT, IMPLICIT):
        (decoded,) = client.retrieve_study(ids(seed)[0])  # and here for application/dicom alone
        assert syntax_of(decoded) == EXPLICIT
        assert np.array_equal(decoded.pixel_array, wanted)
    for target in TARGETS:
        found = client.retrieve_instance(*ids(seed), media_types=((DICOM, target),))
        assert syntax_of(found) == target
        assert np.array_equal(pixels_of(found), wanted), target
        assert found.PatientName == "Phantom^Öl"


def test_what_cannot_be_had_is_refused(client: DICOMwebClient, server: Server, seed: int) -> None:
    stored(server, ct_slice(seed, size=32))
    ways: tuple[tuple[Callable[..., Any], int], ...] = (
        (client.retrieve_instance, 3),
        (client.iter_series, 2),
        (client.retrieve_study, 1),
    )
    for syntax in ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.50"):  # MPEG-2; JPEG Baseline has 8 bits
        for retrieve, depth in ways:
            with pytest.raises(HTTPError, match="406"):
                list(retrieve(*ids(seed)[:depth], media_types=((DICOM, syntax),)))


def test_studies_and_series_at_once_or_one_after_another(client: DICOMwebClient, server: Server, seed: int) -> None:
    files = {str(read(data).SOPInstanceUID): read(data) for _, data in sample_study(seed)}
    stored(server, *(data for _, data in sample_study(seed)))
    study, series, _ = ids(seed)
    client.set_chunk_size(40_000)
    for retrieve in (client.retrieve_study, client.iter_study):
        found = list(retrieve(study))
        assert {str(each.SOPInstanceUID) for each in found} == set(files)
        assert all(each == files[str(each.SOPInstanceUID)] for each in found)
        found = list(retrieve(study, media_types=((DICOM, JPEG_2000),)))
        assert [syntax_of(each) for each in found] == [JPEG_2000] * 14
        for each in found:
            assert np.array_equal(first_frame(each), first_frame(files[str(each.SOPInstanceUID)]))
        with pytest.raises(HTTPError, match="404"):
            list(retrieve("1.2.3.4.5"))
    assert len(client.retrieve_series(study, series)) == 12
    assert len(list(client.iter_series(study, series))) == 12
    for retrieve_series in (client.retrieve_series, client.iter_series):
        found = list(retrieve_series(study, series, media_types=((DICOM, JPEG_LS),)))
        assert [syntax_of(each) for each in found] == [JPEG_LS] * 12
        for each in found:
            assert np.array_equal(first_frame(each), first_frame(files[str(each.SOPInstanceUID)]))


def first_frame(data_set: pydicom.Dataset) -> Any:
    if syntax_of(data_set) in _CODECS:
        count = int(data_set.get("NumberOfFrames", 1))
        frame = next(generate_frames(data_set.PixelData, number_of_frames=count))
        return np.asarray(_CODECS[syntax_of(data_set)](frame))
    return data_set.pixel_array[0] if "NumberOfFrames" in data_set else data_set.pixel_array


def test_metadata_of_each_level(client: DICOMwebClient, server: Server, seed: int) -> None:
    stored(server, *(data for _, data in sample_study(seed)))
    study, series, instance = ids(seed)
    whole = client.retrieve_study_metadata(study)
    assert len(whole) == 14
    some = client.retrieve_series_metadata(study, series)
    assert sorted(values(some, "00200013")) == list(range(1, 13))
    one: Any = client.retrieve_instance_metadata(study, series, instance)
    assert one in some
    assert all(each in whole for each in some)
    original = read(ct_slice(seed))
    model = {tag: each for tag, each in one.items() if "BulkDataURI" not in each}
    found = pydicom.Dataset.from_json(model)
    del original.PixelData
    assert found == original
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance_metadata(study, series, "1.2.3")


# Frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", STORED)
def test_frames_in_each_media_type_that_the_client_knows(
    client: DICOMwebClient, server: Server, seed: int, own: str
) -> None:
    original = ct_slice(seed, size=32)
    stored(server, transcoded(original, own))
    wanted = read(original).pixel_array
    for kind, named, syntax in FRAME_TYPES:
        asked: Any = (kind,) if named is None else ((kind, named),)
        (frame,) = client.retrieve_instance_frames(*ids(seed), [1], media_types=asked)
        assert np.array_equal(plain(frame, syntax, wanted), wanted), (kind, named)
        assert list(client.iter_instance_frames(*ids(seed), [1], media_types=asked)) == [frame]
    is_native = own in (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)
    for anything in (None, ((ANY, "*"),), (ANY,)):
        (frame,) = client.retrieve_instance_frames(*ids(seed), [1], media_types=anything)
        assert np.array_equal(plain(frame, EXPLICIT if is_native else own, wanted), wanted), anything
    (frame,) = client.retrieve_instance_frames(*ids(seed), [1], media_types=((OCTETS, "*"),))
    assert np.array_equal(plain(frame, EXPLICIT if is_native else own, wanted), wanted)


def test_frames_of_a_colour_cine_in_any_order(client: DICOMwebClient, server: Server, seed: int) -> None:
    data = us_cine(seed, frames=5, rows=24, columns=32)
    stored(server, data)
    wanted = read(data).pixel_array
    order = [4, 1, 5]
    for kind, named, syntax in FRAME_TYPES:
        asked: Any = (kind,) if named is None else ((kind, named),)
        found = client.retrieve_instance_frames(*ids(seed, "US"), order, media_types=asked)
        assert len(found) == 3
        for number, frame in zip(order, found, strict=True):
            assert np.array_equal(plain(frame, syntax, wanted[0]), wanted[number - 1]), (kind, number)
        client.set_chunk_size(500)
        assert list(client.iter_instance_frames(*ids(seed, "US"), order, media_types=asked)) == found
    mixed: Any = (OCTETS, "image/jls")
    assert len(client.retrieve_instance_frames(*ids(seed, "US"), order, media_types=mixed)) == 3
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance_frames(*ids(seed, "US"), [6])
    with pytest.raises(HTTPError, match="406"):
        client.retrieve_instance_frames(*ids(seed, "US"), [1], media_types=("video/mp4",))


# Pictures --------------------------------------------------------------------------------------------------------


def picture(data: bytes) -> Image.Image:
    found = Image.open(BytesIO(data))
    found.load()
    return found


def test_pictures_of_instances_frames_and_series(client: DICOMwebClient, server: Server, seed: int) -> None:
    cine = us_cine(seed, frames=3, rows=24, columns=32)
    stored(server, cine, cr_image(seed, rows=48, columns=32), ct_slice(seed, size=16))
    frames = read(cine).pixel_array
    found = client.retrieve_instance_rendered(*ids(seed, "US"), media_types=("image/png",))
    assert np.array_equal(np.asarray(picture(found).convert("RGB")), frames[0])
    found = client.retrieve_instance_frames_rendered(*ids(seed, "US"), [3], media_types=("image/png",))
    assert np.array_equal(np.asarray(picture(found).convert("RGB")), frames[2])
    found = client.retrieve_instance_frames_rendered(*ids(seed, "US"), [2], media_types=("image/jpeg",))
    assert picture(found).format == "JPEG"
    found = client.retrieve_instance_frames_rendered(*ids(seed, "US"), [1, 3], media_types=("image/gif",))
    assert (picture(found).format, getattr(picture(found), "n_frames", 1)) == ("GIF", 2)
    small: dict[str, Any] = {"viewport": "16,16", "quality": 50}
    found = client.retrieve_instance_rendered(*ids(seed, "CR"), media_types=("image/*",), params=small)
    assert (picture(found).format, max(picture(found).size)) == ("JPEG", 16)
    # Two media types make the client send no Accept of its own.
    for media_types in (None, ("image/png", OCTETS)):
        found = client.retrieve_instance_rendered(*ids(seed, "CR"), media_types=media_types)
        assert picture(found).format == "JPEG"
    found = client.retrieve_series_rendered(*ids(seed, "CR")[:2], media_types=("image/png", "image/jpeg"))
    assert picture(found).size == (32, 48)
    windowed = client.retrieve_instance_rendered(
        *ids(seed), media_types=("image/png",), params={"window": "40,400,linear"}
    )
    assert picture(windowed).mode == "L"
    for refused in ("image/jp2", "video/mp4", "text/html"):
        with pytest.raises(HTTPError, match="406"):
            client.retrieve_instance_rendered(*ids(seed), media_types=(refused,))
    stored(server, ct_slice(seed, 2, size=16))
    with pytest.raises(HTTPError, match="406"):  # of several instances pictures come in parts, which it cannot ask for
        client.retrieve_series_rendered(*ids(seed)[:2], media_types=("image/png",))


# Bulk data -------------------------------------------------------------------------------------------------------


def test_bulk_data_whole_and_in_ranges(client: DICOMwebClient, server: Server, seed: int) -> None:
    data = ct_slice(seed, size=64)
    stored(server, data)
    pixels = bytes(read(data).PixelData)
    model: Any = client.retrieve_instance_metadata(*ids(seed))
    # The client leaves the port out of Host, and so it is not in the address either.
    address = re.sub(r"^http://127\.0\.0\.1(:\d+)?/", f"{server.url}/", model["7FE00010"]["BulkDataURI"])
    whole: tuple[Any, ...] = (None, (OCTETS,), ((OCTETS, EXPLICIT),))
    for media_types in whole:
        assert client.retrieve_bulkdata(address, media_types=media_types) == [pixels]
        assert list(client.iter_bulkdata(address, media_types=media_types)) == [pixels]
    for start, stop in ((0, 99), (100, 4095), (8000, 100_000)):
        for media_types in whole:
            given: dict[str, Any] = {"media_types": media_types, "byte_range": (start, stop)}
            assert client.retrieve_bulkdata(address, **given) == [pixels[start : stop + 1]]
            assert list(client.iter_bulkdata(address, **given)) == [pixels[start : stop + 1]]
    with pytest.raises(HTTPError, match="416"):
        client.retrieve_bulkdata(address, byte_range=(len(pixels), len(pixels) + 1))
    with pytest.raises(HTTPError, match="406"):
        client.retrieve_bulkdata(address, media_types=("image/jpeg",))
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_bulkdata(address.replace("7FE00010", "00091001"))


def test_bulk_data_of_compressed_pixels_is_a_part_for_each_frame(
    client: DICOMwebClient, server: Server, seed: int
) -> None:
    original = ct_slice(seed, size=32)
    stored(server, transcoded(original, JPEG_LS))
    address = "{}/dicomweb/studies/{}/series/{}/instances/{}/bulkdata/7FE00010".format(server.url, *ids(seed))
    wanted = read(original).pixel_array
    asked: tuple[tuple[Any, str], ...] = ((None, JPEG_LS), (("image/jls",), JPEG_LS), ((OCTETS,), EXPLICIT))
    for media_types, syntax in asked:
        (frame,) = client.retrieve_bulkdata(address, media_types=media_types)
        assert np.array_equal(plain(frame, syntax, wanted), wanted)
        assert list(client.iter_bulkdata(address, media_types=media_types)) == [frame]


# Delete ----------------------------------------------------------------------------------------------------------


def test_deleted_at_each_level(client: DICOMwebClient, server: Server, seed: int) -> None:
    stored(server, *(data for _, data in sample_study(seed)))
    study, series, instance = ids(seed)
    client.delete_instance(study, series, instance)
    assert len(client.search_for_instances(study)) == 13
    with pytest.raises(HTTPError, match="404"):
        client.delete_instance(study, series, instance)
    client.delete_series(study, series)
    assert len(client.search_for_instances(study)) == 2
    assert len(client.retrieve_study(study)) == 2
    client.delete_study(study)
    assert client.search_for_series(study) == []
    for gone in (client.retrieve_study, client.retrieve_study_metadata, client.delete_study):
        with pytest.raises(HTTPError, match="404"):
            gone(study)
