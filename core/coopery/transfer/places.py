"""Where images are, as skopeo spells it (containers-transports(5)). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from coopery.errors import UsageError
from coopery.oci.reference import Reference

Kind = Literal["docker", "oci", "oci-archive", "docker-archive"]

_SPELLINGS = "[docker://]NAME[:TAG], oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]"
#: Transports of skopeo's that there is nothing for here: read as names of images they would only confuse.
_FOREIGN = ("containers-storage", "dir", "docker-daemon", "ostree", "sif", "tarball")


@dataclass(frozen=True, slots=True)
class Place:
    """A registry's repository, or a file or directory at `path` in which an image may be called `name`."""

    kind: Kind
    path: str = ""
    name: str = ""  # empty: the only one there is, or none
    reference: Reference | None = None  # of a registry, or of a name in a docker archive

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that `text` spells. UsageError if it can't be read, or is of a kind that isn't known here.

        Without a transport it is a registry. The path ends at its first colon.
        """
        if text.startswith("docker://"):
            return cls("docker", reference=Reference.parse(text.removeprefix("docker://")).or_latest())
        transport, colon, rest = text.partition(":")
        for kind in get_args(Kind)[1:]:
            if colon and transport == kind:
                return cls._local(kind, text, rest)
        if (colon and transport in _FOREIGN) or "://" in text:
            raise UsageError(f"{text!r}: images can't be copied to or from there", hint=f"write {_SPELLINGS}")
        return cls("docker", reference=Reference.parse(text).or_latest())

    @classmethod
    def _local(cls, kind: Kind, text: str, rest: str) -> Place:
        path, colon, name = rest.partition(":")
        if not path or (colon and not name):
            raise UsageError(f"{text!r} has no {'name after its last colon' if path else 'path'}", hint=_SPELLINGS)
        reference = Reference.parse(name).or_latest() if name and kind == "docker-archive" else None
        if reference and reference.digest:
            raise UsageError(f"{text!r}: images in a docker archive have a tag, not a digest")
        return cls(kind, path, name, reference)

    def __str__(self) -> str:
        if self.kind == "docker":
            return str(self.reference)
        return f"{self.kind}:{self.path}" + (f":{self.name}" if self.name else "")
