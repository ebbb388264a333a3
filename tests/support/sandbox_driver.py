"""A process that has a given kind of rights, enters a sandbox mode, and runs what it is asked to, line by line.

Started as root by sandboxes.py: `sandbox_driver.py MODE RANGES`. Answers with what `enter` said, then one
JSON line per JSON line. Not a test itself.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from coopery import kernel
from coopery.errors import CooperyError
from coopery.ports import BindMount, Process, TmpfsMount, Ulimit
from coopery.sandbox import seccomp
from coopery.sandbox.chroot import ChrootSandbox
from coopery.sandbox.enter import enter
from coopery.sandbox.namespaces import NamespaceSandbox

USER = 12345
DOCKER = kernel.capability_mask(
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip


def become(kind: str, accounts: str) -> None:
    """Have the rights that a mode is made for: all, those of Docker's root, or a plain user's."""
    if kind == "masked":
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("tmpfs", "/proc/bus", "tmpfs")
    if kind == "chroot":
        kernel.seccomp_filter(seccomp.program(kernel.MACHINE))
    if kind in ("full", "chroot"):
        kernel.drop_bounding(DOCKER)
        kernel.set_capabilities(DOCKER, DOCKER)
    if kind == "sub":
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        for name in ("passwd", "subuid", "subgid"):
            kernel.mount(f"{accounts}/{name}", f"/etc/{name}", None, kernel.MS_BIND)
    if kind in ("sub", "single", "masked"):
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # as a program started by that user would be


def mounts(items: list[list[Any]]) -> list[BindMount | TmpfsMount]:
    return [BindMount(*rest) if kind == "bind" else TmpfsMount(*rest) for kind, *rest in items]


def main() -> None:
    kind, accounts = sys.argv[1:3]
    become(kind, accounts)
    entered = enter("auto" if kind == "auto" else {"masked": "single"}.get(kind, kind), os.environ)
    sandbox = ChrootSandbox() if kind == "chroot" else NamespaceSandbox(entered)
    print(json.dumps({"mode": entered.mode, "refused": entered.refused, "probe": sandbox.probe()}), flush=True)
    lock = threading.Lock()

    def serve(request: dict[str, Any]) -> None:
        got = {"stdout": bytearray(), "stderr": bytearray()}
        stop = threading.Event()
        mark = request.get("cancel_on", "").encode()

        def log(data: bytes, stream: str) -> None:
            got[stream].extend(data)
            if request.get("live"):
                print(json.dumps({"live": data.decode("latin-1")}), flush=True)
            if mark and mark in got[stream]:
                stop.set()

        fields = request["process"]
        fields["ulimits"] = tuple(Ulimit(*item) for item in fields.get("ulimits", ()))
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        answer: dict[str, Any] = {"id": request.get("id")}
        try:
            answer["status"] = sandbox.run(
                Process(**fields), request["rootfs"], mounts(request.get("mounts", [])), log, stop.is_set
            )
        except CooperyError as error:
            answer["error"] = error.message
            answer["hint"] = error.hint
        if request.get("lengths"):
            answer |= {name: len(data) for name, data in got.items()}
        else:
            answer |= {name: data.decode("latin-1") for name, data in got.items()}
        with lock:
            print(json.dumps(answer), flush=True)

    threads = []
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("thread"):
            threads.append(threading.Thread(target=serve, args=(request,)))
            threads[-1].start()
        else:
            serve(request)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
