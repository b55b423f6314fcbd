"""Upload sessions as clients use and abuse them: signed addresses, parts, receipts, and the pipeline at the end."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isocenter.testing.instances import ct_slice, jpeg_picture, nifti_volume, png_picture
from isocenter.testing.server import Answer, Server, running

PIPELINE = "name: look\nsteps: [{name: quality, use: algorithm, with: {algorithm: quality}}]\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("uploads") / "home"
    (home / "pipelines").mkdir(parents=True)
    (home / "pipelines" / "look.yaml").write_text(PIPELINE)
    with running(home) as started:
        yield started


def announced(name: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}


def post(server: Server, path: str, body: Any = None) -> Answer:
    return server.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})


def begun(server: Server, *files: dict[str, Any], **more: Any) -> Any:
    answer = post(server, "/uploads", {"files": list(files), **more})
    assert answer.status == 201, answer.body
    return answer.json()


def put(server: Server, url: str, data: bytes, **headers: str) -> Answer:
    return server.request("PUT", url.removeprefix(server.url), data, headers)


def addresses(upload: Any) -> list[str]:
    return [part["url"] for file in upload["files"] for part in file["parts"]]


def test_three_kinds_of_image_are_sent_by_curl_and_looked_at_by_a_pipeline(server: Server, tmp_path: Path) -> None:
    """System B: upload straight to signed addresses, then poll the job and see what was found."""
    files = {"scan.dcm": ct_slice(21, 1, size=64), "photo.jpg": jpeg_picture(21), "picture.png": png_picture(21)}
    manifest = [
        announced(name, data, **({} if name.endswith("dcm") else {"subject_id": "s21", "image_id": name}))
        for name, data in files.items()
    ]
    upload = begun(server, *manifest, pipeline="look")
    for url, (name, data) in zip(addresses(upload), files.items(), strict=True):
        (tmp_path / name).write_bytes(data)
        subprocess.run(["curl", "-sSf", "-T", tmp_path / name, url], check=True, capture_output=True, timeout=60)
    command = ["curl", "-sSf", "-X", "POST", upload["complete_url"]]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert [receipt["outcome"] for receipt in done["receipts"]] == ["stored"] * 3
    assert [receipt["name"] for receipt in done["receipts"]] == list(files)
    for receipt, data in zip(done["receipts"], files.values(), strict=True):
        assert server.request("GET", f"/dicom-image/{receipt['image_id']}").body == data
    end = time.monotonic() + 60
    while (job := server.request("GET", f"/jobs/{done['job']}").json())["state"] != "done":
        assert time.monotonic() < end, job
        time.sleep(0.1)
    assert (job["finished"], job["rejected"]) == (3, 0)
    ids = "&".join(f"image={receipt['image_id']}" for receipt in done["receipts"])
    told = server.request("GET", f"/jobs/{done['job']}/results?{ids}").json()["results"]
    assert [one["said"]["algorithm"] for one in told] == ["quality"] * 3
    again = post(server, f"/uploads/{upload['id']}/complete")
    assert again.json() == done
    assert server.run("fsck").returncode == 0


def test_a_session_is_resumed_where_it_was_left(server: Server) -> None:
    first, second = nifti_volume(22), ct_slice(22, 1, size=64)
    upload = begun(server, announced("a", first, subject_id="s", image_id="22"), announced("b", second))
    assert put(server, addresses(upload)[0], first).status == 200
    assert put(server, addresses(upload)[0], first).json() == {"received": len(first)}  # again: the same
    early = post(server, f"/uploads/{upload['id']}/complete")
    assert (early.status, early.json()["code"]) == (409, "upload-incomplete")
    assert "files 1 " in early.json()["detail"]
    left = server.request("GET", f"/uploads/{upload['id']}").json()
    assert [part["received"] for file in left["files"] for part in file["parts"]] == [True, False]
    (url,) = [url for url in addresses(left) if url]
    assert put(server, url, second).status == 200
    assert [r["outcome"] for r in post(server, f"/uploads/{upload['id']}/complete").json()["receipts"]] == [
        "stored"
    ] * 2


def test_a_large_file_comes_in_parts_in_any_order(server: Server) -> None:
    data = ct_slice(23, 1, size=64)
    data += b"\xfc\xff\xfc\xffOB\0\0" + (66 << 20).to_bytes(4, "little") + bytes(66 << 20)  # trailing padding
    upload = begun(server, announced("large.dcm", data))
    parts = upload["files"][0]["parts"]
    assert [part["size"] for part in parts] == [64 << 20, len(data) - (64 << 20)]
    for part in reversed(parts):
        piece = data[part["offset"] : part["offset"] + part["size"]]
        assert put(server, part["url"], piece).status == 200
    before = server.memory()
    done = post(server, f"/uploads/{upload['id']}/complete").json()
    assert done["receipts"][0]["outcome"] == "stored", done
    assert server.memory() - before < 40 << 20
    assert server.request("GET", f"/dicom-image/{done['receipts'][0]['image_id']}").body == data


def test_each_file_fails_alone(server: Server) -> None:
    good, bad = ct_slice(24, 1, size=64), b"no image at all, whatever its name says"
    large = bytes(65 << 20)
    wrong = announced("changed.dcm", large) | {"sha256": "0" * 64}
    upload = begun(server, announced("good.dcm", good), announced("bad.dcm", bad), wrong)
    urls = addresses(upload)
    assert put(server, urls[0], good).status == put(server, urls[1], bad).status == 200
    for url, piece in zip(urls[2:], (large[: 64 << 20], large[64 << 20 :]), strict=True):
        assert put(server, url, piece).status == 200
    receipts = post(server, f"/uploads/{upload['id']}/complete").json()["receipts"]
    assert [receipt["outcome"] for receipt in receipts] == ["stored", "rejected", "rejected"]
    assert [receipt["code"] for receipt in receipts] == [None, "not-an-image", receipts[2]["code"]]
    assert receipts[2]["code"] in ("checksum-mismatch", "not-an-image")


def test_twenty_abuses_of_an_address_all_fail(server: Server) -> None:
    data, other = ct_slice(25, 1, size=64), ct_slice(26, 1, size=64)
    upload = begun(server, announced("a", data, media_type="application/dicom"), announced("b", other))
    mine, second = addresses(upload)
    token = mine.rpartition("/")[2]
    text, _, signature = token.rpartition(".")
    session, file, part = text.rsplit(".", 2)
    typed = {"Content-Type": "application/dicom"}

    def changed(**parts: str) -> str:
        made = {"session": session, "file": file, "part": part, "signature": signature, **parts}
        return "/uploaded/{session}.{file}.{part}.{signature}".format(**made)

    forged = [
        changed(file="1"),
        changed(part="1"),
        changed(file="-1"),
        changed(signature=second.rpartition(".")[2]),
        changed(signature=signature[:-1]),
        changed(signature=signature[:-1] + ("A" if signature[-1] != "A" else "B")),
        changed(signature=""),
        changed(signature=signature.swapcase()),
        changed(signature=signature + "="),
        changed(session="0" + session),
        changed(session=f"{int(session.partition('-')[0], 16) + 9999:x}-{session.partition('-')[2]}"),
        "/uploaded/x",
        "/uploaded/" + "x" * 299,
        "/uploaded/%00." + text,
        "/uploaded/" + token.replace(".", "%2e", 1) + "x",
    ]
    problems = set()
    for path in forged:
        answer = server.request("PUT", path, data, typed)
        assert answer.status == 404, path
        problems.add((answer.json()["code"], answer.json()["detail"]))
    assert len(problems) == 1
    refused = [
        (put(server, mine, other, **typed), 400),  # other bytes of another length
        (put(server, mine, data[:-1] + bytes([data[-1] ^ 1]), **typed), 422),  # of the same length
        (put(server, mine, data[:-2], **typed), 400),
        (put(server, mine, data + b"\0\0", **typed), 400),
        (put(server, mine, data), 415),
        (put(server, mine, data, **{"Content-Type": "image/png"}), 415),
        (put(server, mine, b"", **typed), 400),
        (put(server, changed(session="../../raw/x"), data, **typed), 404),
        (server.request("POST", mine.removeprefix(server.url), data, typed), 405),
        (server.request("GET", mine.removeprefix(server.url)), 405),
        (server.request("DELETE", mine.removeprefix(server.url)), 405),
        (
            server.request("PUT", mine.removeprefix(server.url), iter([data]), typed),
            400,
        ),  # chunked: of no stated length
    ]
    assert [answer.status for answer, _ in refused] == [status for _, status in refused]
    assert put(server, mine, data, **typed).status == 200
    assert put(server, second, other).status == 200
    assert server.request("DELETE", f"/uploads/{upload['id']}").status == 204
    assert put(server, second, other).status == 404
    assert post(server, f"/uploads/{upload['id']}/complete").status == 404
    assert token not in server.log.read_text()
    assert signature not in server.log.read_text()


def test_a_completed_session_takes_nothing_more(server: Server) -> None:
    data = ct_slice(27, 1, size=64)
    upload = begun(server, announced("a", data))
    (url,) = addresses(upload)
    assert put(server, url, data).status == 200
    assert post(server, f"/uploads/{upload['id']}/complete").status == 200
    assert put(server, url, data).json()["code"] == "upload-completed"
    assert server.request("DELETE", f"/uploads/{upload['id']}").status == 409
    assert all(
        part["received"] for part in server.request("GET", f"/uploads/{upload['id']}").json()["files"][0]["parts"]
    )


@pytest.mark.parametrize(
    "body",
    [
        {"files": []},
        {"files": [{"name": "a", "size": 0, "sha256": "0" * 64}]},
        {"files": [{"name": "a", "size": 1, "sha256": "0" * 63}]},
        {"files": [{"name": "a\n", "size": 1, "sha256": "0" * 64}]},
        {"files": [{"name": "a", "size": 1, "sha256": "0" * 64, "key": "../x"}]},
        {"files": [{"name": "a", "size": 1, "sha256": "0" * 64}], "seconds": 59},
        {"files": [{"name": "a", "size": 1, "sha256": "0" * 64}], "seconds": 1_000_000},
        {"files": [{"name": "a", "size": 1, "sha256": "0" * 64}], "pipeline": "nothing"},
    ],
)
def test_what_cannot_be_announced_is_said(server: Server, body: Any) -> None:
    assert post(server, "/uploads", body).status == (404 if "pipeline" in body else 400)


def test_a_store_that_is_not_there_is_not_found(server: Server) -> None:
    assert post(server, "/uploads", {"files": [announced("a", b"x")], "store": "nowhere"}).status == 404
