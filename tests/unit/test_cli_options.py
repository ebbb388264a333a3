"""The command line: what is wrong ends with status 2 and a way out, never with a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coopery.cli.main import cli, run
from coopery.cli.values import (
    parse_age,
    parse_annotations,
    parse_pairs,
    parse_secrets,
)
from coopery.engines.outputs import check_outputs, names_of, with_push
from coopery.engines.spelling import parse_hosts, parse_platforms, parse_size_option, parse_ulimits
from coopery.errors import CooperyError, EnvironmentUnsuitable, UsageError
from coopery.export.output_spec import parse_output
from coopery.oci.platform import Platform, host
from coopery.ports import Ulimit
from coopery.request import Annotation, BuildRequest, Output, Secret


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with nothing to build, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COOPERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("coopery.cli.build.enter", lambda *_: pytest.fail("the options passed"))
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--add-host", "x"],
        ["--add-host", "x:y"],
        ["--add-host", ":10.0.0.1"],
        ["--add-host", "a b:10.0.0.1"],
        ["--annotation", "x"],
        ["--annotation", "index-descriptor:a=b"],
        ["--annotation", "index[linux/amd64]:a=b"],
        ["--build-arg", "=x"],
        ["--build-context", "x"],
        ["--isolation", "x"],
        ["--label", "=x"],
        ["--network", "x"],
        ["--network", ""],
        ["-o", ""],
        ["-o", "type=oc1,dest=x"],
        ["-o", "type=oci,dst=x"],
        ["-o", "type=oci,tar=maybe"],
        ["-o", "dest=x"],
        ["-o", "type=local"],
        ["-o", 'type="oci'],
        ["-o", "type=image,name=UPPER"],
        ["-o", "type=oci,compression=rar"],
        ["-o", "type=oci,compression-level=x"],
        ["-q", "-o", "-"],
        ["--platform", "a/b/c/d"],
        ["--platform", "!"],
        ["--platform", "linux/amd64,windows/amd64"],
        ["--secret", "x"],
        ["--secret", ""],
        ["--secret", "src=x"],
        ["--secret", "id=x,src=/nowhere/at/all"],
        ["--secret", "id=x,src=/dev/null,env=Y"],
        ["--secret", "id=x,type=magic"],
        ["--secret", 'id="x'],
        ["--shm-size", "x"],
        ["--shm-size", "-1"],
        ["--ulimit", "x"],
        ["--ulimit", "nofile=x"],
        ["--ulimit", "nofiles=1"],
        ["--ulimit", "nofile=2:1"],
        ["--ulimit", "nofile=-2"],
        ["--pushh"],
        ["--tag"],
        ["one", "two"],
    ],
)
def test_wrong_options(arguments, capsys):
    assert run(["build", *arguments]) == 2
    error = capsys.readouterr().err
    assert any(way_out in error for way_out in ("hint: ", "--help' for help", "requires an argument"))
    assert "Traceback" not in error
    assert "internal error" not in error


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["biuld"], "Did you mean 'build'?"),
        (["nothing", "like", "it"], "No such command"),
        (["cache", "prun"], "prune"),
        (["cache", "prune"], "--until AGE"),
        (["cache", "prune", "--until", "soon"], "24h"),
        (["cache", "prune", "--until", ""], "24h"),
        (["cache", "prune", "--keep-storage", "lots"], "k, m or g"),
        (["cache", "prune", "--filter", "unused=1"], "until=AGE"),
        (["cache", "du", "--format", "xml"], "json"),
        (["doctor", "--isolation", "hope"], "namespaces"),
    ],
)
def test_wrong_commands(arguments, word, capsys):
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert word in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", [[], ["build"], ["cache"], ["cache", "du"], ["cache", "prune"], ["doctor"]])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(command, flag, capsys):
    assert run([*command, flag]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Usage: coopery")
    assert printed.err == ""


def test_every_option_of_build_is_explained(capsys):
    from coopery.cli.build import command

    run(["build", "--help"])
    printed = capsys.readouterr().out
    for option in command.params:
        if option.name != "context":
            assert getattr(option, "help", ""), option.name
            assert option.opts[-1] in printed


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("coopery, version ")


def test_the_cache_commands_on_an_empty_cache(capsys, place):
    assert run(["cache", "du", "--format", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["root"], value["bytes"]) == (str(place / "cache"), 0)
    assert run(["cache", "prune", "--all"]) == 0
    assert capsys.readouterr().out.split() == ["total", "0", "0", "B"]


# ------------------------------------------------------------------------------------------------------ values


def test_pairs():
    environ = {"SET": "x", "EMPTY": ""}
    assert parse_pairs(["a=1", "a=2", "b=", "c=d=e"], "--x") == {"a": "2", "b": "", "c": "d=e"}
    assert parse_pairs(["SET", "EMPTY", "UNSET"], "--build-arg", environ) == {"SET": "x", "EMPTY": ""}


def test_annotations():
    assert parse_annotations(["a=1", "manifest:b=2", "c:d=3", "e=index:4", "index,manifest[linux/arm]:f=5", "a=6"]) == (
        Annotation(key="a", value="6"),
        Annotation(key="b", value="2"),
        Annotation(key="c:d", value="3"),
        Annotation(key="e", value="index:4"),
        Annotation(key="f", value="5", level="index"),
        Annotation(key="f", value="5", platform=Platform("linux", "arm", "v7")),
    )
    assert parse_annotations(["manifest-descriptor:a=b"])[0].level == "manifest-descriptor"


def test_platforms():
    assert list(map(str, parse_platforms(["linux/amd64,arm64", "linux/amd64", " linux/arm , local"]))) == list(
        dict.fromkeys(["linux/amd64", "linux/arm64", "linux/arm/v7", str(host())])
    )
    assert parse_platforms([]) == parse_platforms([""]) == (host(),)


def test_hosts():
    assert parse_hosts(["a:10.0.0.1", "b=10.0.0.2", "c=::1", "d:[::2]", "e:::3", "f:host-gateway"]) == (
        ("a", "10.0.0.1"),
        ("b", "10.0.0.2"),
        ("c", "::1"),
        ("d", "::2"),
        ("e", "::3"),
        ("f", "127.0.0.1"),
    )


def test_secrets(place, monkeypatch):
    (place / "file").touch()
    (place / "by-name").touch()
    monkeypatch.setenv("BY_NAME", "value")
    path = str(place / "file")
    assert parse_secrets(["id=a,src=file", "id=b,source=file,type=file", "id=c,env=X", "id=d,type=env,src=X"]) == (
        Secret(id="a", file=path),
        Secret(id="b", file=path),
        Secret(id="c", env="X"),
        Secret(id="d", env="X"),
    )
    assert parse_secrets(["id=BY_NAME", "id=by-name"]) == (
        Secret(id="BY_NAME", env="BY_NAME"),
        Secret(id="by-name", file=str(place / "by-name")),
    )


def test_sizes_ages_and_limits():
    assert parse_size_option("1.5g", "--x") == 3 << 29
    assert [parse_age(text, "--x") for text in ("0s", "90m", "24h", "1h30m", "7d", "1.5h")] == [
        0,
        5400,
        86400,
        5400,
        604800,
        5400,
    ]
    assert parse_ulimits(["nofile=1024:4096", "core=-1", "nproc=5", "cpu=1:-1"]) == (
        Ulimit("nofile", 1024, 4096),
        Ulimit("core", -1, -1),
        Ulimit("nproc", 5, 5),
        Ulimit("cpu", 1, -1),
    )


@pytest.mark.parametrize("text", ["", "1", "h", "1w", "-1h", "1h ", "1e3s", "１h"])
def test_bad_ages(text):
    with pytest.raises(UsageError):
        parse_age(text, "--until")


# ----------------------------------------------------------------------------------------------------- outputs


def request(*specs: str, tags: tuple[str, ...] = (), push: bool = False) -> BuildRequest:
    return BuildRequest(tags=tags, outputs=with_push(tuple(parse_output(spec) for spec in specs), push))


def test_push_goes_with_other_outputs():
    assert [(o.type, o.push) for o in request("type=oci,dest=a.tar", push=True).outputs] == [
        ("oci", False),
        ("registry", True),
    ]
    assert [(o.type, o.push) for o in request("type=image", push=True).outputs] == [("image", True)]
    assert request(push=True).outputs == (Output(type="registry", push=True),)
    assert request("type=image,name=x").outputs[0].push is False


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (request(push=True), UsageError),
        (request("type=registry"), UsageError),
        (request(push=True, tags=("host/a@sha256:" + "0" * 64,)), UsageError),
        (request("type=oci,dest=a", "type=docker,dest=./a"), UsageError),
        (request("type=oci", "type=tar"), UsageError),
        (request(tags=("UPPER",)), UsageError),
    ],
)
def test_outputs_that_cannot_be(wanted, error):
    with pytest.raises(error):
        check_outputs(wanted)


def test_loading_needs_docker(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentUnsuitable, match="docker command"):
        check_outputs(request("type=docker"))


def test_several_outputs_at_once():
    check_outputs(request("type=oci,dest=a", "type=docker,dest=b", "type=local,dest=c", tags=("host/a:1",), push=True))


def test_names_are_completed_and_each_counts_once():
    assert [str(name) for name in names_of(["a", "docker.io/library/a:latest", "h.example/b:1"])] == [
        "docker.io/library/a:latest",
        "h.example/b:1",
    ]


# ------------------------------------------------------------------------------------------------ status codes


def test_the_errors_own_status_is_the_commands(monkeypatch, capsys):
    for cls in (CooperyError, *CooperyError.__subclasses__()):
        if cls.__name__ == "StepFailed":
            continue

        def fail(*_: object, error: type[CooperyError] = cls) -> None:
            raise error("what is wrong", hint="what to do")

        monkeypatch.setattr(cli, "main", lambda *_, fail=fail, **__: fail())
        assert run([]) == cls.exit_code
        assert capsys.readouterr().err == "ERROR: what is wrong\nhint: what to do\n"


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 0, ""),
        (OSError(28, "No space left on device"), 11, "No space left"),
        (ValueError("oops"), 1, "internal error: ValueError: oops"),
        (RecursionError("deep"), 1, "COOPERY_DEBUG=1"),
    ],
)
def test_other_ends(error, status, words, monkeypatch, capsys):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", fail)
    assert run([]) == status
    printed = capsys.readouterr().err
    assert words in printed
    assert "Traceback" not in printed


def test_a_full_standard_output_is_no_success(coopery):
    entry = "import sys; from coopery.cli import main; sys.exit(main())"
    environ = {**os.environ, "COOPERY_CACHE": str(coopery.home)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", entry, "cache", "du"], stdout=full, stderr=-1, text=True, env=environ
        )
    assert done.returncode not in (0, 1)
    assert "Traceback" not in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", entry, "cache", "du"], stdout=writer, stderr=-1, text=True, env=environ
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
