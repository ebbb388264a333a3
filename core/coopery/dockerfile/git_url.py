"""Addresses of git repositories, as build contexts and ADD take them: where it is, and what of it is wanted.

What counts as one is BuildKit's choice (frontend/dockerfile/dfgitutil/git_ref.go, util/gitutil/git_url.go): `git://`,
`ssh://`, `user@host:path`, and http or https with a path that ends in `.git`. What is wanted stands in the fragment
(`#REF:SUBDIRECTORY`) or in the query.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Literal, cast

from coopery.errors import UsageError, did_you_mean

Scheme = Literal["https", "http", "ssh", "git"]
#: Which time the files have: the commit's, or that of the checkout.
MTime = Literal["", "commit", "checkout"]

#: Patterns are compiled when they are needed, which they rarely are.
_SCP = r"([A-Za-z0-9_-]+)@([A-Za-z0-9.-]+):([^?#]*)(?:\?([^#]*))?(?:#(.*))?"
_URL = r"(?i)(https?|ssh|git)://"
_WEB = ("http", "https")
_CREDENTIALS = r"(?i)(https?://)[^/?#\s@]*@"
_FLAGS = ("keep-git-dir", "submodules", "fetch-by-commit")
_QUERY = ("ref", "tag", "branch", "subdir", "checksum", "commit", "mtime", *_FLAGS)
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_HEX = r"[0-9a-fA-F]+"
_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"
#: What git doesn't allow in the name of a ref (git-check-ref-format(1)).
_BAD_REF = r"^[-/]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|[/.]$|(?:^|/)\.|\.lock(?:/|$)"


@dataclass(frozen=True, slots=True)
class GitUrl:
    """A git repository, and what of it is wanted."""

    remote: str  # for git: without a password, a query and a fragment
    scheme: Scheme
    host: str  # with its port, if the address has one
    username: str = ""
    password: str = field(default="", repr=False)
    ref: str = ""  # a branch, a tag, a whole ref or a commit; empty: the default branch
    subdir: str = ""  # as a path from the repository's root; empty: all of it
    checksum: str = ""  # the beginning of the commit's hash, in small letters
    keep_git_dir: bool | None = None
    submodules: bool = True
    fetch_by_commit: bool = False  # the checksum is the commit: the ref needs no look-up
    mtime: MTime = ""  # empty: the builder's choice

    def __str__(self) -> str:
        what = self.ref + (f":{self.subdir}" if self.subdir else "")
        return self.remote + (f"#{what}" if what else "")

    @property
    def commit(self) -> str:
        """The commit that the address itself names, empty if it takes a look-up to know."""
        if is_commit(self.ref):
            return self.ref
        return self.checksum if self.fetch_by_commit else ""


def is_commit(text: str) -> bool:
    """Whether `text` is a whole commit hash, of either kind that git has."""
    return re.fullmatch(_COMMIT, text) is not None


def parse_git_url(text: str, *, bare: bool = False) -> GitUrl | None:
    """What `text` addresses; None if it isn't a git repository. `bare` also takes `github.com/OWNER/NAME`.

    UsageError if it is one, but can't be used.
    """
    from urllib.parse import quote, unquote, urlsplit

    if bare and text.startswith("github.com/"):
        text = f"https://{text}"
    elif not looks_like_git(text):
        return None
    for character in text:
        if not character.isprintable() or character.isspace():
            raise _wrong(text, f"{character!r} can't be part of an address")
    scp = None if re.match(_URL, text) else re.fullmatch(_SCP, text)
    if scp:
        user, host, path, query, fragment = (part or "" for part in scp.groups())
        remote = f"{user}@{host}:{path}"
        return _checked(text, GitUrl(remote, "ssh", host, user), path, query, fragment)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _wrong(text, str(error)) from None
    host = parts.hostname or ""
    host = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "ssh":
        password = ""  # which ssh couldn't use
    shown_user = f"{quote(user, safe='')}@" if user and parts.scheme == "ssh" else ""
    remote = f"{parts.scheme}://{shown_user}{host}{parts.path}"
    url = GitUrl(remote, cast(Scheme, parts.scheme), host, user, password)
    return _checked(text, url, unquote(parts.path), parts.query, unquote(parts.fragment))


def looks_like_git(text: str) -> bool:
    """Whether `text` is the address of a git repository, rightly written or not."""
    match = re.match(_URL, text)
    if not match:
        return re.fullmatch(_SCP, text) is not None
    scheme = match[1].lower()
    return scheme not in _WEB or re.split("[?#]", text, maxsplit=1)[0].endswith(".git")


def without_credentials(text: str) -> str:
    """`text` with the addresses for http and https that are in it lacking the user and the password they may have."""
    return re.sub(_CREDENTIALS, r"\1", text) if "://" in text else text


def _checked(text: str, url: GitUrl, path: str, query: str, fragment: str) -> GitUrl:
    """`url` with what query and fragment say, if it is one that is safe to hand to git."""
    if not url.host.strip("[]") or not path.strip("/"):
        raise _wrong(text, "it lacks a host or a path")
    if url.host.startswith("-") or url.username.startswith("-") or path.startswith("-"):
        raise _wrong(text, "no part of it may begin with `-`")
    ref, _, subdir = fragment.partition(":")
    values = _query(text, query)
    subdir = _one(text, "subdir", _clean(subdir), _clean(values.get("subdir", "")))
    if not subdir.isprintable():
        raise _wrong(text, f"{subdir!r} can't be a subdirectory")
    for name, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if name in values and not values[name].startswith(prefix):
            values[name] = prefix + values[name]
    for name in ("ref", "tag", "branch"):
        ref = _one(text, "ref", ref, values.get(name, ""))
    ref = ref.lower() if re.fullmatch(_COMMIT, ref.lower()) else ref
    if ref and re.search(_BAD_REF, ref):
        raise _wrong(text, f"{ref!r} is no name of a branch, a tag or a commit")
    checksum = _one(text, "checksum", values.get("checksum", ""), values.get("commit", ""))
    keep, submodules, by_commit = (_flag(text, name, values) for name in _FLAGS)
    mtime = values.get("mtime", "")
    if mtime not in ("", "commit", "checkout"):
        raise _wrong(text, f"mtime is commit or checkout, not {mtime!r}")
    found = GitUrl(
        url.remote,
        url.scheme,
        url.host,
        url.username,
        url.password,
        ref,
        subdir,
        keep_git_dir=keep,
        submodules=submodules is not False,
        fetch_by_commit=bool(by_commit),
        mtime=cast(MTime, mtime),
    )
    if by_commit and not checksum and not is_commit(ref):
        raise _wrong(text, "fetch-by-commit needs a checksum", "add &checksum= with the commit's whole hash")
    return with_checksum(found, checksum) if checksum else found


def with_checksum(url: GitUrl, checksum: str) -> GitUrl:
    """`url` with the beginning of a commit's hash that it must have. UsageError if it can't have that."""
    from dataclasses import replace

    checksum = checksum.lower()
    if not re.fullmatch(_HEX, checksum):
        raise UsageError(f"{checksum!r} is not the hash of a commit", hint="write it in hexadecimal digits")
    if url.checksum and url.checksum != checksum:
        raise UsageError(f"{url} is to be {url.checksum} and {checksum} at once", hint="give one checksum")
    if url.fetch_by_commit and not (is_commit(checksum) or is_commit(url.ref)):
        raise UsageError(f"{url}: fetch-by-commit needs the whole hash", hint="give all digits of the commit's hash")
    return replace(url, checksum=checksum)


def _query(text: str, query: str) -> dict[str, str]:
    from urllib.parse import parse_qs

    values: dict[str, str] = {}
    for name, given in parse_qs(query, keep_blank_values=True).items():
        if name not in _QUERY:
            hint = did_you_mean(name, _QUERY) or f"there are {', '.join(_QUERY)}"
            raise _wrong(text, f"git repositories have no {name!r}", hint)
        if len(set(given)) > 1:
            raise _wrong(text, f"{name} is given twice, with different values")
        if not given[0] and name not in _FLAGS:
            raise _wrong(text, f"{name} has no value")
        values[name] = given[0]
    return values


def _flag(text: str, name: str, values: dict[str, str]) -> bool | None:
    if name not in values:
        return None
    value = values[name] or "true"
    if value not in (*_TRUE, *_FALSE):
        raise _wrong(text, f"{name} is true or false, not {value!r}")
    return value in _TRUE


def _one(text: str, what: str, first: str, second: str) -> str:
    if first and second and first != second:
        raise _wrong(text, f"the {what} is {first!r} in one place and {second!r} in another")
    return first or second


def _clean(subdir: str) -> str:
    return posixpath.normpath(f"/{subdir}").lstrip("/")


def _wrong(text: str, message: str, hint: str = "") -> UsageError:
    default = "write https://HOST/PATH.git#REF:SUBDIRECTORY, or user@host:path"
    return UsageError(
        f"{without_credentials(text)!r} can't be used as a git repository: {message}", hint=hint or default
    )
