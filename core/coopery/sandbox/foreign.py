"""Which platforms' programs this machine can run: natively, in 32-bit mode, or by an emulator that the kernel knows of
(binfmt_misc). Asked by running some, as BuildKit does (util/archutil): what is registered isn't seen everywhere.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from coopery.oci.platform import Platform, host

#: By architecture: class and byte order as in ELF's header, the machine's number, flags, and the instructions of
#: exit(0).
_PROGRAMS: Mapping[str, tuple[int, int, int, int, str]] = {
    "386": (1, 1, 3, 0, "31db b801000000 cd80"),
    "amd64": (2, 1, 62, 0, "31ff b83c000000 0f05"),
    "arm": (1, 1, 40, 0x05000000, "0000a0e3 0170a0e3 000000ef"),
    "arm64": (2, 1, 183, 0, "000080d2 a80b80d2 010000d4"),
    "loong64": (2, 1, 258, 0x43, "04008002 0b748102 00002b00"),
    "mips64le": (2, 1, 8, 0x80000007, "c2130224 00000424 0c000000"),
    "ppc64le": (2, 1, 21, 2, "01000038 00006038 02000044"),
    "riscv64": (2, 1, 243, 0, "13050000 9308d005 73000000"),
    "s390x": (2, 2, 22, 0, "a7290000 0a01"),
}
#: The platforms that can be tried.
TRIABLE = tuple(Platform.parse(f"linux/{architecture}") for architecture in _PROGRAMS)

# In a root of its own, as in an image: there an emulator is found only if the kernel holds it open (flag F).
_TRIAL = """
import os, sys
place, *names = sys.argv[1:]
os.chdir(place)
try:
    os.chroot(".")
except OSError:
    pass
for name in names:
    child = os.fork()
    if not child:
        try:
            os.execv("./" + name, [name])
        except OSError as error:
            os._exit(error.errno)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
_PATIENCE = 30  # seconds
_BASE = 0x400000


def obstacles(platforms: Sequence[Platform], directory: str) -> Mapping[Platform, str]:
    """Why commands for each of `platforms` can't be run here, empty where they can. `directory` is where programs to
    try are put for a moment."""
    unknown = [each for each in platforms if not each.satisfies(host())]
    architectures = sorted({each.architecture for each in unknown if each.os == "linux"} & set(_PROGRAMS))
    statuses = _try(architectures, directory) if architectures else {}
    return {each: _reason(each, statuses) if each in unknown else "" for each in platforms}


def _reason(platform: Platform, statuses: Mapping[str, int]) -> str:
    if platform.os != "linux":
        return f"its commands aren't for Linux, but for {platform.os}"
    status = statuses.get(platform.architecture)
    if status is None or status == errno.ENOEXEC:
        return f"this machine runs {host()}, and no emulator for {platform} is registered with the kernel"
    if status == errno.ENOENT:
        return f"the emulator for {platform} is registered without the flag F, and isn't found in an image"
    if status < 0:
        return f"a trial program for {platform} was killed by signal {-status}"
    return ""  # it runs; or programs can't be tried here, and the step itself will say why


def _try(architectures: Sequence[str], directory: str) -> Mapping[str, int]:
    """By architecture: what a program for it exits with, the errno if it can't be executed, or minus a signal."""
    place = tempfile.mkdtemp(prefix="trial-", dir=directory)
    try:
        for architecture in architectures:
            handle = os.open(os.path.join(place, architecture), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
            with os.fdopen(handle, "wb") as file:
                file.write(trial_program(architecture))
        # A fresh interpreter, since this process has threads.
        command = [sys.executable, "-I", "-S", "-c", _TRIAL, place, *architectures]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        lines = (line.split() for line in done.stdout.splitlines())
        return {name: int(status) for name, status in lines}
    except subprocess.TimeoutExpired:
        return {}
    finally:
        shutil.rmtree(place)


def trial_program(architecture: str) -> bytes:
    """The smallest executable for Linux on `architecture`: it exits with status 0."""
    bits, order, machine, flags, text = _PROGRAMS[architecture]
    code, endian, wide = bytes.fromhex(text), "<" if order == 1 else ">", bits == 2
    head, table = (64, 56) if wide else (52, 32)
    size = head + table + len(code)
    identity = b"\x7fELF" + bytes([bits, order, 1]).ljust(12, b"\0")
    word = "Q" if wide else "I"
    header = struct.pack(
        f"{endian}HHI{word * 3}IHHHHHH",
        *(2, machine, 1, _BASE + head + table, head, 0, flags, head, table, 1, 0, 0, 0),
    )
    # One segment, to be loaded, readable and executable; its flags stand elsewhere in 32-bit files.
    place = (0, _BASE, _BASE, size, size)
    segment = (1, 5, *place, 0x10000) if wide else (1, *place, 5, 0x10000)
    return identity + header + struct.pack(f"{endian}{'IIQQQQQQ' if wide else 'IIIIIIII'}", *segment) + code
