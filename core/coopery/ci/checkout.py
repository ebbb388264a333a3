"""What a git checkout says of itself: commit, branch, tag, where it came from.

Everything is read by GitPython's own code, out of refs, objects and the repository's configuration. No git command is
run, so that nothing in the repository's configuration (hooks, fsmonitor, filters, helpers) can be, that whose files
they are makes no difference, and that it works where git isn't installed. What can't be read isn't known: this never
fails.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coopery.ci.revision import Revision
from coopery.ci.versions import semver

if TYPE_CHECKING:
    from git.index.typ import IndexEntry

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[A-Za-z0-9._-]{2,}):(?![/:])(?P<path>.+)")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?")
_PATH = re.compile(r"[A-Za-z0-9._~%+@:-]+(?:/[A-Za-z0-9._~%+@:-]+)*")
#: A flag of an index entry: gitformat-index(5), "assume-valid".
_ASSUMED = 0x8000
_SSH = ("ssh", "git+ssh", "ssh+git", "git")


@dataclass(frozen=True, slots=True)
class Checkout:
    """What is checked out. `dirty` says whether tracked files differ from the commit; None if that isn't known."""

    revision: Revision
    dirty: bool | None


def read_checkout(directory: str) -> Checkout | None:
    """What is checked out in `directory` or around it, as if somebody had started its build; None if nothing is.

    A detached HEAD is a tag if one points there: that with the highest version, if there are several.
    """
    repository: _Repository | None = _attempt(None, _Repository, directory)
    commit = _attempt("", repository.resolve, "HEAD") if repository else ""
    if repository is None or not commit:
        return None
    branch = _branch(repository, "HEAD")
    tag = "" if branch else _attempt("", _tag, repository, commit)
    known = Revision(event="manual", commit=commit, branch=branch, tag=tag)
    return Checkout(_filled(known, repository), _attempt(None, repository.dirty, commit))


def completed(revision: Revision, directory: str) -> Revision:
    """`revision` with what it doesn't say and the checkout in `directory`, or around it, does.

    That is when its commit was made, the repository with its address, and the default branch; also the commit itself,
    but not of a change: there a merge is checked out.
    """
    repository: _Repository | None = _attempt(None, _Repository, directory)
    if repository is None:
        return revision
    if not revision.commit and revision.event != "change":
        revision = replace(revision, commit=_attempt("", repository.resolve, "HEAD"))
    return _filled(revision, repository)


def web_url(address: str) -> str:
    """Where people look at the repository with this address for git: HTTPS (or HTTP, if git uses that), without
    credentials, port of SSH and `.git`. Empty for a path, and for what is no address.
    """
    if not address.isprintable():  # urlsplit would leave some of it out
        return ""
    scp = _SCP.fullmatch(address) if "://" not in address else None
    try:
        parts = urlsplit(f"ssh://{scp['host']}/{scp['path']}" if scp else address)
        port = parts.port
    except ValueError:
        return ""
    host, path = parts.hostname or "", parts.path.strip("/").removesuffix(".git")
    if parts.scheme in ("http", "https"):
        scheme, host = parts.scheme, f"{host}:{port}" if port else host
    elif parts.scheme in _SSH:
        scheme = "https"
    else:
        return ""
    return f"{scheme}://{host}/{path}" if _HOST.fullmatch(host) and _PATH.fullmatch(path) else ""


class _Repository:
    """A repository's refs, objects and configuration. Its methods raise all kinds of errors: see `_attempt`."""

    def __init__(self, directory: str) -> None:
        name = "GIT_PYTHON_REFRESH"
        before = os.environ.get(name)
        os.environ[name] = "quiet"  # or else GitPython can't be imported where git isn't installed
        try:
            from git import Repo
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
        from gitdb import GitDB  # type: ignore[import-untyped]

        self._repo = Repo(directory, search_parent_directories=True, expand_vars=False)
        # What the Repo itself has would run `git cat-file`.
        self._objects = GitDB(os.path.join(self._repo.common_dir, "objects"))

    def resolve(self, ref: str) -> str:
        """The hash that `ref` has, of whatever kind of object."""
        from git.refs.symbolic import SymbolicReference

        return SymbolicReference.dereference_recursive(self._repo, ref)

    def target(self, ref: str) -> str:
        """The ref that the symbolic `ref` names."""
        from git.refs.symbolic import SymbolicReference

        return str(SymbolicReference(self._repo, ref).reference.path)

    def headers(self, commit: str) -> dict[str, str]:
        """The first lines of a commit or annotated tag, by their first words."""
        text = self._objects.stream(bytes.fromhex(commit)).read().partition(b"\n\n")[0].decode("utf-8", "replace")
        return {key: value for key, _, value in reversed([line.partition(" ") for line in text.splitlines()])}

    def tags(self) -> list[str]:
        """The names of all tags."""
        return [tag.name for tag in self._repo.tags]

    def origin(self) -> str:
        """The address of the remote `origin`."""
        from git.config import GitConfigParser

        path = os.path.join(self._repo.common_dir, "config")
        with GitConfigParser(path, read_only=True, merge_includes=False) as config:
            return str(config.get_value('remote "origin"', "url"))

    def dirty(self, commit: str) -> bool:
        """Whether the index differs from `commit`, or a tracked file from the index.

        Filters (LFS, line endings) aren't applied: a file that has one counts as changed once its size and time aren't
        those that git noted.
        """
        from git.index.fun import read_cache
        from git.objects.fun import traverse_tree_recursive

        index = os.path.join(self._repo.git_dir, "index")
        with open(index, "rb") as file:
            written = os.fstat(file.fileno()).st_mtime_ns
            entries = list(read_cache(file)[1].values())
        tree = bytes.fromhex(self.headers(commit)["tree"])
        committed = {(path, mode, sha) for sha, mode, path in traverse_tree_recursive(self._objects, tree, "")}
        if {(str(entry.path), entry.mode, entry.binsha) for entry in entries} != committed:
            return True
        root = str(self._repo.working_tree_dir)
        return any(_changed(os.path.join(root, entry.path), entry, written) for entry in entries)


def _changed(path: str, entry: IndexEntry, written: int) -> bool:
    """Whether the file isn't the one of the index, which was written at `written` (nanoseconds since 1970)."""
    if stat.S_IFMT(entry.mode) not in (stat.S_IFREG, stat.S_IFLNK) or entry.flags & _ASSUMED:
        return False  # a submodule, or what the user told git not to look at
    if getattr(entry, "skip_worktree", False):
        return False
    try:
        found = os.lstat(path)
        if stat.S_IFMT(found.st_mode) != stat.S_IFMT(entry.mode):
            return True
        if stat.S_ISREG(found.st_mode) and bool(found.st_mode & 0o100) != bool(entry.mode & 0o100):
            return True
        seconds, rest = entry.mtime
        noted = seconds * 10**9 + rest
        if found.st_size == entry.size and found.st_mtime_ns == noted and noted < written:
            return False
        if stat.S_ISLNK(found.st_mode):
            content = os.readlink(os.fsencode(path))
        else:
            with open(path, "rb") as file:
                content = file.read()
    except OSError:
        return True
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).digest() != entry.binsha


def _attempt(default: Any, read: Any, *arguments: Any) -> Any:
    """What `read` returns, `default` if it fails: on malformed repositories the libraries raise all kinds of errors."""
    try:
        return read(*arguments)
    except Exception:
        return default


def _filled(revision: Revision, repository: _Repository) -> Revision:
    url = revision.repository_url or web_url(_attempt("", repository.origin))
    return replace(
        revision,
        commit_time=_time(repository, revision.commit) if revision.commit_time is None else revision.commit_time,
        repository_url=url,
        repository=revision.repository or urlsplit(url).path.strip("/"),
        default_branch=revision.default_branch or _branch(repository, "refs/remotes/origin/HEAD"),
    )


def _time(repository: _Repository, commit: str) -> int | None:
    if not _COMMIT.fullmatch(commit):
        return None
    committer = _attempt({}, repository.headers, commit).get("committer", "")
    match = re.fullmatch(r".*> ([0-9]{1,15}) [+-][0-9]{4}", committer)
    return int(match[1]) if match else None


def _branch(repository: _Repository, ref: str) -> str:
    """The branch that a symbolic ref names; empty if it names none."""
    target: str = _attempt("", repository.target, ref)
    return target.removeprefix("refs/remotes/origin/" if "/" in ref else "refs/heads/")


def _tag(repository: _Repository, commit: str) -> str:
    found = [name for name in repository.tags() if _attempt("", _peeled, repository, name) == commit]

    def rank(name: str) -> tuple[bool, tuple[int, ...], bool, str]:
        version = semver(name)
        numbers = (version.major, version.minor, version.patch) if version else ()
        return version is not None, numbers, version is not None and version.release, name

    return max(found, key=rank, default="")


def _peeled(repository: _Repository, tag: str) -> str:
    """The commit of a tag, annotated or not."""
    found = repository.resolve(f"refs/tags/{tag}")
    headers = repository.headers(found)
    return headers.get("object", found)
