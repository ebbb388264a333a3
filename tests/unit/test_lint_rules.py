"""The checks of Dockerfiles: their description, what switches them, and what they say beyond a rule's name."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from coopery.dockerfile.faults import Fault
from coopery.dockerfile.ignore import IgnoreRules
from coopery.dockerfile.lint.linter import RULES
from coopery.dockerfile.lint.settings import Settings, parse_settings
from coopery.engines.definition import Definition, define
from coopery.errors import CooperyError, DockerfileError, UsageError
from coopery.oci.platform import host
from coopery.plan.ops import Surroundings
from coopery.plan.planner import make_plan
from coopery.ports import Advice
from support.plans import World

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "lint.md").read_text()


def defined(text: str, ignore: str = "", **args: str) -> Definition:
    """A Dockerfile after its plan was made, or as far as that went."""
    rules = IgnoreRules.parse(ignore) if ignore else None
    definition = define(text.encode(), "Dockerfile", args, lambda: rules)
    lined = definition.outline(target="", platform=host(), build_args=args, contexts={}, every=True)
    with contextlib.suppress(CooperyError):
        make_plan(
            lined,
            World(),
            platform=host(),
            build_args=args,
            labels={},
            contexts={},
            around=Surroundings(),
            watch=definition.watch,
        )
    return definition


def found(text: str, ignore: str = "", **args: str) -> tuple[Advice, ...]:
    return defined(text, ignore, **args).findings


def rules(text: str, ignore: str = "", **args: str) -> list[tuple[str, int]]:
    return [(finding.rule, finding.location.line) for finding in found(text, ignore, **args)]


def sections() -> dict[str, list[str]]:
    """The examples in the documentation of each rule."""
    parts = re.split(r"^## (\w+)\n", DOCS, flags=re.MULTILINE)[1:]
    known = {rule.name for rule in RULES}
    examples = {
        name: re.findall(r"```dockerfile\n(.*?)```", text, re.DOTALL)
        for name, text in zip(*[iter(parts)] * 2, strict=True)
    }
    return {name: blocks for name, blocks in examples.items() if name in known}


def test_all_rules_are_documented_in_the_order_of_buildkit() -> None:
    assert set(sections()) == {rule.name for rule in RULES}
    for rule in RULES:
        assert rule.url == f"docs/lint.md#{rule.name.lower()}"
        assert not rule.description.endswith(".")
        assert not rule.advice.endswith(".")


@pytest.mark.parametrize("name", [name for name, blocks in sections().items() if blocks])
def test_examples_in_the_documentation_break_the_rule_and_keep_all(name: str) -> None:
    broken, kept = sections()[name]
    assert {finding.rule for finding in found(broken, "*.log\n")} == {name}
    assert found(kept, "*.log\n") == ()


def test_only_what_needs_an_image_has_no_example() -> None:
    assert [name for name, blocks in sections().items() if not blocks] == ["InvalidBaseImagePlatform"]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("skip=A", Settings(skip=frozenset("A"))),
        ("skip=A,B;error=true", Settings(frozenset("AB"), error=True)),
        (" skip = A , B ; experimental = C ", Settings(frozenset("AB"), frozenset("C"))),
        ("skip=A for a reason", Settings(frozenset("A"))),
        ("error=T", Settings(error=True)),
        ("error=0;skip=all", Settings(frozenset({"all"}))),
        ("", Settings()),
    ],
)
def test_settings(text: str, settings: Settings) -> None:
    assert parse_settings(text) == settings


@pytest.mark.parametrize("text", ["skip", "skp=A", "error=maybe", "skip=A;x=y", "skip=A;error"])
def test_settings_that_make_no_sense(text: str) -> None:
    with pytest.raises(Fault):
        parse_settings(text)


def test_a_wrong_directive_is_an_error_with_its_line() -> None:
    with pytest.raises(DockerfileError) as caught:
        defined("# escape=`\n# check=skp=UndefinedVar\nFROM scratch\n")
    assert caught.value.location and caught.value.location.line == 2
    assert caught.value.hint == "did you mean skip?"
    with pytest.raises(UsageError, match="BUILDKIT_DOCKERFILE_CHECK"):
        defined("FROM scratch\n", BUILDKIT_DOCKERFILE_CHECK="nonsense")


def test_the_nearest_variable_is_named() -> None:
    (finding,) = found("FROM scratch\nENV version=1\nCOPY a$verson /\n")
    assert (finding.message, finding.remark) == ("$verson is not defined", "did you mean $version?")
    assert finding.text == "UndefinedVar: $verson is not defined, did you mean $version? (line 3)"
    (finding,) = found("ARG version=\nFROM scratch${verson}\n")
    assert finding.hint == "did you mean version?"


def test_variables_of_the_base_image_are_defined() -> None:
    from support.plans import base

    world = World({"base": base(env=("PATH=/bin", "JAVA_HOME=/java"))})
    definition = define(b"FROM base\nCOPY a $JAVA_HOME/$OTHER\n", "Dockerfile", {}, lambda: None)
    lined = definition.outline(target="", platform=host(), build_args={}, contexts={})
    make_plan(
        lined,
        world,
        platform=host(),
        build_args={},
        labels={},
        contexts={},
        around=Surroundings(),
        watch=definition.watch,
    )
    assert [finding.message for finding in definition.findings] == ["$OTHER is not defined"]


def test_findings_go_on_after_errors() -> None:
    text = "FROM scratch AS A\nCOPY --chwon=1 a /\nWORKDIR x\nCOPY $y /\nCMD z\n"
    assert rules(text) == [
        ("StageNameCasing", 1),
        ("WorkdirRelativePath", 3),
        ("UndefinedVar", 4),
        ("JSONArgsRecommended", 5),
    ]


def test_error_true_makes_an_error_of_findings() -> None:
    definition = defined("# check=error=true\nFROM scratch AS A\nMAINTAINER b\n")
    with pytest.raises(DockerfileError, match="checks failed: MaintainerDeprecated, StageNameCasing") as caught:
        definition.check()
    assert caught.value.location and caught.value.location.line == 2
    assert "MaintainerDeprecated: MAINTAINER is deprecated (line 3)" in caught.value.detail
    defined("# check=error=true\nFROM scratch\n").check()
    defined("FROM scratch AS A\n").check()


def test_a_further_platform_is_not_checked_again() -> None:
    definition = defined("FROM scratch\nCMD x\n")
    assert len(definition.findings) == 1
    assert definition.again().findings == ()


def test_a_build_loads_no_check_that_is_switched_off() -> None:
    program = (
        "import sys; from coopery.engines.definition import define\n"
        "import coopery.cli.build\n"
        "assert not any(name.startswith('coopery.dockerfile.lint') for name in sys.modules)\n"
        "define(b'# check=skip=all\\nFROM scratch AS A\\n', 'Dockerfile', {}, lambda: None)\n"
        "assert 'coopery.dockerfile.lint.linter' not in sys.modules\n"
        "define(b'FROM scratch AS A\\n', 'Dockerfile', {}, lambda: None)\n"
        "assert 'coopery.dockerfile.lint.linter' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})
