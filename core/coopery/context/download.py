"""ADD of a URL: the file behind it, with its name and age."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from coopery.errors import ContextError, NetworkError
from coopery.oci.digest import Digest

_PIECE = 1 << 20
_TIMEOUT = (15, 60)  # seconds to connect, and between two pieces


@dataclass(frozen=True, slots=True)
class Download:
    """A file that was fetched: where it lies, what it is called, and what the server said of its age (0: nothing)."""

    path: str
    name: str
    digest: Digest
    mtime_ns: int


def download(url: str, path: str) -> Download:
    """Fetch `url` into the new file `path`.

    The name is the last part of the URL's path (`__unnamed__` without one, as BuildKit has it), the time is
    Last-Modified's.
    ContextError if the server answers with an error, NetworkError if it doesn't answer.
    """
    import requests

    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # no passwords, no signed queries
    hasher = hashlib.sha256()
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code != 200:
                raise ContextError(
                    f"{shown} answers {answer.status_code} {answer.reason}", hint="check the URL and its access rights"
                )
            with open(path, "wb", buffering=0) as file:
                for piece in answer.iter_content(_PIECE):
                    hasher.update(piece)
                    file.write(piece)
            modified = answer.headers.get("Last-Modified", "")
    except requests.RequestException as error:
        raise NetworkError(f"can't download {shown}: {type(error).__name__}", hint="is the host reachable?") from error
    return Download(path, _name(parts.path), Digest("sha256", hasher.hexdigest()), _nanoseconds(modified))


def _name(path: str) -> str:
    name = posixpath.basename(unquote(path).rstrip("/"))
    return "__unnamed__" if name in ("", ".", "..") or "\0" in name else name


def _nanoseconds(modified: str) -> int:
    from email.utils import parsedate_to_datetime

    try:
        return int(parsedate_to_datetime(modified).timestamp()) * 1_000_000_000
    except (TypeError, ValueError):
        return 0
