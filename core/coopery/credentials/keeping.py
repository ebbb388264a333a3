"""Keeping and forgetting credentials in docker's config.json or podman's auth.json, or in a helper it names."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from coopery.credentials.auth_file import AuthFile, parse_auth_file
from coopery.credentials.helper import erase_from_helper, store_in_helper
from coopery.credentials.keys import Key, parse_key, server_url
from coopery.errors import AuthError, StorageError, UsageError
from coopery.ports import Credential

_ANOTHER_PLACE = "name another file by --authfile, or another directory by DOCKER_CONFIG"


def auth_file_path(environ: Mapping[str, str], chosen: str = "") -> str:
    """The file that logins are kept in: `chosen`, REGISTRY_AUTH_FILE, or config.json of DOCKER_CONFIG or ~/.docker.

    That is the first file that `default_provider` reads. UsageError if nothing says where it is.
    """
    if path := chosen or environ.get("REGISTRY_AUTH_FILE"):
        return path
    if folder := environ.get("DOCKER_CONFIG"):
        return f"{folder.rstrip('/')}/config.json"
    if home := environ.get("HOME"):
        return f"{home.rstrip('/')}/.docker/config.json"
    raise UsageError("HOME isn't set, so there is no place for credentials", hint=_ANOTHER_PLACE)


def keep(path: str, place: Key, credential: Credential, environ: Mapping[str, str]) -> str:
    """Keep the user name and password for `place`, a registry or a namespace in one; where they went, for a message.

    A credential helper in charge of the registry gets them, else they are written to the file at `path`. Everything
    else in that file, and its order, stays. AuthError if the file is malformed or the helper fails, StorageError if
    the file can't be written.
    """
    with _edited(path) as (value, file):
        helper = _helper(file, place)
        if helper:
            store_in_helper(helper, server_url(place.host), credential, environ)
            entry: dict[str, str] = {}  # how docker marks what a helper keeps
        else:
            pair = f"{credential.username}:{credential.password}".encode("utf-8", "surrogateescape")
            entry = {"auth": base64.b64encode(pair).decode()}
        entries = value.get("auths") or {}
        key = str(place) if place.namespace else server_url(place.host)
        for other in _same(entries, place):
            if other != key:
                del entries[other]
        entries[key] = entry
        value["auths"] = entries
    return f"the credential helper docker-credential-{helper}" if helper else path


def forget(path: str, place: Key, environ: Mapping[str, str]) -> bool:
    """Remove what is kept for `place`; whether the file had anything. Errors as `keep`'s.

    A credential helper in charge of the registry is told to forget it too.
    """
    if not os.path.exists(path):
        return False
    with _edited(path) as (value, file):
        helper = _helper(file, place)
        if helper:
            erase_from_helper(helper, server_url(place.host), environ)
        entries = value.get("auths") or {}
        found = _same(entries, place)
        for key in found:
            del entries[key]
    return bool(found or helper)


def _same(entries: Mapping[str, Any], place: Key) -> list[str]:
    """The keys that mean the very same place, such as `https://r.example/v2/` for `r.example`."""
    return [key for key in entries if parse_key(key) == place]


def _helper(file: AuthFile, place: Key) -> str:
    helper = file.helper(place.host, place.namespace)
    if helper and place.namespace:
        raise UsageError(
            f"the credential helper {helper} is in charge of {place.host} and knows no namespaces",
            hint=f"log in to {place.host}, or use a file without helpers: --authfile",
        )
    return helper


@contextlib.contextmanager
def _edited(path: str) -> Iterator[tuple[dict[str, Any], AuthFile]]:
    """The file's JSON, to be changed in place, and its meaning. Written back at the end if it changed.

    Concurrent edits wait for each other; readers see the old file or the new one.
    """
    target = os.path.realpath(path)  # a link stays one: it may lead into somebody's dotfiles
    folder = os.path.dirname(target)
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before, status = _read(target, path)
        file = parse_auth_file(before, path)
        value: dict[str, Any] = json.loads(before) if before.strip() else {}
        old = json.dumps(value)
        yield value, file
        if json.dumps(value) != old:
            try:
                _replace(target, _serialized(value, path), status)
            except OSError as error:
                raise _unwritable(path, error) from error
    finally:
        os.close(lock)


def _read(target: str, path: str) -> tuple[bytes, os.stat_result | None]:
    try:
        with open(target, "rb") as file:
            return file.read(), os.fstat(file.fileno())
    except FileNotFoundError:
        return b"", None
    except OSError as error:
        raise AuthError(f"{path} can't be read: {error.strerror}", hint=_ANOTHER_PLACE) from error


def _serialized(value: Mapping[str, Any], path: str) -> bytes:
    """As docker writes it, with tabs."""
    try:
        return json.dumps(value, indent="\t", allow_nan=False).encode() + b"\n"
    except ValueError:
        raise AuthError(f"{path} holds a number that would be lost by writing it again") from None


def _replace(target: str, data: bytes, before: os.stat_result | None) -> None:
    """Put `data` at `target` by a rename, readable by its owner alone, who stays the same."""
    temporary = f"{target}.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if before and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _unwritable(path: str, error: OSError) -> StorageError:
    return StorageError(f"{path} can't be written: {error.strerror}", hint=_ANOTHER_PLACE)
