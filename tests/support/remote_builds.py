"""Builds whose result is looked at as a tar: for what needs neither a base image nor a registry."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from support.command import Coopery


@dataclass(frozen=True, slots=True)
class Result:
    """What a build said, and the files it made."""

    done: CompletedProcess[str]
    members: Mapping[str, tarfile.TarInfo]
    contents: Mapping[str, bytes]

    @property
    def names(self) -> set[str]:
        """Of all that are no directories."""
        return {name for name, member in self.members.items() if not member.isdir()}


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds with `coopery build -o type=tar`, always with the same cache."""

    coopery: Coopery
    directory: Path

    def __call__(
        self, *args: str | Path, stdin: str | bytes | None = None, env: Mapping[str, str] | None = None
    ) -> Result:
        """Build with these arguments of `coopery build`."""
        path = self.directory / "result.tar"
        path.unlink(missing_ok=True)
        done = self._run(args, stdin, env, check=True)
        members: dict[str, tarfile.TarInfo] = {}
        contents: dict[str, bytes] = {}
        with tarfile.open(path) as tar:
            for member in tar:
                name = member.name.rstrip("/")
                members[name] = member
                if member.isfile():
                    file = tar.extractfile(member)
                    assert file
                    contents[name] = file.read()
        return Result(done, members, contents)

    def fails(
        self, *args: str | Path, stdin: str | bytes | None = None, env: Mapping[str, str] | None = None
    ) -> CompletedProcess[str]:
        """Build what can't be built; what was said."""
        done = self._run(args, stdin, env, check=False)
        assert done.returncode, f"built, but should not have been: {done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def _run(
        self, args: Sequence[str | Path], stdin: str | bytes | None, env: Mapping[str, str] | None, *, check: bool
    ) -> CompletedProcess[str]:
        output = ["-o", f"type=tar,dest={self.directory}/result.tar"]
        sent = stdin.encode() if isinstance(stdin, str) else stdin
        return self.coopery("build", "--progress=plain", *output, *args, stdin=sent, env=env, check=check)


def tar(files: Mapping[str, bytes | str], compression: str = "", *extra: tarfile.TarInfo, uid: int = 0) -> bytes:
    """A tar of these files, `gz`, `bz2` or `xz` if it is to be compressed, with further members without contents."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            content = content.encode() if isinstance(content, str) else content
            member.size, member.uid, member.gid, member.mtime = len(content), uid, uid, 1_000_000_000
            archive.addfile(member, io.BytesIO(content))
        for member in extra:
            archive.addfile(member)
    return data.getvalue()
