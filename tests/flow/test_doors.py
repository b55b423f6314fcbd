"""The doors of systems E and D as their clients use them: curl, forms, base64 and bytes."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import imagecodecs
import numpy as np
import pytest

from isocenter.testing.elements import EXPLICIT, element, identity, item, meta, sequence
from isocenter.testing.instances import (
    ct_slice,
    gif_picture,
    jpeg_picture,
    nifti_volume,
    png_picture,
    us_cine,
)
from isocenter.testing.server import Server

_seeds = itertools.count(1000)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A number that no other test has, whichever process runs it."""
    return zlib.crc32(f"{request.node.nodeid}{next(_seeds)}".encode())


def curl(*arguments: str | Path) -> bytes:
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", *map(str, arguments)], capture_output=True, check=True, timeout=90
    )
    return done.stdout


def status(*arguments: str | Path) -> int:
    return int(curl("-o", "/dev/null", "-w", "%{http_code}", *arguments))


def uploaded(server: Server, path: Path) -> str:
    answer = json.loads(curl("-F", f"file=@{path}", f"{server.url}/dicom-image"))
    return str(answer["file_id"])


def test_a_file_sent_by_curl_comes_back_byte_for_byte(server: Server, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "slice.dcm"
    path.write_bytes(ct_slice(seed))
    file_id = uploaded(server, path)
    assert curl(f"{server.url}/dicom-image/{file_id}") == path.read_bytes()
    again = json.loads(curl("-F", f"file=@{path}", f"{server.url}/dicom-image"))
    assert (again["file_id"], again["outcome"]) == (file_id, "duplicate")


@pytest.mark.parametrize("spelling", ["(0010,0010)", "00100010", "PatientName", "0010,0010", "(0010, 0010)"])
def test_an_attribute_is_read_by_every_spelling_of_its_tag(
    server: Server, tmp_path: Path, seed: int, spelling: str
) -> None:
    path = tmp_path / "slice.dcm"
    path.write_bytes(ct_slice(seed, size=16))
    url = f"{server.url}/dicom-image/{uploaded(server, path)}"
    plain = curl("-G", "--data-urlencode", f"dicom_tag={spelling}", "-H", "Accept: text/plain", url)
    assert plain.decode() == "Phantom^Öl"
    whole = json.loads(curl("-G", "--data-urlencode", f"dicom_tag={spelling}", url))
    assert (whole["tag"], whole["keyword"], whole["vr"]) == ("(0010,0010)", "PatientName", "PN")
    assert whole["value"] == "Phantom^Öl"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ReferencedImageSequence.ReferencedSOPInstanceUID", "2.25.71"),
        ("ReferencedImageSequence.1.ReferencedSOPInstanceUID", "2.25.72"),
        ("(0008,1140)[1].(0008,1155)", "2.25.72"),
        ("00081140.00081155", "2.25.71"),
    ],
)
def test_a_dotted_path_leads_through_sequences(
    server: Server, tmp_path: Path, seed: int, path: str, value: str
) -> None:
    items = [item(element(0x00081155, "UI", uid)) for uid in ("2.25.71", "2.25.72")]
    file = tmp_path / "sequence.dcm"
    uid = f"2.25.{seed}"
    file.write_bytes(meta(EXPLICIT, uid) + identity(uid) + sequence(0x00081140, *items))
    url = f"{server.url}/dicom-image/{uploaded(server, file)}"
    assert curl("-G", "--data-urlencode", f"dicom_tag={path}", "-H", "Accept: text/plain", url).decode() == value


def test_a_png_shows_the_phantom(server: Server, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "slice.dcm"
    path.write_bytes(ct_slice(seed))
    file_id = uploaded(server, path)
    picture = imagecodecs.png_decode(curl(f"{server.url}/dicom-image/{file_id}/png"))
    assert picture.shape[:2] == (256, 256)
    grey = picture if picture.ndim == 2 else picture[..., 0]
    # Window 40/400: air is black, soft tissue middle grey, bone white.
    assert grey[2, 2] == 0
    assert 120 < grey[64, 128] < 135
    assert grey[185, 136] == 255
    lung = imagecodecs.png_decode(curl(f"{server.url}/dicom-image/{file_id}/png?window=-600,1500&width=128"))
    assert lung.shape[:2] == (128, 128)
    assert 75 < (lung if lung.ndim == 2 else lung[..., 0])[51, 45] < 95


def test_each_frame_of_a_colour_cine_is_shown(server: Server, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "cine.dcm"
    path.write_bytes(us_cine(seed, frames=3))
    file_id = uploaded(server, path)
    shown = [imagecodecs.png_decode(curl(f"{server.url}/dicom-image/{file_id}/png?frame={n}")) for n in (1, 2, 3)]
    for picture in shown:
        red = (picture[..., 0] == 230) & (picture[..., 1] == 60)
        assert 100 < np.count_nonzero(red) < 5000
    assert len({picture.tobytes() for picture in shown}) == 3
    assert status(f"{server.url}/dicom-image/{file_id}/png?frame=4") == 404


def test_what_is_not_dicom_is_no_file_of_this_door(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png_picture())
    assert status("-F", f"file=@{path}", f"{server.url}/dicom-image") == 415
    assert status("-F", "other=text", f"{server.url}/dicom-image") == 400
    assert status(f"{server.url}/dicom-image/{'a' * 26}") == 404


def kinds(seed: int) -> Sequence[tuple[str, bytes, str]]:
    return (
        ("dicom", ct_slice(seed, size=32), "application/dicom"),
        ("nifti", nifti_volume(seed, size=8), "application/x-nifti"),
        ("jpeg", jpeg_picture(seed), "image/jpeg"),
        ("png", png_picture(seed), "image/png"),
        ("gif", gif_picture(seed), "image/gif"),
    )


@pytest.mark.parametrize("way", ["raw", "base64 in JSON", "base64 text", "multipart"])
def test_images_of_every_kind_go_in_by_every_encoding(server: Server, tmp_path: Path, seed: int, way: str) -> None:
    subject = f"subject/{seed} ä"
    for name, data, media_type in kinds(seed):
        path = tmp_path / name
        query = f"subject_id={quote(subject, safe='')}&image_id={name}"
        url = f"{server.url}/images?{query}"
        if way == "base64 in JSON":
            path.write_text(json.dumps({"data": base64.b64encode(data).decode()}))
            sent = curl("-H", "Content-Type: application/json", "--data-binary", f"@{path}", url)
        elif way == "base64 text":
            path.write_bytes(base64.encodebytes(data))
            headers = ("-H", f"Content-Type: {media_type}", "-H", "Content-Transfer-Encoding: base64")
            sent = curl(*headers, "--data-binary", f"@{path}", url)
        elif way == "multipart":
            path.write_bytes(data)
            sent = curl("-F", f"file=@{path};type={media_type}", url)
        else:
            path.write_bytes(data)
            sent = curl("-H", f"Content-Type: {media_type}", "--data-binary", f"@{path}", url)
        told = json.loads(sent)
        assert (told["kind"], told["outcome"], told["size"]) == (name, "stored", len(data)), told
        content = f"{server.url}/images/content?{query}"
        assert base64.b64decode(json.loads(curl(content))["data"]) == data
        assert curl("-H", "Accept: application/octet-stream", content) == data
        assert curl("-H", f"Accept: {media_type}", content) == data
    listed = json.loads(curl(f"{server.url}/images?subject_id={quote(subject, safe='')}"))
    assert [image["image_id"] for image in listed["images"]] == [name for name, _, _ in kinds(seed)]
    assert listed["next"] is None


def test_an_unknown_subject_has_no_images_and_an_unknown_image_is_not_found(server: Server, seed: int) -> None:
    assert json.loads(curl(f"{server.url}/images?subject_id=nobody-{seed}")) == {"images": [], "next": None}
    assert status(f"{server.url}/images/content?subject_id=nobody-{seed}&image_id=1") == 404


def test_a_list_of_images_is_paged_and_never_cut_silently(server: Server, tmp_path: Path, seed: int) -> None:
    for number in range(7):
        path = tmp_path / str(number)
        path.write_bytes(png_picture(seed + number))
        curl("--data-binary", f"@{path}", f"{server.url}/images?subject_id=pages-{seed}&image_id={number}")
    found, after = [], ""
    while True:
        page = json.loads(curl(f"{server.url}/images?subject_id=pages-{seed}&limit=3{after}"))
        found += [image["image_id"] for image in page["images"]]
        if page["next"] is None:
            break
        after = f"&after={quote(page['next'], safe='')}"
    assert found == [str(number) for number in range(7)]


def test_other_bytes_under_the_same_ids_are_a_conflict_and_the_first_stays(
    server: Server, tmp_path: Path, seed: int
) -> None:
    url = f"{server.url}/images?subject_id=conflict-{seed}&image_id=1"
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(png_picture(seed))
    second.write_bytes(png_picture(seed + 1))
    assert status("--data-binary", f"@{first}", url) == 201
    assert status("--data-binary", f"@{first}", url) == 200
    assert status("--data-binary", f"@{second}", url) == 409
    content = f"{server.url}/images/content?subject_id=conflict-{seed}&image_id=1"
    assert curl("-H", "Accept: image/png", content) == first.read_bytes()


def test_images_are_searched_by_wildcards_kind_and_moment(server: Server, seed: int) -> None:
    pictures = (("a-1", png_picture(seed)), ("a-2", jpeg_picture(seed)), ("b[1]", png_picture(seed + 1)))
    moments = []
    for name, data in pictures:
        answer = server.request("POST", f"/images?subject_id={quote(f's{seed}-{name}')}&image_id={name[0]}", data)
        assert answer.status == 201, answer.body
        moments.append(answer.json()["created"])

    def found(query: str) -> list[str]:
        answer = server.request("GET", f"/images?{query}")
        assert answer.status == 200, answer.body
        return [each["subject_id"].partition("-")[2] for each in answer.json()["images"]]

    everyone = f"subject_id=s{seed}-*"
    assert found(everyone) == ["a-1", "a-2", "b[1]"]
    assert found(f"subject_id=s{seed}-a-%3F") == ["a-1", "a-2"]
    assert found(f"subject_id=s{seed}-b[[1]*") == []
    assert found(f"subject_id=s{seed}-b[*") == ["b[1]"]
    assert found(f"{everyone}&kind=png&image_id=a") == ["a-1"]
    assert found(f"{everyone}&created_from={quote(moments[1])}") == ["a-2", "b[1]"]
    assert found(f"{everyone}&created_before={quote(moments[1])}") == ["a-1"]
    assert server.request("GET", "/images?limit=1").json()["next"] is not None
    assert server.request("GET", f"/images?subject_id={'*' * 9}").status in (400, 422)
