"""The build contexts of a request: where they are, what is ignored in them, what COPY finds there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from coopery.cache.store import Store
from coopery.context.download import file_name
from coopery.context.local import LocalContext
from coopery.dockerfile.git_url import without_credentials
from coopery.dockerfile.ignore import IgnoreRules
from coopery.engines.context_places import is_web, places_of
from coopery.engines.remote_files import RemoteFiles
from coopery.errors import ContextError, DockerfileError, UsageError
from coopery.oci.digest import Digest
from coopery.plan.keys import download_key, inline_key, pinned_key
from coopery.plan.ops import CopyOp
from coopery.plan.selection import sources_in
from coopery.request import BuildRequest
from coopery.solver.layers import Once
from coopery.tree.entry import Kind
from coopery.tree.sources import Source, content_key, exact_source

if TYPE_CHECKING:
    from coopery.context.files import ContextFiles, FileSource

#: Nobody writes Dockerfiles of this size by hand; a device or a mistaken path may be endless.
_LARGEST_DOCKERFILE = 16 << 20


class StoredMemory:
    """What is known of a context's files, kept in the store."""

    def __init__(self, store: Store, root: str) -> None:
        """`root` is the context's absolute path."""
        self._store = store
        self._name = hashlib.sha256(os.fsencode(root)).hexdigest()

    def load(self) -> Any:
        """What was kept last."""
        return self._store.read_document("files", self._name)

    def save(self, value: Any) -> None:
        """Keep `value`."""
        self._store.write_document("files", self._name, value)


class Contexts:
    """The main context, the named ones, and what ADD downloads."""

    def __init__(self, request: BuildRequest, store: Store, remote: RemoteFiles) -> None:
        """UsageError for a context of a kind that can't be used."""
        self.places = places_of(request)
        self._request = request
        self._store = store
        self.remote = remote
        self._local: dict[str, LocalContext] = {}
        self._fetched: Once[str, ContextFiles] = Once()
        self._plain = ""  # the path of the Dockerfile that was sent, or downloaded, in place of a context
        self._rules_path = ""

    def close(self) -> None:
        """Keep what was learnt of files for the next build."""
        for context in self._local.values():
            context.close()

    # ---------------------------------------------------------------------------------------------- Dockerfile

    def dockerfile(self) -> tuple[bytes, str]:
        """The Dockerfile's text, and its name for messages. DockerfileError if it can't be read."""
        given, main = self._request.dockerfile, self.places[""]
        if given == "-":
            if main.kind == "stdin":
                hint = "give one of them by name"
                raise UsageError("the context and the Dockerfile can't both come from standard input", hint=hint)
            return sys.stdin.buffer.read(_LARGEST_DOCKERFILE), "Dockerfile"
        if is_web(given):
            return _read_some(self.remote.download(given).path), without_credentials(given)
        if main.kind != "directory" and not os.path.isabs(given):
            return self._sent_dockerfile(given)
        if main.kind == "directory" and not os.path.isdir(main.where):
            raise ContextError(
                f"the build context {main.where} is not a directory",
                hint="the last argument of `coopery build` is a directory; the Dockerfile is given by --file",
            )
        path = given or os.path.join(main.where, "Dockerfile")
        try:
            text = _read_some(path)
        except OSError as error:
            raise DockerfileError(
                f"can't read the Dockerfile {path}: {error.strerror}", hint=self._dockerfile_hint(self._request)
            ) from error
        self._rules_path = path + ".dockerignore"
        return text, path

    def _sent_dockerfile(self, given: str) -> tuple[bytes, str]:
        """The Dockerfile in a context that isn't a directory here, or in place of one."""
        main = self.places[""]
        files = self._context("")
        if self._plain:
            if given:
                where = "standard input" if main.kind == "stdin" else str(main)
                raise UsageError(f"{where} is a Dockerfile, no context that has {given}", hint="leave --file out")
            return _read_some(self._plain), "Dockerfile"
        name = given or "Dockerfile"
        node = files.tree.lookup(os.fsencode(name))
        if node is None or node.entry.kind is not Kind.FILE:
            near = sorted(os.fsdecode(key) for key in files.tree.root.children or () if b"ockerfile" in key)
            hint = f"there is {', '.join(near)}: name it with --file" if near else "name the Dockerfile with --file"
            raise DockerfileError(f"there is no {name} in the build context {main}", hint=hint)
        with files.open(node) as file:
            return file.read(min(node.entry.size, _LARGEST_DOCKERFILE)), name

    @staticmethod
    def _dockerfile_hint(request: BuildRequest) -> str:
        with contextlib.suppress(OSError):
            near = sorted(name for name in os.listdir(request.context) if "dockerfile" in name.lower())
            near += [name for name in ("Containerfile",) if os.path.exists(os.path.join(request.context, name))]
            if near:
                return f"there is {', '.join(near)}: name it with --file"
        return "name the Dockerfile with --file"

    # --------------------------------------------------------------------------------------------------- files

    def _context(self, name: str) -> ContextFiles:
        place = self.places[name]
        if place.kind != "directory":
            return self._fetched.get(name, lambda: self._fetch(name))
        if name not in self._local:
            root = os.path.abspath(place.where)
            rules = self._rules(root, self._rules_path if not name else "")
            self._local[name] = LocalContext(root, rules, StoredMemory(self._store, root), self._caches())
        return self._local[name]

    def _fetch(self, name: str) -> ContextFiles:
        """A context that isn't a directory here. An archive from the web is the main one's files, as in BuildKit; all
        else from there is one file."""
        from coopery.context.files import DownloadedFile, InlineFiles

        place = self.places[name]
        if place.git:
            return self.remote.git(place.git, own=True)
        if place.kind == "stdin":
            path = self._store.temporary()
            with open(path, "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
            archive = self.remote.archive(path, "standard input")
            self._plain = "" if archive else path
            return archive or InlineFiles({}, 0)
        found = self.remote.download(place.where)
        archive = None if name else self.remote.archive(found.path, str(place))
        self._plain = found.path if not name and archive is None else self._plain
        return archive or DownloadedFile(found.path, b"context", found.mtime_ns, found.digest)

    def _caches(self) -> list[str]:
        """The directories of caches: a job's cache often has to lie in its project. Made if missing, to be known."""
        for spec in self._request.cache_to:
            if spec.path:
                with contextlib.suppress(OSError):  # writing to it says why
                    os.makedirs(spec.path, exist_ok=True)
        caches = [spec.path for spec in (*self._request.cache_from, *self._request.cache_to) if spec.path]
        return [os.path.dirname(self._store.root), self._store.root, *caches]

    def ignore_rules(self) -> IgnoreRules | None:
        """Those of the main context, None if it has no ignore file. ContextError if that can't be read."""
        main = self.places[""]
        return self._rules(os.path.abspath(main.where), self._rules_path) if main.kind == "directory" else None

    @staticmethod
    def _rules(root: str, beside_dockerfile: str) -> IgnoreRules | None:
        for path in (beside_dockerfile, os.path.join(root, ".dockerignore")):
            if not path:
                continue
            try:
                with open(path, "rb") as file:
                    return IgnoreRules.parse(file.read(), path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ContextError(f"can't read {path}: {error.strerror}") from error
        return None

    def key(self, op: CopyOp) -> Digest:
        """The key of the files that a COPY or ADD selects; they are read where their digests aren't known."""
        if op.source.kind == "inline":
            return inline_key([(file.name, file.content) for file in op.inline])
        if op.source.kind == "url":
            if op.checksum:  # it says what there is: nothing has to be asked
                return pinned_key(file_name(op.source.name), op.checksum)
            found = self.remote.download(op.source.name)
            return download_key(found.name, found.digest, found.mtime_ns)
        if op.source.git:
            return self.remote.git_key(op.source.git, own=False)
        context = self._context(op.source.name)
        return _content_key(context, sources_in(op, context.tree))

    def find(self, op: CopyOp) -> None:
        """Look for the files that a COPY or ADD selects in a context. ContextError if they aren't there."""
        if op.source.kind == "context":
            sources_in(op, self._context(op.source.name).tree)

    def source(self, op: CopyOp) -> FileSource:
        """Where a COPY or ADD takes its files from."""
        if op.source.kind == "url":
            from coopery.context.files import DownloadedFile

            found = self.remote.download(op.source.name, op.checksum)
            name = found.name.encode("utf-8", "surrogateescape")
            return DownloadedFile(found.path, name, found.mtime_ns, found.digest)
        if op.source.git:
            return self.remote.git(op.source.git, own=False)
        return self._context(op.source.name)

    def mounted_key(self, name: str, path: str) -> Digest:
        """The key of the file or directory that a mount shows of the context `name`. ContextError if it isn't there."""
        context = self._context(name)
        sought = path.encode("utf-8", "surrogateescape")
        _, node = exact_source(context.tree, sought)
        return _content_key(context, [Source(sought, node)])

    def find_mounted(self, name: str, path: str) -> None:
        """Look for the file or directory that a mount shows of a context. ContextError if it isn't there."""
        exact_source(self._context(name).tree, path.encode("utf-8", "surrogateescape"))

    def files(self, name: str) -> FileSource:
        """The files of a context; of the main one by the empty name."""
        return self._context(name)


def _content_key(context: ContextFiles, sources: Sequence[Source]) -> Digest:
    return Digest("sha256", content_key(sources, context.digest, keep_owner=context.keep_owner).hex())


def _read_some(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST_DOCKERFILE)
