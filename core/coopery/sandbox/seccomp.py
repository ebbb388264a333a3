"""The system calls that a RUN can't make: what Docker's default profile forbids, as a BPF program.

Docker lists what is allowed (moby's profiles/seccomp/default_linux.go); here stands what that leaves out, which is
shorter, and calls newer than the list answer ENOSYS, as under runc. Beyond capabilities this keeps a step's root
from opening new user namespaces, and with them most of the kernel's mount, network and module code. Without it all
else still holds: the filter is the second wall.
"""

from __future__ import annotations

import errno
import struct

# Numbers by name for x86_64, i386, the generic table (arm64) and 32-bit arm; `-`: no such call there.
_DENIED = """
acct                    163  51  89  51    add_key                 248 286 217 309
bpf                     321 357 280 386    clock_settime           227 264 112 262
clock_settime64           - 404   - 404    create_module           174 127   -   -
delete_module           176 129 106 129    fanotify_init           300 338 262 367
finit_module            313 350 273 379    fsconfig                431 431 431 431
fsmount                 432 432 432 432    fsopen                  430 430 430 430
fspick                  433 433 433 433    get_kernel_syms         177 130   -   -
get_mempolicy           239 275 236 320    init_module             175 128 105 128
io_uring_enter          426 426 426 426    io_uring_register       427 427 427 427
io_uring_setup          425 425 425 425    ioperm                  173 101   -   -
iopl                    172 110   -   -    kcmp                    312 349 272 378
kexec_file_load         320   - 294 401    kexec_load              246 283 104 347
keyctl                  250 288 219 311    lookup_dcookie          212 253  18 249
lsm_get_self_attr       459 459 459 459    lsm_list_modules        461 461 461 461
lsm_set_self_attr       460 460 460 460    mbind                   237 274 235 319
migrate_pages           256 294 238 400    mount                   165  21  40  21
mount_setattr           442 442 442 442    move_mount              429 429 429 429
move_pages              279 317 239 344    nfsservctl              180 169  42 169
open_by_handle_at       304 342 265 371    open_tree               428 428 428 428
perf_event_open         298 336 241 364    pidfd_getfd             438 438 438 438
pivot_root              155 217  41 218    process_madvise         440 440 440 440
query_module            178 167   -   -    quotactl                179 131  60 131
quotactl_fd             443 443 443 443    reboot                  169  88 142  88
request_key             249 287 218 310    set_mempolicy           238 276 237 321
set_mempolicy_home_node 450 450 450 450    setdomainname           171 121 162 121
sethostname             170  74 161  74    setns                   308 346 268 375
settimeofday            164  79 170  79    stime                     -  25   -   -
swapoff                 168 115 225 115    swapon                  167  87 224  87
sysfs                   139 135   - 135    _sysctl                 156 149   - 149
syslog                  103 103 116 103    umount                    -  22   -   -
umount2                 166  52  39  52    unshare                 272 310  97 337
uselib                  134  86   -  86    userfaultfd             323 374 282 388
ustat                   136  62   -  62    vhangup                 153 111  58 111
vm86                      - 166   -   -    vm86old                   - 113   -   -
"""
_CLONE = (56, 120, 220, 120)
_PERSONALITY = (135, 136, 92, 136)
_SOCKET = (41, 359, 198, 281)
_CLONE3 = 435  # flags lie in memory, where a filter can't look: ENOSYS makes the C library fall back to clone
_FIRST_UNKNOWN = 467
_ARM_PRIVATE = 0x0F0000  # 32-bit arm's own calls, such as set_tls

_NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, 32-bit Linux, either with UNAME26, ask only
_FAMILIES_DENIED = (38, 40)  # AF_ALG, AF_VSOCK

# (column of the table, AUDIT_ARCH_* of linux/audit.h) for the machine itself and for its 32-bit programs.
_ARCHITECTURES: dict[str, tuple[tuple[int, int], ...]] = {
    "x86_64": ((0, 0xC000003E), (1, 0x40000003)),
    "aarch64": ((2, 0xC00000B7), (3, 0x40000028)),
    "riscv64": ((2, 0xC00000F3),),
    "loongarch64": ((2, 0xC0000102),),
}

# Classic BPF (linux/bpf_common.h) and where struct seccomp_data keeps things, little-endian.
_LOAD, _RETURN, _EQUAL, _AT_LEAST, _ANY_BIT = 0x20, 0x06, 0x15, 0x35, 0x45
_NUMBER, _ARCHITECTURE, _ARGUMENT_0 = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

# One instruction: code, operand, label to go to if true, label if false; "" is the next instruction.
_Instruction = tuple[int, int, str, str]


def program(machine: str) -> bytes:
    """The filter for a machine by uname's name, as struct sock_filter records; empty if it isn't known here."""
    architectures = _ARCHITECTURES.get(machine, ())
    if not architectures:
        return b""
    code = b""
    for column, audit in reversed(architectures):
        section = _section(column)
        skip = len(section) // 8
        # A conditional jump reaches 255 instructions: a section stays below that.
        code = _record(_LOAD, _ARCHITECTURE) + _record(_EQUAL, audit, 0, skip) + section + code
    return code + _record(_RETURN, _ERRNO | errno.EPERM)


def denied(column: int) -> list[int]:
    """The numbers refused with EPERM: column 0 x86_64, 1 i386, 2 arm64, 3 arm."""
    words = _DENIED.split()
    return sorted(int(row[column + 1]) for row in zip(*[iter(words)] * 5, strict=True) if row[column + 1] != "-")


def _section(column: int) -> bytes:
    """The rules for one architecture; every way through it ends in a return."""
    lines: list[tuple[str, _Instruction]] = [("", (_LOAD, _NUMBER, "", ""))]

    def add(code: int, operand: int, true: str = "", false: str = "", label: str = "") -> None:
        lines.append((label, (code, operand, true, false)))

    if column == 3:
        add(_AT_LEAST, _ARM_PRIVATE, "allow")
    add(_AT_LEAST, _FIRST_UNKNOWN, "unknown")  # x32's numbers too: they start at 2 to the 30th
    add(_EQUAL, _CLONE[column], "clone")
    add(_EQUAL, _SOCKET[column], "socket")
    add(_EQUAL, _PERSONALITY[column], "personality")
    add(_EQUAL, _CLONE3, "unknown")
    for number in denied(column):
        add(_EQUAL, number, "deny")
    add(_RETURN, _ALLOW, label="allow")
    add(_RETURN, _ERRNO | errno.EPERM, label="deny")
    add(_RETURN, _ERRNO | errno.ENOSYS, label="unknown")
    add(_LOAD, _ARGUMENT_0, label="clone")
    add(_ANY_BIT, _NAMESPACE_FLAGS, "deny_late", "allow_late")
    add(_LOAD, _ARGUMENT_0, label="socket")
    for family in _FAMILIES_DENIED:
        add(_EQUAL, family, "deny_late")
    add(_RETURN, _ALLOW)
    add(_LOAD, _ARGUMENT_0, label="personality")
    for value in _PERSONALITIES:
        add(_EQUAL, value, "allow_late")
    add(_RETURN, _ERRNO | errno.EPERM, label="deny_late")  # jumps only go forward
    add(_RETURN, _ALLOW, label="allow_late")

    at = {label: index for index, (label, _) in enumerate(lines) if label}
    code = b""
    for index, (_, (operation, operand, true, false)) in enumerate(lines):
        distance = [at[label] - index - 1 if label else 0 for label in (true, false)]
        code += _record(operation, operand, *distance)
    return code


def _record(code: int, operand: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, operand)
