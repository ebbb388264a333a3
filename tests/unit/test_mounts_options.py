"""`RUN --mount=…`: options, defaults, and what is refused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from coopery.errors import UsageError
from coopery.mounts import parse_mount
from coopery.mounts.cache import CacheMount
from coopery.mounts.secret import SecretMount
from coopery.mounts.spec import BadMount, Prepared, parse_size
from coopery.mounts.tmpfs import TmpfsSpec
from coopery.ports import BindMount, TmpfsMount


def parse(text: str):
    return parse_mount(text, "/w", lambda value: value.replace("$V", "v"))


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=cache,target=/c", CacheMount("/c", "/c", "shared", False, 0o755, 0, 0)),
        ("type=Cache,dst=c", CacheMount("/w/c", "/w/c", "shared", False, 0o755, 0, 0)),
        ("type=cache,destination=/c/../d/", CacheMount("/d", "/d", "shared", False, 0o755, 0, 0)),
        ("type=cache,id=$V,target=/$V,sharing=LOCKED", CacheMount("v", "/v", "locked", False, 0o755, 0, 0)),
        ("type=cache,target=/c,ro,mode=0700,uid=5,gid=6", CacheMount("/c", "/c", "shared", True, 0o700, 5, 6)),
        ("type=cache,target=/c,rw=false", CacheMount("/c", "/c", "shared", True, 0o755, 0, 0)),
        ("type=cache,target=/c,readonly=0", CacheMount("/c", "/c", "shared", False, 0o755, 0, 0)),
        ("type=tmpfs,target=/t", TmpfsSpec("/t", 0)),
        ("type=tmpfs,target=t,size=1.5m", TmpfsSpec("/w/t", 3 << 19)),
        ("type=secret,id=s", SecretMount("s", "/run/secrets/s", "", False, 0o400, 0, 0)),
        ("type=secret,target=/a/s", SecretMount("s", "/a/s", "", False, 0o400, 0, 0)),
        ("type=secret,id=s,env=S", SecretMount("s", "", "S", False, 0o400, 0, 0)),
        ("type=secret,id=s,env=S,target=f", SecretMount("s", "/w/f", "S", False, 0o400, 0, 0)),
        ("type=secret,id=s,required,mode=0444,uid=1,gid=2", SecretMount("s", "/run/secrets/s", "", True, 0o444, 1, 2)),
        ('type=tmpfs,"target=/a,b"', TmpfsSpec("/a,b", 0)),
        (" TYPE=tmpfs,Target=/t", TmpfsSpec("/t", 0)),
    ],
)
def test_mounts(text, mount):
    assert parse(text) == mount


@pytest.mark.parametrize(
    "text",
    [
        "",
        "target=/x",
        "type=bind,target=/x",
        "type=ssh",
        "type=nonsense",
        "type",
        "type=cache",
        "type=cache,target=",
        "type=cache,target=/",
        "type=cache,target=../..",
        "type=cache,target=/c,sharing=all",
        "type=cache,target=/c,from=base",
        "type=cache,target=/c,source=x",
        "type=cache,target=/c,id",
        "type=cache,target=/c,uid=-1",
        "type=cache,target=/c,uid=root",
        "type=cache,target=/c,gid=4294967295",
        "type=cache,target=/c,mode=9",
        "type=cache,target=/c,mode=u+x",
        "type=cache,target=/c,mode=0o755",
        "type=cache,target=/c,mode=-1",
        "type=cache,target=/c,mode=177777",
        "type=cache,target=/c,ro=maybe",
        "type=cache,targe=/c",
        "type=tmpfs",
        "type=tmpfs,target=/t,size=much",
        "type=tmpfs,target=/t,size=-1",
        "type=tmpfs,target=/t,size=nan",
        "type=tmpfs,target=/t,mode=0700",
        "type=tmpfs,target=..",
        "type=secret",
        "type=secret,target=/",
        "type=secret,id=s,sharing=locked",
        "type=secret,id=s,uid=x",
        'type=cache,"target=/c',
        'type=cache,target="/c"',
    ],
)
def test_what_makes_no_sense_is_refused(text):
    with pytest.raises(BadMount):
        parse(text)


def test_a_wrong_option_gets_a_suggestion():
    with pytest.raises(BadMount) as caught:
        parse("type=cache,targt=/c,target=/c")
    assert caught.value.hint == "did you mean target?"


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("1b", 1), ("64k", 65536), ("64KB", 65536), ("1MiB", 1 << 20), ("2g", 2 << 30)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "1x", "-1", "1e30t", "inf", "nan", "0x10", "1 2"])
def test_bad_sizes(text):
    with pytest.raises(BadMount):
        parse_size(text)


class Environment:
    """Hands out one secret, and directories below a path."""

    def __init__(self, root: str, secret: bytes | None) -> None:
        self.root = root
        self.value = secret
        self.files: list[tuple[bytes, int, int, int]] = []

    def secret(self, name: str) -> bytes | None:
        return self.value

    @contextlib.contextmanager
    def cache_directory(self, name: str, sharing: str) -> Iterator[str]:
        os.makedirs(self.root, exist_ok=True)
        yield self.root

    @contextlib.contextmanager
    def private_file(self, data: bytes, mode: int, uid: int, gid: int) -> Iterator[str]:
        self.files.append((data, mode, uid, gid))
        yield "/private"


def prepared(text: str, environment: Environment) -> Prepared:
    with parse(text).prepare(environment) as ready:
        return ready


def test_secrets_as_files_variables_both_or_nothing(tmp_path):
    environment = Environment(str(tmp_path), b"v\xff")
    assert prepared("type=secret,id=s,mode=0440,uid=1,gid=2", environment) == Prepared(
        (BindMount("/private", "/run/secrets/s"),)
    )
    assert environment.files == [(b"v\xff", 0o440, 1, 2)]
    assert prepared("type=secret,id=s,env=S", environment) == Prepared(env=("S=v\udcff",))
    assert prepared("type=secret,id=s,env=S,target=/t", environment) == Prepared(
        (BindMount("/private", "/t"),), ("S=v\udcff",)
    )
    missing = Environment(str(tmp_path), None)
    assert prepared("type=secret,id=s", missing) == Prepared()
    with pytest.raises(UsageError, match="requires the secret 's'") as caught:
        prepared("type=secret,id=s,required", missing)
    assert "--secret id=s" in caught.value.hint


def test_a_new_cache_directory_gets_its_mode_and_a_used_one_keeps_its_own(tmp_path):
    root = tmp_path / "cache"
    environment = Environment(str(root), None)
    assert prepared("type=cache,target=/c,mode=0711", environment).mounts == (BindMount(str(root), "/c", False),)
    assert root.stat().st_mode & 0o777 == 0o711
    (root / "file").touch()
    prepared("type=cache,target=/c,mode=0777", environment)
    assert root.stat().st_mode & 0o777 == 0o711


def test_a_tmpfs():
    with parse("type=tmpfs,target=/t,size=1m").prepare(Environment("", None)) as ready:
        assert ready == Prepared((TmpfsMount("/t", 1 << 20),))
