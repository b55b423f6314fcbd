"""Keys and the audit log from the command line."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from isocenter.bootstrap.backends import open_backends
from isocenter.cli.main import app
from isocenter.errors import BadRequest, IsocenterError, NotFound
from isocenter.settings import Settings
from isocenter.web.auth import KeyAuthenticator

DAY = 86400


def run(*words: str) -> Result:
    found = CliRunner().invoke(app, list(words))
    if isinstance(found.exception, Exception):
        raise found.exception
    return found


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


def test_a_key_stands_alone_on_standard_output_and_works(home: str) -> None:
    made = run(
        "keys",
        "new",
        "--label",
        "viewer",
        "--scope",
        "images:read",
        "--scope",
        "images:write@raw",
        "--home",
        home,
    )
    assert made.exit_code == 0
    assert re.fullmatch(r"isk_[0-9a-f]{12}_[\w-]{43}\n", made.stdout)
    assert "not shown again" in made.stderr
    backends = open_backends(Settings(home=Path(home)))
    principal = KeyAuthenticator(backends.platform.api_keys).authenticate(f"Bearer {made.stdout.strip()}")
    (entry,) = backends.platform.audit.read()
    backends.close()
    assert principal.grants == {"images:read", "images:write@raw"}
    assert entry.action == "key.new"
    assert entry.actor.startswith("cli:")
    listed = run("keys", "ls", "--json", "--home", home)
    (key,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (key["label"], key["state"], key["scopes"]) == (
        "viewer",
        "valid",
        ["images:read", "images:write@raw"],
    )
    secret = made.stdout.strip()[-43:]
    assert secret not in listed.stdout + run("keys", "ls", "--home", home).stdout
    for file in Path(home).rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("images:rad", "images:read, images:write"),
        ("images:read@elsewhere", "raw, deidentified"),
        ("images:read@", "raw"),
    ],
)
def test_an_unknown_scope_or_store_is_refused_with_those_there_are(home: str, scope: str, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        run("keys", "new", "--label", "x", "--scope", scope, "--home", home)
    assert told in caught.value.detail
    assert scope not in caught.value.detail


def test_keys_expire_after_90_days_unless_told_otherwise(home: str) -> None:
    for more in ([], ["--days", "7"], ["--never-expires"]):
        run("keys", "new", "--label", "x", "--scope", "admin", *more, "--home", home)
    backends = open_backends(Settings(home=Path(home)))
    keys = backends.platform.api_keys.all()
    backends.close()
    lasting = [k.expires and round((k.expires - k.created).total_seconds() / DAY) for k in keys]
    assert lasting == [90, 7, None]


def test_a_key_is_revoked_once_for_all(home: str) -> None:
    made = run("keys", "new", "--label", "x", "--scope", "admin", "--home", home).stdout
    for _ in range(2):
        assert run("keys", "revoke", made.split("_")[1], "--home", home).exit_code == 0
    assert json.loads(run("keys", "ls", "--json", "--home", home).stdout)["state"] == "revoked"
    with pytest.raises(NotFound):
        run("keys", "revoke", "0" * 12, "--home", home)
    lines = run("audit", "export", "--home", home).stdout.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["key.new", "key.revoke"]


@pytest.mark.parametrize("label", ["", " ", "a\nb", "x" * 101])
def test_a_label_is_short_printable_text(home: str, label: str) -> None:
    with pytest.raises(IsocenterError):
        run("keys", "new", "--label", label, "--scope", "admin", "--home", home)


def filled(home: str, count: int = 5) -> None:
    for number in range(count):
        run("keys", "new", "--label", f"k{number}", "--scope", "admin", "--home", home)


def test_an_intact_log_ends_with_0_and_an_anchor_for_later(home: str) -> None:
    filled(home)
    first = run("audit", "verify", "--home", home)
    assert first.exit_code == 0
    assert re.fullmatch(r"5:[0-9a-f]{64}\n", first.stdout)
    assert run("audit", "verify", "--anchor", first.stdout.strip(), "--home", home).exit_code == 0
    wrong = f"5:{'0' * 64}"
    assert run("audit", "verify", "--anchor", wrong, "--home", home).exit_code == 1
    with pytest.raises(BadRequest):
        run("audit", "verify", "--anchor", "5", "--home", home)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit SET actor = 'cli:other' WHERE sequence = 3", "entry 3"),
        ("DELETE FROM audit WHERE sequence = 2", "entry 2"),
        ("DELETE FROM audit WHERE sequence > 3", "the end is missing: 3"),
    ],
)
def test_a_log_that_was_altered_ends_with_1_and_says_where(home: str, statement: str, told: str) -> None:
    filled(home)
    direct = sqlite3.connect(Path(home) / "isocenter.sqlite", isolation_level=None)
    direct.execute(statement)
    direct.close()
    for _ in range(2):  # looking at it does not heal it
        found = run("audit", "verify", "--home", home)
        assert found.exit_code == 1
        assert told in found.stderr.replace("\n", " ")


@pytest.mark.parametrize("format", ["jsonl", "fhir", "dicom"])
def test_the_log_is_exported_line_by_line(home: str, format: str, tmp_path: Path) -> None:
    filled(home)
    file = tmp_path / "out"
    assert run("audit", "export", "--format", format, "--output", str(file), "--home", home).exit_code == 0
    lines = file.read_text().splitlines()
    assert len(lines) == 5
    for line in lines:
        if format == "dicom":
            assert ElementTree.fromstring(line).tag == "AuditMessage"
        else:
            assert json.loads(line)
    rest = run("audit", "export", "--after", "4", "--home", home).stdout.splitlines()
    assert [json.loads(line)["action"] for line in rest] == ["key.new", "audit.export"]
