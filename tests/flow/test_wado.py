"""Retrieval whole (PS3.18 10.4), as real clients use it: dicomweb-client, curl, zipfile, DCMTK, pydicom."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from isocenter.adapters.blobs.folder import FolderBlobStore
from isocenter.archive.kept_model import addressed_model
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom.elements import Limits
from isocenter.dicom.instance import Metadata
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.index import Index
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, ImageRecord
from isocenter.testing.elements import EXPLICIT, description, element, identity, meta, native
from isocenter.testing.faults import CountingBlobStore
from isocenter.testing.instances import cr_image, ct_slice, sample_study, uid, us_cine
from isocenter.testing.pixel_samples import bundled_image
from isocenter.testing.server import Answer, Server

IMPLICIT, JPEG_LS, RLE, JPEG_2000 = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.90",
)
DICOM_PARTS = 'multipart/related; type="application/dicom"'
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
OCTETS = "application/octet-stream"
_DECODERS = {JPEG_LS: imagecodecs.jpegls_decode, JPEG_LOSSLESS: imagecodecs.ljpeg_decode}
_seeds = itertools.count(70_000)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


@pytest.fixture
def client(server: Server) -> DICOMwebClient:
    return DICOMwebClient(url=f"{server.url}/dicomweb")


def read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data))


def pixels_of(data: bytes) -> Any:
    """The first frame of a file, decoded by a codec of the reader's own where pydicom has none."""
    found = read(data)
    decode = _DECODERS.get(str(found.file_meta.TransferSyntaxUID))
    if decode is None:
        return found.pixel_array
    return decode(next(generate_frames(found.PixelData, number_of_frames=1)))


def path_of(data: bytes, level: str = "instance") -> str:
    found = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    study = f"/dicomweb/studies/{found.StudyInstanceUID}"
    series = f"{study}/series/{found.SeriesInstanceUID}"
    return {"study": study, "series": series, "instance": f"{series}/instances/{found.SOPInstanceUID}"}[level]


def kept(server: Server, *files: bytes) -> str:
    """The path of the first of some files after they were stored."""
    answer = server.stow(*files)
    assert answer.status == 200, answer.body
    return path_of(files[0])


def renamed(name: str, seed: int) -> bytes:
    """One of pydicom's files under identifiers of its own."""
    data_set = pydicom.dcmread(bundled_image(name))
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = f"2.25.{seed}", f"2.25.{seed}1"
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.{seed}2")
    out = BytesIO()
    data_set.save_as(out, enforce_file_format=True)
    return out.getvalue()


def get(server: Server, path: str, accept: str | None = None, **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request("GET", path, headers=given if accept is None else {"Accept": accept, **given})


def parts_of(answer: Answer) -> list[Message]:
    assert answer.status in (200, 206), answer.body
    whole: Any = message_from_bytes(
        b"Content-Type: " + answer.headers["Content-Type"].encode() + b"\r\n\r\n" + answer.body
    )
    assert whole.is_multipart()
    return list(whole.get_payload())


def body_of(part: Message) -> bytes:
    found = part.get_payload(decode=True)
    assert isinstance(found, bytes)
    return found


def binary_parts(answer: Answer) -> list[tuple[str, bytes]]:
    """Content-Type and body of each part; email's parser would take line ends of pixels for its own."""
    boundary = answer.headers["Content-Type"].rpartition("boundary=")[2].encode()
    pieces = (b"\r\n" + answer.body).split(b"\r\n--" + boundary)
    assert pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        found.append((str(message_from_bytes(head.strip())["Content-Type"]), body))
    return found


# Transfer syntaxes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, JPEG_LS, RLE, JPEG_2000, JPEG_LOSSLESS])
def test_an_instance_comes_in_the_transfer_syntax_asked_for(
    server: Server, seed: int, target: str, tmp_path: Path
) -> None:
    data = ct_slice(seed, size=64)
    path = kept(server, data)
    for accept in (f"application/dicom; transfer-syntax={target}", f"{DICOM_PARTS}; transfer-syntax={target}"):
        answer = get(server, path, accept)
        assert answer.status == 200
        ((kind, body),) = [(answer.headers["Content-Type"], answer.body)] if accept[0] == "a" else binary_parts(answer)
        assert kind == f"application/dicom; transfer-syntax={target}"
        found = read(body)
        assert found.file_meta.TransferSyntaxUID == target
        assert np.array_equal(pixels_of(body), pixels_of(data))
        file = tmp_path / "found.dcm"
        file.write_bytes(body)
        done = subprocess.run(["dcmdump", "-q", str(file)], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr


def test_without_a_transfer_syntax_compressed_instances_come_decoded_and_by_wildcards_as_stored(
    server: Server, seed: int
) -> None:
    data = renamed("MR_small_jpeg_ls_lossless.dcm", seed)
    path = kept(server, data)
    decoded = read(get(server, path, "application/dicom").body)
    assert decoded.file_meta.TransferSyntaxUID == EXPLICIT
    assert np.array_equal(decoded.pixel_array, pixels_of(data))
    assert get(server, path, "application/dicom; transfer-syntax=*").body == data
    for accept in (None, "*/*", "multipart/*", f"{DICOM_PARTS}; transfer-syntax=*", "multipart/related"):
        ((kind, body),) = binary_parts(get(server, path, accept))
        assert (kind, body) == (f"application/dicom; transfer-syntax={JPEG_LS}", data)
    assert get(server, f"{path}?accept=application/dicom%3Btransfer-syntax=*", "text/html").body == data
    ((kind, _),) = binary_parts(get(server, path, f"multipart/related; transfer-syntax={RLE}"))
    assert kind == f"application/dicom; transfer-syntax={RLE}"
    for accept in (f"multipart/related; transfer-syntax={RLE}", 'multipart/related; type="image/dicom-rle"'):
        ((kind, _),) = binary_parts(get(server, f"{path}/frames/1", accept))
        assert kind == f"image/dicom-rle; transfer-syntax={RLE}"
    ((kind, _),) = binary_parts(get(server, f"{path}/frames/1", 'multipart/related; type="image/*"'))
    assert kind == f"image/jls; transfer-syntax={JPEG_LS}"


def test_the_best_member_that_can_be_had_is_given(server: Server, seed: int) -> None:
    path = kept(server, renamed("MR_small_jpeg_ls_lossless.dcm", seed))
    accept = (
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.100, text/html;q=0.9,"
        f" application/dicom; transfer-syntax={RLE}; q=0.5, {DICOM_PARTS}; q=0.4"
    )
    answer = get(server, path, accept)
    assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={RLE}"
    assert answer.headers["ETag"].startswith('W/"')
    assert get(server, path, accept, If_None_Match=answer.headers["ETag"]).status == 304


def test_what_cannot_be_had_says_what_can(server: Server, seed: int) -> None:
    path = kept(server, ct_slice(seed, size=16))
    answer = get(server, path, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.100")
    assert answer.status == 406
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {EXPLICIT, JPEG_LS} <= set(answer.json()["available"])
    assert get(server, path, "text/html").json()["available"][1] == "application/dicom"
    assert get(server, path_of(ct_slice(seed, size=16), "study"), "text/html").status == 406


def test_a_study_leaves_out_what_cannot_be_given_and_says_so(server: Server, seed: int) -> None:
    ct = ct_slice(seed, size=32)
    cine = us_cine(seed, frames=2, rows=16, columns=16)
    report = read(ct_slice(seed, 9, size=16))
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(report, name)
    out = BytesIO()
    report.save_as(out, enforce_file_format=True)
    kept(server, ct, cine, out.getvalue())
    answer = get(server, path_of(ct, "study"), f"{DICOM_PARTS}; transfer-syntax={JPEG_LS}")
    assert answer.status == 206
    assert "1 of 3 instances" in answer.headers["Warning"]
    found = [body for _, body in binary_parts(answer)]
    assert [str(read(each).file_meta.TransferSyntaxUID) for each in found] == [JPEG_LS, JPEG_LS]
    assert np.array_equal(pixels_of(found[0]), pixels_of(ct))
    assert len(binary_parts(get(server, path_of(ct, "study"), DICOM_PARTS))) == 3


# Frames and bulk data -------------------------------------------------------------------------------------------


def test_frames_by_media_type(server: Server, seed: int) -> None:
    data = renamed("SC_rgb_rle_2frame.dcm", seed)
    path = kept(server, data)
    original = read(data)
    stored = list(generate_frames(original.PixelData, number_of_frames=2))
    pixels = original.pixel_array
    for accept in (None, "*/*", f'multipart/related; type="{OCTETS}"; transfer-syntax=*', "multipart/related"):
        found = binary_parts(get(server, f"{path}/frames/1,2", accept))
        assert found == [(f"image/dicom-rle; transfer-syntax={RLE}", frame) for frame in stored]
    found = binary_parts(get(server, f"{path}/frames/2,1", f'multipart/related; type="{OCTETS}"'))
    assert found == [(f"{OCTETS}; transfer-syntax={EXPLICIT}", pixels[n].tobytes()) for n in (1, 0)]
    single = get(server, f"{path}/frames/2", OCTETS)
    assert single.body == pixels[1].tobytes()
    assert get(server, f"{path}/frames/2", OCTETS, If_None_Match=single.headers["ETag"]).status == 304
    ((kind, frame),) = binary_parts(get(server, f"{path}/frames/1", 'multipart/related; type="image/jls"'))
    assert kind == f"image/jls; transfer-syntax={JPEG_LS}"
    ((kind, same),) = binary_parts(get(server, f"{path}/frames/1", 'multipart/related; type="image/x-jls"'))
    assert (kind, same) == (f"image/jls; transfer-syntax={JPEG_LS}", frame)
    assert get(server, f"{path}/frames/1", "image/x-dicom-rle").headers["Content-Type"].startswith("image/dicom-rle;")
    assert frame[:2] == b"\xff\xd8"
    several = get(server, f"{path}/frames/1,2", OCTETS)
    assert several.status == 406
    assert f"image/dicom-rle; transfer-syntax={RLE}" in several.json()["available"]
    assert get(server, f"{path}/frames/3", OCTETS).status == 404


def test_dicomweb_client_retrieves_frames_and_bulk_data_as_it_likes(
    client: DICOMwebClient, server: Server, seed: int
) -> None:
    data = renamed("MR_small_jpeg_ls_lossless.dcm", seed)
    kept(server, data)
    ids = (f"2.25.{seed}", f"2.25.{seed}1", f"2.25.{seed}2")
    (stored,) = client.retrieve_instance_frames(*ids, [1])
    assert stored == next(generate_frames(read(data).PixelData, number_of_frames=1))
    (native_frame,) = client.retrieve_instance_frames(*ids, [1], media_types=((OCTETS, EXPLICIT),))
    assert native_frame == pixels_of(data).tobytes()
    # Not as the client's own metadata has it: the client leaves the port out of Host.
    metadata = get(server, f"{path_of(data)}/metadata").json()[0]
    (bulk,) = client.retrieve_bulkdata(metadata["7FE00010"]["BulkDataURI"])
    assert bulk == stored
    assert client.retrieve_instance(*ids).file_meta.TransferSyntaxUID in (JPEG_LS, EXPLICIT)


def test_all_bulk_data_of_a_level_has_its_addresses(server: Server, seed: int) -> None:
    files = [ct_slice(seed, number, size=32) for number in (1, 2)]
    kept(server, *files)
    kept(server, us_cine(seed, frames=2, rows=16, columns=16))
    study = path_of(files[0], "study")
    metadata = get(server, f"{study}/metadata").json()
    addresses = {model["7FE00010"]["BulkDataURI"] for model in metadata}
    for resource in ("bulkdata", "pixeldata"):
        answer = get(server, f"{study}/{resource}", f'multipart/related; type="{OCTETS}"')
        assert {part["Content-Location"] for part in parts_of(answer)} == addresses
        assert read(files[0]).PixelData in [body for _, body in binary_parts(answer)]
        assert len(binary_parts(get(server, f"{path_of(files[0], 'series')}/{resource}"))) == 2
        assert len(binary_parts(get(server, f"{path_of(files[0])}/{resource}"))) == 1
    assert get(server, f"{study}/pixeldata", "application/pdf").status == 406


def curl(server: Server, path: str, *options: str) -> tuple[int, bytes, str]:
    command = ["curl", "-s", "-D", "-", f"{server.url}{path}", *options]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return int(head.split()[1]), body, head.decode()


def test_curl_reads_ranges(server: Server, seed: int) -> None:
    data = ct_slice(seed, size=128)
    path = kept(server, data)
    pixels = read(data).PixelData
    for where, accept, whole in (
        (path, "application/dicom", data),
        (f"{path}/bulkdata/7FE00010", OCTETS, pixels),
        (path_of(data, "study"), "application/zip", None),
    ):
        given = ("-H", f"Accept: {accept}")
        status, body, head = curl(server, where, *given)
        whole = whole or body
        assert (status, body) == (200, whole)
        assert "accept-ranges: bytes" in head.lower()
        etag = next(line for line in head.splitlines() if line.lower().startswith("etag:")).partition(": ")[2]
        for text, wanted in (
            ("0-9", whole[:10]), ("100-4000", whole[100:4001]), ("1000-", whole[1000:]), ("-7", whole[-7:]),
            (f"5-{len(whole) * 2}", whole[5:]),
        ):  # fmt: skip
            status, body, head = curl(server, where, *given, "-r", text)
            assert (status, body) == (206, wanted), text
            assert f"/{len(whole)}" in head.lower().partition("content-range: ")[2].splitlines()[0]
            assert curl(server, where, *given, "-r", text, "-H", f"If-Range: {etag}")[0] == 206
            assert curl(server, where, *given, "-r", text, "-H", 'If-Range: "another"')[:2] == (200, whole)
        status, body, head = curl(server, where, *given, "-r", f"{len(whole)}-")
        assert status == 416
        assert f"content-range: bytes */{len(whole)}" in head.lower()
        assert curl(server, where, *given, "-H", "Range: bytes=0-1,5-6")[0] == 200
        assert curl(server, where, *given, "-H", "Range: lines=0-1")[0] == 200
        assert curl(server, where, *given, "-H", "Range: bytes=9-3")[0] == 200
        assert curl(server, where, *given, "-H", f"If-None-Match: {etag}")[0] == 304


def test_a_bare_data_set_has_ranges_of_the_file_it_leaves_as(server: Server, seed: int) -> None:
    body = identity(f"2.25.{seed}") + description() + native(bytes(32))
    assert server.stow(body).status == 200
    found = server.request("GET", f"/dicomweb/instances?SOPInstanceUID=2.25.{seed}").json()[0]
    path = found["00081190"]["Value"][0].removeprefix(server.url)
    whole = get(server, path, "application/dicom; transfer-syntax=*").body
    for start, stop in ((0, 10), (120, 400), (len(whole) - 40, len(whole)), (0, len(whole))):
        answer = get(server, path, "application/dicom; transfer-syntax=*", Range=f"bytes={start}-{stop - 1}")
        assert (answer.status, answer.body) == (206, whole[start:stop])


# Metadata -------------------------------------------------------------------------------------------------------


def test_metadata_comes_as_xml_that_a_client_reads(server: Server, seed: int) -> None:
    files = [data for _, data in sample_study(seed)]
    kept(server, *files)
    study = path_of(files[0], "study")
    answer = get(server, f"{study}/metadata", 'multipart/related; type="application/dicom+xml"')
    parts = binary_parts(answer)
    assert [kind for kind, _ in parts] == ["application/dicom+xml"] * 14
    space = {"d": "http://dicom.nema.org/PS3.19/models/NativeDICOM"}
    uids = set()
    for _, body in parts:
        document = ElementTree.fromstring(body)
        value = document.find("d:DicomAttribute[@keyword='SOPInstanceUID']/d:Value", space)
        bulk = document.find("d:DicomAttribute[@keyword='PixelData']/d:BulkData", space)
        assert value is not None
        assert bulk is not None
        assert bulk.attrib["uri"].startswith(server.url)
        uids.add(value.text)
    assert uids == {str(read(data).SOPInstanceUID) for data in files}
    single = get(server, f"{path_of(files[0])}/metadata", "application/dicom+xml")
    assert single.headers["Content-Type"] == "application/dicom+xml"
    assert ElementTree.fromstring(single.body).tag.endswith("NativeDicomModel")
    assert get(server, f"{study}/metadata", "application/dicom+xml").status == 406
    assert get(server, f"{study}/metadata", "*/*;q=0.1, application/json").headers["Content-Type"] == "application/json"


def test_metadata_is_what_taking_it_apart_would_give(server: Server, seed: int) -> None:
    data_set = read(ct_slice(seed, size=16))
    data_set.ImageComments = '","model":{"BulkDataURI":"7FE00010"} \\"BulkDataURI\\":\\" ,"bulk":{ \\'
    data_set.PatientComments = "\\"
    data_set.private_block(0x0099, '"BulkDataURI":"', create=True).add_new(1, "OB", bytes(3000))
    item = pydicom.Dataset()
    item.add_new(0x00420011, "OB", bytes(5000))
    data_set.IconImageSequence = [item]
    out = BytesIO()
    data_set.save_as(out, enforce_file_format=True)
    path = kept(server, out.getvalue())
    (model,) = get(server, f"{path}/metadata").json()
    assert model["00204000"]["Value"] == [data_set.ImageComments]
    where = f"{server.url}{path}/bulkdata/"
    assert model["7FE00010"]["BulkDataURI"] == f"{where}7FE00010"
    assert model["00991001"]["BulkDataURI"] == f"{where}00991001"
    assert model["00880200"]["Value"][0]["00420011"]["BulkDataURI"] == f"{where}00880200/0/00420011"
    inner = model["00880200"]["Value"][0]["00420011"]["BulkDataURI"].removeprefix(server.url)
    assert get(server, inner, OCTETS).body == bytes(5000)


def test_kept_metadata_that_somebody_else_wrote_is_taken_apart() -> None:
    text = (
        b'{ "bulk": {"7FE00010": [1, 2]}, "model": {"7FE00010": {"vr": "OW", "BulkDataURI": "7FE00010"}}, "meta": {} }'
    )
    kept_bytes = zlib.compress(text)
    assert addressed_model(kept_bytes, "http://h/b/") == b'{"7FE00010":{"vr":"OW","BulkDataURI":"http://h/b/7FE00010"}}'
    assert Metadata.from_bytes(kept_bytes).bulk == {"7FE00010": (1, 2)}


class CountingIndex:
    """An index that counts what it is asked."""

    def __init__(self, inner: Index) -> None:
        self._inner = inner
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._inner, name)


def ingested(platform: Platform, *files: Any) -> list[ImageRecord]:
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    for pieces in files:
        intake = batch.begin("x", Placement("raw"))
        for piece in (pieces,) if isinstance(pieces, bytes) else pieces:
            intake.write(piece)
        intake.finish()
    found = [receipt.record for receipt in batch.close()]
    return [record for record in found if record is not None]


def test_metadata_of_a_thousand_takes_two_queries_and_no_blob(
    tmp_path: Path, make_platform: Callable[..., Platform]
) -> None:
    platform = make_platform(blobs=CountingBlobStore(FolderBlobStore(tmp_path)))
    one = ct_slice(1, size=16)
    mark = str(read(one).SOPInstanceUID).encode()
    ingested(platform, *(one.replace(mark, mark[:-4] + b"%04d" % number) for number in range(1000)))
    index = CountingIndex(platform.index)
    blobs = platform.blobs
    assert isinstance(blobs, CountingBlobStore)
    blobs.bytes_read = 0
    retrieve = Retrieve(make_platform(blobs=blobs, index=index))
    records = retrieve.instances(ImageQuery(("raw",), study_uid=uid(1, "study")))
    assert len(list(retrieve.models(records, lambda record: record.id))) == 1000
    assert index.asked == ["images", "details"]
    assert blobs.bytes_read == 0


def test_a_frame_of_a_large_file_reads_that_frame(tmp_path: Path, make_platform: Callable[..., Platform]) -> None:
    frames, frame = 40, 512 * 512 * 2
    name = "2.25.611"
    head = meta(EXPLICIT, name) + identity(name) + description(512, 512, frames=str(frames))
    pieces = [head + native(b"", length=frames * frame), *(bytes([number]) * frame for number in range(frames))]
    index_counter: list[CountingIndex] = []
    platform = make_platform(blobs=CountingBlobStore(FolderBlobStore(tmp_path)))
    (record,) = ingested(platform, pieces)
    blobs = platform.blobs
    assert isinstance(blobs, CountingBlobStore)
    index_counter.append(CountingIndex(platform.index))
    retrieve = Retrieve(make_platform(blobs=blobs, index=index_counter[0]))
    for number in (1, 20, 40, 20):
        blobs.bytes_read = 0
        assert list(retrieve.frames(record, [number])) == [bytes([number - 1]) * frame]
        assert blobs.bytes_read <= frame + (64 << 10)
    assert index_counter[0].asked == ["details"], "the header is read once"


# ZIP ------------------------------------------------------------------------------------------------------------


def test_a_study_comes_as_a_file_set_that_dcmtk_knows(server: Server, seed: int, tmp_path: Path) -> None:
    files = [data for _, data in sample_study(seed)]
    kept(server, *files)
    answer = get(server, path_of(files[0], "study"), "application/zip")
    assert answer.status == 200
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    with zipfile.ZipFile(BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
        names = archive.namelist()
    assert names[0] == "DICOMDIR"
    assert sorted(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names[1:]) == sorted(
        hashlib.sha256(data).hexdigest() for data in files
    )
    done = subprocess.run(["dcmdump", "-q", "DICOMDIR"], cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    directory = pydicom.dcmread(tmp_path / "DICOMDIR")
    listed = {"/".join(r.ReferencedFileID) for r in directory.DirectoryRecordSequence if "ReferencedFileID" in r}
    assert listed == set(names[1:])
    again = get(server, path_of(files[0], "study"), "application/zip")
    assert (again.body, again.headers["ETag"]) == (answer.body, answer.headers["ETag"])
    half = len(answer.body) // 2
    rest = get(
        server, path_of(files[0], "study"), "application/zip", Range=f"bytes={half}-", If_Range=answer.headers["ETag"]
    )
    assert answer.body[:half] + rest.body == answer.body
    series = get(server, path_of(files[0], "series"), "application/zip")
    with zipfile.ZipFile(BytesIO(series.body)) as archive:
        assert archive.testzip() is None


# Pictures -------------------------------------------------------------------------------------------------------


def picture(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def test_dicomweb_client_retrieves_rendered_instances_and_frames(
    client: DICOMwebClient, server: Server, seed: int
) -> None:
    kept(server, ct_slice(seed, size=64))
    ids = (uid(seed, "study"), uid(seed, "CT"), uid(seed, "CT", 1))
    assert picture(client.retrieve_instance_rendered(*ids)).format == "JPEG"
    png = client.retrieve_instance_rendered(*ids, media_types=("image/png",), params={"viewport": "32,32"})
    assert picture(png).size == (32, 32)
    narrow = client.retrieve_instance_rendered(*ids, media_types=("image/png",), params={"window": "40,10,linear"})
    assert narrow != client.retrieve_instance_rendered(*ids, media_types=("image/png",))
    frame = client.retrieve_instance_frames_rendered(*ids, frame_numbers=[1], media_types=("image/jpeg",))
    assert picture(frame).size == (64, 64)
    assert picture(client.retrieve_series_rendered(*ids[:2])).size == (64, 64)


def test_a_cine_is_one_picture_an_animation_or_parts(server: Server, seed: int) -> None:
    path = kept(server, us_cine(seed, frames=3, rows=24, columns=32))
    assert picture(get(server, f"{path}/rendered").body).format == "JPEG"
    animation: Any = picture(get(server, f"{path}/rendered", "image/gif").body)
    assert (animation.format, animation.n_frames) == ("GIF", 3)
    chosen: Any = picture(get(server, f"{path}/frames/1,3/rendered", "image/gif").body)
    assert chosen.n_frames == 2
    parts = binary_parts(get(server, f"{path}/rendered", 'multipart/related; type="image/png"'))
    assert [(kind, picture(body).size) for kind, body in parts] == [("image/png", (32, 24))] * 3
    several = binary_parts(get(server, f"{path}/frames/2,1/rendered"))
    assert [kind for kind, _ in several] == ["image/jpeg"] * 2
    assert get(server, f"{path}/frames/1,2/rendered", "image/png").status == 406
    assert get(server, f"{path}/frames/1,4/rendered").status == 404
    assert get(server, f"{path}/frames/2/rendered", "image/png").body == parts[1][1]


def test_rendered_pictures_have_a_validator_of_all_that_makes_them(server: Server, seed: int) -> None:
    path = f"{kept(server, ct_slice(seed, size=48))}/rendered"
    queries = (
        "", "?viewport=20,20", "?viewport=20,20,0,0,10,10", "?window=40,400", "?window=40,400,sigmoid", "?quality=20",
        "?annotation=patient", "?annotation=patient,technique", "?iccprofile=srgb", "?iccprofile=yes",
    )  # fmt: skip
    answers = [get(server, path + query) for query in queries]
    assert [answer.status for answer in answers] == [200] * len(queries)
    etags = [answer.headers["ETag"] for answer in answers]
    assert len(set(etags)) == len(queries)
    assert get(server, path, "image/png").headers["ETag"] not in etags
    for query, answer in zip(queries, answers, strict=True):
        again = get(server, path + query, If_None_Match=answer.headers["ETag"])
        assert (again.status, again.body) == (304, b"")
        assert answer.headers["Cache-Control"].startswith("private")
    for wrong in ("?quality=0", "?quality=101", "?viewport=0,1", "?viewport=1", "?window=1,0", "?annotation=name",
                  "?iccprofile=cmyk"):  # fmt: skip
        assert get(server, path + wrong).status == 400, wrong
    assert get(server, f"{path}?viewport=10,10,4000,4000,10,10").status == 422
    assert get(server, path, "application/pdf").status == 406
    assert get(server, f"{path}?accept=image/png", "text/html").headers["Content-Type"] == "image/png"


def test_a_study_is_shown_by_a_picture_of_each_instance_that_has_one(server: Server, seed: int) -> None:
    files = [ct_slice(seed, 1, size=32), ct_slice(seed, 2, size=32), us_cine(seed, frames=3, rows=24, columns=32)]
    kept(server, *files)
    study = path_of(files[0], "study")
    whole = get(server, f"{study}/rendered")
    assert [(kind, picture(body).format) for kind, body in binary_parts(whole)] == [("image/jpeg", "JPEG")] * 3
    assert "Warning" not in whole.headers
    bare = meta(EXPLICIT, f"2.25.{seed}") + b"".join(
        (
            element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.88.11"),
            element(0x00080018, "UI", f"2.25.{seed}".encode()),
            element(0x0020000D, "UI", str(read(files[0]).StudyInstanceUID).encode()),
            element(0x0020000E, "UI", b"2.25.5"),
        )
    )
    assert server.stow(bare).status == 200
    part = get(server, f"{study}/rendered", 'multipart/related; type="image/png"')
    assert part.status == 206
    assert "1 of 4" in part.headers["Warning"]
    assert len(binary_parts(part)) == 3
    refused = get(server, f"{study}/rendered", "image/png")
    assert refused.status == 406
    assert "multipart/related" in refused.json()["detail"]
    assert get(server, f"{study}/series/2.25.5/rendered").status == 406
    assert get(server, f"{study}/series/2.25.5/instances/2.25.{seed}/rendered").status == 406
    assert get(server, f"{study}/series/2.25.5/thumbnail").status == 406


def test_thumbnails_of_every_level(server: Server, seed: int) -> None:
    files = [cr_image(seed, rows=300, columns=200), us_cine(seed, frames=5, rows=24, columns=32)]
    path = kept(server, *files)
    for where in (path_of(files[0], "study"), path_of(files[0], "series"), path, f"{path}/frames/1"):
        answer = get(server, f"{where}/thumbnail")
        assert picture(answer.body).format == "JPEG"
        assert max(picture(answer.body).size) <= 128
        assert get(server, f"{where}/thumbnail", If_None_Match=answer.headers["ETag"]).status == 304
        assert max(picture(get(server, f"{where}/thumbnail?viewport=40,40", "image/png").body).size) == 40
    assert get(server, f"{path_of(files[1])}/frames/6/thumbnail").status == 404
    assert get(server, f"{path}/thumbnail", "application/dicom").status == 406


# Capabilities, and the rest -------------------------------------------------------------------------------------


def test_capabilities_list_what_openapi_lists(server: Server) -> None:
    space = {"w": "http://wadl.dev.java.net/2009/02"}
    for method in ("GET", "OPTIONS"):
        answer = server.request(method, "/dicomweb")
        assert answer.headers["Content-Type"] == "application/vnd.sun.wadl+xml"
        found = {each.attrib["path"] for each in ElementTree.fromstring(answer.body).iterfind(".//w:resource", space)}
        paths = get(server, "/openapi.json").json()["paths"]
        assert found == {path.removeprefix("/dicomweb") for path in paths if path.startswith("/dicomweb")}
    listed = get(server, "/stores/raw/dicomweb", "application/json").json()["resources"]
    assert {each["path"] for each in listed} == found
    assert get(server, "/dicomweb", "text/html").status == 406


def test_a_file_of_the_other_doors_has_ranges_too(server: Server, seed: int) -> None:
    data = ct_slice(seed, size=32)
    file_id = server.post_form(data).json()["file_id"]
    answer = get(server, f"/dicom-image/{file_id}", Range="bytes=128-131")
    assert (answer.status, answer.body) == (206, b"DICM")
    views = {get(server, f"/dicom-image/{file_id}/png{query}").headers["ETag"] for query in (
        "", "?window=1,2", "?window=1,2,sigmoid", "?viewport=9,9", "?width=9", "?viewport=9,9,1,1,5,5",
    )}  # fmt: skip
    assert len(views) == 6


def test_a_download_that_is_given_up_leaves_the_server_well(own_server: Server) -> None:
    import socket

    files = [ct_slice(3, number, size=512) for number in range(1, 13)]
    for data in files:
        assert own_server.stow(data).status == 200
    study = path_of(files[0], "study")
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", own_server.port)) as connection:
            connection.sendall(f"GET {study} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {DICOM_PARTS}\r\n\r\n".encode())
            assert connection.recv(100_000)
    assert len(binary_parts(get(own_server, study, DICOM_PARTS))) == 12
    assert "unexpected fault" not in own_server.log.read_text()
