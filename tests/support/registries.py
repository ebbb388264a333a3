"""A registry for tests: Debian's docker-registry (distribution) as a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from plainregistry import Registry

_CONFIG = """\
version: 0.1
log: {{accesslog: {{disabled: true}}, level: info}}
storage:
  delete: {{enabled: true}}
  filesystem: {{rootdirectory: {root}}}
http: {{addr: "127.0.0.1:0"}}
"""

USER, PASSWORD = "builder", "s3cret"
# bcrypt of PASSWORD at cost 5; the registry takes no other kind.
HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"


def find_registry() -> str | None:
    """The path of a distribution registry, or None where the package is missing."""
    return shutil.which("docker-registry") or shutil.which("registry")


@contextmanager
def running_registry(directory: Path, extra: str = "") -> Iterator[Registry]:
    """Runs a registry on a free loopback port, its storage below `directory`; stops it by its pid.

    `extra` is YAML added to the configuration. The kernel chooses the port, so two registries never race for one, and
    the registry's own log tells which it became.
    """
    program = find_registry()
    if program is None:
        raise FileNotFoundError("docker-registry")
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "config.yml"
    config.write_text(_CONFIG.format(root=directory / "storage") + extra)
    process = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        host = _listening(process.stderr)
        drain = threading.Thread(target=_drain, args=(process.stderr,), daemon=True)
        drain.start()
        yield Registry(host)
    finally:
        process.terminate()
        process.wait()


def _listening(log: IO[bytes]) -> str:
    seen = b""
    for line in log:
        seen += line
        _, found, rest = line.partition(b"listening on ")
        if found:
            return rest.split(b'"')[0].split(b",")[0].strip().decode()
    raise RuntimeError(f"the registry did not start:\n{seen.decode(errors='replace')}")


def _drain(log: IO[bytes]) -> None:
    while log.read(65536):
        pass


def basic_auth(folder: Path) -> str:
    """`extra` for a registry that lets in USER with PASSWORD and nobody else."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "htpasswd"
    path.write_text(HTPASSWD)
    return f'auth: {{htpasswd: {{realm: tests, path: "{path}"}}}}\n'
