"""Everything that is fetched from or sent to addresses which callers name: HTTPS to checked public addresses, and, of
what is sent, to those that the operator trusts."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cached_property
from http.client import HTTPException, HTTPResponse, HTTPSConnection

from isocenter.errors import BackendUnavailable, Forbidden, LimitExceeded, NotFound

_CHUNK = 1 << 18
_HEARD = 1 << 16  # bytes of an answer that nobody reads
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SPECIAL = ipaddress.IPv4Network("192.0.0.0/24")  # which older Pythons take for global
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
Resolve = Callable[[str, int], list[str]]


def resolved(host: str, port: int) -> list[str]:
    """The addresses a name has now, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(text: str) -> bool:
    """Whether an address is anyone's on the Internet: not of this machine, this network, a cloud's metadata service,
    nor one of these wrapped into IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64_LOCAL:
            return False
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if int(address) >> 32 == 0:  # ::/96, the old way to write IPv4 in it
            return False
    elif address in _SPECIAL:
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local
    )


class Outgoing:
    """Requests by HTTPS.

    A name is resolved once, every address of it checked, and the one that was checked connected to; redirects are not
    followed, no credential of ours is sent, bytes and time are bounded.
    """

    def __init__(
        self,
        *,
        most_bytes: int,
        seconds: float,
        resolve: Resolve = resolved,
        connect: Callable[[str, int, float], socket.socket] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._most = most_bytes
        self._seconds = seconds
        self._resolve = resolve
        self._connect = connect or _connected
        self._given = context

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self._given or ssl.create_default_context()  # reads all certificates there are: 20 ms

    def fetch(self, host: str, port: int, target: str) -> Iterator[bytes]:
        """The body of a GET, in chunks.

        Raises Forbidden where the name leads to an address that is not public, NotFound where nothing is there,
        LimitExceeded over `most_bytes`, BackendUnavailable where the other side does not do its part.
        """
        until = time.monotonic() + self._seconds
        connection = self._connection(host, port, self._address(host, port))
        with self._watched(connection):
            try:
                connection.request("GET", target, headers={"Accept": "*/*", "Accept-Encoding": "identity"})
                answer = connection.getresponse()
                if answer.status in (404, 410):
                    raise NotFound("nothing is at that URL", code="no-such-object")
                if answer.status != 200:
                    raise BackendUnavailable(
                        f"the other side answers {answer.status} instead of 200; redirects are not followed",
                        code="fetch-refused",
                    )
                if int(answer.headers.get("Content-Length") or 0) > self._most:
                    raise self._too_large()
                size = 0
                while chunk := answer.read1(_CHUNK):
                    size += len(chunk)
                    if size > self._most:
                        raise self._too_large()
                    if time.monotonic() > until:
                        raise self._too_slow()
                    yield chunk
                if connection.was_cut:  # what ended so may look whole: headers, and a body without a length
                    raise self._too_slow()
                if answer.length:
                    raise BackendUnavailable("the other side ended before its content did", code="fetch-cut-short")
            except (OSError, HTTPException, ValueError) as error:
                raise _unreachable(error) from None

    def post(
        self,
        host: str,
        port: int,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        trusted: bool = False,
        tls: bool = True,
    ) -> int:
        """The status that a POST is answered with, whatever it is; what else is answered is passed over.

        Raises Forbidden where the name leads to an address that is not public and the place is not trusted, and
        BackendUnavailable. Without TLS nothing goes to a place that is not trusted.
        """
        if not (tls or trusted):
            raise Forbidden("only https leads to the outside", code="not-https")
        connection = self._connection(host, port, self._address(host, port, trusted=trusted), tls=tls)
        with self._watched(connection):
            try:
                connection.request("POST", target, body, dict(headers))
                answer = connection.getresponse()
            except (OSError, HTTPException, ValueError) as error:
                raise (self._too_slow() if connection.was_cut else _unreachable(error)) from None
            with closing(answer):
                if connection.was_cut:  # headers that ended so may look whole
                    raise self._too_slow()
                # It has said whether it took it. Some servers count it as a fault where nobody hears them out.
                with suppress(OSError, HTTPException, ValueError):
                    _pass_over(answer)
                return answer.status

    def may_reach(self, host: str, port: int) -> None:
        """Forbidden where a name leads to an address that is not public now; one that leads nowhere may do so later."""
        with suppress(BackendUnavailable):
            self._address(host, port)

    def _connection(self, host: str, port: int, address: str, *, tls: bool = True) -> _Pinned:
        context = self._context if tls else None
        return _Pinned(host, port, address, context, self._connect, self._seconds)

    @contextmanager
    def _watched(self, connection: _Pinned) -> Iterator[None]:
        """The time-out of a socket is for each read; who sends a byte a second would keep it for ever."""
        watch = threading.Timer(self._seconds, connection.cut)
        watch.daemon = True
        watch.start()
        with closing(connection), ExitStack() as ending:
            ending.callback(watch.cancel)
            yield

    def _too_slow(self) -> BackendUnavailable:
        return BackendUnavailable(f"it took over {self._seconds:.0f} s", code="fetch-timeout")

    def _too_large(self) -> LimitExceeded:
        return LimitExceeded(f"what is there is larger than {self._most} bytes", code="too-large")

    def _address(self, host: str, port: int, *, trusted: bool = False) -> str:
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError):
            raise BackendUnavailable("the name of the host cannot be resolved", code="no-such-host") from None
        if not found or not (trusted or all(map(is_public, found))):
            raise Forbidden("the host has an address that is not a public one", code="address-not-public")
        return found[0]


class _Pinned(HTTPSConnection):
    """A connection to one address, whose certificate has to be that of the name; without a context it is plain."""

    def __init__(
        self,
        host: str,
        port: int,
        address: str,
        context: ssl.SSLContext | None,
        connect: Callable[[str, int, float], socket.socket],
        seconds: float,
    ) -> None:
        super().__init__(host, port, timeout=seconds, context=context)
        self.was_cut = False
        self._address = address
        self._plainly = connect
        self._tls = context

    def connect(self) -> None:
        plain = self._plainly(self._address, self.port, float(self.timeout or 0))
        self.sock = plain if self._tls is None else self._tls.wrap_socket(plain, server_hostname=self.host)
        if self.was_cut:  # before there was anything to cut; connecting and shaking hands end in time by themselves
            raise TimeoutError

    def cut(self) -> None:
        """End it, whoever waits for what."""
        self.was_cut = True
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


def _connected(address: str, port: int, seconds: float) -> socket.socket:
    return socket.create_connection((address, port), timeout=seconds)


def _pass_over(answer: HTTPResponse) -> None:
    left = _HEARD
    while left > 0 and (chunk := answer.read1(left)):
        left -= len(chunk)


def _unreachable(error: Exception) -> BackendUnavailable:
    return BackendUnavailable(f"the other side cannot be reached ({type(error).__name__})", code="fetch-failed")
