"""All that can be asked of `coopery generate`, and what comes of it."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from coopery.errors import UsageError
from coopery.generate.pipelines import generate
from coopery.generate.plan import CACHES, Wish

ROOT = Path(__file__).resolve().parents[3]
#: What pipelines are saved as.
ENDINGS = {"github-action": "yml", "gitlab": "yml", "buildkite": "yml", "jenkins": "groovy"}
SOURCE = "acme/coopery@" + "0123456789abcdef0123456789abcdef01234567"
REGISTRIES = (
    (),
    ("ghcr",),
    ("gitlab",),
    ("ecr",),
    ("dockerhub",),
    ("other",),
    ("ghcr", "ecr"),
    ("ecr", "gitlab", "other", "dockerhub", "ghcr"),
)
PLATFORMS = ((), ("linux/arm64",), ("linux/amd64", "linux/arm64", "linux/arm/v7"))


@dataclass(frozen=True)
class Case:
    """A platform, what is asked for, and the pipeline; its text is empty where `refusal` says why there is none."""

    platform: str
    wish: Wish
    text: str
    refusal: str

    @property
    def id(self) -> str:
        wish = self.wish
        words = (*wish.registries, wish.cache, *wish.platforms, *(["keyless"] if wish.keyless else []))
        return "-".join((self.platform, *words)).replace("/", "")


@cache
def cases() -> tuple[Case, ...]:
    """Every combination."""
    return tuple(
        _case(platform, Wish(registries=registries, cache=kept, platforms=platforms, keyless=keyless, source=SOURCE))
        for platform, registries, kept, platforms, keyless in itertools.product(
            ENDINGS, REGISTRIES, CACHES, PLATFORMS, (False, True)
        )
    )


def pipelines(platform: str) -> list[Case]:
    """Those for a platform that there is a pipeline for."""
    return [case for case in cases() if case.platform == platform and case.text]


def _case(platform: str, wish: Wish) -> Case:
    try:
        return Case(platform, wish, generate(platform, wish), "")
    except UsageError as error:
        return Case(platform, wish, "", f"{error.message} ({error.hint})")


def written(platform: str, folder: Path) -> dict[Path, Case]:
    """Each pipeline in a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / f"{case.id}.{ENDINGS[platform]}": case for case in pipelines(platform)}
    for file, case in files.items():
        file.write_text(case.text)
    return files


def find_tool(name: str) -> str | None:
    """The path of a checker: beside this Python, of npm's packages, or on the PATH."""
    nodes = [os.environ.get("COOPERY_NODE_CLIENTS", ""), str(ROOT / ".venv/node/node_modules")]
    places = [str(Path(sys.executable).parent), *(f"{node}/.bin" for node in nodes if node), os.environ["PATH"]]
    return shutil.which(name, path=os.pathsep.join(places))
