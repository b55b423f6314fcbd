"""Settings from SSM parameters, against moto's."""

from __future__ import annotations

import boto3
import pytest

from isocenter.adapters.aws.parameters import read
from isocenter.errors import Misconfigured
from isocenter.settings import load
from isocenter.testing.aws_server import aws_server


def test_parameters_below_a_path_are_settings_behind_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with aws_server() as server:
        service = boto3.client("ssm", **server.options)
        kept = {"log_level": "error", "stores": '["raw", "other"]', "deidentified_stores": '["other"]', "port": "8050"}
        for name, value in kept.items():
            service.put_parameter(Name=f"/isocenter/dev/{name}", Value=value, Type="SecureString")
        for number in range(12):  # more than come in one answer
            service.put_parameter(Name=f"/isocenter/dev/unknown{number}", Value="x", Type="String")
        service.put_parameter(Name="/isocenter/developer/port", Value="1", Type="String")
        found = read("/isocenter/dev", **server.options)
    assert {name: found[name] for name in kept} == kept
    assert len(found) == len(kept) + 12
    monkeypatch.setenv("ISOCENTER_PORT", "8060")
    settings = load(parameters=found)
    assert (settings.log_level, settings.stores, settings.port) == ("error", ("raw", "other"), 8060)


def test_a_parameter_that_is_wrong_is_said_without_its_value() -> None:
    with pytest.raises(Exception, match="port") as caught:
        load(parameters={"port": "somebody's name"})
    assert "somebody" not in str(caught.value)
    assert not isinstance(caught.value, Misconfigured) or caught.value.code
