"""COPY and ADD → operations: sources told apart, variables expanded, what can't be honoured refused."""

from __future__ import annotations

import posixpath

from coopery.dockerfile.instructions import Add, Copy
from coopery.plan.ops import CopyOp, InlineFile, SourceRef
from coopery.plan.words import Words

_GIT_PREFIXES = ("git@", "git://", "ssh://")


def copy_operation(copy: Copy | Add, words: Words, cwd: str, source: SourceRef | None) -> CopyOp:
    """The operation of a COPY or ADD in a stage whose working directory is `cwd`.

    `source` is what `--from` names, None without one. DockerfileError for flags that this builder can't honour.
    """
    _refuse_flags(copy, words)
    inline = tuple(
        InlineFile(
            heredoc.name,
            (words.body(heredoc.content) if heredoc.expand else heredoc.content).encode("utf-8", "surrogateescape"),
        )
        for heredoc in copy.heredocs
    )
    bodies = {heredoc.name for heredoc in copy.heredocs}
    texts = [words.one(text) for text in copy.sources if text not in bodies]
    if inline and texts:
        raise words.error(f"{copy.keyword} can't mix here-documents with other sources", "write two instructions")
    remote = [text for text in texts if isinstance(copy, Add) and _is_remote(text)]
    if remote and len(texts) > 1:
        raise words.error("ADD takes one URL at a time", "write one ADD for each URL")
    if any(text.startswith(_GIT_PREFIXES) or ".git" in text for text in remote):
        raise words.error("ADD of a git repository isn't possible", "clone it in a RUN step, or before the build")
    if not inline and not all(texts):
        raise words.error(f"{copy.keyword} has an empty source once its variables are expanded")
    destination = words.one(copy.destination)
    if not destination:
        raise words.error(f"{copy.keyword} has an empty destination once its variables are expanded")
    return CopyOp(
        source=_source(remote, bool(inline), source),
        patterns=tuple(texts),
        destination=_absolute(destination, cwd),
        owner=words.one(copy.chown),
        mode=_mode(words.one(copy.chmod), words),
        unpack=isinstance(copy, Add) and not remote and not inline,
        inline=inline,
    )


def _source(remote: list[str], inline: bool, source: SourceRef | None) -> SourceRef:
    if inline:
        return SourceRef("inline")
    if remote:
        return SourceRef("url", remote[0])
    return source or SourceRef("context")


def _refuse_flags(copy: Copy | Add, words: Words) -> None:
    refused = {"--link": copy.link, "--exclude": bool(copy.exclude)}
    if isinstance(copy, Copy):
        refused["--parents"] = copy.parents
    else:
        refused["--checksum"] = bool(copy.checksum)
        refused["--keep-git-dir"] = bool(copy.keep_git_dir)
        refused["--unpack"] = copy.unpack is not None
    for flag, given in refused.items():
        if given:
            raise words.error(
                f"{copy.keyword} {flag} can't be honoured by this version", f"leave {flag} out, or copy in a RUN step"
            )


def _absolute(destination: str, cwd: str) -> str:
    """The destination from the root; a trailing slash, `.` and `..` at its end all say that it is a directory."""
    path = posixpath.normpath(posixpath.join("/", cwd, destination)).replace("//", "/")
    directory = destination.endswith("/") or posixpath.basename(destination) in (".", "..")
    return path + "/" if directory and path != "/" else path


def _mode(text: str, words: Words) -> int | None:
    if not text:
        return None
    if len(text) > 5 or not all(digit in "01234567" for digit in text):
        raise words.error(f"--chmod={text} is not an octal mode", "write three or four octal digits, such as 0755")
    return int(text, 8)


def _is_remote(text: str) -> bool:
    return text.startswith(("http://", "https://", *_GIT_PREFIXES))
