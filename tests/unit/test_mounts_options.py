"""`RUN --mount=…`: options, defaults, and what is refused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from coopery.errors import UsageError
from coopery.mounts import mount_from, parse_mounts
from coopery.mounts.bind import BindSpec
from coopery.mounts.cache import CacheMount
from coopery.mounts.secret import SecretMount
from coopery.mounts.spec import BadMount, Prepared, parse_size
from coopery.mounts.ssh import SshMount
from coopery.mounts.tmpfs import TmpfsSpec
from coopery.ports import BindMount, TmpfsMount


def parse(text: str, cwd: str = "/w", namespace: str = ""):
    (mount,) = parse_mounts([text], cwd, lambda value: value.replace("$V", "v"), namespace)
    return mount


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
        ("type=cache", CacheMount("/w", "/w", "shared", False, 0o755, 0, 0)),
        ("type=cache,target=/c,from=x", CacheMount("/c", "/c", "shared", False, 0o755, 0, 0, "/")),
        ("type=cache,target=/c,from=x,src=s,rw", CacheMount("/c", "/c", "shared", False, 0o755, 0, 0, "s")),
        ("type=secret,source=s/t", SecretMount("s/t", "/run/secrets/t", "", False, 0o400, 0, 0)),
        ("", BindSpec("/w", "/", True)),
        ("target=/x", BindSpec("/x", "/", True)),
        ("type=bind,dst=$V,src=$V/f,rw", BindSpec("/w/v", "v/f", False)),
        ("type=bind,target=.,from=$V,readwrite=true", BindSpec("/w", "/", False)),
        ("type=bind,target=x,ro", BindSpec("/w/x", "/", True)),
        ("type=ssh", SshMount("default", "/run/buildkit/ssh_agent.0", False, 0o600, 0, 0, True)),
        ("type=ssh,id=$V,target=s,required=1,mode=666,uid=1,gid=2", SshMount("v", "/w/s", True, 0o666, 1, 2, True)),
    ],
)
def test_mounts(text, mount):
    assert parse(text) == mount


@pytest.mark.parametrize(
    "text",
    [
        "type=bind,target=/",
        "type=bind,target=/x,id=y",
        "type=bind,target=/x,mode=0755",
        "type=bind,target=/x,uid=1",
        "type=bind,target=/x,ro,rw",
        "type=bind,target=/x,sharing=locked",
        "type=ssh,source=x",
        "type=ssh,env=X",
        "type=nonsense",
        "type",
        "type=cache,target=/",
        "type=cache,target=../..",
        "type=cache,target=/c,sharing=all",
        "type=secret,id=a,source=b",
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
        "type=tmpfs,target=/t,from=x",
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


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("type=cache,targt=/c,target=/c", "did you mean target?"),
        ("type=cahce,target=/c", "did you mean cache?"),
        ("type=cache,target=/c,sharing=lock", "did you mean locked?"),
        ("type=bind,target=/c,frm=x", "did you mean from?"),
    ],
)
def test_what_is_nearly_right_gets_a_suggestion(text, hint):
    with pytest.raises(BadMount, match="--mount=") as caught:
        parse(text)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "text",
    [
        "type=bind,target=/x,bind-propagation=rshared",
        "type=bind,target=/x,Z",
        "type=bind,target=/x,suid",
        "target=/x,dev=1",
        "type=cache,target=/x,upperdir=/",
        "type=tmpfs,target=/t,mpol=default",
        "type=tmpfs,target=/t,size=1k,mode=0755",
    ],
)
def test_options_of_mount_2_are_none_here(text):
    """CVE-2024-9407: options that reach the kernel unchecked."""
    with pytest.raises(BadMount):
        parse(text)


def test_no_working_directory_no_default_target():
    for kind in ("bind", "cache", "tmpfs"):
        with pytest.raises(BadMount, match="needs target"):
            parse(f"type={kind}", cwd="/")


def test_several_of_a_kind():
    mounts = parse_mounts(["type=ssh", "type=tmpfs,target=/t", "type=ssh,id=b"], "/", str)
    assert [(mount.target, getattr(mount, "first", None)) for mount in mounts] == [
        ("/run/buildkit/ssh_agent.0", True),
        ("/t", None),
        ("/run/buildkit/ssh_agent.1", False),
    ]


def test_from_is_read_before_anything_is_expanded():
    assert mount_from("type=$T,from=stage,target=/x") == "stage"
    assert mount_from("type=tmpfs,target=/x") == ""


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

    content = ""

    def __init__(self, root: str, secret: bytes | None) -> None:
        self.root = root
        self.value = secret
        self.files: list[tuple[bytes, int, int, int]] = []
        self.names: list[str] = []

    def secret(self, name: str) -> bytes | None:
        return self.value

    @contextlib.contextmanager
    def cache_directory(self, name: str, sharing: str, make: Callable[[str], None]) -> Iterator[str]:
        self.names.append(name)
        if not os.path.exists(self.root):
            os.makedirs(self.root)
            make(self.root)
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
    assert prepared("type=secret,id=s,env=S", missing) == Prepared(env=("S=",))
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


def test_what_tells_caches_from_one_another(tmp_path):
    environment = Environment(str(tmp_path), None)
    texts = ["type=cache,id=a", "type=cache,id=a,mode=0700", "type=cache,id=a,uid=5", "type=cache,id=b"]
    for text in texts:
        with parse(text).prepare(environment):
            pass
    with parse("type=cache,id=a", namespace="n").prepare(environment):
        pass
    environment.content = "sha256:1"
    with parse("type=cache,id=a,from=x").prepare(environment):
        pass
    assert len(set(environment.names)) == 6
    assert environment.names[0] == "a"
