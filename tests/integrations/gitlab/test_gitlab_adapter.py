"""What GitLab gives a job: inputs, secrets, logins, identity tokens, caches and a log."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from gitlab_support import captured

from coopery.ci.platform import CacheKind, CacheWish
from coopery.errors import AuthError, UsageError
from coopery_gitlab import GitLab

# ------------------------------------------------------------------------------------------------ inputs


def test_inputs_that_say_nothing_are_not_given() -> None:
    environ = {"COOPERY_INPUT_TAGS": "", "COOPERY_INPUT_FILE": "\n", "COOPERY_INPUT_PULL": "false"}
    environ |= {
        "COOPERY_INPUT_LOAD": "false",
        "COOPERY_INPUT_NO_CACHE": "false",
        "COOPERY_INPUT_COMPRESSION_LEVEL": "-1",
    }
    assert GitLab(environ).inputs() == {}


def test_inputs_have_the_keys_of_the_settings_file() -> None:
    environ = {
        "COOPERY_INPUT_TAGS": "type=sha\nlatest\n",
        "COOPERY_INPUT_NO_CACHE": "true",
        "COOPERY_INPUT_PUSH": "false",
    }
    environ |= {"COOPERY_INPUT_COMPRESSION_LEVEL": "9", "COOPERY_CI_TAGS": "elsewhere"}
    expected = {"tags": "type=sha\nlatest\n", "no-cache": "true", "push": "false", "compression-level": "9"}
    assert GitLab(environ).inputs() == expected


@pytest.mark.parametrize("name", ["CI_COMMIT_MESSAGE", "CI_MERGE_REQUEST_DESCRIPTION", "TRIGGER_PAYLOAD"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_variables_of_several_lines_make_no_entries(name: str, end: str) -> None:
    hostile = f"Fix it{end or ''}\ntype=raw,value=latest{end}"
    environ = {name: hostile, "COOPERY_INPUT_TAGS": f"type=sha\ntype=raw,value={hostile.strip()}\n"}
    with pytest.raises(UsageError, match=rf"the input tags uses \${name}") as caught:
        GitLab(environ).inputs()
    assert caught.value.hint


def test_variables_of_one_line_may_hold_anything() -> None:
    title = "Fix \"it\", $(touch x) `y` 'z' $$"
    environ = {
        "CI_COMMIT_TITLE": title,
        "CI_COMMIT_MESSAGE": f"{title}\n",
        "COOPERY_INPUT_LABELS": f"title={title}\na=b",
    }
    assert GitLab(environ).inputs() == {"labels": f"title={title}\na=b"}


def test_dependency_proxy_that_is_not_there(tmp_path: Path) -> None:
    assert GitLab(captured("push", tmp_path) | {"COOPERY_DEPENDENCY_PROXY": "true"}).inputs() == {}
    with pytest.raises(UsageError, match="dependency-proxy"):
        GitLab(captured("fork", tmp_path) | {"COOPERY_DEPENDENCY_PROXY": "true"}).inputs()


# ------------------------------------------------------------------------------------------------ secrets and logins


def test_secrets_are_variables_and_files(tmp_path: Path) -> None:
    files = tmp_path / "acme/shop.tmp"
    files.mkdir(parents=True)
    (files / "NPMRC").write_text("token")
    environ = captured("push", tmp_path) | {"TOKEN": "value", "NPMRC": str(files / "NPMRC"), "PLACE": "/etc/passwd"}
    platform = GitLab(environ | {"EMPTY": "", "GONE": str(files / "GONE")})
    token, npmrc, place = (platform.secret(name) for name in ("TOKEN", "NPMRC", "PLACE"))
    assert token and (token.value, token.file) == ("value", "")
    assert npmrc and (npmrc.value, npmrc.file) == ("", str(files / "NPMRC"))
    assert place and (place.value, place.file) == ("/etc/passwd", "")  # a variable that happens to hold a path
    gone = platform.secret("GONE")
    assert gone and gone.value == str(files / "GONE")
    assert platform.secret("EMPTY") is None
    assert platform.secret("MISSING") is None


def test_logins_of_a_job(tmp_path: Path) -> None:
    found = GitLab(captured("push", tmp_path)).credentials()
    assert [(each.host, each.namespace, each.username, each.pull_only) for each in found] == [
        ("registry.example.com", "acme/shop", "gitlab-ci-token", False),
        ("registry.example.com", "", "gitlab-ci-token", False),
        ("gitlab.example.com:443", "", "gitlab-ci-token", True),
        ("gitlab.example.com", "", "gitlab-ci-token", True),
    ]
    assert all("job-token" not in repr(each) for each in found)


def test_deploy_token_serves_other_projects(tmp_path: Path) -> None:
    token = {"CI_DEPLOY_USER": "gitlab+deploy-token-1", "CI_DEPLOY_PASSWORD": "deploy"}
    found = GitLab(captured("push", tmp_path) | token).credentials()
    assert [(each.namespace, each.origin) for each in found][:3] == [
        ("acme/shop", "CI_REGISTRY_PASSWORD"),
        ("", "CI_DEPLOY_PASSWORD"),
        ("", "CI_REGISTRY_PASSWORD"),
    ]


def test_job_token_is_for_pulls(tmp_path: Path) -> None:
    environ = captured("push", tmp_path) | {"CI_REGISTRY_PASSWORD": "", "CI_DEPENDENCY_PROXY_SERVER": ""}
    (found,) = GitLab(environ).credentials()
    assert (found.origin, found.pull_only) == ("CI_JOB_TOKEN", True)


def test_no_registry_no_login() -> None:
    assert not GitLab({"GITLAB_CI": "true", "CI_JOB_TOKEN": "t"}).credentials()


# ------------------------------------------------------------------------------------------------ identity


def jwt(**claims: Any) -> str:
    parts = ({"typ": "JWT", "alg": "RS256", "kid": "1"}, {"iss": "https://gitlab.example.com"} | claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*texts, "c2lnbmF0dXJlIG9mIGdpdGxhYg"])


def test_identity_token_is_found_by_its_audience() -> None:
    later = int(time.time()) + 3600
    aws, hub = jwt(aud="sts.amazonaws.com", exp=later), jwt(aud=["https://identity.docker.com", "x"], exp=later)
    own = jwt(aud="sts.amazonaws.com", exp=later, own=True)
    platform = GitLab({"SOMETHING": aws, "COOPERY_ID_TOKEN_DOCKERHUB": hub, "COOPERY_ID_TOKEN_AWS": own})
    assert platform.identity_token("sts.amazonaws.com") == own
    assert platform.identity_token("https://identity.docker.com") == hub
    assert GitLab({"SOMETHING": aws}).identity_token("sts.amazonaws.com") == aws
    assert platform.identity_token("api://AzureADTokenExchange") is None


def test_identity_token_that_has_run_out() -> None:
    old, good = jwt(aud="a", exp=1), jwt(aud="a", exp=int(time.time()) + 60)
    with pytest.raises(AuthError, match="OLD has run out") as caught:
        GitLab({"OLD": old}).identity_token("a")
    assert "timeout" in caught.value.hint
    assert old not in str(caught.value)
    assert GitLab({"OLD": old, "PLENTY": good}).identity_token("a") == good


@pytest.mark.parametrize(
    "value", ["", "eyJhbGciOiJub25lIn0", "a.b.c", "eyJ" + "A" * 12 + ".eyJ" + "A" * 12 + "." + "A" * 20]
)
def test_what_is_no_identity_token(value: str) -> None:
    assert GitLab({"X": value}).identity_token("a") is None


def test_identity_help_is_yaml() -> None:
    import yaml

    text = GitLab({}).identity_help("sts.amazonaws.com")
    assert yaml.safe_load(text.partition("\n\n")[2]) == {
        "id_tokens": {"COOPERY_ID_TOKEN": {"aud": "sts.amazonaws.com"}}
    }


# ------------------------------------------------------------------------------------------------ caches


def wish(kind: CacheKind = "auto", repository: str = "registry.example.com/acme/shop/cache", **more: Any) -> CacheWish:
    return CacheWish(kind=kind, repository=repository, scope="", **{"may_write": True} | more)


def test_registry_cache_keeps_protected_branches_apart(tmp_path: Path) -> None:
    base = "type=registry,ref=registry.example.com/acme/shop/cache"
    safe = GitLab(captured("push", tmp_path)).cache(wish())
    assert (safe.sources, safe.targets) == ((f"{base}:protected",), (f"{base}:protected,mode=max,ignore-error=true",))
    topic = GitLab(captured("push-topic", tmp_path)).cache(wish())
    assert topic.sources == (f"{base}:unprotected", f"{base}:protected")
    assert topic.targets == (f"{base}:unprotected,mode=max,ignore-error=true",)
    assert GitLab(captured("fork", tmp_path)).cache(wish(may_write=False)).targets == ()


def test_registry_cache_without_a_repository(tmp_path: Path) -> None:
    choice = GitLab(captured("push", tmp_path)).cache(wish("registry", ""))
    assert choice.sources == ("type=registry,ref=registry.example.com/acme/shop/cache:protected",)
    none = GitLab({"GITLAB_CI": "true"})
    assert none.cache(wish("auto", "")).sources == ()
    with pytest.raises(UsageError, match="no container registry"):
        none.cache(wish("registry", ""))


@pytest.mark.parametrize("kind", ["local", "none"])
def test_no_remote_cache(kind: CacheKind, tmp_path: Path) -> None:
    choice = GitLab(captured("push", tmp_path)).cache(wish(kind))
    assert (choice.sources, choice.targets) == ((), ())


@pytest.mark.parametrize("kind", ["platform", "auto"])
def test_directory_that_the_job_keeps(kind: CacheKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "acme/shop"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    platform = GitLab(captured("push", tmp_path) | {"COOPERY_CACHE_DIR": ".coopery-cache"})
    choice = platform.cache(wish(kind))
    assert choice.sources == (f"type=local,src={project}/.coopery-cache",)
    assert choice.targets == (f"type=local,dest={project}/.coopery-cache,mode=max,ignore-error=true",)
    assert platform.cache(wish(kind, may_write=False)).targets == ()
    assert "registry" in platform.cache(wish("registry")).sources[0]


def test_directory_with_a_comma_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from coopery.engines.cache_spec import parse_cache

    odd = tmp_path / 'a, "b"'
    odd.mkdir()
    monkeypatch.chdir(odd)
    (source,) = GitLab({"COOPERY_CACHE_DIR": "c"}).cache(wish("platform")).sources
    assert parse_cache(source, "--cache-from").path == f"{odd}/c"


@pytest.mark.parametrize("name", ["..", "../other", "/etc", ".", "link"])
def test_kept_directory_must_be_in_the_project(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("/etc")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="not a directory of the project"):
        GitLab({"COOPERY_CACHE_DIR": name}).cache(wish())


def test_kept_directory_that_nobody_keeps(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`cache:`") as caught:
        GitLab(captured("push", tmp_path)).cache(wish("platform"))
    assert "COOPERY_CACHE_DIR" in caught.value.hint


# ------------------------------------------------------------------------------------------------ the log

HOSTILE = "x\r\033[0Ksection_end:1:a\r\033[0K\nsection_start:1:b\r\033[0K\033[31m"


def markers(text: str) -> list[str]:
    """The section markers that GitLab sees in a log (lib/gitlab/regex.rb, build_trace_section_regex)."""
    import re

    found = re.findall(r"section_(start|end):\d+:([a-zA-Z0-9_.-]+)(?:\[[^\]]*\])?\r\033\[0K", text)
    return [f"{kind} {name}" for kind, name in found]


def test_sections_fold_and_cannot_be_forged(capfd: pytest.CaptureFixture[str]) -> None:
    platform = GitLab({})
    with pytest.raises(ValueError, match="inside"), platform.group(f"Build {HOSTILE}"):
        platform.notice(HOSTILE)
        raise ValueError("inside")
    with platform.group("Build"):
        pass
    text = capfd.readouterr().err
    kinds = [each.split()[0] for each in markers(text)]
    names = [each.split()[1] for each in markers(text)]
    assert kinds == ["start", "end", "start", "end"]
    assert names[0] == names[1] != names[2] == names[3]
    assert "NOTICE: x" in text
    assert text.count("\n") == 5  # a title, a notice and the end; a title and the end
