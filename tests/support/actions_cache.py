"""The Actions cache service, version 2, for tests: its Twirp methods in JSON, and the Azure blobs behind signed URLs.

    with ActionsCacheService() as service:
        token = service.token(("refs/heads/main", 3))
        ...  # ACTIONS_RESULTS_URL=service.url, ACTIONS_RUNTIME_TOKEN=token

What it holds to: entries belong to a scope and a version; a job reads those of all scopes in its token, in their order,
the exact key before beginnings of keys and there the newest first; it writes to the first scope that it may write to;
keys are never reused; URLs are signed, run out, and are for one purpose each; sizes must be right.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

READ, WRITE = 1, 2
_SERVICE = "/twirp/github.actions.results.api.v1.CacheService/"


@dataclass
class Entry:
    """One cache entry; `data` is None until its blob is complete."""

    scope: str
    key: str
    version: str
    number: int
    data: bytes | None = None
    blocks: dict[str, bytes] = field(default_factory=dict)
    finished: bool = False


@dataclass
class Trouble:
    """The next `times` requests whose method and path contain these are answered with `status` instead."""

    method: str
    part: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    cut: int | None = None  # rather: break off the answer's body after so many bytes


class ActionsCacheService:
    """The service on a free port of loopback."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.troubles: list[Trouble] = []
        self.requests: list[tuple[str, str]] = []
        self.signatures: dict[str, tuple[str, int]] = {}
        self.made = 0
        self.lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            service = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self) -> ActionsCacheService:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def token(*scopes: tuple[str, int]) -> str:
        """A runtime token with these scopes and permissions, unsigned."""
        listed = json.dumps([{"Scope": scope, "Permission": permission} for scope, permission in scopes])
        parts = ({"alg": "none"}, {"ac": listed, "nbf": 0, "exp": 4_000_000_000})
        coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        return ".".join([*coded, "unsigned"])

    def evict(self, part: str) -> int:
        """Drop the entries whose key contains `part`; how many there were."""
        with self.lock:
            kept = [entry for entry in self.entries if part not in entry.key]
            dropped, self.entries = len(self.entries) - len(kept), kept
        return dropped

    def expire_urls(self) -> None:
        """All URLs given out so far have run out."""
        with self.lock:
            self.signatures.clear()

    def count(self, method: str, part: str = "") -> int:
        """How many requests of `method` there were whose path contains `part`."""
        return sum(one == method and part in path for one, path in self.requests)

    # ---------------------------------------------------------------------------------------------- methods

    def create(self, scopes: list[dict[str, Any]], asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        own = next((each["Scope"] for each in scopes if each["Permission"] & WRITE), None)
        if own is None:
            return 403, {"code": "permission_denied", "msg": "cache write denied: the token is read-only"}
        key, version = asked["key"], asked["version"]
        if not 0 < len(key) <= 512 or "," in key or len(version) != 64:
            return 400, {"code": "invalid_argument", "msg": "key or version"}
        if any((entry.scope, entry.key, entry.version) == (own, key, version) for entry in self.entries):
            return 409, {"code": "already_exists", "msg": f"cache entry with key {key} already exists"}
        self.made += 1
        entry = Entry(own, key, version, self.made)
        self.entries.append(entry)
        return 200, {"ok": True, "signed_upload_url": self.signed(entry, "w")}

    def finalize(self, scopes: list[dict[str, Any]], asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        named = (asked["key"], asked["version"])
        writable = {each["Scope"] for each in scopes if each["Permission"] & WRITE}
        for entry in self.entries:
            if (entry.key, entry.version) == named and entry.scope in writable and not entry.finished:
                if entry.data is None or len(entry.data) != int(asked["size_bytes"]):
                    return 400, {"code": "invalid_argument", "msg": "size"}
                entry.finished = True
                return 200, {"ok": True, "entry_id": str(entry.number)}
        return 404, {"code": "not_found", "msg": "no such reservation"}

    def find(self, scopes: list[dict[str, Any]], asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for scope in scopes:
            if not scope["Permission"] & READ:
                continue
            own = [
                entry
                for entry in reversed(self.entries)
                if entry.finished and (entry.scope, entry.version) == (scope["Scope"], asked["version"])
            ]
            exact = [entry for entry in own if entry.key == asked["key"]]
            begun = [entry for start in asked.get("restore_keys", ()) for entry in own if entry.key.startswith(start)]
            for entry in (*exact, *begun):
                url = self.signed(entry, "r")
                return 200, {"ok": True, "signed_download_url": url, "matched_key": entry.key}
        return 200, {"ok": False}

    def signed(self, entry: Entry, right: str) -> str:
        signature = secrets.token_hex(8)
        self.signatures[signature] = (right, entry.number)
        return f"{self.url}blobs/{entry.number}?sp={right}&sig={signature}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: ActionsCacheService

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.service.lock:
            self.service.requests.append((self.command, self.path))
            for trouble in self.service.troubles:
                if trouble.times and trouble.method == self.command and trouble.part in self.path:
                    trouble.times -= 1
                    if trouble.cut is None:
                        self.answer(trouble.status, trouble.body, trouble.headers)
                        return
                    break
            else:
                trouble = Trouble("", "", 0)
            status, data, headers = self.rpc(body) if self.path.startswith(_SERVICE) else self.blob(body)
        self.answer(status, data, headers, trouble.cut)

    do_GET = do_POST = do_PUT = handle_one

    def rpc(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        service = self.service
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token.count(".") != 2:
            return 401, b'{"code":"unauthenticated","msg":"no token"}', {}
        payload = token.split(".")[1]
        scopes = json.loads(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["ac"])
        methods = {
            "CreateCacheEntry": service.create,
            "FinalizeCacheEntryUpload": service.finalize,
            "GetCacheEntryDownloadURL": service.find,
        }
        method = methods.get(self.path.removeprefix(_SERVICE))
        if method is None or self.headers.get("content-type") != "application/json":
            return 404, b'{"code":"bad_route","msg":"no such method"}', {}
        status, value = method(scopes, json.loads(body))
        return status, json.dumps(value).encode(), {"Content-Type": "application/json"}

    def blob(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        number = int(parts.path.rpartition("/")[2])
        right = "r" if self.command == "GET" else "w"
        if self.service.signatures.get(query.get("sig", "")) != (right, number):
            return 403, b"<Error><Code>AuthenticationFailed</Code></Error>", {}
        entry = next((entry for entry in self.service.entries if entry.number == number), None)
        if entry is None:
            return 404, b"<Error><Code>BlobNotFound</Code></Error>", {}
        return self.read(entry) if right == "r" else self.write(entry, query, body)

    def read(self, entry: Entry) -> tuple[int, bytes, dict[str, str]]:
        data = entry.data or b""
        wanted = self.headers.get("range", "")
        if not wanted:
            return 200, data, {}
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        if start >= len(data):
            return 416, b"", {}
        return 206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}

    def write(self, entry: Entry, query: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        match query.get("comp"):
            case "block":
                if entry.blocks and len(query["blockid"]) != len(next(iter(entry.blocks))):
                    return 400, b"<Error><Code>InvalidBlobOrBlock</Code></Error>", {}
                base64.b64decode(query["blockid"], validate=True)
                entry.blocks[query["blockid"]] = body
            case "blocklist":
                names = [each.text or "" for each in ElementTree.fromstring(body)]
                if any(name not in entry.blocks for name in names):
                    return 400, b"<Error><Code>InvalidBlockList</Code></Error>", {}
                entry.data = b"".join(entry.blocks[name] for name in names)
            case None if self.headers.get("x-ms-blob-type") == "BlockBlob":
                entry.data = body
            case _:
                return 400, b"<Error><Code>InvalidHeaderValue</Code></Error>", {}
        return 201, b"", {}

    def answer(self, status: int, data: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Tests look at `requests`."""
