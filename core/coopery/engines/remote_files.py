"""Files that lie elsewhere: commits of git repositories, downloads, archives. Each becomes a tar in the local store.

A tar holds what a checkout or an archive holds, but nothing is ever unpacked from it: paths are looked up in its list
of entries, so that no link in it leads anywhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from coopery.archive.hashing import HashingWriter
from coopery.cache.store import Store
from coopery.context.files import TarFiles
from coopery.dockerfile.git_url import GitUrl
from coopery.errors import ContextError, CooperyError, IntegrityError, UsageError
from coopery.oci.digest import Digest
from coopery.ports import Change, Progress, StoredLayer
from coopery.request import SshAgent
from coopery.solver.layers import Once
from coopery.solver.secrets import Secrets
from coopery.tree.entry import WHITEOUT_PREFIX, Entry, Kind
from coopery.tree.node import Node
from coopery.tree.sources import walk_source
from coopery.tree.tree import Tree

if TYPE_CHECKING:
    from coopery.context.download import Download
    from coopery.context.git import Commit, Repository
    from coopery.context.git_access import Identity

#: Raised whenever the same commit begins to give another tar.
_GENERATION = 1
_PIECE = 1 << 20
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
#: What github.com takes beside a token, and other hosts don't look at (BuildKit, source/git/source.go).
_ANY_USER = "x-access-token"
DEFAULT_AGENT = "default"


class RemoteFiles:
    """Fetches each thing once in a build. Safe to use from any thread."""

    def __init__(self, store: Store, secrets: Secrets, agents: Sequence[SshAgent], progress: Progress) -> None:
        self._store = store
        self._secrets = secrets
        self._agents = {agent.id: agent for agent in agents}
        self._progress = progress
        self._commits: Once[tuple[str, str, bool], Commit] = Once()
        self._checkouts: Once[str, TarFiles] = Once()
        self._downloads: Once[tuple[str, str], Download] = Once()

    # ------------------------------------------------------------------------------------------------ git

    def git_key(self, url: GitUrl, *, own: bool) -> Digest:
        """What tells the files at `url`: their commit, and what of it is wanted. The server is asked for that, no
        file is fetched.

        `own` says that the user gave the address, not the Dockerfile: it may use SSH as they have set it up.
        """
        parts = [_GENERATION, *self._parts(url, self._commit(url, own))]
        return Digest.of(json.dumps(parts).encode())

    def git(self, url: GitUrl, *, own: bool) -> TarFiles:
        """The files at `url`, all of them owned by root and as old as the commit."""
        commit = self._commit(url, own)
        name = hashlib.sha256(json.dumps(["git", _GENERATION, *self._parts(url, commit)]).encode()).hexdigest()
        return self._checkouts.get(name, lambda: self._stored_checkout(url, commit, own, name))

    @staticmethod
    def _parts(url: GitUrl, commit: Commit) -> list[Any]:
        # Where a commit comes from shows in its .git alone.
        kept = [url.remote, commit.ref] if url.keep_git_dir else []
        return [commit.hash, url.subdir, url.submodules, url.mtime == "checkout", *kept]

    def _commit(self, url: GitUrl, own: bool) -> Commit:
        def work() -> Commit:
            if url.keep_git_dir and url.subdir:
                hint = "leave one of them out: .git belongs to the whole repository"
                raise UsageError(f"{url}: of a subdirectory alone, no .git can be kept", hint=hint)
            if url.password:
                self._secrets.hide(url.password)
            with self._repository(url, own) as repository:
                return repository.look_up()

        return self._commits.get((str(url), url.checksum, own), work)

    def _stored_checkout(self, url: GitUrl, commit: Commit, own: bool, name: str) -> TarFiles:
        known = self._store.read_document("files", name)
        try:
            stored = self._store.layer(Digest.parse(known["diff_id"]), _scan_file)
            lfs = bool(known["lfs"])
        except (TypeError, KeyError, IntegrityError):
            stored, lfs = None, False
        if stored is None:
            stored, lfs = self._check_out(url, commit, own)
            self._store.write_document("files", name, {"diff_id": str(stored.diff_id), "lfs": lfs})
        if lfs:
            self._progress.warn(f"{url}: files that are kept in Git LFS come as pointers, not as what they point to")
        return _files(stored)

    def _check_out(self, url: GitUrl, commit: Commit, own: bool) -> tuple[StoredLayer, bool]:
        step = self._progress.step(f"[internal] load git source {url}")
        step.start()
        directory = self._store.temporary()
        try:
            os.mkdir(directory, 0o700)
            with self._repository(url, own) as repository:
                done = repository.check_out(commit, directory, keep_git_dir=bool(url.keep_git_dir))
            seconds = int(time.time()) if url.mtime == "checkout" else done.time
            stored = self._keep(_checkout_change(url, directory, seconds))
        except CooperyError as error:
            step.failed(error.message)
            raise
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        step.done()
        return stored, done.lfs

    @contextlib.contextmanager
    def _repository(self, url: GitUrl, own: bool) -> Iterator[Repository]:
        from coopery.context.git import Repository

        home = self._store.temporary()
        os.mkdir(home, 0o700)
        try:
            with self._identity(url, own) as identity:
                yield Repository(url, identity, home)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    @contextlib.contextmanager
    def _identity(self, url: GitUrl, own: bool) -> Iterator[Identity]:
        """Who we are there; the agent answers as long as the block lasts."""
        from coopery.context.git_access import Identity

        if url.scheme == "ssh":
            agent = self._agents.get(DEFAULT_AGENT)
            if agent is None:
                yield Identity(own_ssh=own)
                return
            if agent.socket:
                yield Identity(agent=agent.socket)
                return
            import tempfile

            from coopery.credentials.ssh_agent import answering

            # SSH has room for 107 bytes of this path.
            with (
                tempfile.TemporaryDirectory(prefix="coopery-") as directory,
                answering(agent, os.path.join(directory, "agent"), 0o600, os.geteuid(), os.getegid()) as path,
            ):
                yield Identity(agent=path)
            return
        if url.scheme not in ("http", "https") or (url.scheme == "http" and not _is_loopback(url.host)):
            yield Identity()
        elif url.password:
            yield Identity(url.username, url.password)
        else:
            yield self._web_identity(url)

    def _web_identity(self, url: GitUrl) -> Identity:
        """What the user's secrets say of the host, under the names that BuildKit gives them."""
        from coopery.context.git_access import Identity

        for suffix in (f".{url.host}", ""):
            header = self._line(f"GIT_AUTH_HEADER{suffix}")
            if header:
                name, _, password = _basic(header).partition(":")
                return Identity(name, password) if password else Identity(header=header)
            token = self._line(f"GIT_AUTH_TOKEN{suffix}")
            if token:
                return Identity(url.username or _ANY_USER, token)
        return Identity()

    def _line(self, name: str) -> str:
        """A secret of one line; empty if there is none. UsageError if it is of several."""
        text = (self._secrets.get(name) or b"").decode("utf-8", "surrogateescape").strip()
        if not text.isprintable():
            raise UsageError(f"the secret {name!r} has more than one line", hint="give the bare token or header")
        return text

    # ------------------------------------------------------------------------------------------------ archives

    def download(self, url: str, checksum: str = "") -> Download:
        """What lies at an address; the error says if it can't be had, or isn't what `checksum` says.

        The user's secrets say who we are to the host, under the names that BuildKit gives them (source/http/source.go).
        """
        from coopery.context.download import download, host_of

        def work() -> Download:
            host = host_of(url)
            token = self._line(f"HTTP_AUTH_TOKEN_{host}")
            authorization = f"Bearer {token}" if token else self._line(f"HTTP_AUTH_HEADER_{host}")
            return download(url, self._store.temporary(), authorization, checksum)

        return self._downloads.get((url, checksum), work)

    def archive(self, path: str, what: str) -> TarFiles | None:
        """The files in the tar at `path`, compressed or not; None if it isn't one.

        ContextError, speaking of `what`, if it is an archive that can't be used.
        """
        from coopery.archive.foreign import tar_bytes
        from coopery.archive.tar_reader import TarScanner

        try:
            with open(path, "rb", buffering=0) as file:
                start = file.read(8)
                file.seek(0)
                pieces = tar_bytes(file)
                if pieces is None:
                    if start.startswith(_COMPRESSED):
                        raise ContextError(f"{what} is compressed, but holds no tar", hint="pack it with tar")
                    return None
                with self._store.stage() as staged:
                    writer, scanner = HashingWriter(staged.write), TarScanner()
                    for piece in pieces:
                        writer.write(piece)
                        scanner.feed(piece)
                    entries = scanner.finish()
                    _refuse_whiteouts(entries, what)
                    return _files(self._store.put_layer(staged, writer.digest, entries))
        except IntegrityError as error:
            raise ContextError(f"{what} is no archive that could be used: {error.message}") from error

    def _keep(self, change: Change) -> StoredLayer:
        from coopery.archive.tar_writer import write_layer

        with self._store.stage() as staged:
            writer = HashingWriter(staged.write)
            entries = write_layer(change, writer.write)
            return self._store.put_layer(staged, writer.digest, entries)


def _checkout_change(url: GitUrl, directory: str, seconds: int) -> Change:
    """What of a checkout is wanted, for a tar. ContextError if the subdirectory isn't there."""
    from coopery.context.local import LocalContext
    from coopery.dockerfile.ignore import IgnoreRules

    # A commit can't hold any .git: what is called so is git's own, also in submodules.
    rules = None if url.keep_git_dir else IgnoreRules.parse(b"**/.git\n", "")
    files = LocalContext(directory, rules, _Nothing())
    try:
        top = files.tree.root
        for name in filter(None, os.fsencode(url.subdir).split(b"/")):
            # Not even links that stay inside are followed, as in BuildKit (source/git/source.go, validateDirsOnly).
            found = (top.children or {}).get(name)
            if found is None or found.entry.kind is not Kind.DIRECTORY:
                how = "isn't there" if found is None else "is not a directory"
                raise ContextError(f"{url}: {url.subdir!r} {how}", hint="subdirectories are given as real paths")
            top = found
        yield _entry(top, b"", seconds), None
        for path, node, _ in walk_source(top):
            entry = _entry(node, path, seconds)
            if entry.name.startswith(WHITEOUT_PREFIX):
                raise ContextError(
                    f"{url} has {path.decode(errors='backslashreplace')!r}: in a layer, such names mean deletions"
                )
            yield entry, _opener(files.open, node) if entry.kind is Kind.FILE else None
    finally:
        files.close()


def _opener(opener: Callable[[Node], BinaryIO], node: Node) -> Callable[[], BinaryIO]:
    return lambda: opener(node)


def _entry(node: Node, path: bytes, seconds: int) -> Entry:
    """A file of a checkout as git knows it: of its mode, nothing but the right to execute it."""
    kind, mode = node.entry.kind, node.entry.mode
    if kind is Kind.SYMLINK:
        mode = 0o777
    elif kind is Kind.DIRECTORY or mode & 0o100:
        mode = 0o755
    else:
        mode = 0o644 if mode & 0o200 else 0o444
    return Entry(path, kind, mode, 0, 0, node.entry.size, seconds * 1_000_000_000, node.entry.link)


def _files(stored: StoredLayer) -> TarFiles:
    return TarFiles(Tree.empty().apply(stored.entries, stored.diff_id), stored.tar)


def _scan_file(tar: str) -> tuple[Entry, ...]:
    from coopery.archive.tar_reader import scan_file

    return scan_file(tar)


def _refuse_whiteouts(entries: Sequence[Entry], what: str) -> None:
    for entry in entries:
        if entry.name.startswith(WHITEOUT_PREFIX):
            shown = entry.path.decode(errors="backslashreplace")
            raise ContextError(f"{what} has {shown!r}: in a layer, names that begin with .wh. mean deletions")


def _basic(header: str) -> str:
    """The name and password of a basic authorization, empty for others."""
    import base64
    import binascii

    kind, _, value = header.partition(" ")
    if kind.lower() != "basic":
        return ""
    with contextlib.suppress(binascii.Error, UnicodeDecodeError):
        return base64.b64decode(value.strip(), validate=True).decode()
    return ""


def _is_loopback(host: str) -> bool:
    import ipaddress

    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if name == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    return False


class _Nothing:
    """A memory for files that are looked at once."""

    def load(self) -> Any:
        return None

    def save(self, value: Any) -> None:
        pass
