"""The seccomp filter: every way through it, and the kernel's own judgement."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

import pytest

from coopery import kernel
from coopery.sandbox import seccomp

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
X86_64, I386, ARM64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028


def judge(program: bytes, architecture: int, number: int, argument: int = 0) -> int:
    """Run a filter as the kernel would; the program must end in a return."""
    data = struct.pack("=IIQQ", number, architecture, 0, argument)
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        operation, true, false, operand = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif operation == 0x06:
            return int(operand)
        else:
            holds = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[operation]
            at += true if holds else false


@pytest.mark.parametrize(
    ("machine", "architecture", "number", "argument", "verdict"),
    [
        ("x86_64", X86_64, 0, 0, ALLOW),  # read
        ("x86_64", X86_64, 59, 0, ALLOW),  # execve
        ("x86_64", X86_64, 101, 0, ALLOW),  # ptrace
        ("x86_64", X86_64, 161, 0, ALLOW),  # chroot: Docker's root has CAP_SYS_CHROOT
        ("x86_64", X86_64, 165, 0, EPERM),  # mount
        ("x86_64", X86_64, 272, 0, EPERM),  # unshare
        ("x86_64", X86_64, 435, 0, ENOSYS),  # clone3
        ("x86_64", X86_64, 452, 0, ALLOW),  # fchmodat2
        ("x86_64", X86_64, 467, 0, ENOSYS),  # newer than the list
        ("x86_64", X86_64, 0x40000000, 0, ENOSYS),  # x32's read
        ("x86_64", X86_64, 56, 17, ALLOW),  # clone as fork
        ("x86_64", X86_64, 56, kernel.CLONE_NEWUSER | 17, EPERM),
        ("x86_64", X86_64, 135, 0xFFFFFFFF, ALLOW),  # personality, asked
        ("x86_64", X86_64, 135, 0x0040000, EPERM),  # ADDR_NO_RANDOMIZE
        ("x86_64", X86_64, 41, 2, ALLOW),  # socket, AF_INET
        ("x86_64", X86_64, 41, 38, EPERM),  # AF_ALG
        ("x86_64", X86_64, 41, 40, EPERM),  # AF_VSOCK
        ("x86_64", I386, 3, 0, ALLOW),  # read
        ("x86_64", I386, 21, 0, EPERM),  # mount
        ("x86_64", I386, 165, 0, ALLOW),  # getresuid: mount's number on x86_64
        ("x86_64", ARM64, 63, 0, EPERM),  # an architecture that the machine doesn't have
        ("aarch64", ARM64, 63, 0, ALLOW),  # read
        ("aarch64", ARM64, 40, 0, EPERM),  # mount
        ("aarch64", ARM64, 220, kernel.CLONE_NEWNS, EPERM),  # clone
        ("aarch64", ARM, 21, 0, EPERM),  # mount
        ("aarch64", ARM, 0x0F0005, 0, ALLOW),  # set_tls
        ("riscv64", 0xC00000F3, 97, 0, EPERM),  # unshare
    ],
)
def test_verdicts(machine: str, architecture: int, number: int, argument: int, verdict: int) -> None:
    assert judge(seccomp.program(machine), architecture, number, argument) == verdict


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64", "loongarch64"])
def test_all_that_is_denied_is_denied_and_the_kernel_takes_the_length(machine: str) -> None:
    program = seccomp.program(machine)
    assert len(program) // 8 <= 4096
    for column, architecture in enumerate((X86_64, I386, ARM64, ARM)):
        if judge(program, architecture, 1) == EPERM:
            continue  # not one of this machine's
        for number in seccomp.denied(column):
            assert judge(program, architecture, number) == EPERM


def test_unknown_machines_have_no_filter() -> None:
    assert seccomp.program("vax") == b""


@pytest.mark.skipif(not seccomp.program(kernel.MACHINE), reason="no filter for this machine")
def test_the_kernel_agrees() -> None:
    """In a child, without rights: no_new_privs lets anybody install a filter."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        answers = []
        libc = ctypes.CDLL(None, use_errno=True)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.seccomp_filter(seccomp.program(kernel.MACHINE))
        for attempt in (
            lambda: kernel.unshare(kernel.CLONE_NEWUSER),
            lambda: kernel.mount("none", "/", "tmpfs"),
            lambda: os.close(kernel.fsopen("tmpfs")),
            lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0) and None,
        ):
            try:
                answers.append(str(attempt() or "ok"))
            except OSError as error:
                answers.append(errno.errorcode[error.errno or 0])
        ctypes.set_errno(0)
        libc.syscall(ctypes.c_long(435), None, ctypes.c_long(0))
        answers.append(errno.errorcode[ctypes.get_errno()])
        os.write(writes, " ".join(answers).encode())
        os._exit(0)
    os.close(writes)
    said = os.read(reads, 4096).decode()
    os.close(reads)
    os.waitpid(pid, 0)
    assert said.split() == ["EPERM", "EPERM", "EPERM", "ok", "ENOSYS"]
