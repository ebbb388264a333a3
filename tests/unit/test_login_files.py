"""Keeping and forgetting credentials in auth files and helpers."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from coopery.credentials import default_provider
from coopery.credentials.keeping import auth_file_path, forget, keep
from coopery.credentials.keys import parse_place
from coopery.errors import AuthError, StorageError, UsageError
from coopery.ports import Credential

SECRET = "s3cret-value"
BOB = Credential("bob", SECRET)


def encoded(credential: Credential = BOB) -> str:
    return base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()


def write(path: Path, config: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def store(folder: Path, name: str) -> dict[str, str]:
    """A credential helper that keeps what it is told in files of `folder`."""
    script = folder / f"docker-credential-{name}"
    script.write_text(
        "#!/usr/bin/env python3\n"
        "import json, os, sys\n"
        f"path = {str(folder / (name + '.json'))!r}\n"
        "kept = json.load(open(path)) if os.path.exists(path) else {}\n"
        "said = sys.stdin.read()\n"
        "if sys.argv[1:] == ['store']:\n"
        "    value = json.loads(said); kept[value['ServerURL']] = value\n"
        "elif sys.argv[1:] == ['erase']:\n"
        "    kept.pop(said.strip(), None)\n"
        "elif said.strip() in kept:\n"
        "    print(json.dumps(kept[said.strip()]))\n"
        "else:\n"
        "    print('credentials not found in native keychain'); sys.exit(1)\n"
        "json.dump(kept, open(path, 'w'))\n"
    )
    script.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def found(path: Path, registry: str = "r.example", repository: str = "a", **environ: str) -> Credential | None:
    return default_provider({"REGISTRY_AUTH_FILE": str(path), **environ}).get(registry, repository)


# ------------------------------------------------------------------------------------------------ files


def test_new_file_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new/deep/config.json"
    assert keep(str(path), parse_place("r.example"), BOB, {}) == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert found(path) == BOB
    assert os.listdir(path.parent) == ["config.json"]


def test_open_file_is_closed_to_others(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", {})
    path.chmod(0o644)
    keep(str(path), parse_place("r.example"), BOB, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_foreign_content_and_its_order_stay(tmp_path: Path) -> None:
    before = {
        "HttpHeaders": {"X-Ü": "1"},
        "auths": {"z.example": {"auth": "eDp5", "email": "e"}, "a.example": {"auth": "eDp5"}},
        "proxies": {"default": {"noProxy": "a"}},
        "plugins": {},
        "detachKeys": "ctrl-e,e",
        "big": 12345678901234567890,
    }
    path = write(tmp_path / "config.json", before)
    keep(str(path), parse_place("r.example"), BOB, {})
    after = json.loads(path.read_text())
    assert list(after) == list(before)
    assert list(after["auths"]) == ["z.example", "a.example", "r.example"]
    assert forget(str(path), parse_place("r.example"), {})
    assert json.loads(path.read_text()) == before


def test_link_stays_a_link(tmp_path: Path) -> None:
    target = write(tmp_path / "dotfiles/docker.json", {"auths": {}})
    link = tmp_path / "home/config.json"
    link.parent.mkdir()
    link.symlink_to("../dotfiles/docker.json")
    keep(str(link), parse_place("r.example"), BOB, {})
    assert link.is_symlink()
    assert found(target) == BOB
    assert os.listdir(link.parent) == ["config.json"]


def test_other_spellings_of_the_place_are_replaced(tmp_path: Path) -> None:
    auths = {"https://r.example/v1/": {"auth": "b2xkOm9sZA=="}, "r.example/team": {"auth": "dGVhbTp4"}}
    path = write(tmp_path / "config.json", {"auths": auths})
    keep(str(path), parse_place("https://R.example/"), BOB, {})
    assert json.loads(path.read_text())["auths"] == {
        "r.example/team": auths["r.example/team"],
        "r.example": {"auth": encoded()},
    }
    assert forget(str(path), parse_place("r.example"), {})
    assert list(json.loads(path.read_text())["auths"]) == ["r.example/team"]


@pytest.mark.parametrize(
    "name", ["", "docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"]
)
def test_docker_hub_is_kept_under_dockers_name_for_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.json"
    keep(str(path), parse_place(name), BOB, {})
    assert list(json.loads(path.read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert found(path, "docker.io", "library/debian") == BOB
    assert forget(str(path), parse_place(name), {})
    assert found(path, "docker.io", "library/debian") is None


def test_namespace_gets_a_credential_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    keep(str(path), parse_place("r.example"), Credential("all", "x"), {})
    keep(str(path), parse_place("r.example/team"), BOB, {})
    users = [found(path, repository=name).username for name in ("team/app", "team-two/app", "x")]  # type: ignore[union-attr]
    assert users == ["bob", "all", "all"]
    assert forget(str(path), parse_place("r.example/team"), {})
    assert found(path, repository="team/app") == Credential("all", "x")


def test_logins_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    names = [f"r{number}.example" for number in range(20)]
    start = threading.Barrier(len(names))

    def log_in(name: str) -> None:
        start.wait()
        keep(str(path), parse_place(name), BOB, {})

    threads = [threading.Thread(target=log_in, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(path.read_text())["auths"]) == sorted(names)


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": [1]}', '{"credsStore": 7}', '{"x": 1e999}'])
def test_file_that_would_be_lost_is_left_alone(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "config.json", text)
    with pytest.raises(AuthError):
        keep(str(path), parse_place("r.example"), BOB, {})
    assert path.read_text() == text
    assert os.listdir(tmp_path) == ["config.json"]


def test_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "file", "")
    with pytest.raises(StorageError, match="can't be written") as caught:
        keep(str(tmp_path / "file/config.json"), parse_place("r.example"), BOB, {})
    assert SECRET not in caught.value.message + caught.value.hint


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "config.json", {"auths": {}})

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match="No space left"):
        keep(str(path), parse_place("r.example"), BOB, {})
    assert json.loads(path.read_text()) == {"auths": {}}
    assert os.listdir(tmp_path) == ["config.json"]


def test_forgetting_what_is_not_there(tmp_path: Path) -> None:
    assert not forget(str(tmp_path / "none.json"), parse_place("r.example"), {})
    path = write(tmp_path / "config.json", {"auths": {"r.example/team": {"auth": encoded()}}})
    inode = path.stat().st_ino
    assert not forget(str(path), parse_place("r.example"), {})
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("name", ["r.example/../x", "bob@r.example", "r.example/Team", "-x", "r.example:port", "a b"])
def test_what_is_no_registry_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not the address of a registry"):
        parse_place(name)


def test_first_file_that_is_read_is_the_one_written() -> None:
    environ = {"REGISTRY_AUTH_FILE": "/a.json", "DOCKER_CONFIG": "/b/", "HOME": "/c"}
    assert auth_file_path(environ, "/x.json") == "/x.json"
    paths = []
    for name in list(environ):
        paths.append(auth_file_path(environ))
        del environ[name]
    assert paths == ["/a.json", "/b/config.json", "/c/.docker/config.json"]
    with pytest.raises(UsageError, match="HOME"):
        auth_file_path({})


# ------------------------------------------------------------------------------------------------ helpers


@pytest.mark.parametrize(
    "config", [{"credsStore": "box"}, {"credHelpers": {"r.example": "box"}, "credsStore": "other"}]
)
def test_helper_in_charge_keeps_it(tmp_path: Path, config: dict[str, Any]) -> None:
    environ = store(tmp_path, "box")
    path = write(tmp_path / "config.json", config | {"auths": {"r.example": {"auth": encoded()}}})
    where = keep(str(path), parse_place("r.example"), BOB, environ)
    assert where == "the credential helper docker-credential-box"
    assert json.loads(path.read_text()) == config | {"auths": {"r.example": {}}}
    assert encoded() not in path.read_text()
    assert found(path, **environ) == BOB
    assert forget(str(path), parse_place("r.example"), environ)
    assert json.loads(path.read_text())["auths"] == {}
    assert found(path, **environ) is None


def test_helper_knows_docker_hub_by_dockers_name(tmp_path: Path) -> None:
    environ = store(tmp_path, "box")
    path = write(tmp_path / "config.json", {"credsStore": "box"})
    keep(str(path), parse_place(""), BOB, environ)
    assert list(json.loads((tmp_path / "box.json").read_text())) == ["https://index.docker.io/v1/"]


def test_helper_that_fails_leaves_the_file(tmp_path: Path) -> None:
    script = write(tmp_path / "docker-credential-bad", f"#!/bin/sh\necho {SECRET}; exit 3\n")
    script.chmod(0o755)
    path = write(tmp_path / "config.json", {"credsStore": "bad"})
    environ = {"PATH": f"{tmp_path}:{os.defpath}"}
    for change in (
        lambda: keep(str(path), parse_place("r"), BOB, environ),
        lambda: forget(str(path), parse_place("r"), environ),
    ):
        with pytest.raises(AuthError, match="status 3") as caught:
            change()
        assert SECRET not in caught.value.message + caught.value.hint + caught.value.detail
    assert json.loads(path.read_text()) == {"credsStore": "bad"}


def test_helper_has_no_namespaces(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", {"credsStore": "box"})
    with pytest.raises(UsageError, match="knows no namespaces"):
        keep(str(path), parse_place("r.example/team"), BOB, {})
