"""A gateway on a free port over a new home, an issuer of access tokens beside it, and a client.

Loaded by path by the access and OpenAPI tests, as tests are no package.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pydicom
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from isocenter.archive.deliver import Terms
from isocenter.archive.store import Caller
from isocenter.bootstrap.serving import application, open_services, prometheus
from isocenter.jobs import JobState, Result
from isocenter.pipeline.plan import plan_of
from isocenter.settings import Settings
from isocenter.testing.records import new_job, new_moment
from isocenter.web.auth import new_key
from isocenter.web.services import Services

AUDIENCE = "isocenter"
NAME = "CANARYFAMILY^GIVEN"
PATIENT = "CANARYPATIENT77"
CANARIES = (b"CANARYFAMILY", b"CANARYPATIENT77", b"CANARYPIXELS")


LISTENER = "https://listener.example/arrived"  # nobody is there, and nothing is sent: there is no worker
FOUND = b'{"algorithm":"quality","version":"1","findings":[],"made":[]}'
PIPELINE = "name: check\nsteps: [{name: validate, use: validate}]\n"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        try:
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):  # closed after a while without requests
            self._connection.close()
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
        return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True)
class Instance:
    study: str
    series: str
    instance: str
    data: bytes


def new_instance(side: int = 8) -> Instance:
    """A square CT that is full of canaries."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality = NAME, PATIENT, "CT"
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = (b"CANARYPIXELS" * (side * side // 12 + 1))[: side * side]
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return Instance(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, out.getvalue())


class Issuer:
    """An OpenID provider as far as a resource server needs one; counts what it is asked."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.asked: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = issuer.document(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def document(self, path: str) -> bytes:
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        return json.dumps({"keys": [self.jwk(kid) for kid in self.keys]}).encode() if path == "/keys" else b""

    def jwk(self, kid: str) -> dict[str, Any]:
        public = self.keys[kid].public_key()
        algorithm: Any = {
            rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
            ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
        }.get(next((t for t in (rsa.RSAPublicKey, ec.EllipticCurvePublicKey) if isinstance(public, t)), object))
        made = (algorithm or jwt.algorithms.OKPAlgorithm).to_jwk(public, as_dict=True)
        return {**made, "kid": kid, "use": "sig"}

    def claims(self, scope: str, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        made = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "tester",
            "iat": now,
            "exp": now + 600,
            "scope": scope,
        }
        return {name: value for name, value in {**made, **changes}.items() if value is not None}

    def token(self, scope: str, *, key: Any = None, kid: str = "rsa", algorithm: str = "RS256", **changes: Any) -> str:
        headers = {"kid": kid, "typ": "at+jwt"}
        return jwt.encode(self.claims(scope, **changes), key or self.keys[kid], algorithm, headers=headers)

    def unsigned(self, scope: str) -> str:
        return ".".join((_b64({"alg": "none", "typ": "at+jwt"}), _b64(self.claims(scope)), ""))

    def signed_with_the_public_key(self, scope: str) -> str:
        pem = (
            self.keys["rsa"]
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        head = f"{_b64({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'rsa'})}.{_b64(self.claims(scope))}"
        mac = hmac.new(pem, head.encode(), hashlib.sha256).digest()
        return f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _b64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@dataclass(frozen=True)
class World:
    services: Services
    app: Any
    issuer: Issuer
    port: int
    client: Client
    image: Instance
    image_id: str  # internal id of `image` in raw
    job_id: str  # a job on raw that is over
    delivery_id: str  # a delivery of `image`
    webhook_id: str

    def key(self, *scopes: str, **times: Any) -> str:
        key, text = new_key("test", scopes, **times)
        self.services.platform.api_keys.add(key, Caller("test").entry("key.new"))
        return text

    def put(self, instance: Instance, authorization: str, store: str = "raw") -> Answer:
        headers = {"Authorization": authorization, "Content-Type": "application/dicom"}
        return self.client("POST", f"/stores/{store}/dicomweb/studies", headers, instance.data)


def query_of(instance: Instance) -> str:
    return f"subject_id={quote(PATIENT)}&image_id={instance.instance}"


@contextmanager
def world(home: Path, everything: Sequence[str], **settings: Any) -> Iterator[World]:
    """A gateway that serves, with one image in raw."""
    issuer = Issuer()
    given: dict[str, Any] = {
        "auth": "keys+oidc",
        "oidc_issuer": issuer.url,
        "oidc_audience": AUDIENCE,
        "webhook_urls": ("https://listener.example",),
        **settings,
    }
    configured = Settings(home=home, port=0, worker_slots=0, process_seconds=0, **given)
    (home / "pipelines").mkdir(parents=True)
    (home / "pipelines" / "check.yaml").write_text(PIPELINE)
    services = open_services(configured)
    app = application(configured, services, prometheus())
    # With its protocol named: asyncio sets TCP_NODELAY only then, and each answer would take 40 ms without.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    port = listening.getsockname()[1]
    config = uvicorn.Config(app, http="httptools", loop="asyncio", lifespan="on", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    client = Client(port)
    try:
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        made = World(services, app, issuer, port, client, new_instance(), "", "", "", "")
        put = made.put(made.image, f"Bearer {made.key(*everything)}")
        assert put.status == 200, put.body
        found = services.platform.index.images(_all()).items[0]
        job = new_job(
            id="job-of-the-world", pipeline="process", plan=plan_of(PIPELINE, "check").to_json(), state=JobState.DONE
        )
        services.platform.jobs.create(job, ())
        services.platform.results.put([Result(found.id, job.id, "algorithm", "findings", FOUND, new_moment())])
        delivery, _ = services.deliver.create("raw", [found.id], Terms(), Caller("test"))
        webhook, _ = services.webhooks.add(LISTENER, ("image.stored",), None, Caller("test"))
        yield World(services, app, issuer, port, client, made.image, found.id, job.id, delivery.id, webhook.id)
    finally:
        client.close()
        server.should_exit = True
        thread.join(timeout=30)
        listening.close()
        issuer.close()


def _all() -> Any:
    from isocenter.records import ImageQuery

    return ImageQuery(limit=1)
