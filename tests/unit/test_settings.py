"""Settings: from arguments, then the environment, then isocenter.toml; what cannot work together is said."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from isocenter.errors import Misconfigured
from isocenter.settings import load


def test_without_anything_set_it_listens_on_loopback_only(tmp_path: Path) -> None:
    found = load(home=tmp_path)
    assert (found.host, found.auth, found.default_store) == ("127.0.0.1", "none", "raw")


def test_arguments_come_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "isocenter.toml").write_text('port = 1001\nworkers = 3\nlog_level = "error"\n')
    monkeypatch.setenv("ISOCENTER_PORT", "1002")
    monkeypatch.setenv("ISOCENTER_WORKERS", "2")
    found = load(home=tmp_path, port=1003)
    assert (found.port, found.workers, found.log_level) == (1003, 2, "error")


def test_the_file_is_found_in_the_home_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "isocenter.toml").write_text("port = 1001\n")
    monkeypatch.setenv("ISOCENTER_HOME", str(tmp_path))
    assert load().port == 1001


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])
def test_off_loopback_it_takes_authentication(tmp_path: Path, host: str) -> None:
    with pytest.raises(Misconfigured, match="this machine only"):
        load(home=tmp_path, host=host)
    assert load(home=tmp_path, host=host, auth="keys").host == host


def test_half_of_a_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="oidc_audience"):
        load(home=tmp_path, auth="oidc", oidc_issuer="https://login.example")
    with pytest.raises(Misconfigured, match="tls_key"):
        load(home=tmp_path, tls_certificate=tmp_path / "certificate.pem")


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "isocenter.toml").write_text("prot = 1001\n")
    with pytest.raises(ValidationError, match="prot"):
        load(home=tmp_path)


def test_stores_count_as_identified_unless_named_otherwise(tmp_path: Path) -> None:
    found = load(home=tmp_path, stores=("raw", "research", "deidentified"))
    assert found.identified_stores == ("raw", "research")


def test_settings_cross_into_other_processes_and_hide_their_secrets(tmp_path: Path) -> None:
    found = load(home=tmp_path, audit_key="a secret of some length")
    assert pickle.loads(pickle.dumps(found)) == found
    assert "a secret" not in found.model_dump_json() + repr(found)


def test_places_inside_that_are_told_of_events_are_named_by_origin_alone(tmp_path: Path) -> None:
    assert load(home=tmp_path, webhook_urls=("http://10.0.0.1:9000",)).webhook_urls == ("http://10.0.0.1:9000",)
    for entry in ("http://10.0.0.1:9000/path", "10.0.0.1", "https://user@inside.example"):
        with pytest.raises(ValidationError, match="webhook_urls"):
            load(home=tmp_path, webhook_urls=(entry,))
