"""Runs `coopery` the way a user does: as a process, in an environment that is the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ENTRY = "import sys; from coopery.cli import main; sys.exit(main())"
_KEPT = ("LANG", "PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


def run_coopery(
    *args: str | Path,
    home: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Runs one command and returns it with its output as text.

    `home` takes the place of every directory the user's own settings, credentials, caches and state could come from.
    With `check` a status other than 0 fails the test with what the command printed.
    """
    home.mkdir(parents=True, exist_ok=True)
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
        "DOCKER_CONFIG": str(home / "docker"),
    } | dict(env or {})
    done = subprocess.run(
        [sys.executable, "-c", _ENTRY, *map(str, args)],
        env=environment,
        cwd=cwd,
        input=stdin if stdin is not None else b"",
        capture_output=True,
    )
    result = subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    if check and result.returncode:
        raise AssertionError(
            f"coopery {' '.join(map(str, args))}: status {result.returncode}\n{result.stdout}{result.stderr}"
        )
    return result


@dataclass(frozen=True, slots=True)
class Coopery:
    """The command bound to one home directory, so that successive calls share caches."""

    home: Path

    def __call__(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        return run_coopery(*args, home=self.home, env=env, cwd=cwd, stdin=stdin, check=check)
