"""The command line. `main` is what the installed command runs.

Before anything else is imported it sees to what can go wrong early: signals, closed descriptors, a missing HOME.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_STOPPED = 130
_signals = 0


def main() -> NoReturn:
    """Run the command line and exit with the status that errors.py documents."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1) and shells' background jobs ignore some
            signal.signal(number, _interrupt)
    try:
        _fill_gaps()
        from coopery.cli.main import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = _STOPPED
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            from coopery.errors import ExportError

            status = status or ExportError.exit_code
    # Threads of a build that was stopped may be waiting for a registry or a lock: they end with the process.
    os._exit(status)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """The first signal stops the build in order; whoever sends a second one wants it to end now.

    Also then nothing is left but files in the cache's tmp, which the next build clears away: mounts and the steps'
    processes end with this one.
    """
    global _signals
    _signals += 1
    if _signals > 1:
        os._exit(_STOPPED)
    raise KeyboardInterrupt


def _fill_gaps() -> None:
    """Open /dev/null where standard input, output or error is closed; find the home directory where HOME isn't set."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_RDWR)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for as long as the process
    if not os.environ.get("HOME"):
        import pwd

        try:
            os.environ["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:  # an id that no passwd file knows, as in OpenShift's pods
            os.environ["HOME"] = "/"
