"""A proxy between the client and a real registry that lets everything through, but for the faults it is told of.

    with FaultyProxy(registry_host) as proxy:
        proxy.faults.append(Fault("PATCH", cut_up=1_000_000))
        ...  # use proxy.host in place of registry_host

Bodies are streamed, so that layers of any size go through, and nothing is slept: "slow" means many small pieces.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import BinaryIO

_PIECE = 256 << 10
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"}


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of `method` (any if empty) whose path contains `part`."""

    method: str = ""
    part: str = ""
    times: int = 1
    after: int = 0  # let so many of them through first

    # Connections that break
    cut_up: int | None = None  # after so many bytes of the request's body
    cut_down: int | None = None  # after so many bytes of the answer's body
    lose_answer: bool = False  # the request arrives, its answer doesn't

    # Answers in the registry's place
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    # Answers that are changed on the way
    drip: int = 0  # sent so many bytes at a time
    flip: bool = False  # the body's last byte is another
    blank_from: int | None = None  # the body is zeros from here on, at its right length
    drop: tuple[str, ...] = ()  # headers, in lower case, that get lost
    change: dict[str, str] = field(default_factory=dict)  # headers that say something else
    reverse: bool = False  # headers come in reverse order

    # Requests that are changed on the way
    anonymous: bool = False  # without authorization, as if the token had run out

    def fits(self, method: str, path: str) -> bool:
        """Whether this request is to suffer; counts it."""
        if not self.times or (self.method and method != self.method) or self.part not in path:
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Passed:
    """A request as it came to the proxy; `sent` is how much of its body did, `status` 0 if it got no answer."""

    method: str
    path: str
    headers: dict[str, str]
    sent: int = 0
    status: int = 0


class Broken(Exception):
    """The connection is to be broken."""


class FaultyProxy:
    """Stands before the registry at `upstream` (`host:port`); its own address is `host`.

    With `break_every`, each connection breaks when so many bytes of bodies have passed through it; with `whole_link`
    all are counted as one, so that the connection breaks which happens to carry the last of them.
    """

    def __init__(self, upstream: str, *, break_every: int = 0, whole_link: bool = False) -> None:
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.passed: list[Passed] = []
        self.breaks = 0
        self.break_every = break_every
        self.whole_link = whole_link
        self._carried = 0
        self._lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            proxy = owner

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A peer that hangs up is what this is for."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sent(self, method: str, part: str = "") -> list[Passed]:
        """The requests of `method` whose path contains `part`."""
        return [one for one in self.passed if one.method == method and part in one.path]

    def fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self.faults if fault.fits(method, path)), None)

    def allowance(self, carried: int, length: int) -> int:
        """How many of `length` further bytes may pass on a connection that has carried `carried`."""
        if not self.break_every:
            return length
        with self._lock:
            used = self._carried if self.whole_link else carried
            allowed = min(length, self.break_every - used)
            self._carried += allowed
            if allowed < length:
                self._carried = 0
                self.breaks += 1
            return allowed


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultyProxy

    def setup(self) -> None:
        super().setup()
        self.carried = 0
        self.upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=60)

    def finish(self) -> None:
        self.upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def handle_one(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.note = Passed(self.command, self.path, headers)
        self.proxy.passed.append(self.note)
        fault = self.proxy.fault(self.command, self.path) or Fault()
        try:
            if fault.status:
                self.answer_instead(fault)
            else:
                self.forward(fault)
        except Broken:
            self.break_off()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    def answer_instead(self, fault: Fault) -> None:
        for piece in self.request_body():
            self.note.sent += len(piece)
        self.note.status = fault.status
        self.send_response(fault.status)
        for name, value in {"Content-Length": str(len(fault.body)), **fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(fault.body)

    def forward(self, fault: Fault) -> None:
        self.upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP and not (fault.anonymous and name.lower() == "authorization"):
                self.upstream.putheader(name, value)
        if "content-length" in self.headers:
            self.upstream.putheader("Content-Length", self.headers["content-length"])
        self.upstream.endheaders()
        try:
            for piece in self.request_body(fault.cut_up):
                self.upstream.send(piece)
                self.note.sent += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the registry has answered already and reads no more
        response = self.upstream.getresponse()
        if fault.lose_answer:
            response.read()
            raise Broken
        self.note.status = response.status
        self.answer(response, fault)

    def request_body(self, cut: int | None = None) -> Iterator[bytes]:
        left = int(self.headers.get("content-length") or 0)
        while left:
            piece = self.rfile.read1(min(_PIECE, left)) if cut is None else self.rfile.read1(min(_PIECE, left, cut))
            if not piece:
                raise Broken
            yield self.carry(piece)
            left -= len(piece)
            if cut is not None:
                cut -= len(piece)
                if not cut:
                    raise Broken

    def answer(self, response: http.client.HTTPResponse, fault: Fault) -> None:
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP]
        headers = [(name, value) for name, value in headers if name.lower() not in {*fault.drop, *fault.change}]
        headers += fault.change.items()
        length = response.getheader("content-length")
        if length is not None and "content-length" not in fault.drop:
            headers.append(("Content-Length", length))
        else:
            self.close_connection = True
        if self.close_connection:
            headers.append(("Connection", "close"))
        if response.will_close:
            self.upstream.close()
        self.send_response_only(response.status)
        for name, value in reversed(headers) if fault.reverse else headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.answer_body(response, fault, int(length or 0))
        response.read()

    def answer_body(self, response: BinaryIO | http.client.HTTPResponse, fault: Fault, length: int) -> None:
        position = 0
        while piece := response.read(_PIECE):
            end = position + len(piece)
            if fault.flip and end == length:
                piece = piece[:-1] + bytes([piece[-1] ^ 1])
            if fault.blank_from is not None and end > fault.blank_from:
                kept = max(0, fault.blank_from - position)
                piece = piece[:kept] + bytes(len(piece) - kept)
            if fault.cut_down is not None and end >= fault.cut_down:
                self.wfile.write(piece[: fault.cut_down - position])
                raise Broken
            step = fault.drip or len(piece)
            for start in range(0, len(piece), step):
                self.wfile.write(self.carry(piece[start : start + step], self.wfile))
            position = end

    def carry(self, piece: bytes, out: BinaryIO | None = None) -> bytes:
        """`piece`, if the link holds; Broken, after what it still lets through went `out`, if it doesn't."""
        allowed = self.proxy.allowance(self.carried, len(piece))
        self.carried += allowed
        if allowed == len(piece):
            return piece
        if out:
            out.write(piece[:allowed])
        elif allowed:
            self.upstream.send(piece[:allowed])
        raise Broken

    def break_off(self) -> None:
        """Reset the client's connection, and close the registry's with what it got."""
        self.close_connection = True
        self.upstream.close()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()

    def log_message(self, *arguments: object) -> None:
        pass
