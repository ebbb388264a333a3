"""The action's inputs: settings, secrets, logins and caches, from the JSON that a composite action's step gets."""

from __future__ import annotations

import json
from pathlib import Path

import github_runner
import pytest
from github_runner import obeyed

from coopery.ci.platform import CacheKind, CacheWish
from coopery.ci.sources import read_settings
from coopery.errors import UsageError
from coopery_github import GitHub

_ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def _platform(
    directory: Path, scenario: str = "push", *, variables: dict[str, str] | None = None, **inputs: str
) -> GitHub:
    environ = github_runner.environment(scenario, directory) | (variables or {})
    values = {name.replace("_", "-"): value for name, value in inputs.items()}
    return GitHub(environ | {"COOPERY_INPUTS": json.dumps(values)})


def test_settings_keep_their_names(tmp_path: Path) -> None:
    inputs = _platform(
        tmp_path, tags="type=semver,pattern={{version}}\nlatest", push="true", context="", labels=" "
    ).inputs()
    assert inputs == {"tags": "type=semver,pattern={{version}}\nlatest", "push": "true"}


def test_core_reads_every_input_that_is_a_setting(tmp_path: Path) -> None:
    platform = _platform(
        tmp_path,
        images="ghcr.io/acme/shop, ghcr.io/acme/shop2",
        build_args='A=1\n"B=two\nlines with ""quotes"""',
        secrets='npm=s3cret-value\n"key=-----BEGIN\nsecond line"',
        secret_envs="a=ALPHA,b=BETA",
        secret_files="c=./c.txt",
        registries=f"{_ECR}:\n  role: arn:aws:iam::123456789012:role/push\n",
        platforms="linux/amd64,linux/arm64",
        only_platform="linux/arm64",
    )
    read = read_settings(environ={}, inputs=platform.inputs(), inputs_from="x", flags={}, folder=str(tmp_path))
    (target,) = read.targets
    assert dict(target.build_args) == {"A": "1", "B": 'two\nlines with "quotes"'}
    assert {name: (secret.name, secret.env, secret.file) for name, secret in target.secrets.items()} == {
        "npm": ("npm", "", ""),
        "key": ("key", "", ""),
        "a": ("", "ALPHA", ""),
        "b": ("", "BETA", ""),
        "c": ("", "", "./c.txt"),
    }
    assert read.registries[_ECR].role == "arn:aws:iam::123456789012:role/push"
    assert read.only_platform == "linux/arm64"


def test_secrets_are_found_and_masked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    platform = _platform(
        tmp_path,
        variables={"NPM_TOKEN": "from-the-step", "ACTIONS_RUNTIME_TOKEN": "not-for-builds"},
        secrets='npm=a=b,c\n"key=one line\nother line"\nempty=',
        github_token="ghs_token",
    )
    found = {name: platform.secret(name) for name in ("npm", "key", "NPM_TOKEN", "GITHUB_TOKEN", "empty", "none")}
    assert {name: source.value for name, source in found.items() if source} == {
        "npm": "a=b,c",
        "key": "one line\nother line",
        "NPM_TOKEN": "from-the-step",
        "GITHUB_TOKEN": "ghs_token",
    }
    for name in ("ACTIONS_RUNTIME_TOKEN", "COOPERY_INPUTS"):  # None would have the variable looked at
        with pytest.raises(UsageError, match="no secret for builds"):
            platform.secret(name)
    masked = {command.text for command in obeyed(capfd.readouterr().err)}
    assert masked == {"a=b,c", "one line\nother line", "one line", "other line", "from-the-step", "ghs_token"}
    assert "a=b" not in repr(found)


@pytest.mark.parametrize("name", ["target-fork", "run-fork", "comment"])
def test_strangers_code_gets_no_secrets_of_a_privileged_job(name: str, tmp_path: Path) -> None:
    platform = _platform(tmp_path, name, secrets="npm=s3cret-value", variables={"OTHER": "s3cret-value"})
    for secret in ("npm", "OTHER", "GITHUB_TOKEN"):
        with pytest.raises(UsageError, match="isn't given to the build"):
            platform.secret(secret)


@pytest.mark.parametrize("text", ['npm="open', "novalue", "=s3cret", '"npm=s3cret'])
def test_errors_show_no_secret(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        _platform(tmp_path, secrets=f"{text}\nx").inputs()
    assert "s3cret" not in f"{caught.value}{caught.value.hint}{caught.value.detail}"


def test_logins(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    platform = _platform(
        tmp_path,
        registry="https://registry.example:5000/",
        username="ada",
        password="pass-word",
        registry_auth="""
- {username: hub, password: hub-pass}
- registry: ghcr.io/other
  username: x
  password: y-pass
""",
        github_token="ghs_token",
    )
    shown = [(login.host, login.namespace, login.username, login.password) for login in platform.credentials()]
    assert shown == [
        ("docker.io", "", "hub", "hub-pass"),
        ("ghcr.io", "other", "x", "y-pass"),
        ("registry.example:5000", "", "ada", "pass-word"),
        ("ghcr.io", "", "ada", "ghs_token"),
    ]
    masked = {command.text for command in obeyed(capfd.readouterr().err)}
    assert masked == {"hub-pass", "y-pass", "pass-word", "ghs_token"}


@pytest.mark.parametrize(
    ("context", "directory"), [("{{defaultContext}}", "."), ("{{ defaultContext }}:app/web", "app/web"), ("web", "web")]
)
def test_the_default_context_is_the_checkout(context: str, directory: str, tmp_path: Path) -> None:
    assert _platform(tmp_path, context=context).inputs()["context"] == directory


def test_logins_of_a_fork_only_pull(tmp_path: Path) -> None:
    platform = _platform(tmp_path, "fork", registry="r.example", username="ada", password="", github_token="ghs_token")
    (login,) = platform.credentials()
    assert (login.host, login.pull_only) == ("ghcr.io", True)


def test_enterprise_server_has_its_own_registry(tmp_path: Path) -> None:
    variables = {"GITHUB_SERVER_URL": "https://git.acme.example", "GITHUB_TOKEN": "ghs_token"}
    (login,) = _platform(tmp_path, variables=variables).credentials()
    assert login.host == "containers.git.acme.example"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"registry": "r.example", "username": "ada"}, "the password for r.example is empty"),
        ({"registry": _ECR, "username": "AKIAIOSFODNN7EXAMPLE", "password": "k"}, "an AWS access key is no password"),
        ({"registry_auth": "- registry: r\n  user: s3cret"}, "has the key 'user'"),
        ({"registry_auth": "- {username: x, password: s3cret"}, "isn't YAML"),
        ({"registry_auth": "- s3cret"}, "is not a login"),
    ],
)
def test_wrong_logins(inputs: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        _platform(tmp_path, **inputs).credentials()
    assert "s3cret" not in f"{caught.value}{caught.value.hint}{caught.value.detail}"


@pytest.mark.parametrize(
    ("name", "value"), [("provenance", "mode=max"), ("sbom", "true"), ("attests", "type=sbom"), ("call", "check")]
)
def test_what_cannot_be_had_is_an_error(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"the input {name}"):
        _platform(tmp_path, **{name: value}).inputs()


def test_what_asks_for_nothing_is_fine(tmp_path: Path) -> None:
    assert _platform(tmp_path, provenance="false", sbom="false", call="build", attests="").inputs() == {}


def test_what_has_no_effect_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    platform = _platform(tmp_path, builder="x", cgroup_parent="y", logout="false", secrets="npm=\n")
    platform.inputs()
    said = [command.text for command in obeyed(capfd.readouterr().err) if command.name == "warning"]
    assert [text.split(":")[0] for text in said] == [
        "The input builder has no effect",
        "The input cgroup-parent has no effect",
        "The input logout has no effect",
        "The secret npm is empty",
    ]


def test_without_the_action_there_are_no_inputs(tmp_path: Path) -> None:
    environ = github_runner.environment("push", tmp_path)
    assert GitHub(environ).inputs() == {}
    assert list(GitHub(environ).credentials()) == []
    for broken in ("{", "[]", '{"a": 1}'):
        with pytest.raises(UsageError, match="COOPERY_INPUTS"):
            GitHub(environ | {"COOPERY_INPUTS": broken}).inputs()


def _wish(kind: CacheKind, repository: str = "ghcr.io/acme/shop/cache", may_write: bool = True) -> CacheWish:
    return CacheWish(kind=kind, repository=repository, scope="app,type=x linux/amd64", may_write=may_write)


def test_caches(tmp_path: Path) -> None:
    handed_on = {"ACTIONS_RUNTIME_TOKEN": "t", "ACTIONS_RESULTS_URL": "https://results.example/"}
    inside, outside = _platform(tmp_path, variables=handed_on), _platform(tmp_path)
    gha, registry = (
        "type=gha,scope=app-type-x-linux-amd64",
        "type=registry,ref=ghcr.io/acme/shop/cache:app-type-x-linux-amd64",
    )
    for kind in ("auto", "platform"):
        choice = inside.cache(_wish(kind))
        assert (choice.sources, choice.targets) == ((gha,), (f"{gha},mode=max,ignore-error=true",))
    for platform, kind in ((outside, "auto"), (outside, "registry"), (inside, "registry")):
        choice = platform.cache(_wish(kind))
        assert (choice.sources, choice.targets) == ((registry,), (f"{registry},mode=max,ignore-error=true",))
    assert inside.cache(_wish("auto", may_write=False)).targets == ()
    assert inside.cache(_wish("none")).sources == inside.cache(_wish("local")).sources == ()
    assert outside.cache(_wish("auto", repository="")).sources == ()
    with pytest.raises(UsageError, match="can't be reached"):
        outside.cache(_wish("platform"))
    with pytest.raises(UsageError, match="no repository"):
        outside.cache(_wish("registry", repository=""))
