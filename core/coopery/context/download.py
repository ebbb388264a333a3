"""ADD of a URL: the file behind it, with its name and age."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from coopery.errors import ContextError, IntegrityError, NetworkError
from coopery.oci.digest import Digest

if TYPE_CHECKING:
    import requests

_PIECE = 1 << 20
_TIMEOUT = (15, 60)  # seconds to connect, and between two pieces


@dataclass(frozen=True, slots=True)
class Download:
    """A file that was fetched: where it lies, what it is called, and what the server said of its age (0: nothing)."""

    path: str
    name: str
    digest: Digest
    mtime_ns: int


def download(url: str, path: str, authorization: str = "", checksum: str = "") -> Download:
    """Fetch `url` into the new file `path`.

    `authorization` is what the header of that name says to the URL's own host, and to no other that it may lead to;
    without it, a user name in the URL counts. The time is Last-Modified's.
    ContextError if the server answers with an error, NetworkError if it doesn't answer, IntegrityError if what it
    gives isn't of `checksum` (`sha256:…`, sha384 or sha512).
    """
    import requests

    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # no passwords, no signed queries
    hasher = hashlib.sha256()
    algorithm, _, expected = checksum.partition(":")
    other = hashlib.new(algorithm) if algorithm not in ("", "sha256") else hasher
    try:
        with (
            _session(url, authorization) as session,
            # What is compressed for the transport alone is unpacked; other ways of that than gzip aren't asked for.
            session.get(url, stream=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "gzip"}) as answer,
        ):
            if answer.status_code != 200:
                hint = "check the URL and its access rights"
                if answer.status_code in (401, 403):
                    hint = f"give a token with --secret id=HTTP_AUTH_TOKEN_{host_of(url)},env=VARIABLE"
                raise ContextError(f"{shown} answers {answer.status_code} {answer.reason}", hint=hint)
            with open(path, "wb", buffering=0) as file:
                for piece in answer.iter_content(_PIECE):
                    hasher.update(piece)
                    if other is not hasher:
                        other.update(piece)
                    file.write(piece)
            modified = answer.headers.get("Last-Modified", "")
    except requests.RequestException as error:
        raise NetworkError(f"can't download {shown}: {type(error).__name__}", hint="is the host reachable?") from error
    if other.hexdigest() != expected and checksum:
        raise IntegrityError(
            f"{shown} has the checksum {algorithm}:{other.hexdigest()}, but {checksum} is expected",
            hint="see why the file has changed before you change the checksum",
        )
    return Download(path, file_name(url), Digest("sha256", hasher.hexdigest()), _nanoseconds(modified))


def _session(url: str, authorization: str) -> requests.Session:
    """A session that says who we are to the host of `url` alone, and reads no .netrc."""
    import requests
    from requests.auth import HTTPBasicAuth

    parts = urlsplit(url)

    def say(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if authorization:
            request.headers["Authorization"] = authorization.encode().decode("latin-1")  # as bytes, UTF-8
        elif parts.username is not None:
            HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))(request)
        return request

    class Session(requests.Session):
        def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
            before, after = response.request.url or "", prepared_request.url or ""
            if self.should_strip_auth(before, after):  # type: ignore[no-untyped-call]
                prepared_request.headers.pop("Authorization", None)

    session = Session()
    session.auth = say
    return session


def host_of(url: str) -> str:
    """The URL's host, without a port."""
    return urlsplit(url).hostname or ""


def file_name(url: str) -> str:
    """What a file from a URL is called: the last part of the path; `__unnamed__` if there is none, as BuildKit has
    it, whatever the server says of names (dockerfile2llb/convert_copy.go)."""
    name = posixpath.basename(unquote(urlsplit(url).path).rstrip("/"))
    return "__unnamed__" if name in ("", ".", "..") or "\0" in name else name


def _nanoseconds(modified: str) -> int:
    from email.utils import parsedate_to_datetime

    try:
        return int(parsedate_to_datetime(modified).timestamp()) * 1_000_000_000
    except (TypeError, ValueError):
        return 0
