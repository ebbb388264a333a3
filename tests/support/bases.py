"""Base images that need no network: busybox in memory, Debian by mmdebstrap once a machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import plainoci
from plainoci import Image, Node, directory, file, symlink

BUSYBOX = Path("/bin/busybox")
_SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
_GROUP = """\
root:x:0:
daemon:x:1:
staff:x:50:app
app:x:1000:
nogroup:x:65534:
"""


@cache
def busybox_tree() -> dict[str, Node]:
    """A root file system whose every tool is busybox-static. Raises FileNotFoundError without that package."""
    applets = subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True).stdout.split()
    tree = {name: directory() for name in ("bin", "dev", "etc", "home", "lib", "proc", "sys", "usr", "usr/bin", "var")}
    tree["root"] = directory(0o700)
    tree["tmp"] = directory(0o1777)
    tree["home/app"] = directory(0o755, uid=1000, gid=1000)
    tree["etc/passwd"] = file(_PASSWD)
    tree["etc/group"] = file(_GROUP)
    tree["bin/busybox"] = file(BUSYBOX.read_bytes(), 0o755)
    tree |= {f"bin/{name}": symlink("busybox") for name in sorted(applets) if name != "busybox"}
    tree["usr/bin/env"] = symlink("../../bin/busybox")
    return tree


@cache
def busybox_image() -> Image:
    """One layer, `PATH` and `/bin/sh`; made in well under a second and the same bytes every time."""
    return plainoci.image([plainoci.layer(busybox_tree())], Env=["PATH=/usr/bin:/bin"], Cmd=["/bin/sh"])


def debian_missing() -> str:
    """Why a Debian base can't be made here, or nothing."""
    if os.geteuid() != 0:
        return "needs root to make a Debian base"
    return "" if shutil.which("mmdebstrap") else "needs mmdebstrap"


def debian_image(*packages: str) -> Image:
    """A minimal Debian or Ubuntu like this machine's, made once and kept under the user's cache directory."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coopery-tests"
    cached.mkdir(parents=True, exist_ok=True)
    layout = cached / "-".join(("debian", *packages))
    include = ["--include", ",".join(packages)] if packages else []
    with (cached / "lock").open("w") as lock:  # test workers are processes of their own
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (layout / "index.json").exists():
            command = [sys.executable, str(_SCRIPTS / "base-image"), "--with-host", *include, "--output", str(layout)]
            subprocess.run(command, check=True)
    return plainoci.read_layout(layout)
