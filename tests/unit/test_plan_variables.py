"""ARG and ENV: who sees which value (BuildKit, dockerfile2llb/convert.go, dispatchArg, dispatchEnv, init)."""

from __future__ import annotations

import pytest

from coopery.errors import DockerfileError
from coopery.oci.platform import host
from support.plans import World, base, config_of, env_of, history_of, plan_of, runs_of

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def variables(text: str, world: World | None = None, **options: object) -> dict[str, str]:
    """What the last RUN sees, without PATH."""
    env = env_of(text, world, **options)
    env.pop("PATH")
    return env


@pytest.mark.parametrize(
    ("lines", "args", "seen"),
    [
        ("ARG A", {}, {}),
        ("ARG A=1", {}, {"A": "1"}),
        ("ARG A=1", {"A": "2"}, {"A": "2"}),
        ("ARG A", {"A": "2"}, {"A": "2"}),
        ("ARG A=1", {"A": ""}, {"A": ""}),
        ("ARG A=", {}, {"A": ""}),
        ("ARG A=1\nARG A", {}, {"A": "1"}),
        ("ARG A=1\nARG A=2", {}, {"A": "2"}),
        ("ARG A=1 B=$A-2 C", {}, {"A": "1", "B": "1-2"}),
        ("ARG B=${A:-no}", {"A": "given but not declared"}, {"B": "no"}),
        ("ENV A=1", {"A": "2"}, {"A": "1"}),
        ("ARG A=1\nENV A=2", {}, {"A": "2"}),
        ("ARG A=1\nENV A=$A.$A", {"A": "x"}, {"A": "x.x"}),
        ("ENV A=1\nARG A=2", {}, {"A": "2"}),
        ("ENV A=1\nARG A", {}, {"A": "1"}),
        ("ENV A=1\nENV A=2 B=$A", {}, {"A": "2", "B": "1"}),
        ("ENV A=1 B=$A", {}, {"A": "1", "B": ""}),
        ("ENV A one two", {}, {"A": "one two"}),
        ("ENV A='$B' B=\"$C\"\nENV D=$A", {}, {"A": "$B", "B": "", "D": "$B"}),
        ("ENV N=A\nENV $N=1", {}, {"N": "A", "A": "1"}),
    ],
)
def test_what_a_run_sees(lines, args, seen):
    assert variables(f"FROM base\n{lines}\nRUN x\n", args=args) == seen


@pytest.mark.parametrize(
    ("text", "args", "seen"),
    [
        # Global ARGs are for FROM; a stage takes them up by an ARG without a default.
        ("ARG A=1\nFROM base\nRUN x\n", {}, {}),
        ("ARG A=1\nFROM base\nARG A\nRUN x\n", {}, {"A": "1"}),
        ("ARG A=1\nFROM base\nARG A=2\nRUN x\n", {}, {"A": "2"}),
        ("ARG A=1\nFROM base\nARG A\nRUN x\n", {"A": "3"}, {"A": "3"}),
        ("ARG A\nFROM base\nARG A\nRUN x\n", {}, {}),
        ("ARG A=1 B=${A}2\nFROM base\nARG B\nRUN x\n", {"A": "9"}, {"B": "92"}),
        # ARGs end with their stage, but for stages made FROM it.
        ("FROM base AS a\nARG A=1\nFROM base\nRUN x\n", {}, {}),
        ("FROM base AS a\nARG A=1\nFROM a\nRUN x\n", {}, {"A": "1"}),
        ("FROM base AS a\nARG A=1\nENV A=2\nFROM a\nRUN x\n", {}, {"A": "2"}),
        ("FROM base AS a\nENV A=2\nARG A=1\nFROM a\nRUN x\n", {}, {"A": "2"}),
        ("FROM base AS a\nARG A=1\nFROM a AS b\nARG A=${A}2\nFROM b\nRUN x\n", {}, {"A": "12"}),
    ],
)
def test_arguments_of_stages(text, args, seen):
    assert variables(text, args=args) == seen


def test_a_default_that_is_not_needed_is_not_expanded():
    text = "ARG A=${X:?missing}\nFROM base\nARG B=${Y:?'missing, too'}\nRUN x\n"
    assert variables(text, args={"A": "1", "B": "2"}) == {"B": "2"}
    with pytest.raises(DockerfileError, match=r"Dockerfile:1: .*missing"):
        plan_of(text, args={"B": "2"})
    with pytest.raises(DockerfileError, match=r"Dockerfile:3: .*missing, too"):
        plan_of(text, args={"A": "1"})


def test_platform_arguments_must_be_declared_in_a_stage_but_not_before_from():
    here = host()
    text = "FROM ${TARGETARCH}-${BUILDOS}\nARG TARGETPLATFORM TARGETOS BUILDARCH TARGETVARIANT\nRUN $TARGETARCH\n"
    world = World({f"{here.architecture}-linux": base()})
    assert variables(text, world) == {
        "TARGETPLATFORM": str(here),
        "TARGETOS": "linux",
        "BUILDARCH": here.architecture,
        "TARGETVARIANT": here.variant,
    }


def test_platform_arguments_can_be_set_by_hand():
    world = World({"other": base()})
    assert variables("FROM $TARGETARCH\nARG TARGETARCH\nRUN x\n", world, args={"TARGETARCH": "other"}) == {
        "TARGETARCH": "other"
    }
    assert variables("ARG TARGETARCH=other\nFROM $TARGETARCH\nARG TARGETARCH\nRUN x\n", world) == {
        "TARGETARCH": "other"
    }


@pytest.mark.parametrize(("target", "stage"), [("", "last"), ("one", "one"), ("LAST", "LAST"), ("0", "0")])
def test_targetstage_is_the_target_everywhere(target, stage):
    text = "FROM base AS one\nARG TARGETSTAGE\nRUN x\nFROM one AS last\nRUN y\n"
    assert variables(text, target=target) == {"TARGETSTAGE": stage}
    assert variables("FROM base\nARG TARGETSTAGE\nRUN x\n") == {"TARGETSTAGE": "default"}


def test_the_environment_of_the_base_comes_first_and_path_is_always_set():
    world = World({"base": base(env=("B=1", "PATH=/bin", "EMPTY=", "ODD"))})
    assert runs_of("FROM base\nENV A=2 B=3\nARG C=4\nRUN x\n", world)[0].env == (
        "B=3",
        "PATH=/bin",
        "EMPTY=",
        "ODD=",
        "A=2",
        "C=4",
    )
    assert env_of("FROM base\nRUN x\n") == {"PATH": PATH}
    assert config_of("FROM scratch\n").env == (f"PATH={PATH}",)


def test_arguments_never_reach_the_configuration():
    assert config_of("FROM base\nENV A=1\nARG A=2 B=3\n").env == ("A=1", f"PATH={PATH}")[::-1]
    # ... unless ENV takes their value.
    assert "A=3" in config_of("FROM base\nARG B\nENV A=$B\n", args={"B": "3"}).env


def test_proxies_reach_a_run_in_both_spellings_and_nothing_else():
    text = "FROM base\nRUN x\n"
    run = runs_of(text, args={"HTTP_PROXY": "http://p:1", "no_proxy": "local"})[0]
    assert set(run.proxy_env) == {
        "HTTP_PROXY=http://p:1",
        "http_proxy=http://p:1",
        "NO_PROXY=local",
        "no_proxy=local",
    }
    assert run.env == (f"PATH={PATH}",)
    assert history_of(text, args={"HTTP_PROXY": "http://p:1"}) == ["RUN /bin/sh -c x"]


def test_a_proxy_that_the_dockerfile_sets_is_left_alone():
    run = runs_of("FROM base\nENV https_proxy=mine\nRUN x\n", args={"HTTPS_PROXY": "given"})[0]
    assert run.proxy_env == ("HTTPS_PROXY=given",)
    declared = runs_of("FROM base\nARG HTTPS_PROXY\nRUN x\n", args={"HTTPS_PROXY": "given"})[0]
    assert "HTTPS_PROXY=given" in declared.env
    assert declared.proxy_env == ("https_proxy=given",)


def test_history_shows_arguments_in_the_order_of_their_lines():
    text = "FROM base AS a\nARG Z=1\nFROM a\nARG B A=2\nENV A=9\nRUN x $A\n"
    assert history_of(text, args={"Z": "5"}) == ["ARG B A=2", "ENV A=9", "RUN |3 Z=5 B= A=9 /bin/sh -c x $A"]


def test_unused_build_arguments_are_named_in_a_warning():
    text = "ARG USED\nFROM base AS other\nARG ELSEWHERE\nFROM base\n"
    given = dict.fromkeys(("USED", "ELSEWHERE", "TYPO", "http_proxy", "BUILDKIT_INLINE_CACHE", "OTHER"), "1")
    (warning,) = plan_of(text, args=given).warnings
    assert "OTHER" in warning
    assert "TYPO" in warning
    assert not any(name in warning for name in ("USED", "ELSEWHERE", "http_proxy", "BUILDKIT"))
    triggered = World({"base": base(on_build=("ARG BY_TRIGGER",))})
    assert plan_of("FROM base\n", triggered, args={"BY_TRIGGER": "1"}).warnings == ()
