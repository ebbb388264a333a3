"""Credentials from docker's and podman's files, from the environment and from helpers."""

from __future__ import annotations

import base64
import json
import os
import select
from pathlib import Path
from typing import Any

import pytest

from coopery.credentials import default_provider
from coopery.credentials.helper import ask_helper, erase_from_helper, store_in_helper
from coopery.credentials.keys import matching
from coopery.errors import AuthError
from coopery.ports import Credential

SECRET = "s3cret-value"


def auth(username: str = "bob", password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def look_up(config: Any, registry: str = "r.example", repository: str = "team/app") -> Credential | None:
    text = config if isinstance(config, str) else json.dumps(config)
    return default_provider({"DOCKER_AUTH_CONFIG": text}).get(registry, repository)


def write(path: Path, config: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def helper(folder: Path, name: str, script: str) -> dict[str, str]:
    path = write(folder / f"docker-credential-{name}", f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.defpath}"}


# ------------------------------------------------------------------------------------------------ entries


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (auth(), Credential("bob", SECRET)),
        (auth(password="a:b\0\0"), Credential("bob", "a:b")),
        ({"username": "bob", "password": SECRET}, Credential("bob", SECRET)),
        ({"auth": "", "username": "bob", "password": SECRET, "email": "x"}, Credential("bob", SECRET)),
        (auth(password="") | {"identitytoken": "t"}, Credential("bob", "", "t")),
        ({"identitytoken": "t"}, Credential("", "", "t")),
        ({"registrytoken": "t"}, Credential("", "", "", "t")),
        ({}, None),
        ({"email": "x"}, None),
        ({"username": "bob"}, None),
        ({"auth": None}, None),
    ],
)
def test_entry(entry: dict[str, Any], expected: Credential | None) -> None:
    assert look_up({"auths": {"r.example": entry}}) == expected


@pytest.mark.parametrize(
    ("key", "registry", "repository", "serves"),
    [
        ("r.example", "r.example", "a", True),
        ("https://r.example", "r.example", "a", True),
        ("http://r.example/v1/", "r.example", "a", True),
        ("https://r.example/v2/", "r.example", "a", True),
        ("R.Example", "r.example", "a", True),
        ("r.example:5000", "r.example:5000", "a", True),
        ("r.example:5000", "r.example", "a", False),
        ("r.example", "r.example:5000", "a", False),
        ("r.example", "r.example.evil.com", "a", False),
        ("r.example", "evil-r.example", "a", False),
        ("r.example", "example", "a", False),
        ("r.example/team", "r.example", "team/app", True),
        ("r.example/team/app", "r.example", "team/app", True),
        ("r.example/team", "r.example", "team", True),
        ("r.example/team", "r.example", "team-two/app", False),
        ("r.example/team", "r.example", "other/team", False),
        ("r.example/team", "r.example.evil.com", "team/app", False),
        ("https://index.docker.io/v1/", "docker.io", "library/debian", True),
        ("docker.io", "docker.io", "library/debian", True),
        ("index.docker.io", "docker.io", "library/debian", True),
        ("https://registry-1.docker.io", "docker.io", "library/debian", True),
        ("docker.io/library", "docker.io", "library/debian", True),
        ("https://index.docker.io/v1/", "docker.io.evil.com", "library/debian", False),
        ("", "r.example", "a", False),
    ],
)
def test_which_key_serves_what(key: str, registry: str, repository: str, serves: bool) -> None:
    assert (look_up({"auths": {key: auth()}}, registry, repository) is not None) is serves


def test_longest_namespace_wins_and_empty_entries_do_not() -> None:
    auths = {"r.example": auth("host"), "r.example/a/b": auth("deep"), "r.example/a": auth("high"), "r.example/c": {}}
    users = {path: look_up({"auths": auths}, "r.example", path).username for path in ("a/b/c", "a/x", "b", "c/d")}  # type: ignore[union-attr]
    assert users == {"a/b/c": "deep", "a/x": "high", "b": "host", "c/d": "host"}
    assert matching(["r.example", "https://r.example"], "r.example", "a") == ["r.example", "https://r.example"]


# ------------------------------------------------------------------------------------------------ broken files


@pytest.mark.parametrize(
    "text",
    [
        "{",
        f'{{\n"auths": {{"{SECRET}": ,}}}}',
        "[]",
        f'"{SECRET}"',
        f'{{"auths": "{SECRET}"}}',
        f'{{"auths": {{"r.example": "{SECRET}"}}}}',
        f'{{"auths": {{"r.example": {{"auth": ["{SECRET}"]}}}}}}',
        f'{{"auths": {{"r.example": {{"auth": "{SECRET}!"}}}}}}',
        f'{{"auths": {{"r.example": {{"auth": "{base64.b64encode(SECRET.encode()).decode()}"}}}}}}',
        f'{{"credHelpers": "{SECRET}"}}',
        f'{{"credHelpers": {{"r.example": ["{SECRET}"]}}}}',
        f'{{"credsStore": ["{SECRET}"]}}',
        "[" * 100_000,
    ],
)
def test_malformed_file_is_an_auth_error_without_its_content(text: str, tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", text)
    for environ in ({"DOCKER_CONFIG": str(tmp_path)}, {"DOCKER_AUTH_CONFIG": text}):
        with pytest.raises(AuthError) as caught:
            default_provider(environ).get("r.example", "team/app")
        error = caught.value
        assert SECRET not in error.message + error.hint + error.detail
        assert error.__cause__ is None
        assert (str(path) if "DOCKER_CONFIG" in environ else "DOCKER_AUTH_CONFIG") in error.message


def test_line_of_a_json_error_is_named() -> None:
    with pytest.raises(AuthError, match="line 3 is not JSON"):
        look_up('{\n"auths": {},\n}')


def test_broken_entry_of_another_registry_does_no_harm() -> None:
    assert look_up({"auths": {"other.example": 7, "r.example": auth()}}) == Credential("bob", SECRET)


@pytest.mark.parametrize("text", ["", " \n", "{}", '{"auths": null, "credHelpers": null, "credsStore": null}'])
def test_empty_file_has_no_credential(text: str, tmp_path: Path) -> None:
    write(tmp_path / "config.json", text)
    assert default_provider({"DOCKER_CONFIG": str(tmp_path)}).get("r.example", "a") is None


# ------------------------------------------------------------------------------------------------ places


def test_places_in_their_order(tmp_path: Path) -> None:
    def config(user: str) -> dict[str, Any]:
        return {"auths": {"r.example": auth(user)}}

    write(tmp_path / "podman.json", config("registry auth file"))
    write(tmp_path / "docker/config.json", config("docker config"))
    write(tmp_path / "home/.docker/config.json", config("home"))
    write(tmp_path / "run/containers/auth.json", config("runtime"))
    environ = {
        "DOCKER_AUTH_CONFIG": json.dumps(config("variable")),
        "REGISTRY_AUTH_FILE": str(tmp_path / "podman.json"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }
    expected = ["variable", "registry auth file", "docker config", "home", "runtime"]
    for name, user in zip(list(environ), expected, strict=True):
        found = default_provider(environ).get("r.example", "team/app")
        assert found and found.username == user
        del environ[name]
    assert default_provider(environ).get("r.example", "team/app") is None


def test_next_place_is_asked_when_one_knows_nothing(tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {"r.example": auth()}})
    environ = {"DOCKER_AUTH_CONFIG": json.dumps({"auths": {"other": auth()}}), "HOME": str(tmp_path)}
    assert default_provider(environ).get("r.example", "a")


def test_file_is_read_anew_each_time(tmp_path: Path) -> None:
    provider = default_provider({"HOME": str(tmp_path)})
    assert provider.get("r.example", "a") is None
    write(tmp_path / ".docker/config.json", {"auths": {"r.example": auth()}})
    assert provider.get("r.example", "a") == Credential("bob", SECRET)


def test_unreadable_file_matters_only_if_it_was_named(tmp_path: Path) -> None:
    (tmp_path / ".docker/config.json").mkdir(parents=True)
    assert default_provider({"HOME": str(tmp_path)}).get("r.example", "a") is None
    with pytest.raises(AuthError, match="can't be read"):
        default_provider({"DOCKER_CONFIG": str(tmp_path / ".docker")}).get("r.example", "a")


def test_secrets_are_in_no_repr() -> None:
    text = json.dumps({"auths": {"r.example": auth()}})
    provider = default_provider({"DOCKER_AUTH_CONFIG": text})
    found = provider.get("r.example", "a")
    assert SECRET not in repr(provider) + repr(found) + repr(vars(provider))


# ------------------------------------------------------------------------------------------------ helpers


def test_helper_is_asked_for_the_server(tmp_path: Path) -> None:
    script = 'read url; [ "$1" = get ] && printf \'{"ServerURL":"%s","Username":"%s","Secret":"x"}\' "$url" "$url"'
    environ = helper(tmp_path, "echo", script)
    environ["DOCKER_AUTH_CONFIG"] = json.dumps({"credsStore": "echo"})
    provider = default_provider(environ)
    assert provider.get("r.example:5000", "a") == Credential("r.example:5000", "x")
    assert provider.get("docker.io", "library/a") == Credential("https://index.docker.io/v1/", "x")


def test_helper_of_a_registry_comes_before_the_store_and_the_file(tmp_path: Path) -> None:
    environ = helper(tmp_path, "one", 'echo \'{"Username":"one","Secret":"x"}\'')
    helper(tmp_path, "store", 'echo \'{"Username":"store","Secret":"x"}\'')
    helper(tmp_path, "none", "echo 'credentials not found in native keychain'; exit 1")
    config = {
        "auths": {"r.example": auth("file"), "none.example": auth("file")},
        "credHelpers": {"r.example": "one", "none.example": "none"},
        "credsStore": "store",
    }
    environ["DOCKER_AUTH_CONFIG"] = json.dumps(config)
    provider = default_provider(environ)
    users = [provider.get(host, "a").username for host in ("r.example", "other.example", "none.example")]  # type: ignore[union-attr]
    assert users == ["one", "store", "file"]


def test_identity_token_of_a_helper(tmp_path: Path) -> None:
    environ = helper(tmp_path, "token", 'echo \'{"Username":"<token>","Secret":"refresh"}\'')
    assert ask_helper("token", "r.example", environ) == Credential(identity_token="refresh")


@pytest.mark.parametrize(
    "script",
    [
        f"echo {SECRET}; exit 1",
        f"echo {SECRET} >&2; exit 2",
        f"echo {SECRET}",
        f"echo '[\"{SECRET}\"]'",
        f'echo \'{{"Username": ["{SECRET}"]}}\'',
        "kill -9 $$",
    ],
)
def test_failing_helper_is_an_auth_error_without_its_words(tmp_path: Path, script: str) -> None:
    with pytest.raises(AuthError, match="docker-credential-bad") as caught:
        ask_helper("bad", "r.example", helper(tmp_path, "bad", script))
    assert SECRET not in caught.value.message + caught.value.hint + caught.value.detail


@pytest.mark.parametrize("name", ["../evil", "", "-x", "a/b", "a b", "missing"])
def test_helper_that_is_none_is_an_auth_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(AuthError):
        ask_helper(name, "r.example", helper(tmp_path, "other", "echo {}"))


def test_helper_that_cannot_run_is_an_auth_error(tmp_path: Path) -> None:
    environ = helper(tmp_path, "bad", "")
    (tmp_path / "docker-credential-bad").write_text("#!/no/such/interpreter\n")
    with pytest.raises(AuthError, match="can't be run"):
        ask_helper("bad", "r.example", environ)


def test_hanging_helper_is_killed_with_its_children(tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    environ = helper(tmp_path, "slow", f"exec 9> {held}; sleep 300 & wait")
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(AuthError, match=r"no answer for r\.example in 0\.5 seconds"):
            ask_helper("slow", "r.example", environ, timeout=0.5)
        # The pipe ends when nobody holds its other end any more.
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.poll(10_000)
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    "script", ["yes", "cat /dev/zero", "head -c 300 /dev/urandom", "echo '{'", "printf '\\377\\376'"]
)
def test_helper_that_prints_garbage_is_an_auth_error(tmp_path: Path, script: str) -> None:
    with pytest.raises(AuthError, match="something that is not a credential"):
        ask_helper("bad", "r.example", helper(tmp_path, "bad", script))


def test_helper_that_ends_but_leaves_its_output_open_is_killed(tmp_path: Path) -> None:
    environ = helper(tmp_path, "bad", "sleep 300 & exit 0")
    with pytest.raises(AuthError, match="gave no answer"):
        ask_helper("bad", "r.example", environ, timeout=0.3)


def test_helper_that_is_missing_is_named_with_a_way_out(tmp_path: Path) -> None:
    config = json.dumps({"credHelpers": {"r.example": "gone"}, "auths": {"other.example": auth()}})
    provider = default_provider({"DOCKER_AUTH_CONFIG": config, "PATH": str(tmp_path)})
    with pytest.raises(AuthError, match="docker-credential-gone is not on PATH") as caught:
        provider.get("r.example", "a")
    assert "credHelpers" in caught.value.hint
    assert provider.get("other.example", "a") == Credential("bob", SECRET)


def test_helper_sees_no_secret_in_its_arguments(tmp_path: Path) -> None:
    environ = helper(tmp_path, "box", f'echo "$0 $@" >> {tmp_path}/arguments; cat > {tmp_path}/said')
    store_in_helper("box", "r.example", Credential("bob", SECRET), environ)
    assert json.loads((tmp_path / "said").read_text()) == {
        "ServerURL": "r.example",
        "Username": "bob",
        "Secret": SECRET,
    }
    erase_from_helper("box", "r.example", environ)
    assert (tmp_path / "said").read_text() == "r.example\n"
    calls = (tmp_path / "arguments").read_text().splitlines()
    assert [call.partition(" ")[2] for call in calls] == ["store", "erase"]


def test_helper_that_reads_nothing_is_fine(tmp_path: Path) -> None:
    environ = helper(tmp_path, "deaf", 'exec 0<&-; echo \'{"Username":"u","Secret":"s"}\'')
    assert ask_helper("deaf", "r.example", environ) == Credential("u", "s")
