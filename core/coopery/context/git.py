"""Git repositories as sources of files: which commit a name means, and what that commit holds.

The git command does the work, run by GitPython, shut off from all settings but ours: none of the machine's or the
user's configuration is read, no hook and no filter runs, and only https, http, ssh and git are spoken, also to
submodules. What says who we are travels in the environment, which is the user's own to read: not in arguments, and
into no repository.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coopery.context.git_access import Identity, environment, is_foreign, way_in
from coopery.dockerfile.git_url import GitUrl, is_commit
from coopery.errors import ContextError, CooperyError, EnvironmentUnsuitable, IntegrityError, NetworkError

if TYPE_CHECKING:
    from git.cmd import Git

# What git says, in English whatever the language (GitPython sees to that).
_NOT_SERVED = ("not our ref", "unadvertised object", "dumb http", "shallow", "--depth", "remote ref", "allow request")
_REFUSED = (
    "Authentication failed",
    "could not read Username",
    "could not read Password",
    "Permission denied",
    "returned error: 401",
    "returned error: 403",
    "Host key verification failed",
    "access denied",
)
_UNREACHED = (
    "Could not resolve host",
    "Failed to connect",
    "Couldn't connect",
    "unable to connect",
    "Connection refused",
    "Connection reset",
    "Connection closed",
    "Connection timed out",
    "timed out",
    "Operation too slow",
    "Network is unreachable",
    "No route to host",
    "certificate",
    "SSL",
    "gnutls",
    "hung up unexpectedly",
    "early EOF",
    "returned error: 5",
)


@dataclass(frozen=True, slots=True)
class Commit:
    """What a repository's address means now."""

    hash: str
    ref: str  # the whole name of the branch or tag; empty for a commit by its hash


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """What is to be known of files that were checked out."""

    time: int  # when the commit was made, in seconds since 1970
    lfs: bool  # whether some of the files are kept elsewhere, by Git LFS: they are pointers


class Repository:
    """A repository elsewhere."""

    def __init__(self, url: GitUrl, identity: Identity, home: str) -> None:
        """`home` is an empty directory for git's own files. EnvironmentUnsuitable if there is no git."""
        if shutil.which("git") is None:
            hint = "install the package git, or give a directory that was cloned before"
            raise EnvironmentUnsuitable(f"{url} is a git repository, and git isn't installed", hint=hint)
        self._url = url
        self._identity = identity
        self._environment = environment(url, identity, home)
        self._home = home

    def look_up(self) -> Commit:
        """Which commit the address means; the server is asked unless it is a commit's hash.

        ContextError if there is no such branch or tag, or the server refuses; IntegrityError if it is another one than
        the address's checksum says; NetworkError if there is no answer.
        """
        url = self._url
        if url.commit:
            if url.checksum and not url.commit.startswith(url.checksum):
                raise _mismatch(url, url.commit)
            named = url.ref if url.ref and not is_commit(url.ref) else ""
            return Commit(url.commit, named if not named or named.startswith("refs/") else f"refs/heads/{named}")
        patterns = [url.ref, url.ref + "^{}"] if url.ref else ["HEAD"]
        answer = self._run(self._home, "ls-remote", "--symref", "--", url.remote, *patterns)
        found = _chosen(url, answer)
        if url.checksum and not any(one.startswith(url.checksum) for one in found[1]):
            raise _mismatch(url, found[0].hash)
        return found[0]

    def check_out(self, commit: Commit, directory: str, *, keep_git_dir: bool) -> CheckedOut:
        """Put the files of `commit`, and of its submodules, into an empty directory.

        With `keep_git_dir`, `.git` is as after a clone: with the branch or tag, and the address without credentials.
        Without, the `.git` that is there is of no use. Nothing more than the commit is fetched, if the server is able
        to do that. Errors as with `look_up`.
        """
        url = self._url
        kind = "sha256" if len(commit.hash) == 64 else "sha1"
        self._run(directory, "init", "--quiet", "--template=", f"--object-format={kind}")
        self._run(directory, "remote", "add", "--", "origin", url.remote)
        self._fetch(directory, commit, keep_git_dir=keep_git_dir)
        if keep_git_dir and commit.ref:
            peeled = commit.ref + "^{commit}"
            if self._try(directory, "rev-parse", "--verify", "--quiet", peeled)[1].strip() != commit.hash:
                self._run(directory, "update-ref", commit.ref, commit.hash)
        self._run(directory, "checkout", "--quiet", "--force", "--detach", commit.hash + "^{commit}")
        if url.submodules and os.path.lexists(os.path.join(directory, ".gitmodules")):
            self._fetch_submodules(directory)
        time = self._run(directory, "log", "-1", "--no-show-signature", "--format=%ct", commit.hash)
        lfs = self._uses_lfs(directory)
        if keep_git_dir:
            # An index without the times of files that will have others is the same for everybody.
            os.unlink(os.path.join(directory, ".git", "index"))
            self._run(directory, "read-tree", commit.hash + "^{commit}")
        return CheckedOut(int(time), lfs)

    def _fetch(self, directory: str, commit: Commit, *, keep_git_dir: bool) -> None:
        alone, named = ["--depth=1", "--", self._url.remote, commit.hash], f"+{commit.ref}:{commit.ref}"
        by_name = ["--depth=1", "--update-head-ok", "--", self._url.remote, named]
        everything = ["--", self._url.remote, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        ways = [alone, by_name] if commit.ref else [alone]
        if keep_git_dir:
            ways.reverse()  # to have an annotated tag itself
        for way in (*ways, everything):
            status, _, said = self._try(directory, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *way)
            if status == 0 and self._try(directory, "cat-file", "-e", commit.hash + "^{commit}")[0] == 0:
                return
            if status and not _says(said, _NOT_SERVED):
                raise self._failure(said)
        raise ContextError(
            f"{self._url}: the repository has no commit {commit.hash}",
            hint="was it pushed? a commit that no branch and no tag leads to may not be served",
        )

    def _fetch_submodules(self, directory: str) -> None:
        update = ["submodule", "--quiet", "update", "--init", "--recursive"]
        status, _, said = self._try(directory, *update, "--depth=1")
        if status and _says(said, _NOT_SERVED):
            self._run(directory, "submodule", "--quiet", "deinit", "--force", "--all")
            shutil.rmtree(os.path.join(directory, ".git", "modules"), ignore_errors=True)
            status, _, said = self._try(directory, *update)
        if status:
            failure = self._failure(said)
            failure.message = f"a submodule can't be fetched: {failure.message}"
            failure.hint += "; submodules=false in the address's query leaves them out"
            raise failure

    def _uses_lfs(self, directory: str) -> bool:
        listed = self._run(directory, "ls-files", "-z", "--", ":(glob)**/.gitattributes")
        for name in filter(None, listed.split("\0")):
            handle = os.open(os.path.join(directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                if b"filter=lfs" in file.read(1 << 20):
                    return True
        return False

    # ------------------------------------------------------------------------------------------------ running git

    def _run(self, directory: str, *args: str) -> str:
        """What git prints; the error that fits if it fails."""
        status, printed, said = self._try(directory, *args)
        if status:
            raise self._failure(said)
        return printed

    def _try(self, directory: str, *args: str) -> tuple[int, str, str]:
        """Git's status, and what it prints and says."""
        # GitPython only adds to the environment: what is to be away from it is taken out by env(1).
        foreign = [name for name in os.environ if is_foreign(name) and name not in self._environment]
        without = ["env", *(word for name in foreign for word in ("-u", name))] if foreign else []
        status, printed, said = _git(directory).execute(
            [*without, "git", *args],
            env=self._environment,
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
        )
        assert isinstance(printed, bytes)
        text = said if isinstance(said, str) else bytes(said).decode(errors="replace")
        return status, os.fsdecode(printed), self._without_secrets(text)

    def _without_secrets(self, text: str) -> str:
        for secret in (self._identity.password, self._identity.header):
            text = text.replace(secret, "***") if secret else text
        return text

    def _failure(self, said: str) -> CooperyError:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        detail = "\n".join(f"git: {line[:300]}" for line in lines[-8:])
        url = self._url
        if _says(said, _REFUSED):
            return ContextError(f"{url}: the server refuses", hint=way_in(url, self._identity), detail=detail)
        if _says(said, _UNREACHED):
            return NetworkError(f"{url} can't be reached", hint="is the host right, and reachable?", detail=detail)
        hint = "are its address and the name of the branch or tag right?"
        if not (self._identity.password or self._identity.header or self._identity.agent):
            hint += f" If it isn't public: {way_in(url, self._identity)}"
        return ContextError(f"{url} can't be fetched", hint=hint, detail=detail)


def _git(directory: str) -> Git:
    name = "GIT_PYTHON_REFRESH"
    before = os.environ.get(name)
    os.environ[name] = "quiet"  # it would run git to see that it is there
    try:
        from git.cmd import Git
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
    return Git(directory)


def _chosen(url: GitUrl, answer: str) -> tuple[Commit, tuple[str, ...]]:
    """The commit that ls-remote's answer says, and all hashes by which it may be called.

    A branch comes before a tag of its name, and the whole name of a ref before both, as in BuildKit.
    """
    hashes: dict[str, str] = {}
    head = "HEAD"
    for line in answer.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            head = value.removeprefix("ref: ")
        elif name:
            hashes.setdefault(name, value)
    if not url.ref:
        if "HEAD" not in hashes:
            raise ContextError(f"{url.remote} has no default branch", hint="name a branch: #BRANCH after the address")
        return Commit(hashes["HEAD"], "" if head == "HEAD" else head), (hashes["HEAD"],)
    short = url.ref.removeprefix("refs/")
    for name in (
        f"refs/{short}",
        f"refs/heads/{url.ref.removeprefix('refs/heads/')}",
        f"refs/tags/{url.ref.removeprefix('refs/tags/')}",
    ):
        if name in hashes:
            commit = hashes.get(name + "^{}", hashes[name])
            return Commit(commit, name), (commit, hashes[name])
    hint = "look at its spelling"
    if all(character in "0123456789abcdef" for character in url.ref):
        hint = "give a commit by its whole hash, with all 40 digits"
    raise ContextError(f"{url.remote} has no branch or tag {url.ref!r}", hint=hint)


def _mismatch(url: GitUrl, commit: str) -> IntegrityError:
    return IntegrityError(
        f"{url} is commit {commit}, but its checksum says {url.checksum}",
        hint="if the change is right, change the checksum",
    )


def _says(text: str, phrases: Sequence[str]) -> bool:
    return any(phrase in text for phrase in phrases)
