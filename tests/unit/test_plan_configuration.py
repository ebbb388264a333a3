"""What instructions make of the image's configuration and its history (BuildKit, dockerfile2llb/convert.go)."""

from __future__ import annotations

import pytest

from coopery.errors import CooperyError, DockerfileError
from coopery.oci.config import HealthCheck
from coopery.plan.ops import MakeDirectoryOp
from support.plans import World, base, config_of, copies_of, history_of, plan_of, runs_of

SH = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("lines", "entrypoint", "cmd"),
    [
        ("", ("old",), ("arg",)),
        ("CMD new", ("old",), (*SH, "new")),
        ('CMD ["new"]', ("old",), ("new",)),
        ('ENTRYPOINT ["e"]', ("e",), None),
        ('CMD ["c"]\nENTRYPOINT ["e"]', ("e",), ("c",)),
        ('ENTRYPOINT ["e"]\nCMD ["c"]', ("e",), ("c",)),
        ('CMD []\nENTRYPOINT ["e"]', ("e",), ()),
        ("ENTRYPOINT []", (), None),
        ('SHELL ["s", "-x"]\nCMD a b\nENTRYPOINT c', ("s", "-x", "c"), ("s", "-x", "a b")),
    ],
)
def test_cmd_and_entrypoint(lines, entrypoint, cmd):
    world = World({"base": base(entrypoint=("old",), cmd=("arg",))})
    config = config_of(f"FROM base\n{lines}\n", world)
    assert (config.entrypoint, config.cmd) == (entrypoint, cmd)


def test_a_cmd_of_the_base_stage_counts_as_inherited():
    assert config_of('FROM base AS a\nCMD ["c"]\nFROM a\nENTRYPOINT ["e"]\n').cmd is None
    assert config_of('FROM base AS a\nCMD ["c"]\nFROM a\nUSER x\n').cmd == ("c",)


def test_shell_is_for_the_lines_below_it_and_is_inherited():
    runs = runs_of(
        'FROM base AS a\nRUN one\nSHELL ["bash", "-c"]\nRUN two\nFROM a\nRUN three\nRUN ["exec", "form"]\n', target="a"
    )
    assert [run.argv for run in runs] == [(*SH, "one"), ("bash", "-c", "two")]
    child = runs_of('FROM base AS a\nSHELL ["bash", "-c"]\nFROM a\nRUN three\nRUN ["exec", "form"]\n')
    assert [run.argv for run in child] == [("bash", "-c", "three"), ("exec", "form")]


@pytest.mark.parametrize(
    ("given", "lines", "result"),
    [
        ("", "", ""),
        ("", "WORKDIR a", "/a"),
        ("", "WORKDIR a\nWORKDIR b/../c/", "/a/c"),
        ("/old", "WORKDIR new", "/old/new"),
        ("/old", "WORKDIR /", "/"),
        ("/old", "WORKDIR ../../..", "/"),
        ("/old", "WORKDIR //x//y", "/x/y"),
        ("old/", "", "/old"),
        ("//old", "WORKDIR x", "/old/x"),
        ("", "ENV D=/e\nWORKDIR $D/${F:-f}", "/e/f"),
    ],
)
def test_workdir_joins_paths(given, lines, result):
    assert config_of(f"FROM base\n{lines}\n", World({"base": base(working_dir=given)})).working_dir == result


def test_workdir_is_a_layer_unless_it_is_the_root():
    plan = plan_of("FROM base\nUSER u:g\nWORKDIR /a\nWORKDIR /\n")
    assert [vertex.op for vertex in plan.stages[0].vertices] == [MakeDirectoryOp("/a", "u:g")]
    assert [step.created_by for step in plan.stages[0].steps] == ["USER u:g", "WORKDIR /a", "WORKDIR /"]


def test_run_and_copy_are_relative_to_the_working_directory():
    text = "FROM base\nWORKDIR /w\nRUN x\nCOPY a .\nCOPY a b\nCOPY a b/\nCOPY a /c/../d\nCOPY a ../e/.\n"
    assert runs_of(text)[0].cwd == "/w"
    assert [op.destination for op in copies_of(text)] == ["/w/", "/w/b", "/w/b/", "/d", "/e/"]


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", {"80/tcp"}),
        ("80/TCP 80/udp 90/sctp", {"80/tcp", "80/udp", "90/sctp"}),
        ("8000-8002/udp", {"8000/udp", "8001/udp", "8002/udp"}),
        ("127.0.0.1:80:8080", {"8080/tcp"}),
        ("0 65535", {"0/tcp", "65535/tcp"}),
        ("$PORTS", {"1/tcp", "2/tcp"}),
    ],
)
def test_expose(text, ports):
    assert set(config_of(f'FROM base\nARG PORTS="1 2"\nEXPOSE {text}\n').exposed_ports) == ports


@pytest.mark.parametrize("text", ["x", "80/icmp", "90-80", "65536", "80-", "-1", "/tcp", "8０"])
def test_bad_ports_are_refused_with_their_place(text):
    with pytest.raises(DockerfileError, match=r"^Dockerfile:2: EXPOSE") as caught:
        plan_of(f"FROM base\nEXPOSE {text}\n")
    assert caught.value.hint


def test_lists_grow_and_maps_are_overridden():
    world = World(
        {"base": base(exposed_ports=("1/tcp",), volumes=("/v",), labels={"a": "old", "b": "old"}, author="old")}
    )
    config = config_of(
        'FROM base\nEXPOSE 2\nVOLUME /w /x\nVOLUME ["/y z"]\nLABEL a=1 c="two words"\nMAINTAINER me\n',
        world,
        labels={"c": "by flag", "d": "by flag"},
    )
    assert set(config.exposed_ports) == {"1/tcp", "2/tcp"}
    assert set(config.volumes) == {"/v", "/w", "/x", "/y z"}
    assert config.labels == {"a": "1", "b": "old", "c": "by flag", "d": "by flag"}
    assert config.author == "me"


def test_labels_of_the_command_line_are_the_targets_only():
    plan = plan_of("FROM base AS a\nFROM a AS b\n", target="a", labels={"l": "1"})
    assert plan.stages[0].config.labels == {"l": "1"}
    both = plan_of("FROM base AS a\nFROM a AS b\n", labels={"l": "1"})
    assert both.stages[0].config.labels == {}
    assert both.stages[1].config.labels == {"l": "1"}


def test_healthchecks_are_inherited_whole_and_replaced_whole():
    old = HealthCheck(("CMD", "old"), interval=5, retries=3)
    world = World({"base": base(healthcheck=old)})
    assert config_of("FROM base\nUSER x\n", world).healthcheck == old
    assert config_of("FROM base\nHEALTHCHECK NONE\n", world).healthcheck == HealthCheck(("NONE",))
    assert config_of("FROM base\nHEALTHCHECK --timeout=1s CMD new $X\n", world).healthcheck == HealthCheck(
        ("CMD-SHELL", "new $X"), timeout=10**9
    )


@pytest.mark.parametrize("name", ["TERM", "SIGKILL", "sigusr1", "9", "SIGRTMIN+3", "RTMAX-1"])
def test_stop_signals(name):
    assert config_of(f"FROM base\nSTOPSIGNAL {name}\n").stop_signal == name


@pytest.mark.parametrize("name", ["NOPE", "SIG", "0", "RTMFOO", "SIGRTMIN+99"])
def test_bad_stop_signals(name):
    with pytest.raises(DockerfileError, match="is not a signal"):
        plan_of(f"FROM base\nSTOPSIGNAL {name}\n")


def test_everything_else_of_a_base_is_kept():
    config = config_of("FROM base\n", World({"base": base(user="u", stop_signal="9", cmd=("c",), volumes=("/v",))}))
    assert (config.user, config.stop_signal, config.cmd, config.volumes) == ("u", "9", ("c",), ("/v",))
    assert config_of("FROM scratch\n").working_dir == "/"


def test_history_lines():
    lines = """\
FROM base
ENV A=1 B="b b"
LABEL x=y z='1 2'
EXPOSE 80
VOLUME /v
USER u
CMD ["c", "d"]
ENTRYPOINT e
STOPSIGNAL 9
SHELL ["s"]
COPY --chown=1:2 --chmod=755 a b /c/
ADD http://host/file /
COPY <<EOF /here
x
EOF
RUN ["a", "b"]
ONBUILD RUN x
"""
    assert history_of(lines) == [
        "ENV A=1 B=b b",
        "LABEL x=y z=1 2",
        "EXPOSE [80/tcp]",
        "VOLUME [/v]",
        "USER u",
        'CMD ["c" "d"]',
        'ENTRYPOINT ["/bin/sh" "-c" "e"]',
        "STOPSIGNAL 9",
        "SHELL [s]",
        "COPY --chown=1:2 --chmod=755 a b /c/",
        "ADD http://host/file /",
        "COPY <<EOF /here",
        "RUN a b",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "COPY --chmod=99 a b",
        "COPY --chmod=17777 a b",
        "COPY --chmod=u=rwx, a b",
        "COPY --link --chown=app a b",
        "COPY --link --chown=1:staff a b",
        "COPY --exclude=[ a b",
        "COPY --exclude=! a b",
        "COPY http://h/f b",
        "COPY https://github.com/a/b.git /",
        "COPY --from=$X a b",
        "COPY --from=scratch a b",
        "COPY --from=7 a b",
        "COPY --from=later a b",
        "COPY --from=self a b",
        "COPY $UNSET b",
        "ADD --checksum=sha256:aa http://h/f /",
        f"ADD --checksum=sha256:{'a' * 64} f /",
        f"ADD --checksum=sha256:{'a' * 64} http://h/f http://h/g /",
        "ADD --keep-git-dir f /",
        "ADD --keep-git-dir http://h/f /",
        "RUN --security=insecure x",
        "RUN --security=none x",
        "RUN --mount=target=/x,from=$X y",
        "RUN --mount=target=/x,from=7 y",
        "RUN --mount=target=/x,from=later y",
        "RUN --mount=target=/x,from=self y",
        "RUN --mount=type=tmpfs,target=/x,from=before y",
        "RUN --mount=targt=/x y",
        'RUN --mount=type=cache,"target=/c y',
        "VOLUME $UNSET",
        "ENV $UNSET=1",
        "LABEL a=${b:?no b}",
    ],
)
def test_what_cannot_be_honoured_is_an_error_with_its_place(line):
    with pytest.raises(DockerfileError) as caught:
        plan_of(f"FROM base AS before\nFROM base AS self\nENV X=1\n{line}\nFROM base AS later\n", target="self")
    assert caught.value.message.startswith("Dockerfile:4: ")
    assert f">>> {line}" in caught.value.detail


def test_networks():
    text = "FROM base\nRUN x\nRUN --network=none y\nRUN --network=host z\n"
    assert [run.network for run in runs_of(text)] == ["default", "none", "host"]
    assert [run.network for run in runs_of(text, network="none")] == ["none", "none", "host"]


def test_heredocs_of_a_run():
    plain, script, several, raw = runs_of(
        "FROM base\nENV N=1\nRUN <<EOF\necho $N\nEOF\nRUN <<-EOF\n\t#!/bin/x\n\tgo $N\n\tEOF\n"
        "RUN cat <<A <<B\na\nA\nb\nB\nRUN <<'EOF' sh\nraw $N\nEOF\n"
    )
    assert plain.argv == (*SH, "echo $N\n")
    assert script.script is not None
    assert script.argv == (*SH, script.script.name)
    assert script.script.content == b"#!/bin/x\ngo $N\n"
    assert several.argv == (*SH, "cat <<A <<B\na\nA\nb\nB")
    assert raw.argv == (*SH, "<<'EOF' sh\nraw $N\nEOF")


def test_heredocs_of_a_copy_expand_unless_quoted():
    (op,) = copies_of("FROM base\nENV N=1\nCOPY <<a <<'b' /d/\n$N \"q\" \\$N\na\n$N\nb\n")
    assert [(file.name, file.content) for file in op.inline] == [("a", b'1 "q" $N\n'), ("b", b"$N\n")]


def test_errors_of_look_ups_pass_through():
    with pytest.raises(CooperyError, match="no image nowhere"):
        plan_of("FROM nowhere\n")
