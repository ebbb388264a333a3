"""`coopery check` finds what BuildKit's own checks find, on the same lines."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conformance_lint import CASES, LintCase
from conformance_peers import BUILDKIT, Peer

import plainoci
import plainregistry
from coopery.build import check
from coopery.engines.checking import Checked
from coopery.progress import make_progress
from coopery.registry.settings import RegistrySettings
from coopery.request import BuildRequest
from plainregistry import Registry


def image(**config: object) -> plainoci.Image:
    return plainoci.image([plainoci.layer({"a": plainoci.file("a")})], **config)


@pytest.fixture(scope="module")
def lint_images(registry: Registry) -> dict[str, str]:
    """What `@name` in a case stands for."""
    foreign = "arm64" if os.uname().machine == "x86_64" else "amd64"
    images = {
        "base": image(Env=["PATH=/bin", "FROM_BASE=1"]),
        "foreign": plainoci.image([plainoci.layer({"a": plainoci.file("a")})], arch=foreign),
        "shell": image(Shell=["/bin/sh", "-c"]),
        "trigger": image(OnBuild=["COPY $x /", "ENV name value"]),
    }
    names = {name: f"{registry.host}/lint/{name}:1" for name in images}
    for name, made in images.items():
        plainregistry.push(made, names[name])
    plainregistry.push(images["base"], f"{registry.host}/lint/base:latest")
    return names | {"untagged": f"{registry.host}/lint/base"}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, LintCase], Checked]:
    """Checks the Dockerfile of a directory, in this process."""
    home = tmp_path_factory.mktemp("home")

    def run(context: Path, case: LintCase) -> Checked:
        board = make_progress("quiet", sys.stderr, environ={})
        request = BuildRequest(context=str(context), build_args=case.args, target=case.target)
        environ = {"HOME": str(home), "COOPERY_CACHE": str(home / "cache"), "DOCKER_CONFIG": str(home)}
        return check(request, board, environ, lambda value: None, RegistrySettings())

    return run


@pytest.mark.parametrize("name", CASES)
def test_the_same_rules_on_the_same_lines(
    name: str,
    peer: Callable[[str], Peer],
    checked: Callable[[Path, LintCase], Checked],
    lint_images: dict[str, str],
    tmp_path: Path,
) -> None:
    case = CASES[name]
    text = re.sub(r"@(\w+)", lambda found: lint_images[found[1]], case.dockerfile)
    (tmp_path / "Dockerfile").write_text(text)
    if case.ignore:
        (tmp_path / ".dockerignore").write_text(case.ignore)
    builder = peer(BUILDKIT)
    theirs = builder.lint(tmp_path, case.args, case.target)  # type: ignore[attr-defined]
    ours = {(finding.rule, finding.location.line) for finding in checked(tmp_path, case).findings}
    assert ours - theirs == set(case.ours)
    assert theirs - ours == set(case.theirs)


def test_every_rule_has_a_case(
    checked: Callable[[Path, LintCase], Checked], lint_images: dict[str, str], tmp_path: Path
) -> None:
    from coopery.dockerfile.lint.linter import RULES

    found = set()
    for name, case in CASES.items():
        context = tmp_path / name
        context.mkdir()
        (context / "Dockerfile").write_text(re.sub(r"@(\w+)", lambda match: lint_images[match[1]], case.dockerfile))
        (context / ".dockerignore").write_text(case.ignore)
        found |= {finding.rule for finding in checked(context, case).findings}
    assert found == {rule.name for rule in RULES}
    assert len(RULES) == 22
