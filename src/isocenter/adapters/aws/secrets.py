"""The key store port on AWS Secrets Manager."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from isocenter.adapters.aws import clients
from isocenter.adapters.aws.errors import code_of, meaning, translated
from isocenter.errors import BackendUnavailable

_SERVICE: Final = "Secrets Manager"
_MARK = b"\x01"  # stands before each value, as the service keeps no empty one
_PATIENCE: Final = 30.0  # seconds that a name needs to be free again after it was deleted
_PAUSE: Final = 0.2


class SecretsManagerSecrets:
    """Secrets whose names begin with `prefix`; region and credentials are botocore's to find unless `client` says."""

    def __init__(self, prefix: str = "isocenter/", **client: Any) -> None:
        self._prefix = prefix
        self._options = client
        self._making = threading.Lock()

    def get(self, name: str) -> bytes | None:
        found, refused = self._asked("get_secret_value", SecretId=self._prefix + name)
        if refused is None:
            return bytes(found["SecretBinary"])[len(_MARK) :]
        if self._is_missing(refused):
            return None
        raise meaning(refused, _SERVICE)

    def create(self, name: str, value: bytes) -> bytes:
        kept = self.get(name)  # it is there every time but the first
        deadline = time.monotonic() + _PATIENCE
        while kept is None:
            _, refused = self._asked("create_secret", Name=self._prefix + name, SecretBinary=_MARK + value)
            if refused is None:
                return value
            if code_of(refused) not in ("ResourceExistsException", "InvalidRequestException"):
                raise meaning(refused, _SERVICE)
            kept = self.get(name)
            if kept is None:
                self._pause(deadline)
        return kept

    def replace(self, name: str, value: bytes) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            _, refused = self._asked("put_secret_value", SecretId=self._prefix + name, SecretBinary=_MARK + value)
            if refused is None:
                return
            if not self._is_missing(refused):
                raise meaning(refused, _SERVICE)
            if self.create(name, value) == value:
                return
            self._pause(deadline)

    def delete(self, name: str) -> None:
        _, refused = self._asked("delete_secret", SecretId=self._prefix + name, ForceDeleteWithoutRecovery=True)
        if refused is not None and not self._is_missing(refused):
            raise meaning(refused, _SERVICE)

    def names(self) -> Sequence[str]:
        found: list[str] = []
        asked: dict[str, Any] = {"Filters": [{"Key": "name", "Values": [self._prefix]}], "MaxResults": 100}
        while True:
            answer, refused = self._asked("list_secrets", **asked)
            if refused is not None:
                raise meaning(refused, _SERVICE)
            found += [each["Name"] for each in answer["SecretList"] if each["Name"].startswith(self._prefix)]
            if "NextToken" not in answer:
                return sorted(name.removeprefix(self._prefix) for name in found)
            asked["NextToken"] = answer["NextToken"]

    @cached_property
    def _client(self) -> Any:
        config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 4})
        with translated(_SERVICE):
            return clients.client("secretsmanager", **{"config": config, **self._options})

    def _asked(self, call: str, **asked: Any) -> tuple[Mapping[str, Any], ClientError | None]:
        with self._making:  # making a client is not safe to do twice at once
            client = self._client
        with translated(_SERVICE):
            try:
                return getattr(client, call)(**asked), None
            except ClientError as error:
                return {}, error

    def _is_missing(self, refused: ClientError) -> bool:
        """Whether there is no such secret, or one that is being deleted."""
        return code_of(refused) in ("ResourceNotFoundException", "InvalidRequestException")

    def _pause(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise BackendUnavailable("Secrets Manager does not let go of a deleted name.")
        time.sleep(_PAUSE)
