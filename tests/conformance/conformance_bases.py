"""The images that the cases build on, beside the tests' busybox."""

from __future__ import annotations

import plainoci
from plainoci import Image, Node, directory, file, symlink
from support import bases

#: `cap_net_bind_service=ep`: VFS_CAP_REVISION_2 with the effective bit (linux/capability.h).
CAPABILITY = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"


def tools() -> Image:
    """No programs, but every kind of file that there is, in two layers with deletions."""
    lower: dict[str, Node] = {
        "opt": directory(),
        "opt/tool": file("tool", 0o4755, uid=3, gid=4),
        "opt/same": Node(type="hardlink", mode=0o4755, uid=3, gid=4, link="opt/tool"),
        "opt/again": Node(type="hardlink", mode=0o4755, uid=3, gid=4, link="opt/tool"),
        "opt/capable": Node(type="file", mode=0o755, data=b"capable", xattrs={"security.capability": CAPABILITY}),
        "opt/relative": symlink("tool"),
        "opt/absolute": symlink("/opt/deep/file"),
        "opt/dangling": symlink("/nowhere"),
        "opt/up": symlink("../opt/deep"),
        "opt/fifo": Node(type="fifo", mode=0o620),
        "opt/null": Node(type="char", mode=0o666, device=(1, 3)),
        "opt/loop": Node(type="block", mode=0o660, gid=6, device=(7, 0)),
        "opt/deep": directory(0o2775, gid=50),
        "opt/deep/file": file("deep", 0o600, uid=1000, gid=1000),
        "opt/deep/gone": file("hidden by the next layer"),
        "opt/old": directory(),
        "opt/old/file": file("old"),
        "opt/empty": directory(0o1777),
        "current": symlink("opt/deep"),
    }
    upper: list[tuple[str, Node]] = [
        ("opt", directory()),
        ("opt/deep", directory(0o2775, gid=50)),
        ("opt/deep/.wh.gone", file()),
        ("opt/old", directory()),
        ("opt/old/.wh..wh..opq", file()),
        ("opt/old/new", file("new", 0o444)),
    ]
    return plainoci.image([plainoci.layer(lower), plainoci.layer(upper)])


def onbuild() -> Image:
    """busybox with triggers."""
    base = bases.busybox_image()
    triggers = ["ENV TRIGGERED=yes", "COPY app.txt /app/", "RUN cat /app/app.txt > /app/ran", 'CMD ["triggered"]']
    return plainoci.image(base.layers, Env=["PATH=/usr/bin:/bin"], OnBuild=triggers)


def bare() -> Image:
    """A shell and nothing else: no PATH, none of the directories that a container has mounts in."""
    shell = bases.BUSYBOX.read_bytes()
    return plainoci.image([plainoci.layer({"bin": directory(), "bin/sh": file(shell, 0o755)})])


def configured() -> Image:
    """busybox with all there is in a configuration, for what a build inherits."""
    base = bases.busybox_image()
    return plainoci.image(
        base.layers,
        User="app:staff",
        ExposedPorts={"1000/tcp": {}},
        Env=["PATH=/usr/bin:/bin", "KEPT=1", "REPLACED=old"],
        Entrypoint=["/bin/echo"],
        Cmd=["inherited"],
        Volumes={"/volume": {}},
        WorkingDir="/home/app",
        Labels={"kept": "1", "replaced": "old"},
        StopSignal="SIGINT",
        Healthcheck={"Test": ["CMD", "true"], "Interval": 10**9},
        Shell=["/bin/sh", "-ec"],
    )


IMAGES = {"base": bases.busybox_image, "tools": tools, "onbuild": onbuild, "bare": bare, "configured": configured}
