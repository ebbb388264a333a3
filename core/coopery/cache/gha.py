"""GitHub's Actions cache service, version 2, as a cache.

The protocol is that of actions/toolkit (packages/cache) and go-actions-cache: entries are reserved, uploaded to a
signed URL as Azure block blobs, and finished; they are found by the beginning of their key, the newest first, and
never change. So each record and each blob is an entry, whose key ends with when it was made: what has run out or
turned out damaged gets a newer entry beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Literal, Protocol
from urllib.parse import quote, urlsplit

from coopery.cache.remote.protocol import MayNotWrite
from coopery.cache.remote.record import RemoteRecord
from coopery.errors import AuthError, IntegrityError, NetworkError, NotFound, RegistryError
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference
from coopery.request import CacheSpec

_SERVICE = "/twirp/github.actions.results.api.v1.CacheService/"
#: Entries of other versions are not seen: it tells formats of ours apart, as the toolkit's does with paths.
_VERSION = hashlib.sha256(b"coopery|1").hexdigest()
_SCOPE = "coopery"  # of builds that name none
_WRITE = 2  # a permission in a token's `ac` claim; 1 is for reading
_BLOCK = 16 << 20  # bytes
_PARALLEL = 4  # blocks at a time
_ATTEMPTS = 4  # at a download that breaks
_PIECE = 1 << 20


class Reader(Protocol):
    """A body that is read in pieces."""

    def read(self, amount: int = ..., /) -> bytes: ...
    def close(self) -> None: ...


class Answer(Protocol):
    """An answer: `body` is all of it, unless a stream was asked for and there is one."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def stream(self) -> Reader | None: ...


class Sized(Protocol):
    """A request's body as a stream."""

    def __len__(self) -> int: ...
    def read(self, amount: int = -1, /) -> bytes: ...


class Http(Protocol):
    """Sends requests, again where that makes sense: lost connections, 408, 429 with its Retry-After, 5xx."""

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], Sized | bytes] | None = None,
        *,
        stream: bool = False,
    ) -> Answer: ...


def cache_of_job(
    spec: CacheSpec,
    environ: Mapping[str, str],
    http: Http,
    mask: Callable[[bytes], None],
    notice: Callable[[str], None],
) -> ActionsCache | None:
    """The cache of the job that `environ` is the environment of; None, after a notice, if that is no such job: the
    same command line is to work elsewhere, as with buildx. `mask` is told the token."""
    url = spec.url or environ.get("ACTIONS_RESULTS_URL", "")
    token = spec.token or environ.get("ACTIONS_RUNTIME_TOKEN", "")
    if not url or not token:
        notice(
            "type=gha: this is no job with an Actions cache: ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN aren't set"
        )
        return None
    mask(token.encode("utf-8", "surrogateescape"))
    return ActionsCache(http, url, token, spec.scope or _SCOPE, environ.get("ACTIONS_CACHE_MODE", ""))


class ActionsCache:
    """`Cache` in the service. Scopes of branches are the service's own; `scope` sets builds apart beyond that."""

    def __init__(self, http: Http, url: str, token: str, scope: str, cache_mode: str = "") -> None:
        """`url` and `token` are ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN of the job, `cache_mode` its
        ACTIONS_CACHE_MODE: read, write, write-only or none."""
        self.name = f"gha {scope}"
        self.identity = f"gha {url} {scope}"
        self._http = http
        self._base = url.rstrip("/") + _SERVICE
        self._host = urlsplit(url).netloc
        self._token = token
        self._scope = hashlib.sha256(scope.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._may_read = cache_mode not in ("write-only", "none")
        self._may_write = cache_mode not in ("read", "none") and _may_write(token)
        self._refused: set[Digest] = set()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def place(self) -> Reference | None:
        """See `Cache`."""
        return None

    def lookup(self, key: Digest) -> RemoteRecord | None:
        """See `Cache`."""
        url = self._find(self._record(key)) if self._may_read else None
        if url is None:
            return None
        answer = self._http.send("GET", url, {})
        if answer.status == 404:  # evicted just now
            return None
        if answer.status != 200:
            raise self._failure("download of a record", answer.status)
        return RemoteRecord.parse(answer.body, key)

    def blob(self, layer: Descriptor) -> Iterator[bytes]:
        """See `Cache`. A lost connection is taken up where it broke; a URL that has run out is asked for anew."""
        hasher, received = hashlib.new(layer.digest.algorithm), 0
        for attempt in range(_ATTEMPTS):
            url = self._find(self._blob(layer.digest))
            if url is None:
                raise NotFound(f"blob {layer.digest} has left the cache")
            try:
                for piece in self._download(url, received):
                    hasher.update(piece)
                    received += len(piece)
                    if received > layer.size:
                        raise IntegrityError(f"blob {layer.digest} in the cache is longer than its record says")
                    yield piece
                break
            except (NetworkError, AuthError):
                if attempt == _ATTEMPTS - 1:
                    raise
        if received != layer.size or hasher.hexdigest() != layer.digest.hex:
            raise IntegrityError(f"blob {layer.digest} in the cache isn't what its digest says")

    def put_blob(
        self, layer: Descriptor, open_blob: Callable[[], BinaryIO], mount_from: Sequence[Reference] = ()
    ) -> Literal["exists", "mounted", "uploaded"]:
        """See `Cache`."""
        prefix = self._blob(layer.digest)
        self._check_writable()
        if layer.digest not in self._refused and self._may_read and self._find(prefix):
            return "exists"
        return "uploaded" if self._put(prefix, layer.size, open_blob) else "exists"

    def put_record(self, record: RemoteRecord, open_blob: Callable[[Descriptor], BinaryIO]) -> None:
        """See `Cache`."""
        from io import BytesIO

        data = record.to_json()
        self._check_writable()
        self._put(self._record(record.record.key), len(data), lambda: BytesIO(data))

    def touch(self, key: Digest) -> None:
        """See `Cache`: the service goes by when an entry was last read, which it just was."""

    def refuse(self, layer: Descriptor) -> None:
        """See `Cache`."""
        self._refused.add(layer.digest)

    # ---------------------------------------------------------------------------------------------- entries

    def _record(self, key: Digest) -> str:
        return f"coopery-step-{self._scope}-{key.hex}#"

    def _blob(self, digest: Digest) -> str:
        return f"coopery-blob-{digest.hex}#"

    def _check_writable(self) -> None:
        if not self._may_write:
            raise MayNotWrite("this job may only read the Actions cache")

    def _find(self, prefix: str) -> str | None:
        """The URL of the newest entry whose key begins with `prefix`, or None."""
        wanted = {"key": prefix, "restore_keys": [prefix], "version": _VERSION}
        value = self._call("GetCacheEntryDownloadURL", wanted)
        if not value.get("ok"):
            return None
        if not str(value.get("matched_key") or "").startswith(prefix):
            raise IntegrityError(f"{self._host} offers another cache entry than was asked for")
        return self._signed(value, "signed_download_url")

    def _put(self, prefix: str, size: int, open_blob: Callable[[], BinaryIO]) -> bool:
        """Make an entry; False if somebody else just did."""
        key = f"{prefix}{int(time.time())}-{os.urandom(3).hex()}"
        value = self._call("CreateCacheEntry", {"key": key, "version": _VERSION})
        if value.get("code") == "already_exists":
            return False
        if not value.get("ok"):
            raise self._refusal(value)
        self._upload(self._signed(value, "signed_upload_url"), size, open_blob)
        done = self._call("FinalizeCacheEntryUpload", {"key": key, "version": _VERSION, "size_bytes": str(size)})
        if not done.get("ok"):
            raise self._refusal(done)
        return True

    def _call(self, method: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = json.dumps(request).encode()
        answer = self._http.send("POST", self._base + method, headers, lambda: data)
        try:
            value = json.loads(answer.body)
        except (ValueError, RecursionError):
            value = None
        value = value if isinstance(value, dict) else {}
        code = value.get("code")
        if answer.status == 200 or code == "already_exists":
            return value
        if code == "not_found" or (answer.status == 404 and method.startswith("Get")):
            return {}
        if answer.status in (401, 403):
            if method.startswith("Get"):
                raise AuthError(f"the Actions cache at {self._host} refused the job's token")
            raise MayNotWrite(f"the Actions cache at {self._host} refused to be written to")
        raise self._failure(method, answer.status)

    def _refusal(self, value: Mapping[str, Any]) -> Exception:
        text = "".join(char for char in str(value.get("message") or "")[:200] if char.isprintable())
        if "denied" in text or "read-only" in text or "read only" in text:
            return MayNotWrite(f"the Actions cache says: {text}")
        return RegistryError(f"the Actions cache at {self._host} took no entry{': ' + text if text else ''}")

    def _failure(self, what: str, status: int) -> RegistryError:
        return RegistryError(f"{what}: the Actions cache at {self._host} answered with status {status}")

    def _signed(self, value: Mapping[str, Any], name: str) -> str:
        url = value.get(name)
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise IntegrityError(f"{self._host} gave no URL for a cache entry")
        return url

    # ------------------------------------------------------------------------------------------------ bytes

    def _download(self, url: str, start: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        answer = self._http.send("GET", url, headers, stream=True)
        if answer.status in (401, 403):
            raise AuthError("a download URL of the Actions cache has run out")
        if answer.status == 404:
            raise NotFound("a blob has left the Actions cache")
        if answer.stream is None or answer.status not in (200, 206):
            raise self._failure("download of a blob", answer.status)
        skip = start if answer.status == 200 else 0
        try:
            while piece := answer.stream.read(_PIECE):
                if skip < len(piece):
                    yield piece[skip:]
                skip = max(0, skip - len(piece))
        finally:
            answer.stream.close()

    def _upload(self, url: str, size: int, open_blob: Callable[[], BinaryIO]) -> None:
        """Azure's Put Blob for what fits into one block, else Put Block, several at a time, and Put Block List."""
        if size <= _BLOCK:
            self._send(url, {"x-ms-blob-type": "BlockBlob"}, open_blob, 0, size)
            return
        starts = range(0, size, _BLOCK)
        names = [base64.b64encode(f"{number:08d}".encode()).decode() for number in range(len(starts))]

        def block(name: str, start: int) -> None:
            target = f"{url}&comp=block&blockid={quote(name, safe='')}"
            self._send(target, {}, open_blob, start, min(_BLOCK, size - start))

        for done in [self._workers().submit(block, *each) for each in zip(names, starts, strict=True)]:
            done.result()
        listed = "".join(f"<Latest>{name}</Latest>" for name in names)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        answer = self._http.send("PUT", f"{url}&comp=blocklist", {"Content-Type": "application/xml"}, lambda: body)
        if answer.status not in (200, 201):
            raise self._failure("upload of a blob", answer.status)

    def _send(
        self, url: str, headers: Mapping[str, str], open_blob: Callable[[], BinaryIO], start: int, size: int
    ) -> None:
        with open_blob() as file:
            body = {"Content-Type": "application/octet-stream", **headers}
            answer = self._http.send("PUT", url, body, lambda: _Part(file, start, size))
        if answer.status not in (200, 201):
            raise self._failure("upload of a blob", answer.status)

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_PARALLEL, "actions-cache")
            return self._pool


class _Part:
    """`size` bytes of a file from `start` on, as a request's body."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        file.seek(start)
        self._file = file
        self._size = self._left = size

    def __len__(self) -> int:
        return self._size

    def read(self, amount: int = -1, /) -> bytes:
        data = self._file.read(self._left if amount < 0 else min(amount, self._left))
        self._left -= len(data)
        return data


def _may_write(token: str) -> bool:
    """Whether a runtime token lets its job write to any scope, as its `ac` claim has it; also where there is none to
    be read: the service decides."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        scopes = json.loads(claims["ac"])
        return any(int(scope["Permission"]) & _WRITE for scope in scopes)
    except (IndexError, ValueError, KeyError, TypeError):
        return True
