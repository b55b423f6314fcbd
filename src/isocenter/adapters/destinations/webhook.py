"""A listener as a destination: a signed notice of what is there to be fetched, by ids alone."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence

import orjson

from isocenter.adapters.destinations.calling import Remote, refusal
from isocenter.errors import IsocenterError
from isocenter.records import Parcel

SIGNATURE = "Isocenter-Signature"


class Webhook:
    """POSTs {"id", "images": [{"id", "media_type", "size", "sha256"}]}.

    The id is the same for the same images, so that a listener knows a notice that comes again.
    """

    def __init__(self, name: str, remote: Remote, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self._remote = remote
        self._secret = secret
        self._clock = clock

    def put(self, parcels: Sequence[Parcel]) -> Mapping[str, str | IsocenterError]:
        if not parcels:
            return {}
        images = [
            {"id": each.id, "media_type": each.media_type, "size": each.size, "sha256": each.sha256} for each in parcels
        ]
        named = hashlib.sha256("\n".join(each.id for each in parcels).encode()).hexdigest()[:32]
        body = orjson.dumps({"id": named, "images": images})
        headers = {"Content-Type": "application/json", SIGNATURE: signature(self._secret, int(self._clock()), body)}
        try:
            status = self._remote.call("POST", "", headers, body, most=1 << 20).status
        except IsocenterError as error:
            return {parcel.id: error for parcel in parcels}
        said: str | IsocenterError = "notified" if 200 <= status < 300 else refusal(status)
        return {parcel.id: said for parcel in parcels}

    def close(self) -> None:
        """No connection outlives its request."""


def signature(secret: bytes, at: int, body: bytes) -> str:
    """`t=<seconds since 1970>,v1=<HMAC-SHA-256 over t, a dot and the body>`: a notice cannot be made or made new."""
    mac = hmac.new(secret, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"
