"""What reads text that users write, each as a function of bytes. It raises only where something is wrong with it.

    python tests/fuzz/fuzz_targets.py dockerfile -max_total_time=600

goes on by coverage, with atheris (pip install atheris) and libFuzzer's options.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

HERE = Path(__file__).resolve().parent
for place in (HERE.parent, HERE.parents[1] / "scripts"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

from coopery.dockerfile import parse  # noqa: E402
from coopery.dockerfile.durations import parse_duration  # noqa: E402
from coopery.dockerfile.expand import expand, expand_shown, expand_words  # noqa: E402
from coopery.dockerfile.faults import Fault  # noqa: E402
from coopery.dockerfile.git_url import parse_git_url  # noqa: E402
from coopery.dockerfile.ignore import IgnoreRules  # noqa: E402
from coopery.errors import CooperyError  # noqa: E402
from coopery.mounts import parse_mounts  # noqa: E402
from coopery.mounts.spec import BadMount  # noqa: E402
from coopery.oci.platform import Platform  # noqa: E402
from coopery.oci.reference import Reference  # noqa: E402
from coopery.plan.plan import BaseImage  # noqa: E402
from coopery.tree.modes import parse_symbolic  # noqa: E402
from coopery.tree.pattern import match_path  # noqa: E402
from support.plans import World, base, plan_of  # noqa: E402

PATHS = ("a", "src/main.c", "docs/a-long.name/x.o", "..", "a" * 40, "é/\udcff")


@contextlib.contextmanager
def refusing(*more: type[Exception]) -> Iterator[None]:
    """What is refused is refused by an error that can be shown."""
    try:
        yield
    except CooperyError as error:
        error.detail.encode()
        error.hint.encode()
    except (Fault, BadMount, *more) as error:
        assert str(error)


class AnyImage(World):
    """Every image is there."""

    def image(self, reference: str, platform: Platform, location: object) -> BaseImage:
        self.images = {reference: _BASE}
        return super().image(reference, platform, location)


_BASE = base(env=("PATH=/bin",), on_build=("COPY a /b", "RUN <<E\nx\nE"), working_dir="/w", user="app")


def _text(data: bytes) -> str:
    """As the command line and file names come."""
    return data.decode("utf-8", "surrogateescape")


def plan(data: bytes) -> None:
    """A Dockerfile, up to its plan; what is refused raises its error."""
    repr(parse(data)).encode()
    plan_of(data, AnyImage(), args={"A": "a b", "VERSION": "${A}", "NAME": "one"})


def dockerfile(data: bytes) -> None:
    """The same, refused or not."""
    with refusing():
        plan(data)


def ignore_file(data: bytes) -> None:
    """An ignore file, asked of some paths."""
    with refusing():
        rules = IgnoreRules.parse(data)
        for path in PATHS:
            if not rules.ignored(path):
                continue
            rules.may_contain_exceptions(path)


def words(data: bytes) -> None:
    """Words with variables, modes, durations."""
    text = _text(data)
    variables = {"A": "a/b.c.d", "B": "", "C": "x  y\nz", "D": "*?[\\${A}"}
    for escape in "\\`":
        with refusing():
            expand_shown(text, variables, escape)
            expand(text, variables, escape, quotes=False)
            expand_words(text, variables, escape)
    with refusing(ValueError):
        parse_symbolic(text)(0o644, True)
    with refusing():
        parse_duration(text)


def patterns(data: bytes) -> None:
    """Patterns of COPY and ADD, one a line."""
    for pattern in data.split(b"\n"):
        with refusing():
            for path in PATHS:
                match_path(pattern, path.encode("utf-8", "surrogateescape"))


def mounts(data: bytes) -> None:
    """The options of a step's mounts, one mount a line."""
    with refusing():
        for mount in parse_mounts(_text(data).split("\n"), "/w", lambda text: expand(text, {"A": "a,b"}).text):
            assert mount.target == "" or mount.target.startswith("/")
            mount.key_parts()


def references(data: bytes) -> None:
    """Names of images and addresses of repositories, one a line."""
    for line in _text(data).split("\n"):
        with refusing():
            reference = Reference.parse(line)
            assert Reference.parse(str(reference)) == reference
        with refusing():
            parse_git_url(line, bare=True)


#: The functions, with the files of the corpus to start from.
TARGETS: Mapping[str, tuple[Callable[[bytes], None], str]] = MappingProxyType(
    {
        "dockerfile": (dockerfile, "*.dockerfile"),
        "ignore": (ignore_file, "*.dockerignore"),
        "words": (words, "words.txt"),
        "patterns": (patterns, "*.dockerignore"),
        "mounts": (mounts, "mounts.txt"),
        "references": (references, "references.txt"),
    }
)


def corpus(name: str) -> list[bytes]:
    """The texts to start from."""
    return [path.read_bytes() for path in sorted((HERE / "corpus").glob(TARGETS[name][1]))]


def main() -> None:
    """Fuzz the target that the first argument names."""
    import tempfile

    import atheris

    name, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as grown:  # libFuzzer adds what it finds
        for number, text in enumerate(corpus(name)):
            Path(grown, str(number)).write_bytes(text)
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], "-timeout=5", *options, grown], TARGETS[name][0])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
