"""Google Cloud Storage's XML API in front of fake-gcs-server, which has only reading and deleting of it.

Uploads, uploads in parts and copies become the requests of the JSON API that they stand for, conditions included:
cloud.google.com/storage/docs/xml-api (PUT Object, multipart uploads).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import urllib3

_HOP = frozenset({"connection", "transfer-encoding", "content-length", "content-encoding", "host"})


@contextmanager
def running_front(store: str) -> Iterator[str]:
    """The URL of a server that speaks the XML API for the one at `store`."""
    pool = urllib3.PoolManager(retries=False)
    uploads: dict[str, dict[int, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            answer = pool.request(self.command, store + self.path, headers=kept, decode_content=False)
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            self._answer(answer.status, headers, answer.data, answer.headers.get("content-length", ""))

        do_HEAD = do_GET

        def do_DELETE(self) -> None:
            if uploads.pop(parse_qs(urlsplit(self.path).query).get("uploadId", [""])[0], None) is None:
                self.do_GET()
            else:
                self._answer(204, {}, b"")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
            if "uploads" in query:
                upload = f"upload-{len(uploads) + 1}-{id(self)}"
                uploads[upload] = {}
                xml = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                self._answer(200, {}, xml.encode())
            else:
                parts = uploads.pop(query["uploadId"][0])
                made = self._insert(b"".join(parts[number] for number in sorted(parts)))
                made.pop("status")
                xml = f"<CompleteMultipartUploadResult><ETag>{made['ETag']}</ETag></CompleteMultipartUploadResult>"
                self._answer(200, made, xml.encode())

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            query = parse_qs(urlsplit(self.path).query)
            if "uploadId" in query:
                uploads[query["uploadId"][0]][int(query["partNumber"][0])] = data
                self._answer(200, {"ETag": f'"{query["partNumber"][0]}"'}, b"")
            elif source := self.headers.get("x-goog-copy-source"):
                bucket, _, name = unquote(source).lstrip("/").partition("/")
                to_bucket, to_name = self._object()
                path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}/rewriteTo"
                path += f"/b/{to_bucket}/o/{quote(to_name, safe='')}"
                self._answer(pool.request("POST", store + path, body=b"{}").status, {}, b"")
            else:
                made = self._insert(data)
                self._answer(int(made.pop("status")), made, b"")

        def _object(self) -> tuple[str, str]:
            bucket, _, name = urlsplit(self.path).path.lstrip("/").partition("/")
            return bucket, unquote(name)

        def _insert(self, data: bytes) -> dict[str, str]:
            """The `status` of making an object, and its headers if it was made."""
            bucket, name = self._object()
            url = f"{store}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
            wanted = self.headers.get("x-goog-if-generation-match")
            answer = pool.request("POST", url + (f"&ifGenerationMatch={wanted}" if wanted else ""), body=data)
            if answer.status != 200:
                return {"status": str(answer.status)}
            made = json.loads(answer.data)
            return {"status": "200", "ETag": f'"{made["etag"]}"', "x-goog-generation": str(made["generation"])}

        def _answer(self, status: int, headers: dict[str, str], data: bytes, length: str = "") -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
