"""What is fetched from addresses that callers name, and what is never connected to."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from isocenter.adapters.outgoing import Outgoing, is_public
from isocenter.errors import BackendUnavailable, Forbidden, LimitExceeded, NotFound
from isocenter.testing.canary import Canary

PUBLIC = "93.184.215.14"
PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:53aa:64c:0:fbff:80ff:fffe", "fe80::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "2001:db8::1", "fe80::1%eth0", "not an address", "", "0x7f000001", "2130706433",
    "017700000001", "127.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_this_machine_this_network_and_metadata_services_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_others_are_public(address: str) -> None:
    assert is_public(address)


@pytest.fixture
def canary() -> Iterator[Canary]:
    found = Canary()
    yield found
    found.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "0", "::1", "::ffff:127.0.0.1",
        "[::1]", "localhost.", "0x7f.1", "127.0.0.1.",
    ],
)  # fmt: skip
def test_no_way_to_write_this_machine_reaches_it(canary: Canary, host: str) -> None:
    with pytest.raises((Forbidden, BackendUnavailable)):
        list(Outgoing(most_bytes=1000, seconds=5).fetch(host, canary.port, "/"))
    time.sleep(0.05)
    assert canary.connections == 0


def test_a_name_with_one_address_that_is_not_public_is_refused(canary: Canary) -> None:
    for found in ([PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], ["::1"], []):
        outgoing = Outgoing(most_bytes=1000, seconds=5, resolve=lambda host, port, found=found: found)  # type: ignore[misc]  # its default
        with pytest.raises(Forbidden):
            list(outgoing.fetch("host.example", canary.port, "/"))
    assert canary.connections == 0


def test_a_name_that_changes_its_answer_is_resolved_once_and_connected_as_it_was_checked(canary: Canary) -> None:
    answers, asked, reached = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]), [0], []

    def resolve(host: str, port: int) -> list[str]:
        asked[0] += 1
        return next(answers)

    def connect(address: str, port: int, seconds: float) -> socket.socket:
        reached.append(address)
        raise ConnectionRefusedError

    with pytest.raises(BackendUnavailable):
        list(Outgoing(most_bytes=9, seconds=5, resolve=resolve, connect=connect).fetch("host.example", 443, "/"))
    assert (asked, reached, canary.connections) == ([1], [PUBLIC], 0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of host.example with its key, and its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("host.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "host.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


class Site:
    """An HTTPS server on loopback that plays host.example."""

    def __init__(self, certificate: Path) -> None:
        self.seen: list[dict[str, str]] = []
        self.posted: list[bytes] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.seen.append(dict(self.headers.items()))
                getattr(self, "at" + self.path.partition("?")[0].replace("/", "_"))()

            def at_image(self) -> None:
                self.answer(200, b"x" * 500_000)

            def at_away(self) -> None:
                self.send_response(302)
                self.send_header("Location", "https://127.0.0.1/latest/meta-data")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def at_gone(self) -> None:
                self.answer(404, b"not here")

            def at_short(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"x" * 10)
                self.close_connection = True

            def at_endless(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                for _ in range(1000):
                    self.wfile.write(b"x" * 65536)

            def do_POST(self) -> None:
                site.seen.append(dict(self.headers.items()))
                site.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
                getattr(self, "at" + self.path.partition("?")[0].replace("/", "_"))()

            def at_taken(self) -> None:
                self.answer(202, b"x" * 200_000)

            def at_trickle(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.1)

            def at_slow(self) -> None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                for number in range(100):
                    self.wfile.write(b"X-%d: 1\r\n" % number)
                    time.sleep(0.1)

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # who hangs up on it is what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


Outside = Callable[..., Outgoing]


@pytest.fixture
def site(certificate: Path) -> Iterator[Site]:
    found = Site(certificate)
    yield found
    found.close()


@pytest.fixture
def outgoing(site: Site, certificate: Path) -> Outside:
    def made(most: int = 1_000_000, seconds: float = 10.0) -> Outgoing:
        return Outgoing(
            most_bytes=most,
            seconds=seconds,
            resolve=lambda host, port: [PUBLIC],
            connect=lambda address, port, seconds: socket.create_connection(("127.0.0.1", site.port), seconds),
            context=ssl.create_default_context(cafile=str(certificate)),
        )

    return made


def test_what_is_there_comes_whole_and_nothing_of_ours_is_sent(site: Site, outgoing: Outside) -> None:
    assert b"".join(outgoing().fetch("host.example", 443, "/image?size=full")) == b"x" * 500_000
    assert set(site.seen[0]) == {"Host", "Accept", "Accept-Encoding"}
    assert site.seen[0]["Host"] == "host.example"


@pytest.mark.parametrize(
    ("target", "error", "code"),
    [
        ("/away", BackendUnavailable, "fetch-refused"),
        ("/gone", NotFound, "no-such-object"),
        ("/short", BackendUnavailable, "fetch-failed"),
    ],
)
def test_answers_that_are_none_are_told(
    site: Site, outgoing: Outside, target: str, error: type[Exception], code: str
) -> None:
    with pytest.raises(error) as refused:
        list(outgoing().fetch("host.example", 443, target))
    assert getattr(refused.value, "code", "") in (code, "fetch-cut-short")
    assert len(site.seen) == 1


@pytest.mark.parametrize("target", ["/image", "/endless"])
def test_more_bytes_than_are_allowed_are_not_taken(outgoing: Outside, target: str) -> None:
    taken = 0
    with pytest.raises(LimitExceeded):
        for chunk in outgoing(most=400_000).fetch("host.example", 443, target):
            taken += len(chunk)
    assert taken <= 400_000


def test_who_drips_is_cut_off(outgoing: Outside) -> None:
    with pytest.raises(BackendUnavailable):
        list(outgoing(seconds=0.5).fetch("host.example", 443, "/slow"))


def test_another_host_s_certificate_is_not_taken(outgoing: Outside, site: Site) -> None:
    with pytest.raises(BackendUnavailable):
        list(outgoing().fetch("other.example", 443, "/image"))
    assert site.seen == []


def posted(outgoing: Outgoing, target: str, **more: Any) -> int:
    return outgoing.post("host.example", 443, target, {"Content-Type": "text/plain"}, b"body", **more)


def test_what_is_posted_arrives_with_the_headers_given_and_no_others(site: Site, outgoing: Outside) -> None:
    assert posted(outgoing(), "/taken?x=1") == 202
    assert site.posted == [b"body"]
    assert set(site.seen[0]) == {"Host", "Accept-Encoding", "Content-Length", "Content-Type"}


@pytest.mark.parametrize(("target", "status"), [("/away", 302), ("/gone", 404), ("/trickle", 200)])
def test_the_status_is_the_answer_and_no_redirect_is_followed(
    site: Site, outgoing: Outside, target: str, status: int
) -> None:
    assert posted(outgoing(seconds=1.0), target) == status
    assert len(site.seen) == 1


def test_who_answers_too_slowly_is_cut_off(outgoing: Outside) -> None:
    begun = time.monotonic()
    with pytest.raises(BackendUnavailable) as refused:
        posted(outgoing(seconds=0.5), "/slow")
    assert refused.value.code == "fetch-timeout"
    assert time.monotonic() - begun < 5


def test_who_never_ends_the_handshake_is_cut_off() -> None:
    """A byte now and then keeps a socket's own time-out from ending it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def drip() -> None:
            taken, _ = listening.accept()
            with taken:
                taken.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB, never whole
                while not stop.wait(0.2):
                    try:
                        taken.sendall(b"\0")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        port = listening.getsockname()[1]
        slow = Outgoing(
            most_bytes=9, seconds=1.0, resolve=lambda host, port: [PUBLIC],
            connect=lambda address, _, seconds: socket.create_connection(("127.0.0.1", port), seconds),
        )  # fmt: skip
        begun = time.monotonic()
        with pytest.raises(BackendUnavailable):
            posted(slow, "/")
        assert time.monotonic() - begun < 5
        stop.set()
        thread.join()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_nothing_is_posted_to_an_address_that_is_not_public(canary: Canary, address: str) -> None:
    outgoing = Outgoing(most_bytes=9, seconds=5, resolve=lambda host, port: [PUBLIC, address])
    with pytest.raises(Forbidden) as refused:
        outgoing.post("host.example", canary.port, "/", {}, b"")
    assert refused.value.code == "address-not-public"
    with pytest.raises(Forbidden):
        outgoing.may_reach("host.example", canary.port)
    assert canary.connections == 0


def test_without_tls_nothing_is_posted_but_to_places_that_are_trusted(canary: Canary) -> None:
    outgoing = Outgoing(most_bytes=9, seconds=5)
    with pytest.raises(Forbidden):
        outgoing.post("127.0.0.1", canary.port, "/", {}, b"", tls=False)
    assert canary.connections == 0
    with pytest.raises(BackendUnavailable):  # it hangs up
        outgoing.post("127.0.0.1", canary.port, "/", {}, b"", tls=False, trusted=True)
    assert canary.connections == 1


def test_a_name_that_leads_nowhere_may_do_so_later() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise socket.gaierror

    outgoing = Outgoing(most_bytes=9, seconds=5, resolve=nowhere)
    outgoing.may_reach("host.example", 443)
    with pytest.raises(BackendUnavailable) as refused:
        posted(outgoing, "/")
    assert refused.value.code == "no-such-host"
