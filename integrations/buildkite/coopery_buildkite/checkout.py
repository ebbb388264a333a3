"""What only the checkout can tell."""

from __future__ import annotations

import subprocess


def resolve(directory: str, revision: str) -> str:
    """The full hash of the commit that `revision` means in the checkout; empty if it can't be had."""
    return _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def commit_time(directory: str, commit: str) -> int | None:
    """When `commit`, a full hash, was made, in seconds since 1970; None if the checkout doesn't have it."""
    text = _git(directory, "show", "--no-patch", "--no-show-signature", "--format=%ct", "--end-of-options", commit)
    return int(text) if text.isascii() and text.isdecimal() else None


def _git(directory: str, *arguments: str) -> str:
    # The agent made the checkout, maybe as another user than the one whom a container runs as.
    command = ["git", "-C", directory, "-c", f"safe.directory={directory}", *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    except OSError:
        return ""
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else ""
