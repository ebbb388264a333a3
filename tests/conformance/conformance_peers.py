"""Other builders, to build the same Dockerfiles with. Each has its state in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

BUILDAH, BUILDKIT = "buildah", "buildkit"


class Peer(Protocol):
    """A builder that builds and pushes."""

    name: str

    def build(self, context: Path, dockerfile: Path, reference: str, args: Mapping[str, str], target: str) -> None:
        """Build and push; AssertionError with what it printed if it fails."""


class Buildah:
    """Debian's Buildah, in a chroot as it does without a container runtime."""

    name = BUILDAH

    def __init__(self, state: Path) -> None:
        storage = ["--root", str(state / "root"), "--runroot", str(state / "run"), "--storage-driver", "overlay"]
        self._buildah = ["buildah", *storage]

    def build(self, context: Path, dockerfile: Path, reference: str, args: Mapping[str, str], target: str) -> None:
        options = ["--layers", "--isolation", "chroot", "--network", "host", "--tls-verify=false"]
        options += ["--format=docker"]  # the OCI one has no HEALTHCHECK, SHELL and ONBUILD there
        options += [f"--build-arg={name}={value}" for name, value in args.items()]
        options += [f"--target={target}"] if target else []
        run([*self._buildah, "bud", *options, "-t", reference, "-f", str(dockerfile), str(context)])
        run([*self._buildah, "push", "--tls-verify=false", reference])


class BuildKit:
    """A buildkitd of this test run's own."""

    name = BUILDKIT

    def __init__(self, address: str) -> None:
        self._address = address

    def build(self, context: Path, dockerfile: Path, reference: str, args: Mapping[str, str], target: str) -> None:
        command = ["buildctl", "--addr", self._address, "build", "--progress=plain", "--frontend=dockerfile.v0"]
        command += [f"--opt=build-arg:{name}={value}" for name, value in args.items()]
        command += [f"--opt=target={target}"] if target else []
        command += [f"--local=context={context}", f"--local=dockerfile={dockerfile.parent}"]
        command += [f"--opt=filename={dockerfile.name}"]
        run([*command, f"--output=type=image,name={reference},push=true,registry.insecure=true"])

    def export(self, context: Path, output: str, options: Mapping[str, str]) -> None:
        """Build the Dockerfile of `context` with these frontend options, and export it as `output` says."""
        command = ["buildctl", "--addr", self._address, "build", "--progress=plain", "--frontend=dockerfile.v0"]
        command += [f"--opt={name}={value}" for name, value in options.items()]
        run([*command, f"--local=context={context}", f"--local=dockerfile={context}", f"--output={output}"])

    def call(self, method: str, context: Path) -> list[str]:
        """The lines that buildx shows for `--call METHOD`."""
        command = ["buildctl", "--addr", self._address, "build", "--progress=plain", "--frontend=dockerfile.v0"]
        command += [f"--opt=requestid=frontend.{method}", f"--local=context={context}", f"--local=dockerfile={context}"]
        return run(command).splitlines()

    def lint(self, context: Path, args: Mapping[str, str], target: str) -> set[tuple[str, int]]:
        """The rules that the Dockerfile of `context` breaks, with the lines."""
        command = ["buildctl", "--addr", self._address, "build", "--progress=plain", "--frontend=dockerfile.v0"]
        command += ["--opt=requestid=frontend.lint", f"--local=context={context}", f"--local=dockerfile={context}"]
        command += [f"--opt=build-arg:{name}={value}" for name, value in args.items()]
        command += [f"--opt=target={target}"] if target else []
        found = re.finditer(r"^WARNING: (\w+).*?^Dockerfile:(\d+)$", run(command), re.MULTILINE | re.DOTALL)
        return {(warning[1], int(warning[2])) for warning in found}


def run(command: list[str]) -> str:
    """Standard output of a command; AssertionError with all it printed if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}"[-6000:])
    return done.stdout


def missing(name: str) -> str:
    """Why a peer can't be asked here, or nothing."""
    if os.geteuid() != 0:
        return f"needs root to run {name}"
    needed = {BUILDAH: ("buildah",), BUILDKIT: ("buildkitd", "buildctl", "runc")}[name]
    lacking = [program for program in needed if shutil.which(program) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


@contextlib.contextmanager
def running(name: str, state: Path) -> Iterator[Peer]:
    """A peer ready to build, with its state below `state`."""
    state.mkdir(parents=True, exist_ok=True)
    if name == BUILDAH:
        try:
            yield Buildah(state)
        finally:
            _unmount(state)  # builds that fail leave their containers
        return
    address = f"unix://{state}/buildkitd.sock"
    (state / "buildkitd.toml").write_text("")  # none of the machine's own settings
    command = ["buildkitd", "--root", str(state / "root"), "--addr", address, "--config", str(state / "buildkitd.toml")]
    command += ["--containerd-worker=false", "--oci-worker-binary=runc", "--oci-worker-net=host"]
    with (state / "log").open("wb") as log:
        daemon = subprocess.Popen([*command, "--oci-worker-snapshotter=overlayfs"], stdout=log, stderr=log)
    try:
        with contextlib.suppress(AssertionError):  # its first build says what is the matter
            run(["buildctl", "--addr", address, "--wait", "debug", "workers"])
        yield BuildKit(address)
    finally:
        daemon.terminate()
        daemon.wait()


def _unmount(below: Path) -> None:
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([point for point in points if point.startswith(f"{below}/")]):
        run(["umount", "-l", point])
