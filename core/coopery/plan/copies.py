"""COPY and ADD → operations: sources told apart, variables expanded, what can't be honoured refused."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from coopery.dockerfile.faults import Fault
from coopery.dockerfile.git_url import looks_like_git, parse_git_url, with_checksum
from coopery.dockerfile.instructions import Add, Copy
from coopery.errors import UsageError
from coopery.plan.ops import CopyOp, InlineFile, SourceRef
from coopery.plan.words import Words

_WEB = ("http://", "https://")
_CHECKSUMS = {"sha256": 64, "sha384": 96, "sha512": 128}


def copy_operation(copy: Copy | Add, words: Words, cwd: str, source: SourceRef | None) -> CopyOp:
    """The operation of a COPY or ADD in a stage whose working directory is `cwd`.

    `source` is what `--from` names, None without one. What one instruction takes from several places becomes several
    parts, in their order. DockerfileError for what makes no sense.
    """
    inline = tuple(
        InlineFile(
            heredoc.name,
            (words.body(heredoc.content) if heredoc.expand else heredoc.content).encode("utf-8", "surrogateescape"),
        )
        for heredoc in copy.heredocs
    )
    bodies = {heredoc.name for heredoc in copy.heredocs}
    texts = [words.one(text) for text in copy.sources if text not in bodies]
    if not all(texts):
        raise words.error(f"{copy.keyword} has an empty source once its variables are expanded")
    destination = words.one(copy.destination) or "."  # where a variable has no value it stays where it is
    runs = [(remote, tuple(run)) for remote, run in groupby(texts, lambda text: _is_remote(copy, text, words))]
    if isinstance(copy, Add) and copy.keep_git_dir and not any(looks_like_git(text) for text in texts):
        raise words.error("ADD --keep-git-dir is for git repositories", "leave it out", "--keep-git-dir")
    owner = words.one(copy.chown)
    whole = CopyOp(
        source=source or SourceRef("context"),
        patterns=(),
        destination=_absolute(destination, cwd),
        owner=_unnamed(owner, words) if copy.link else owner,
        mode=_mode(words.one(copy.chmod), words),
        unpack=False,
        link=copy.link,
        parents=isinstance(copy, Copy) and copy.parents,
        exclude=_patterns(copy.exclude, words),
        checksum=_checksum(copy, texts, words) if isinstance(copy, Add) and copy.checksum else "",
    )
    parts: list[CopyOp] = []
    for remote, run in runs:
        if not remote:
            unpack = isinstance(copy, Add) and copy.unpack is not False
            parts.append(replace(whole, patterns=run, unpack=unpack))
            continue
        for url in run:
            unpack = isinstance(copy, Add) and copy.unpack is True
            parts.append(replace(whole, source=_remote_source(copy, url, words), patterns=(url,), unpack=unpack))
    if inline:
        parts.append(replace(whole, source=SourceRef("inline"), inline=inline))
    if len(parts) > 1:
        into = whole.destination.rstrip("/") + "/"
        parts = [replace(part, destination=into) for part in parts]
    return replace(parts[0], also=tuple(parts[1:]))


def _is_remote(copy: Copy | Add, text: str, words: Words) -> bool:
    remote = text.startswith(_WEB) or looks_like_git(text)
    if remote and isinstance(copy, Copy):
        raise words.error("COPY takes no URLs", "write ADD, which does")
    return remote


def _remote_source(copy: Copy | Add, url: str, words: Words) -> SourceRef:
    return _git_source(copy, url, words) if isinstance(copy, Add) and looks_like_git(url) else SourceRef("url", url)


def _git_source(copy: Add, url: str, words: Words) -> SourceRef:
    try:
        git = parse_git_url(url)
        assert git
        if copy.checksum:
            git = with_checksum(git, words.one(copy.checksum))
    except UsageError as error:
        raise words.error(error.message, error.hint, url) from None
    if copy.keep_git_dir is not None:
        if git.keep_git_dir not in (None, copy.keep_git_dir):
            hint = "leave one of them out"
            raise words.error("--keep-git-dir and keep-git-dir in the address contradict each other", hint)
        git = replace(git, keep_git_dir=copy.keep_git_dir)
    if copy.unpack:
        raise words.error("ADD --unpack is for archives, not for git repositories", "leave it out", "--unpack")
    return SourceRef("git", str(git), git=git)


def _unnamed(owner: str, words: Words) -> str:
    """The owner of a linked layer, which has no files where names could be looked up (BuildKit, dispatchCopy)."""
    named = next((part for part in owner.split(":") if part and part != "root" and not part.isdecimal()), "")
    if named:
        hint = "write the numeric id: a linked layer is made without the image, and so without its /etc/passwd"
        raise words.error(f"--chown={owner} with --link: {named!r} can't be looked up", hint, f"--chown={owner}")
    return owner


def _patterns(exclude: Sequence[str], words: Words) -> tuple[str, ...]:
    if exclude:
        from coopery.dockerfile.ignore import IgnoreRules

        try:
            IgnoreRules.of(exclude)
        except Fault as fault:
            raise words.error(f"--exclude: {fault.message}", fault.hint, fault.near) from None
    return tuple(exclude)


def _checksum(copy: Add, texts: Sequence[str], words: Words) -> str:
    text = words.one(copy.checksum)
    if len(texts) != 1 or not _is_remote(copy, texts[0], words):
        raise words.error("ADD --checksum is for one URL", "write one ADD for each source", "--checksum")
    if looks_like_git(texts[0]):
        return text  # a commit
    algorithm, _, digits = text.partition(":")
    if _CHECKSUMS.get(algorithm) != len(digits) or not set(digits) <= set("0123456789abcdef"):
        hint = "a checksum looks like sha256:<64 hex digits>; there are sha384 and sha512, too"
        raise words.error(f"--checksum={text} is not a checksum", hint, copy.checksum)
    return text


def _absolute(destination: str, cwd: str) -> str:
    """The destination from the root; a trailing slash, `.` and `..` at its end all say that it is a directory."""
    path = posixpath.normpath(posixpath.join("/", cwd, destination)).replace("//", "/")
    directory = destination.endswith("/") or posixpath.basename(destination) in (".", "..")
    return path + "/" if directory and path != "/" else path


def _mode(text: str, words: Words) -> int | str | None:
    if not text:
        return None
    if not set(text) <= set("01234567"):
        from coopery.tree.modes import parse_symbolic

        hint = "write octal digits, such as 0755, or letters as in u=rwX,go=rX"
        try:
            parse_symbolic(text)
        except ValueError:
            raise words.error(f"--chmod={text} is not a mode", hint, f"--chmod={text}") from None
        return text
    mode = int(text, 8)
    if mode > 0o7777:
        raise words.error(f"--chmod={text} is not a mode", "there is none beyond 7777", f"--chmod={text}")
    return mode
