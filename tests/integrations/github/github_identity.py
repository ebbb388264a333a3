"""GitHub's service for identity tokens, as far as jobs see it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class IdentityProvider(ThreadingHTTPServer):
    """Answers with what is queued, then with tokens; `asked` has the audiences and what the job said who it is."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.queued: list[tuple[int, bytes]] = []
        self.asked: list[tuple[str, str]] = []
        self.mint: Callable[[str], str] = lambda audience: f"token-{len(self.asked)}-for-{audience}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/token?api-version=2.0"

    def __enter__(self) -> IdentityProvider:
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: IdentityProvider

    def do_GET(self) -> None:
        audience = parse_qs(urlsplit(self.path).query).get("audience", [""])[0]
        self.server.asked.append((audience, self.headers.get("Authorization", "")))
        if self.server.queued:
            status, body = self.server.queued.pop(0)
        else:
            status, body = 200, json.dumps({"value": self.server.mint(audience)}).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.url)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
