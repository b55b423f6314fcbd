"""Deliveries over the wire: links that work for whoever has one, and for nobody else, on a real server."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pydicom
import pytest

from isocenter.archive.deliver import Deliver, Terms
from isocenter.archive.file_set import FileSets
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller
from isocenter.bootstrap.backends import open_backends
from isocenter.records import now
from isocenter.settings import Settings
from isocenter.testing.instances import ct_slice, png_picture
from isocenter.testing.server import Answer, Server, running

SLICES, MANY = 4, 2500
CANARY = "CANARYNAME"


@dataclass
class World:
    server: Server
    key: str
    files: dict[str, bytes]  # by SOP Instance UID

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        return self.server.request(method, path, None if body is None else json.dumps(body).encode(), headers)

    def delivered(self, **of: Any) -> Any:
        answer = self.ask("POST", "/deliveries", of)
        assert answer.status == 201, answer.body
        return answer.json()

    def images(self) -> dict[str, bytes]:
        """What the study of the slices holds, by internal id."""
        index = sqlite3.connect(self.server.home / "isocenter.sqlite")
        rows = index.execute("select id, sop_instance_uid from images where store = 'raw' and state = 'current'")
        return {id: self.files[uid] for id, uid in rows if uid in self.files}

    def follow(self, url: str, method: str = "GET", **headers: str) -> Answer:
        """As somebody without credentials."""
        return self.server.request(method, urlsplit(url).path, None, headers)

    @property
    def study(self) -> str:
        return str(pydicom.dcmread(io.BytesIO(next(iter(self.files.values())))).StudyInstanceUID)

    def audit(self, action: str, outcome: str = "success", least: int = 1) -> list[Any]:
        """Entries, waited for as they are written within a second."""
        end = time.monotonic() + 5
        while True:
            index = sqlite3.connect(self.server.home / "isocenter.sqlite")
            index.row_factory = sqlite3.Row
            wanted = "select * from audit where action = ? and outcome = ? order by sequence"
            found = index.execute(wanted, (action, outcome)).fetchall()
            if len(found) >= least or time.monotonic() > end:
                return found
            time.sleep(0.1)


def new_key(server: Server, *scopes: str) -> str:
    words = [word for scope in scopes for word in ("--scope", scope)]
    done = server.run("keys", "new", "--label", "test", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("deliveries")
    slices = [ct_slice(1, n, size=64, slices=SLICES, PatientName=f"{CANARY}^A") for n in range(1, SLICES + 1)]
    (folder / "in").mkdir()
    for number, data in enumerate(slices):
        (folder / "in" / f"{number}.dcm").write_bytes(data)
    (folder / "in" / "picture.png").write_bytes(png_picture(1))
    with running(folder / "home", ISOCENTER_AUTH="keys", ISOCENTER_WORKER_IDLE_SECONDS="2") as server:
        assert server.run("ingest", str(folder / "in")).returncode == 0
        key = new_key(server, "deliver", "images:read", "identified:read", "images:delete", "process")
        named = {str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID): data for data in slices}
        yield World(server, key, named)


def test_a_link_works_by_curl_without_credentials_and_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    made = world.delivered(study_uid=world.study)
    assert (made["images"], len(made["links"]), made["missing"], made["next"]) == (SLICES, SLICES, [], None)
    originals = world.images()
    for link in made["links"]:
        out = tmp_path / "out"
        subprocess.run(["curl", "-sS", "--fail", "-o", str(out), link["url"]], check=True)
        assert out.read_bytes() == originals[link["image_id"]]
        assert hashlib.sha256(out.read_bytes()).hexdigest() == link["sha256"]
        assert link["size"] == out.stat().st_size
        assert link["file_name"] == f"{link['image_id']}.dcm"
    life = world.ask("GET", f"/deliveries/{made['id']}").json()
    assert life["links"] == made["links"]


def test_headers_say_what_it_is_and_keep_it_out_of_caches(world: World) -> None:
    link = world.delivered(images=list(world.images())[:1])["links"][0]
    answer = world.follow(link["url"])
    assert answer.status == 200
    found = {name: answer.headers[name] for name in ("Content-Type", "Content-Disposition", "Cache-Control")}
    assert found == {
        "Content-Type": "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
        "Content-Disposition": f'attachment; filename="{link["file_name"]}"',
        "Cache-Control": "private, no-store",
    }
    assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_all("Referrer-Policy") == ["no-referrer"]
    digest = base64.b64encode(hashlib.sha256(answer.body).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"


def test_heads_ranges_and_conditions(world: World) -> None:
    link = world.delivered(images=list(world.images())[:1])["links"][0]
    whole = world.follow(link["url"])
    head = world.follow(link["url"], "HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(link["size"]))
    part = world.follow(link["url"], Range="bytes=100-199")
    assert (part.status, part.body) == (206, whole.body[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{link['size']}"
    assert world.follow(link["url"], **{"If-None-Match": whole.headers["ETag"]}).status == 304
    assert world.follow(link["url"], Range=f"bytes={link['size']}-").status == 416


def test_a_zip_is_a_file_set_that_others_read(world: World, tmp_path: Path) -> None:
    made = world.delivered(study_uid=world.study, zip=True)
    (link,) = made["links"]
    answer = world.follow(link["url"])
    assert (answer.status, len(answer.body), answer.headers["Content-Type"]) == (200, link["size"], "application/zip")
    assert CANARY.encode() not in answer.headers.as_bytes()
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        archive.extractall(tmp_path)
        kept = {archive.read(name) for name in archive.namelist() if name != "DICOMDIR"}
    assert kept == set(world.files.values())
    directory = pydicom.dcmread(tmp_path / "DICOMDIR")
    listed = [
        tmp_path.joinpath(*r.ReferencedFileID) for r in directory.DirectoryRecordSequence if "ReferencedFileID" in r
    ]
    assert {path.read_bytes() for path in listed} == kept
    assert subprocess.run(["dcmdump", "-q", str(tmp_path / "DICOMDIR")], stdout=subprocess.DEVNULL).returncode == 0
    part = world.follow(link["url"], Range=f"bytes={link['size'] - 22}-")
    assert (part.status, part.body[:4]) == (206, b"PK\5\6")


def test_by_subject_with_what_is_not_dicom_and_with_what_is_not_there(world: World) -> None:
    subject = str(pydicom.dcmread(io.BytesIO(next(iter(world.files.values())))).PatientID)
    assert world.delivered(subject_id=subject)["images"] == SLICES
    some = next(iter(world.images()))
    assert world.delivered(images=[some, "nothing"])["missing"] == ["nothing"]
    for body, status in (
        ({"images": ["nothing"]}, 404),
        ({"study_uid": "1.2.3"}, 404),
        ({"job": "none"}, 404),
        ({"images": [some], "store": "nowhere"}, 404),
        ({"images": [some], "seconds": 59}, 400),
        ({"images": [some], "seconds": 604801}, 400),
        ({"images": [some], "study_uid": "1.2.3"}, 400),
        ({"images": []}, 400),
        ({}, 400),
    ):
        assert world.ask("POST", "/deliveries", body).status == status, body


def gone(answer: Answer) -> tuple[int, Any, list[str]]:
    """A refusal but for its request's id."""
    told = answer.json() if answer.body else {}
    names = sorted(name.lower() for name in answer.headers if name.lower() not in ("date", "server"))
    return answer.status, {**told, "request_id": ""}, names


def abuses(world: World) -> dict[str, str]:
    """Tokens that nobody gave out."""
    first, second = (world.delivered(images=[image])["links"][0]["url"] for image in list(world.images())[:2])
    one, other = (url.rpartition("/")[2] for url in (first, second))
    zipped = world.delivered(images=list(world.images()), zip=True)["links"][0]["url"].rpartition("/")[2]
    raw, raw_other = (bytearray(base64.urlsafe_b64decode(each)) for each in (one, other))

    def altered(start: int, stop: int, by: bytes | bytearray) -> str:
        made = bytearray(raw)
        made[start:stop] = by
        return base64.urlsafe_b64encode(made).decode()

    return {
        "nothing": "",
        "forged MAC": altered(61, 93, bytes(32)),
        "MAC of another link": altered(61, 93, raw_other[61:]),
        "another image": altered(27, 53, raw_other[27:53]),
        "another delivery": altered(1, 27, raw_other[1:27]),
        "all of them": altered(27, 53, b"-" * 26),
        "a week more": altered(53, 61, (int.from_bytes(raw[53:61], "big") + 604_800_000_000).to_bytes(8, "big")),
        "never expires": altered(53, 61, b"\xff" * 8),
        "version 0": altered(0, 1, b"\0"),
        "one bit": altered(92, 93, bytes([raw[92] ^ 1])),
        "the ZIP's payload": base64.urlsafe_b64encode(base64.urlsafe_b64decode(zipped)[:61] + bytes(raw[61:])).decode(),
        "cut": one[:-1],
        "cut to its payload": one[:80],
        "one more": f"{one}A",
        "padded": f"{one}=",
        "padded twice": f"{one}%3D%3D",
        "other case": one.swapcase(),
        "upper case": one.upper(),
        "both": f"{one}/{other}",
        "slash after": f"{one}/",
        "path after": f"{one}/../{other}",
        "path before": f"x%2F..%2F{one}",
        "NUL after": f"{one}%00",
        "line feed after": f"{one}%0A",
        "space before": f"%20{one}",
        "unicode": quote("\N{FULLWIDTH LATIN SMALL LETTER A}" * 124),
        "full-width twin": quote(one.translate({ord(c): ord(c) + 0xFEE0 for c in "abcdefghijkl"})),
        "not UTF-8": "%FF%FE" * 62,
        "overlong": "A" * 20_000,
        "a path": "..%2F..%2Fisocenter.sqlite",
        "SQL": quote("' OR 1=1 --"),
        "image id alone": next(iter(world.images())),
    }


def test_every_abuse_of_a_link_answers_alike(world: World) -> None:
    found = abuses(world)
    assert len(found) >= 30
    expected = gone(world.follow(f"/delivered/{'A' * 124}"))
    assert expected[0] == 404
    for name, token in found.items():
        answer = world.server.request("GET", f"/delivered/{token}")
        assert answer.status == 404, name
        assert gone(answer) == expected, name
    refused = world.audit("deliver.fetch", "denied")
    assert refused
    assert {entry["actor"] for entry in refused} >= {"unknown"}


def test_a_revoked_an_expired_and_a_forged_link_are_not_told_apart(world: World) -> None:
    expected = gone(world.follow(f"/delivered/{'A' * 124}"))
    made = world.delivered(study_uid=world.study)
    url = made["links"][0]["url"]
    assert world.follow(url).status == 200
    assert world.ask("DELETE", f"/deliveries/{made['id']}").status == 204
    assert gone(world.follow(url)) == expected
    assert world.ask("GET", f"/deliveries/{made['id']}").status == 404
    listed = world.ask("GET", "/deliveries?limit=100").json()["deliveries"]
    assert [each["revoked"] is not None for each in listed if each["id"] == made["id"]] == [True]
    assert gone(world.server.request("GET", f"/delivered/{expired(world)}")) == expected
    (entry,) = [e for e in world.audit("deliver.revoke") if e["actor"].startswith("key:")][-1:]
    assert entry["store"] == "raw"


def expired(world: World) -> str:
    """The token of a delivery that ended an hour ago, made with the server's own key."""
    backends = open_backends(Settings(home=world.server.home))
    try:
        retrieve = Retrieve(backends.platform)
        ago = now() - timedelta(hours=2)
        deliver = Deliver(backends.platform, retrieve, FileSets(retrieve), {"raw"}, clock=lambda: ago)
        made, _ = deliver.create("raw", list(world.images()), Terms(seconds=3600), Caller("tester"))
        path = deliver.links(made).items[0].path
        assert path is not None
        assert b"".join(deliver.fetch(path.rpartition("/")[2]).content.chunks) in world.files.values()
        return path.rpartition("/")[2]
    finally:
        backends.close()


def test_other_methods_tell_a_good_link_from_a_bad_one_no_more_than_that(world: World) -> None:
    good = world.delivered(study_uid=world.study)["links"][0]["url"]
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        answers = [gone(world.follow(url, method)) for url in (good, f"/delivered/{'A' * 124}")]
        assert answers[0] == answers[1]
        assert answers[0][0] == 405


def test_credentials_open_no_dead_link(world: World) -> None:
    assert world.ask("GET", f"/delivered/{'A' * 124}").status == 404


def test_deleting_an_image_kills_its_link_alone(world: World, tmp_path: Path) -> None:
    data = ct_slice(50, 1, size=16)
    (tmp_path / "x.dcm").write_bytes(data)
    assert world.server.run("ingest", str(tmp_path / "x.dcm")).returncode == 0
    study = str(pydicom.dcmread(io.BytesIO(data)).StudyInstanceUID)
    (id,) = [link["image_id"] for link in world.delivered(study_uid=study)["links"]]
    kept = next(iter(world.images()))
    dead, alive = world.delivered(images=[id, kept])["links"]
    assert world.follow(dead["url"]).status == 200
    assert world.ask("DELETE", f"/dicom-image/{id}").status == 204
    assert world.follow(dead["url"]).status == 404
    assert world.follow(alive["url"]).status == 200


def test_who_may_not_read_may_not_deliver(world: World) -> None:
    image = next(iter(world.images()))
    blind = new_key(world.server, "deliver", "images:read")
    assert world.ask("POST", "/deliveries", {"images": [image]}, blind).status == 403
    made = world.delivered(images=[image])
    listed = world.ask("GET", "/deliveries?limit=100", None, blind).json()["deliveries"]
    assert "raw" not in {each["store"] for each in listed}
    assert world.ask("GET", f"/deliveries/{made['id']}", None, blind).status == 404
    assert world.ask("DELETE", f"/deliveries/{made['id']}", None, blind).status == 404
    elsewhere = new_key(world.server, "deliver@deidentified", "images:read@deidentified")
    assert world.ask("POST", "/deliveries", {"images": [image]}, elsewhere).status == 404
    reader = new_key(world.server, "images:read", "identified:read")
    assert world.ask("POST", "/deliveries", {"images": [image]}, reader).status == 403


def test_what_came_of_a_job_is_delivered_with_uids_for_names(world: World) -> None:
    id = world.ask("POST", "/pipelines/validate-deidentify/runs", {"study_uid": world.study}).json()["id"]
    assert world.ask("POST", "/deliveries", {"job": id}).status == 409
    end = time.monotonic() + 60
    while world.ask("GET", f"/jobs/{id}").json()["state"] != "done":
        assert time.monotonic() < end
        time.sleep(0.1)
    made = world.delivered(job=id)
    assert (made["store"], made["images"]) == ("deidentified", SLICES)
    for link in made["links"]:
        instance = pydicom.dcmread(io.BytesIO(world.follow(link["url"]).body))
        assert link["file_name"] == f"{instance.SOPInstanceUID}.dcm"
        assert CANARY not in str(instance)
    assert world.ask("POST", "/deliveries", {"job": id, "store": "raw"}).status == 404


def test_thousands_of_images_come_in_pages_and_none_is_lost(world: World, tmp_path: Path) -> None:
    for number in range(MANY):
        (tmp_path / f"{number}.dcm").write_bytes(ct_slice(900, number + 1, size=8, slices=MANY))
    assert world.server.run("ingest", str(tmp_path)).returncode == 0
    study = str(pydicom.dcmread(tmp_path / "0.dcm").StudyInstanceUID)
    page = world.delivered(study_uid=study)
    assert page["images"] == MANY
    found, sizes = list(page["links"]), [len(page["links"])]
    while page["next"] is not None:
        page = world.ask("GET", f"/deliveries/{page['id']}?after={page['next']}").json()
        found += page["links"]
        sizes.append(len(page["links"]))
    assert sizes == [1000, 1000, 500]
    assert len({link["image_id"] for link in found}) == len({link["url"] for link in found}) == MANY
    assert world.follow(found[-1]["url"]).status == 200


def test_every_fetch_is_audited_with_the_delivery_and_a_count(world: World) -> None:
    made, zipped = world.delivered(study_uid=world.study), world.delivered(study_uid=world.study, zip=True)
    image = made["links"][0]
    assert world.follow(image["url"]).status == world.follow(zipped["links"][0]["url"]).status == 200
    time.sleep(1)  # the audit trail is written within that
    fetched = {entry["actor"]: entry for entry in world.audit("deliver.fetch")}
    one, all_of_them = fetched[f"link:{made['id']}"], fetched[f"link:{zipped['id']}"]
    assert (one["image"], one["store"], one["count"], one["address"]) == (image["image_id"], "raw", 1, "127.0.0.1")
    assert all_of_them["count"] == SLICES
    created = world.audit("deliver.create")
    assert [entry["count"] for entry in created][-2:] == [SLICES, SLICES]


def test_neither_logs_nor_metrics_nor_audit_nor_database_hold_a_link_or_a_name(world: World) -> None:
    made = world.delivered(study_uid=world.study)
    tokens = [link["url"].rpartition("/")[2] for link in made["links"]]
    for link in made["links"]:
        world.follow(link["url"])
        world.follow(f"{link['url'][:-3]}AAA")
    admin = new_key(world.server, "admin")
    metrics = world.ask("GET", "/metrics", None, admin).body
    assert b'route="/delivered/{token}"' in metrics
    time.sleep(1)  # the audit trail is written within that
    index = sqlite3.connect(world.server.home / "isocenter.sqlite")
    texts = [world.server.log.read_bytes(), metrics]
    for table in ("audit", "deliveries", "delivered", "events"):
        texts.append(repr(index.execute(f"select * from {table}").fetchall()).encode())
    assert b'"/delivered/{token}"' in texts[0]
    secrets = [*tokens, *(token[80:] for token in tokens), *(token[:80] for token in tokens), CANARY, *world.files]
    for text in texts:
        assert not [secret for secret in secrets if secret.encode() in text]
