# SPDX-License-Identifier: Apache-2.0
"""HTTP without conveniences: what a test writes is what goes over the wire.

No redirect is followed, no header is added beyond Host and the framing of the body, no status is
an error. One connection is kept alive between requests; when the server has closed it in between,
the request that found it closed is sent once more, but only if its body can be sent again. The
answer is read to its end and never changed.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

Header = tuple[str, str]
Body = bytes | Iterable[bytes]

SOCKET_SECONDS = 60.0


class Headers:
    """The headers of an answer: any case, in the order received, repeated lines kept apart."""

    def __init__(self, pairs: Sequence[Header]) -> None:
        self.pairs = tuple(pairs)

    def get_all(self, name: str) -> list[str]:
        """Every value of the header, in the order received."""
        return [value for key, value in self.pairs if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The first value of the header, or None."""
        values = self.get_all(name)
        return values[0] if values else None

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        assert values, f"the answer has no {name} header: {self.pairs}"
        return values[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[Header]:
        return iter(self.pairs)

    def __repr__(self) -> str:
        return f"Headers({list(self.pairs)})"


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply, read to its end."""

    status: int
    headers: Headers
    body: bytes

    def json(self) -> object:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def location(self) -> str:
        """The Location header; an answer without one fails the test."""
        return self.headers["Location"]

    def error_codes(self) -> list[str]:
        """The codes of a specification error body; anything else in the body fails the test."""
        document = cast("dict[str, list[dict[str, object]]]", self.json())
        return [str(item["code"]) for item in document["errors"]]

    def __str__(self) -> str:
        lines = [str(self.status), *(f"{key}: {value}" for key, value in self.headers)]
        return "\n".join([*lines, "", self.body[:2000].decode(errors="replace")])


class Wire:
    """A client of one server over one connection that is kept alive."""

    def __init__(
        self,
        base_url: str,
        headers: Sequence[Header] = (),
        *,
        tls: ssl.SSLContext | None = None,
        seconds: float = SOCKET_SECONDS,
    ) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None, f"no host in {base_url}"
        self.base_url = base_url
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.headers = tuple(headers)
        self.secure = parts.scheme == "https"
        self.tls = tls
        self.seconds = seconds
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self,
        method: str,
        target: str,
        *,
        body: Body | None = None,
        headers: Sequence[Header] = (),
        chunked: bool = False,
    ) -> Answer:
        """Send one request and read its answer.

        `target` is sent as it stands (an absolute URL of this server loses its origin). A bytes
        body has a Content-Length unless `chunked`, or framing among the headers, says otherwise;
        an iterable is sent piece by piece, chunked unless a Content-Length is among the headers.
        """
        path = self._path_of(target)
        fresh = self._connection is None
        repeatable = body is None or isinstance(body, bytes)
        try:
            return self._exchange(method, path, body, headers, chunked=chunked)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if fresh or not repeatable:
                raise
            return self._exchange(method, path, body, headers, chunked=chunked)
        except BaseException:
            self.close()
            raise

    def get(self, target: str, *headers: Header) -> Answer:
        """GET."""
        return self.request("GET", target, headers=headers)

    def head(self, target: str, *headers: Header) -> Answer:
        """HEAD."""
        return self.request("HEAD", target, headers=headers)

    def delete(self, target: str, *headers: Header) -> Answer:
        """DELETE."""
        return self.request("DELETE", target, headers=headers)

    def post(self, target: str, *headers: Header, body: Body | None = b"") -> Answer:
        """POST; without a body it says Content-Length: 0, as every Go client does."""
        return self.request("POST", target, body=body, headers=headers)

    def put(self, target: str, *headers: Header, body: Body | None = b"") -> Answer:
        """PUT; without a body it says Content-Length: 0."""
        return self.request("PUT", target, body=body, headers=headers)

    def patch(self, target: str, *headers: Header, body: Body, chunked: bool = False) -> Answer:
        """PATCH."""
        return self.request("PATCH", target, body=body, headers=headers, chunked=chunked)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _path_of(self, target: str) -> str:
        if not target.startswith(("http://", "https://")):
            return target
        parts = urlsplit(target)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        assert (parts.hostname, port) == (self.host, self.port), f"{target} is another server"
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            connection = (
                http.client.HTTPSConnection(
                    self.host, self.port, timeout=self.seconds, context=self.tls
                )
                if self.secure
                else http.client.HTTPConnection(self.host, self.port, timeout=self.seconds)
            )
            connection.connect()
            self._connection = connection
        return self._connection

    def _exchange(
        self,
        method: str,
        path: str,
        body: Body | None,
        headers: Sequence[Header],
        *,
        chunked: bool,
    ) -> Answer:
        connection = self._connect()
        sent = [*self.headers, *headers]
        names = {key.lower() for key, _ in sent}
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            if isinstance(body, bytes) and not chunked:
                sent.append(("Content-Length", str(len(body))))
            else:
                sent.append(("Transfer-Encoding", "chunked"))
                chunked = True
        connection.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
        for key, value in sent:
            connection.putheader(key, value)
        # A server may answer and stop reading before the body has ended (401, 413, 416).
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders()
            _send_body(connection, body, chunked=chunked)
        response = connection.getresponse()
        payload = response.read()
        answer = Answer(response.status, Headers(response.getheaders()), payload)
        if response.will_close:
            self.close()
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _send_body(connection: http.client.HTTPConnection, body: Body | None, *, chunked: bool) -> None:
    if body is None:
        return
    pieces: Iterable[bytes] = (body,) if isinstance(body, bytes) else body
    for piece in pieces:
        if piece and chunked:
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        elif piece:
            connection.send(piece)
    if chunked:
        connection.send(b"0\r\n\r\n")


def basic_auth(name: str, password: str) -> Header:
    """The Authorization header of a name and a password."""
    return (
        "Authorization",
        "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode(),
    )


def tls_context(certificate_authority: Path | None = None) -> ssl.SSLContext:
    """A TLS context that trusts the given authority only, or nobody's word at all without one."""
    context = ssl.create_default_context(
        cafile=None if certificate_authority is None else str(certificate_authority)
    )
    if certificate_authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
