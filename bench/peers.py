"""The builders that are compared: how each is found, started, called and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from measure import Account, Failed, spawn

CacheMode = Literal["local", "fill", "fresh"]  # no registry cache; write one; begin with nothing but one


@dataclass(frozen=True, slots=True)
class Job:
    """One build of one context, pushed to a registry on loopback."""

    context: Path
    reference: str
    args: Mapping[str, str]
    cache: CacheMode = "local"

    @property
    def cache_repository(self) -> str:
        return self.reference.rpartition(":")[0] + "/cache"


class Peer(ABC):
    """A builder. One object builds one case once: from `start` to `stop` its state directory is its own."""

    name = ""
    needs: tuple[str, ...] = ()  # programs on PATH
    counted: tuple[str, ...] = ()  # those whose memory is the builder's; `needs` where empty
    registry_cache = True

    def __init__(self, state: Path, account: Account, log: Path) -> None:
        self.state, self.account, self.log = state, account, log

    @classmethod
    def missing(cls) -> str:
        """The first program that isn't there, or nothing."""
        return next((each for each in cls.needs if shutil.which(each) is None), "")

    def programs(self) -> list[Path]:
        return [_program(each) for each in self.counted or self.needs]

    @property
    def env(self) -> dict[str, str]:
        return {}

    def start(self) -> None:
        """Begins with empty state; daemons are up when this returns."""
        self.state.mkdir(parents=True)

    def prepare(self, job: Job) -> None:  # noqa: B027 - most have nothing to prepare
        """What isn't measured before a build: a fresh container, say."""

    def prime(self, job: Job) -> list[list[str]]:
        """Commands, not measured, that a warm build needs after the cold one."""
        return []

    @abstractmethod
    def commands(self, job: Job) -> list[list[str]]:
        """One build and push, measured as a whole."""

    def stop(self) -> None:
        """Stops daemons and removes the state. The account ends whatever is left."""
        self.account.close()
        subprocess.run(["rm", "-rf", str(self.state)], check=True)


class Daemon(Peer):
    """A builder with a daemon that listens on a socket."""

    socket_name = "daemon.sock"
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.state / self.socket_name

    @abstractmethod
    def daemon(self) -> list[str]:
        """The command that runs the daemon in the foreground."""

    def start(self) -> None:
        super().start()
        self.process = spawn(self.account, self.daemon(), self.log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.socket))
                return
            time.sleep(0.02)
        tail = self.log.read_text(errors="replace").splitlines()[-10:]
        raise Failed(f"{self.name}: its daemon did not come up\n" + "\n".join(tail))

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        super().stop()


class Coopery(Peer):
    name = "coopery"
    needs = ("coopery",)

    def programs(self) -> list[Path]:
        first = _program("coopery").read_bytes().partition(b"\n")[0]  # the script's interpreter is the process
        return [Path(os.fsdecode(first.removeprefix(b"#!").strip())).resolve()]

    @property
    def env(self) -> dict[str, str]:
        places = ("CACHE", "CONFIG", "DATA", "STATE")
        return {f"XDG_{place}_HOME": str(self.state / place.lower()) for place in places}

    def commands(self, job: Job) -> list[list[str]]:
        where = f"type=registry,ref={job.cache_repository}"
        cache = {
            "local": [],
            "fill": ["--cache-to", f"{where},mode=max"],
            "fresh": ["--cache-from", where],
        }[job.cache]
        return [["coopery", "build", "--push", "-t", job.reference, *cache, *_build_args(job), str(job.context)]]


class Buildah(Peer):
    name = "buildah"
    needs = ("buildah", "runc")
    counted = ("buildah",)

    def commands(self, job: Job) -> list[list[str]]:
        storage = ["--root", str(self.state / "root"), "--runroot", str(self.state / "run")]
        buildah = ["buildah", *storage, "--storage-driver", "overlay"]
        cache = {
            "local": [],
            "fill": ["--cache-to", job.cache_repository],
            "fresh": ["--cache-from", job.cache_repository],
        }[job.cache]
        options = ["--layers", "--isolation", "oci", "--runtime", "runc", "--network", "host", "--tls-verify=false"]
        return [
            [*buildah, "build", *options, *cache, "-t", job.reference, *_build_args(job), str(job.context)],
            [*buildah, "push", "--tls-verify=false", job.reference],
        ]


class BuildKit(Daemon):
    name = "buildkit"
    needs = ("buildkitd", "buildctl", "runc")
    counted = ("buildkitd", "buildctl")

    def daemon(self) -> list[str]:
        return [
            *("buildkitd", "--root", str(self.state / "root"), "--addr", f"unix://{self.socket}"),
            *("--config", str(self._config()), "--containerd-worker=false", "--oci-worker-binary", "runc"),
            *("--oci-worker-net", "host", "--oci-worker-snapshotter", "overlayfs"),
        ]

    def _config(self) -> Path:
        path = self.state / "buildkitd.toml"
        path.write_text("")  # none of the machine's own settings
        return path

    def commands(self, job: Job) -> list[list[str]]:
        where = f"type=registry,ref={job.cache_repository},registry.insecure=true"
        cache = {
            "local": [],
            "fill": ["--export-cache", f"{where},mode=max"],
            "fresh": ["--import-cache", where],
        }[job.cache]
        options = [f"--opt=build-arg:{key}={value}" for key, value in job.args.items()]
        return [
            [
                *("buildctl", "--addr", f"unix://{self.socket}", "build", "--progress", "plain"),
                *("--frontend", "dockerfile.v0", *options),
                *("--local", f"context={job.context}", "--local", f"dockerfile={job.context}", *cache),
                *("--output", f"type=image,name={job.reference},push=true,registry.insecure=true"),
            ]
        ]


class Docker(Daemon):
    name = "docker"
    needs = ("dockerd", "docker", "containerd", "runc")
    counted = ("dockerd", "docker", "containerd")
    registry_cache = False  # the docker driver exports none but inline

    def _client(self) -> str:
        beside = Path("/usr/bin/docker")  # the client of dockerd's own package knows its BuildKit
        return str(beside) if beside.exists() else "docker"

    def programs(self) -> list[Path]:
        return [_program("dockerd"), _program("containerd"), _program(self._client())]

    @property
    def env(self) -> dict[str, str]:
        return {"DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(self.state / "config")}

    def daemon(self) -> list[str]:
        config = self.state / "daemon.json"
        config.write_text("{}")
        return [
            *("dockerd", "--config-file", str(config), "-H", f"unix://{self.socket}"),
            *("--data-root", str(self.state / "data"), "--exec-root", str(self.state / "exec")),
            *("--pidfile", str(self.state / "pid"), "--iptables=false", "--ip6tables=false", "--bridge=none"),
        ]

    def commands(self, job: Job) -> list[list[str]]:
        docker = [self._client(), "-H", f"unix://{self.socket}"]
        return [
            [*docker, "build", "--network", "host", "-t", job.reference, *_build_args(job), str(job.context)],
            [*docker, "push", job.reference],
        ]


class Kaniko(Peer):
    """Runs the executor in a root of its own that each build gets anew, as a pod would be."""

    name = "kaniko"
    needs = ("executor", "unshare", "chroot")
    counted = ("executor",)

    @property
    def root(self) -> Path:
        return self.state / "root"

    def programs(self) -> list[Path]:
        return [self.state / "executor"]

    def start(self) -> None:
        super().start()
        shutil.copy2(_program("executor"), self.state / "executor")

    def prepare(self, job: Job) -> None:
        subprocess.run(["rm", "-rf", str(self.root)], check=True)
        for name in ("kaniko", "workspace", "proc", "dev", "etc/ssl/certs", "tmp"):
            (self.root / name).mkdir(parents=True)
        os.link(self.state / "executor", self.root / "kaniko/executor")
        for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(Path("/", name), self.root / name)
        shutil.copytree(job.context, self.root / "workspace", dirs_exist_ok=True, symlinks=True)

    def prime(self, job: Job) -> list[list[str]]:
        return self._commands(job, cache=True)  # it has no cache but a registry

    def commands(self, job: Job) -> list[list[str]]:
        cold = job.cache == "local" and not (self.state / "primed").exists()
        return self._commands(job, cache=not cold)

    def _commands(self, job: Job, *, cache: bool) -> list[list[str]]:
        if cache:
            (self.state / "primed").touch()
        inside = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
        options = ["--cache=true", "--cache-repo", job.cache_repository, "--cache-copy-layers"] if cache else []
        return [
            [
                *("unshare", "-m", "sh", "-c", inside, str(self.root), "/kaniko/executor", "--force", "--insecure"),
                *("--insecure-pull", "--context", "dir:///workspace", "--destination", job.reference),
                *_build_args(job),
                *options,
            ]
        ]


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(name)
    return Path(found).resolve()


def _build_args(job: Job) -> list[str]:
    return [f"--build-arg={key}={value}" for key, value in job.args.items()]


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Coopery, Buildah, BuildKit, Docker, Kaniko)}
