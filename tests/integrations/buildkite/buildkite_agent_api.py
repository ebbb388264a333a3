"""As much of Buildkite's agent API as a job asks for, on loopback: the real agent talks to it, and it remembers."""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What the agent authenticates with.
TOKEN = "bkaj_stand_in"


class AgentApi:
    """What jobs have asked for, and what they are given."""

    def __init__(self, mint: Callable[[str], str]) -> None:
        self.annotations: dict[str, dict[str, Any]] = {}  # by context
        self.meta_data: dict[str, str] = {}
        self.artifacts: dict[str, bytes] = {}
        self.secrets: dict[str, str] = {}
        self.audiences: list[tuple[str, int]] = []  # each with the lifetime that was wanted
        self.refusals: dict[str, tuple[int, str]] = {}  # by the end of the path
        self.mint = mint
        self.endpoint = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        """The status and the JSON for one request."""
        url = urllib.parse.urlsplit(path)
        for end, refusal in self.refusals.items():
            if url.path.endswith(end):
                return refusal[0], {"message": refusal[1]}
        if url.path == "/upload":
            return self._uploaded(body)
        place = re.fullmatch(r"/v3/jobs/[0-9a-f-]+/(.+)", url.path)
        given = json.loads(body) if body else {}
        match (method, place[1] if place else ""):
            case "POST", "annotations":
                self.annotations[given["context"]] = given
                return 201, {}
            case "POST", "data/set":
                self.meta_data[given["key"]] = given["value"]
                return 200, {}
            case "POST", "data/get" if given["key"] in self.meta_data:
                return 200, {"key": given["key"], "value": self.meta_data[given["key"]]}
            case "POST", "oidc/tokens":
                self.audiences.append((given["audience"], given.get("lifetime", 0)))
                return 200, {"token": self.mint(given["audience"])}
            case "GET", "secrets":
                key = urllib.parse.parse_qs(url.query)["key"][0].upper()
                if key in self.secrets:
                    return 200, {"key": key, "value": self.secrets[key], "uuid": "0"}
                return 404, {"message": "No secret found"}
            case "POST", "artifacts":
                action = {"url": self.endpoint, "method": "POST", "path": "upload", "file_input": "file"}
                ids = [str(number) for number, _ in enumerate(given["artifacts"])]
                data = {"name": "${artifact:path}"}
                return 201, {"id": "0", "artifact_ids": ids, "upload_instructions": {"action": action, "data": data}}
            case "PUT", "artifacts":
                return 200, {}
        return 404, {"message": f"Not Found: {method} {url.path}"}

    def _uploaded(self, form: bytes) -> tuple[int, object]:
        parts = form.split(form.partition(b"\r\n")[0])
        fields = {}
        for part in parts[1:-1]:
            head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]+)"', head)
            assert name is not None, head
            fields[name[1].decode()] = content
        self.artifacts[fields["name"].decode()] = fields["file"]
        return 204, None


@contextmanager
def running(mint: Callable[[str], str] = lambda audience: f"token for {audience}") -> Iterator[AgentApi]:
    """The API on a free port; `mint` makes OIDC tokens."""
    api = AgentApi(mint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(iter(self._chunk, b""))
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path != "/upload" and self.headers.get("Authorization") != f"Token {TOKEN}":
                status, value = 401, {"message": "Unauthorized"}
            else:
                status, value = api.answer(self.command, self.path, body)
            data = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _chunk(self) -> bytes:
            data = self.rfile.read(int(self.rfile.readline(), 16))
            self.rfile.readline()
            return data

        do_GET = do_POST = do_PUT = _handle

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def environment(api: AgentApi, capture: Mapping[str, str]) -> dict[str, str]:
    """The variables of a captured job that make the agent ask `api`."""
    return {**capture, "BUILDKITE_AGENT_ENDPOINT": f"{api.endpoint}/v3", "BUILDKITE_AGENT_ACCESS_TOKEN": TOKEN}
