"""Installs Coopery from this checkout into an environment of its own, and becomes `coopery ci`.

Runs on any Python from 3.11 on, with its standard library alone, as `python -I`.
"""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
MODES = ("build", "merge")
# Which extra the registries of a cloud need, by what their names end with.
CLOUDS = {
    "aws": (".amazonaws.com", ".on.aws", "public.ecr.aws", "arn:aws"),
    "azure": (".azurecr.io", ".azurecr.cn", ".azurecr.us"),
    "google": ("-docker.pkg.dev", "gcr.io", "workload-identity-provider"),
}
# 1 where AppArmor takes all rights from the namespaces that users make, as in Ubuntu since 23.10.
RESTRICTION = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"


class Log:
    """The log of this step, in which nothing printed is an order to the runner unless this object prints it."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self._print(f"::stop-commands::{self.token}")

    def command(self, line: str) -> None:
        """Prints one workflow command."""
        used, self.token = self.token, secrets.token_hex(16)
        self._print(f"::{used}::\n{line}\n::stop-commands::{self.token}")

    def _print(self, text: str) -> None:
        os.write(2, f"{text}\n".encode())


def main() -> None:
    """Becomes `coopery ci`, or exits with a status of its own."""
    # One pipe for both, or the runner may read what they say out of order.
    os.dup2(2, 1)
    log = Log()
    if workspace := os.environ.get("GITHUB_WORKSPACE"):
        shutil.rmtree(os.path.join(workspace, ".coopery-cache-env"), ignore_errors=True)
    inputs = json.loads(os.environ["COOPERY_INPUTS"])
    mode = inputs.get("mode", "").strip() or "build"
    if mode not in MODES:
        log.command("::error title=Coopery::The input mode is neither build nor merge.")
        sys.exit(2)
    python = install(log, extras(inputs))
    if not python:
        log.command("::error title=Coopery::Coopery could not be installed; the log says why.")
        sys.exit(10)
    allow_user_namespaces(os.environ.get("RUNNER_ENVIRONMENT", ""))
    os.environ["COOPERY_STOP_COMMANDS"] = log.token
    os.execv(python, [python, "-I", os.path.join(os.path.dirname(python), "coopery"), "ci", mode])  # noqa: S606


def extras(inputs: dict[str, str]) -> list[str]:
    """The extras that the registries named by the inputs or the settings file need."""
    text = "\n".join(inputs.values())
    try:
        with open(inputs.get("config") or "coopery.yaml", encoding="utf-8", errors="replace") as stream:
            text += stream.read(1 << 20)
    except OSError:
        pass
    return [extra for extra, signs in CLOUDS.items() if any(sign in text for sign in signs)]


def install(log: Log, wanted: list[str]) -> str:
    """The Python of an environment with Coopery in it, made now unless this job has one; empty if that fails."""
    what = f"{ROOT}[{','.join(wanted)}]" if wanted else ROOT
    key = hashlib.sha256(f"{what}\n{sys.version}\n{sys.executable}".encode()).hexdigest()[:16]
    place = os.path.join(os.environ["RUNNER_TEMP"], f"coopery-{key}")
    python = os.path.join(place, "bin", "python")
    ready = os.path.join(place, "ready")
    if os.path.exists(ready):
        return python
    log.command("::group::Install Coopery")
    options = ("--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar=off")
    commands = (("venv", "--clear", "--without-pip", place), ("pip", "--python", python, "install", *options, what))
    done = all(run_module(*command) for command in commands)
    log.command("::endgroup::")
    if not done:
        return ""
    open(ready, "wb").close()
    return python


def allow_user_namespaces(runner: str) -> None:
    """Lets users' namespaces have rights, which steps are run in, on the machines that GitHub throws away afterwards.

    Whoever works there may use sudo, so nothing is lost. A machine of one's own is left as it is.
    """
    if runner != "github-hosted" or os.geteuid() == 0:
        return
    try:
        with open(RESTRICTION, encoding="ascii") as stream:
            if stream.read().strip() != "1":
                return
        setting = "kernel.apparmor_restrict_unprivileged_userns=0"
        subprocess.run(["sudo", "-n", "sysctl", "-q", "-w", setting], stdin=subprocess.DEVNULL)
    except OSError:
        pass  # where it can't be had, the build says what it lacks


def run_module(*arguments: str) -> bool:
    """Whether a module of the Python that runs this does what it is told."""
    # Not in the workspace, whose files are whatever was checked out.
    temporary = os.environ["RUNNER_TEMP"]
    command = [sys.executable, "-I", "-m", *arguments]
    return subprocess.run(command, cwd=temporary, stdin=subprocess.DEVNULL).returncode == 0


if __name__ == "__main__":
    main()
