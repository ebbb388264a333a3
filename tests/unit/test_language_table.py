"""The Dockerfile language, feature by feature: what each line comes to in the image's configuration and its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from coopery.dockerfile import parse
from coopery.dockerfile.durations import parse_duration, show_duration
from coopery.errors import DockerfileError
from coopery.oci.config import HealthCheck
from coopery.oci.platform import Platform, host
from coopery.plan.ops import Surroundings
from support.plans import World, base, config_of, copies_of, env_of, history_of, plan_of, runs_of

SECOND = 1_000_000_000
ARM = Platform("linux", "arm64", "v8")


def env(text: str, **options: Any) -> dict[str, str]:
    """The target's variables, without PATH."""
    found = dict(entry.split("=", 1) for entry in config_of(text, **options).env)
    return {name: value for name, value in found.items() if name != "PATH"}


def labels(text: str, **options: Any) -> dict[str, str]:
    return dict(config_of(text, **options).labels)


# ------------------------------------------------------------------------------------------------------- variables

SET = "FROM scratch\nENV V=abcabc EMPTY=\nENV X="
OPERATORS: Mapping[str, str] = {
    "$V": "abcabc",
    "${V}": "abcabc",
    "${V}x$Vx": "abcabcx",
    "$NONE": "",
    "${NONE-d}": "d",
    "${EMPTY-d}": "",
    "${NONE:-d}": "d",
    "${EMPTY:-d}": "d",
    "${V:-d}": "abcabc",
    "${NONE+d}": "",
    "${EMPTY+d}": "d",
    "${EMPTY:+d}": "",
    "${V:+d}": "d",
    "${V?m}": "abcabc",
    "${EMPTY?m}": "",
    "${V:?m}": "abcabc",
    "${NONE:-${V:+$V}}": "abcabc",
    "${V#a}": "bcabc",
    "${V#*c}": "abc",
    "${V##*c}": "",
    "${V%c}": "abcab",
    "${V%b*}": "abca",
    "${V%%b*}": "a",
    "${V#?b}": "cabc",
    "${V#[a]}": "abcabc",
    "${V/b/X}": "aXcabc",
    "${V//b/X}": "aXcaXc",
    "${V//b/}": "acac",
    "${V/b*/X}": "aX",
    "${NONE/b/X}": "",
    "\\$V": "$V",
    "'$V'": "$V",
    '"$V"': "abcabc",
    '"\\$V"': "$V",
    "a\\ b": "a b",
    "'a\"b'": 'a"b',
    '"a\'b"': "a'b",
}


@pytest.mark.parametrize("word", OPERATORS)
def test_operators(word: str) -> None:
    assert env(f"{SET}{word}\n")["X"] == OPERATORS[word]


@pytest.mark.parametrize("word", ["${NONE?gone}", "${EMPTY:?gone}", "${NONE:?gone}"])
def test_operators_that_demand(word: str) -> None:
    with pytest.raises(DockerfileError, match=r"Dockerfile:3: .*gone"):
        plan_of(f"{SET}{word}\n")


def test_env_sees_the_variables_from_before_its_line() -> None:
    assert env("FROM scratch\nENV A=1\nENV A=2 B=$A\nENV C=$A\n") == {"A": "2", "B": "1", "C": "2"}


def test_arg_sees_earlier_args_of_its_line() -> None:
    assert labels("FROM scratch\nARG A=1 B=$A-2 C=$B-3\nLABEL c=$C\n") == {"c": "1-2-3"}


def test_global_args_hold_in_from_lines_alone_until_they_are_declared() -> None:
    text = "ARG G=base\nFROM $G\nLABEL before=x$G\nARG G\nLABEL after=$G\nARG G=own\nLABEL own=$G\n"
    text += "FROM $G\nLABEL next=x$G\n"
    plan = plan_of(text)
    assert dict(plan.stages[1].config.labels) == {"next": "x"}
    assert labels(text.rpartition("FROM")[0]) == {"before": "x", "after": "base", "own": "own"}


def test_args_are_given_by_name_and_last_until_the_stage_ends() -> None:
    text = "FROM base AS a\nARG A=1\nFROM a AS child\nLABEL child=$A\nFROM base AS other\nLABEL other=x$A\n"
    assert labels(text, target="child", args={"A": "2"}) == {"child": "2"}
    assert labels(text, target="other", args={"A": "2"}) == {"other": "x"}


def test_of_env_and_arg_the_later_line_wins() -> None:
    assert labels("FROM base\nENV A=env\nARG A=arg\nLABEL a=$A\n") == {"a": "arg"}
    assert labels("FROM base\nARG A=arg\nENV A=env\nLABEL a=$A\n", args={"A": "given"}) == {"a": "env"}


def test_platforms_are_predefined_globally_and_declared_in_stages() -> None:
    names = [
        f"{side}{what}" for side in ("BUILD", "TARGET") for what in ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
    ]
    shown = " ".join(f"{name}=${name}" for name in names)
    here = host()
    assert labels(f"FROM scratch\nARG {' '.join(names)} TARGETSTAGE\nLABEL {shown} s=$TARGETSTAGE\n", platform=ARM) == {
        "BUILDPLATFORM": str(here),
        "BUILDOS": here.os,
        "BUILDARCH": here.architecture,
        "BUILDVARIANT": here.variant,
        "BUILDOSVERSION": "",
        "TARGETPLATFORM": "linux/arm64/v8" if str(ARM).endswith("v8") else str(ARM),
        "TARGETOS": "linux",
        "TARGETARCH": "arm64",
        "TARGETVARIANT": ARM.variant,
        "TARGETOSVERSION": "",
        "s": "default",
    }
    assert labels("FROM scratch\nLABEL a=x$TARGETARCH\n") == {"a": "x"}
    assert labels("FROM scratch AS one\nARG TARGETSTAGE\nLABEL s=$TARGETSTAGE\n", target="one") == {"s": "one"}
    plan = plan_of("ARG P=$BUILDPLATFORM\nFROM --platform=$P base AS a\nFROM base\n", platform=ARM, target="a")
    assert plan.stages[0].platform == here


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "FTP_PROXY", "no_proxy", "ALL_PROXY"])
def test_proxies_reach_commands_undeclared_and_leave_no_trace(name: str) -> None:
    (run,) = runs_of("FROM base\nRUN x\n", args={name: "p"})
    assert set(run.proxy_env) == {f"{name.upper()}=p", f"{name.lower()}=p"}
    assert not any("proxy" in entry.lower() for entry in run.env)
    assert history_of("FROM base\nRUN x\n", args={name: "p"}) == ["RUN /bin/sh -c x"]
    assert plan_of("FROM base\nRUN x\n", args={name: "p"}).warnings == ()


CONTROL = """
BUILD_NAME CACHE_MOUNT_NS CONTEXT_KEEP_GIT_DIR INLINE_CACHE MULTI_PLATFORM SANDBOX_HOSTNAME SYNTAX DOCKERFILE_CHECK
SBOM_SCAN_CONTEXT SBOM_SCAN_STAGE
"""


@pytest.mark.parametrize("name", CONTROL.split())
def test_args_for_the_builder_need_no_arg(name: str) -> None:
    assert plan_of("FROM scratch\n", args={f"BUILDKIT_{name}": "1"}).warnings == ()
    assert plan_of("FROM scratch\n", args={"OTHER": "1"}).warnings


# ------------------------------------------------------------------------------------------- lines and directives


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("# syntax=docker/dockerfile:99-labs\nFROM scratch\nENV X=1\n", "1"),
        ("# escape=`\nFROM scratch\nENV X=C:\\x `\n  Y=2\n", "C:\\x"),
        ("# check=skip=all\n# Escape = `\n# syntax=x\nFROM scratch\nENV X=a` b\n", "a b"),
        ("#syntax=x\n#escape=\\\nFROM scratch\nENV X=a\\ b\n", "a b"),
        ("# a comment\n# escape=`\nFROM scratch\nENV X=a\\ b\n", "a b"),
        ("\n# escape=`\nFROM scratch\nENV X=a\\ b\n", "a b"),
        ("\ufeffFROM scratch\r\nENV X=1 \\\r\n  Y=2\r\n", "1"),
        ("from scratch\neNv X=1\n", "1"),
        ("FROM scratch\nENV \\\n# comment\n\n   X=1\n", "1"),
        ("FROM scratch\n   ENV X=1\n\n\n", "1"),
        ("FROM scratch\nENV X=1 # no comment=here\n", None),
        ("FROM scratch\nENV X one two\n", "one two"),
        ("FROM scratch\nENV X=1", "1"),
    ],
)
def test_lines(text: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(DockerfileError):
            parse(text)
    else:
        assert env(text)["X"] == value


def test_two_dashes_end_flags() -> None:
    assert runs_of("FROM base\nRUN -- --network=none x\n")[0].argv[-1] == "--network=none x"
    (copy,) = copies_of("FROM base\nCOPY --chown=1 -- --x /y\n")
    assert copy.patterns == ("--x",) and copy.owner == "1"


# ------------------------------------------------------------------------------------------------- configuration

CONFIGURATION: Mapping[str, tuple[str, object]] = {
    "EXPOSE 80": ("exposed_ports", ("80/tcp",)),
    "EXPOSE 80 80/TCP 53/udp 9/sctp": ("exposed_ports", ("53/udp", "80/tcp", "9/sctp")),
    "EXPOSE 7-9/udp": ("exposed_ports", ("7/udp", "8/udp", "9/udp")),
    "EXPOSE ${P:-8080}": ("exposed_ports", ("8080/tcp",)),
    "VOLUME /a /b": ("volumes", ("/a", "/b")),
    'VOLUME ["/a b", "/c"]': ("volumes", ("/a b", "/c")),
    "VOLUME ${V:-/v}": ("volumes", ("/v",)),
    "STOPSIGNAL SIGTERM": ("stop_signal", "SIGTERM"),
    "STOPSIGNAL ${S:-9}": ("stop_signal", "9"),
    "STOPSIGNAL RTMIN+3": ("stop_signal", "RTMIN+3"),
    'SHELL ["a", "-c"]\nCMD x': ("cmd", ("a", "-c", "x")),
    "CMD x  y": ("cmd", ("/bin/sh", "-c", "x  y")),
    'CMD ["x", "$Y"]': ("cmd", ("x", "$Y")),
    "CMD ['x']": ("cmd", ("/bin/sh", "-c", "['x']")),
    "CMD []": ("cmd", ()),
    "ENTRYPOINT x": ("entrypoint", ("/bin/sh", "-c", "x")),
    "CMD a\nENTRYPOINT []": ("cmd", ("/bin/sh", "-c", "a")),
    "USER ${U:-app}:staff": ("user", "app:staff"),
    "WORKDIR a\nWORKDIR b": ("working_dir", "/a/b"),
    "WORKDIR /a\nWORKDIR ../b/": ("working_dir", "/b"),
    "MAINTAINER Some One <a@b>": ("author", "Some One <a@b>"),
    "HEALTHCHECK NONE": ("healthcheck", HealthCheck(("NONE",))),
    "HEALTHCHECK CMD a b": ("healthcheck", HealthCheck(("CMD-SHELL", "a b"))),
    'HEALTHCHECK --interval=1m --timeout=2s --start-period=3s --start-interval=500ms --retries=4 CMD ["a"]': (
        "healthcheck",
        HealthCheck(("CMD", "a"), 60 * SECOND, 2 * SECOND, 3 * SECOND, SECOND // 2, 4),
    ),
    "ONBUILD RUN x": ("on_build", ("RUN x",)),
    "ONBUILD COPY --from=a <<E /x\nbody\nE": ("on_build", ("COPY --from=a <<E /x\nbody\nE",)),
}


@pytest.mark.parametrize("lines", CONFIGURATION)
def test_configuration(lines: str) -> None:
    name, value = CONFIGURATION[lines]
    assert getattr(config_of(f"FROM scratch\n{lines}\n"), name) == value


LABELS: Mapping[str, dict[str, str]] = {
    "a=1 b=2": {"a": "1", "b": "2"},
    "a='x y' \"b c\"=d": {"a": "x y", "b c": "d"},
    "a=$V b='$V' c=\"$V\"": {"a": "v", "b": "$V", "c": "v"},
    "a.b-c/d=1": {"a.b-c/d": "1"},
    'a="x \\\ny"': {"a": "x y"},
    "a x y": {"a": "x y"},
    "a=": {"a": ""},
    "$V=1": {"v": "1"},
}


@pytest.mark.parametrize("text", LABELS)
def test_labels(text: str) -> None:
    assert labels(f"FROM scratch\nARG V=v\nLABEL {text}\n") == LABELS[text]


def test_an_entrypoint_drops_the_cmd_of_the_base_alone() -> None:
    world = World({"base": base(cmd=("c",), entrypoint=("e",))})
    assert config_of("FROM base\nENTRYPOINT x\n", world).cmd is None
    assert config_of("FROM base\nCMD d\n", world).entrypoint == ("e",)


# --------------------------------------------------------------------------------------------------------- history

HISTORY: Mapping[str, str] = {
    "ARG A B=2": "ARG A B=2",
    "ENV A=1 B='x y'": "ENV A=1 B=x y",
    "LABEL a=1": "LABEL a=1",
    "EXPOSE 90 80/udp 7-8": "EXPOSE [7/tcp 8/tcp 80/udp 90/tcp]",
    'VOLUME ["/a", "/b"]': "VOLUME [/a /b]",
    'CMD ["a", "b \\"c\\""]': 'CMD ["a" "b \\"c\\""]',
    "ENTRYPOINT a": 'ENTRYPOINT ["/bin/sh" "-c" "a"]',
    'SHELL ["a", "b"]': "SHELL [a b]",
    "USER a:b": "USER a:b",
    "STOPSIGNAL 9": "STOPSIGNAL 9",
    "MAINTAINER me": "MAINTAINER me",
    "HEALTHCHECK NONE": "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
    "HEALTHCHECK --interval=90m --timeout=1500ms --start-period=2ms --retries=1 CMD a b": (
        "HEALTHCHECK {Test:[CMD-SHELL a b] Interval:1h30m0s Timeout:1.5s StartPeriod:2ms StartInterval:0s Retries:1}"
    ),
    "WORKDIR a": "WORKDIR /a",
    "RUN a  b": "RUN /bin/sh -c a  b",
    'RUN ["a", "b"]': "RUN a b",
    "RUN <<E\na\nE": "RUN /bin/sh -c a\n",
    "RUN <<E\n#!/x\nE": "RUN /bin/sh -c /dev/pipes/E",
    "RUN x <<-E\n\ta\nE": "RUN /bin/sh -c x <<-E\n\ta\nE",
    "COPY --chown=1 --chmod=7 a b /c/": "COPY --chown=1 --chmod=7 a b /c/",
}


@pytest.mark.parametrize("line", HISTORY)
def test_history(line: str) -> None:
    assert history_of(f"FROM base\n{line}\n") == [HISTORY[line]]


def test_history_of_a_run_names_the_args_and_onbuild_leaves_none() -> None:
    assert history_of("FROM base\nARG A=1 B\nRUN x\nONBUILD RUN y\n") == ["ARG A=1 B", "RUN |2 A=1 B= /bin/sh -c x"]


# ---------------------------------------------------------------------------------------------- stages and onbuild


def test_triggers_run_first_and_are_gone_after() -> None:
    world = World({"base": base(on_build=("ENV A=1", "COPY --from=tools /x /x", "RUN --mount=from=tools,target=/t y"))})
    text = "FROM scratch AS tools\nFROM base AS a\nENV B=$A\nFROM a\n"
    config = config_of(text, world)
    assert config.on_build == () and "B=1" in config.env
    plan = plan_of(text, world, target="a")
    assert sorted(plan.stages) == [0, 1] and len(plan.stages[1].vertices) == 2
    assert not plan_of(text, world).stages[2].vertices


def test_sources_in_flags_never_expand() -> None:
    with pytest.raises(DockerfileError, match="variables aren't expanded here"):
        plan_of("FROM base AS a\nFROM base\nARG S=a\nCOPY --from=$S x /\n")


def test_stages_are_named_in_any_case_and_by_number() -> None:
    (copy,) = copies_of("FROM base AS One\nFROM base\nCOPY --from=oNE x /\n")
    assert copy.source.stage == 0
    (copy,) = copies_of("FROM base AS One\nFROM base\nCOPY --from=0 x /\n")
    assert copy.source.stage == 0


# ------------------------------------------------------------------------------------------------------- refusals

REFUSED: Mapping[str, str] = {
    "ENV": "needs an argument",
    "ENV A": "a name and a value",
    "LABEL =x": "needs a name",
    "FROM a b": "an image and a name",
    "ONBUILD ONBUILD RUN x": "isn't allowed",
    "ONBUILD FROM x": "isn't allowed",
    "RUN --network=other x": "default, none or host",
    "RUN --security=none x": "sandbox or insecure",
    "RUN --mount=type=nothing x": "no mount of type",
    "RUN --device=x y": "no flag --device",
    "COPY --chwon=1 a b": "did you mean --chown",
    "COPY a": "a source and a destination",
    "HEALTHCHECK --retries=x CMD y": "retries",
    "HEALTHCHECK x": "can't be",
    "SHELL sh -c": "JSON list",
    "STOPSIGNAL SIGNOTHING": "is not a signal",
    "EXPOSE eighty": "is not a port",
    "RUN --security=insecure x": "not allowed",
    'RUN ["a", 1]': "only strings",
    "RUN <<E\nno end": "has no end",
    "ADD --checksum=x a b": "for one URL",
    "VOLUME": "needs an argument",
    "MAINTAINER": "needs an argument",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refusals_have_a_place_and_a_reason(line: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        plan_of(f"FROM base\n{line}\n")
    assert caught.value.location and caught.value.location.line == 2
    assert REFUSED[line] in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("RUN --network=none x", lambda run: run.network == "none"),
        ("RUN --security=insecure x", lambda run: run.insecure),
        ("RUN --security=sandbox x", lambda run: not run.insecure),
        ("RUN --mount=type=tmpfs,target=/t,size=1m x", lambda run: run.mounts[0].spec.size == 1 << 20),
        ("RUN --mount=type=secret,id=s,env=S x", lambda run: run.mounts[0].spec.env == "S"),
        ("ARG T=/t\nRUN --mount=type=cache,target=$T x", lambda run: run.mounts[0].spec.target == "/t"),
    ],
)
def test_flags_of_run(line: str, seen: Callable[[Any], bool]) -> None:
    around = Surroundings(allowed=("security.insecure",))
    assert seen(runs_of(f"FROM base\n{line}\n", around=around)[-1])


def test_a_run_sees_env_and_declared_args() -> None:
    seen = env_of("FROM base\nARG A=1 B C=3\nENV D=4 C=env\nRUN x\n", args={"B": "2", "E": "5"})
    assert {name: seen.get(name) for name in "ABCDE"} == {"A": "1", "B": "2", "C": "env", "D": "4", "E": None}


@pytest.mark.parametrize(
    ("syntax", "told"),
    [
        ("docker/dockerfile:1", False),
        ("docker.io/docker/dockerfile:1.26.1", False),
        ("docker/dockerfile", False),
        ("docker/dockerfile:1.27", True),
        ("docker/dockerfile:2", True),
        ("docker/dockerfile:1-labs", True),
        ("somebody/else@sha256:00", True),
    ],
)
def test_a_syntax_that_may_know_more_is_named_where_something_is_unknown(syntax: str, told: bool) -> None:
    for line in ("FROM scratch\nTELEPORT x\n", "FROM scratch\nRUN --teleport x\n"):
        with pytest.raises(DockerfileError) as caught:
            parse(f"# syntax={syntax}\n{line}")
        assert (f"asks for the syntax {syntax}" in caught.value.hint) is told
    assert parse(f"# syntax={syntax}\nFROM scratch\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0", "0s"),
        ("1ns", "1ns"),
        ("1500ns", "1.5µs"),
        ("250ms", "250ms"),
        ("59.5s", "59.5s"),
        ("60s", "1m0s"),
        ("90m", "1h30m0s"),
        ("100h", "100h0m0s"),
        ("1h1.001s", "1h0m1.001s"),
        ("-2s", "-2s"),
    ],
)
def test_durations_are_shown_as_go_shows_them(text: str, shown: str) -> None:
    assert show_duration(parse_duration(text)) == shown
