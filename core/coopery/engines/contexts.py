"""The build contexts of a request: where they are, what is ignored in them, what COPY finds there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from typing import TYPE_CHECKING, Any

from coopery.cache.store import Store
from coopery.context.local import LocalContext
from coopery.dockerfile.ignore import IgnoreRules
from coopery.errors import ContextError, DockerfileError, UsageError
from coopery.oci.digest import Digest
from coopery.plan.keys import download_key, inline_key
from coopery.plan.ops import CopyOp
from coopery.request import BuildRequest
from coopery.solver.layers import Once
from coopery.tree.sources import content_key, match_sources

if TYPE_CHECKING:
    from coopery.context.download import Download
    from coopery.context.files import FileSource

_REMOTE = ("http://", "https://", "git://", "git@", "ssh://")
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

    def __init__(self, request: BuildRequest, store: Store) -> None:
        """UsageError for a context of a kind that can't be used."""
        for name, where in (("", request.context), *request.build_contexts.items()):
            if where.startswith((*_REMOTE, "oci-layout://", "target:")):
                shown = f"--build-context {name}={where}" if name else where
                hint = "give a directory (clone or download it first), or docker-image://NAME for a named context"
                raise UsageError(f"{shown}: a build context of this kind can't be read", hint=hint)
        for name, where in request.build_contexts.items():
            if not where.startswith("docker-image://") and not os.path.isdir(where):
                hint = f"give a directory or an image: --build-context {name}=docker-image://NAME"
                raise UsageError(f"--build-context {name}={where}: there is no such directory", hint=hint)
        self._request = request
        self._store = store
        self._open: dict[str, LocalContext] = {}
        self._downloads: Once[str, Download] = Once()
        self._rules_path = ""

    def close(self) -> None:
        """Keep what was learnt of files for the next build."""
        for context in self._open.values():
            context.close()

    # ---------------------------------------------------------------------------------------------- Dockerfile

    def dockerfile(self) -> tuple[bytes, str]:
        """The Dockerfile's text, and its name for messages. DockerfileError if it can't be read."""
        request = self._request
        if request.dockerfile == "-" or (request.context == "-" and not request.dockerfile):
            return sys.stdin.buffer.read(_LARGEST_DOCKERFILE), "Dockerfile"
        if request.context == "-":
            raise UsageError("with `-` as the context the Dockerfile comes from standard input: leave --file out")
        if not os.path.isdir(request.context):
            raise ContextError(
                f"the build context {request.context} is not a directory",
                hint="the last argument of `coopery build` is a directory; the Dockerfile is given by --file",
            )
        path = request.dockerfile or os.path.join(request.context, "Dockerfile")
        if request.dockerfile.startswith(_REMOTE):
            raise UsageError(f"--file {path}: a Dockerfile is read from a file", hint="download it first")
        try:
            with open(path, "rb") as file:
                text = file.read(_LARGEST_DOCKERFILE)
        except OSError as error:
            raise DockerfileError(
                f"can't read the Dockerfile {path}: {error.strerror}", hint=self._dockerfile_hint(request)
            ) from error
        self._rules_path = path + ".dockerignore"
        return text, path

    @staticmethod
    def _dockerfile_hint(request: BuildRequest) -> str:
        with contextlib.suppress(OSError):
            near = sorted(name for name in os.listdir(request.context) if "dockerfile" in name.lower())
            near += [name for name in ("Containerfile",) if os.path.exists(os.path.join(request.context, name))]
            if near:
                return f"there is {', '.join(near)}: name it with --file"
        return "name the Dockerfile with --file"

    # --------------------------------------------------------------------------------------------------- files

    def _context(self, name: str) -> LocalContext:
        if name not in self._open:
            root = self._request.build_contexts[name] if name else self._request.context
            if root == "-":
                root = os.path.join(self._store.tmp, "empty-context")
                os.makedirs(root, exist_ok=True)
            root = os.path.abspath(root)
            rules = self._rules(root, self._rules_path if not name else "")
            self._open[name] = LocalContext(root, rules, StoredMemory(self._store, root))
        return self._open[name]

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
            found = self._download(op.source.name)
            return download_key(found.name, found.digest, found.mtime_ns)
        context = self._context(op.source.name)
        return Digest("sha256", content_key(match_sources(context.tree, op.sought), context.digest).hex())

    def source(self, op: CopyOp) -> FileSource:
        """Where a COPY or ADD takes its files from."""
        if op.source.kind == "url":
            from coopery.context.files import DownloadedFile

            found = self._download(op.source.name)
            return DownloadedFile(found.path, found.name.encode("utf-8", "surrogateescape"), found.mtime_ns)
        return self._context(op.source.name)

    def _download(self, url: str) -> Download:
        from coopery.context.download import download

        return self._downloads.get(url, lambda: download(url, self._store.temporary()))
